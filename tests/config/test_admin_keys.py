"""Where a member may be asked, by zoo.cfg; and time-outs that could not work together."""

from pathlib import Path

import pytest

from trio_fle.config import AdminOptions, MemberConfig, load_config
from trio_fle.ensemble import HostPort
from trio_fle.errors import ConfigError


class Home:
    """A zoo.cfg of three voters and an observer; the first may have a client address in its line."""

    def __init__(self, root: Path) -> None:
        self.path = root / "zoo.cfg"
        self.data = root / "data"
        self.data.mkdir()
        (self.data / "myid").write_text("1")

    def load(self, lines: str, client: str = "", sync_limit: int = 5) -> MemberConfig:
        self.path.write_text(
            f"dataDir={self.data}\ninitLimit=10\nsyncLimit={sync_limit}\n"
            f"server.1=h:1:2{client}\nserver.2=h:1:3\nserver.3=h:1:4\nserver.4=h:1:5:observer\n{lines}\n"
        )
        return load_config(self.path)

    def error(self, lines: str, client: str = "", sync_limit: int = 5) -> str:
        with pytest.raises(ConfigError) as caught:
            self.load(lines, client, sync_limit)
        return str(caught.value).replace(str(self.path), "zoo.cfg")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_what_is_not_set_is_as_in_zookeeper(home: Home) -> None:
    config = home.load("")
    assert config.admin == AdminOptions()
    assert config.admin.enabled
    assert config.admin.address == HostPort("0.0.0.0", 8080)
    assert config.admin.idle_timeout_s == 30
    assert config.admin.client_address is None
    assert config.admin.whitelist == {"srvr"}
    assert config.connect_limit == config.init_limit == 10


def test_the_keys_of_the_http_server_are_read(home: Home) -> None:
    admin = home.load(
        "admin.enableServer=false\nadmin.serverAddress=::1\nadmin.serverPort=9\nadmin.idleTimeout=1500"
    ).admin
    assert (admin.enabled, admin.address, admin.idle_timeout_s) == (False, HostPort("::1", 9), 1.5)
    assert home.load("admin.serverAddress=[::1]").admin.address == HostPort("::1", 8080)


@pytest.mark.parametrize(
    ("lines", "client", "address"),
    [
        ("", "", None),
        ("clientPort=0", "", None),
        ("clientPort=2181", "", HostPort("0.0.0.0", 2181)),
        ("clientPort=2181\nclientPortAddress=h", "", HostPort("h", 2181)),
        ("clientPort=2181\nclientPortAddress=[::1]", "", HostPort("::1", 2181)),
        ("", ";2181", HostPort("0.0.0.0", 2181)),
        ("", ";h:2181", HostPort("h", 2181)),
        ("clientPort=2181", ";h:2181", HostPort("h", 2181)),
        ("clientPort=2181\nclientPortAddress=127.0.0.1", ";127.0.0.1:2181", HostPort("127.0.0.1", 2181)),
        ("clientPort=2181\nclientPortAddress=127.0.0.1", ";localhost:2181", HostPort("localhost", 2181)),
    ],
)
def test_the_client_address_is_that_of_the_server_line_or_of_its_keys(
    home: Home, lines: str, client: str, address: HostPort | None
) -> None:
    assert home.load(lines, client).admin.client_address == address


@pytest.mark.parametrize(
    ("lines", "client", "message"),
    [
        (
            "clientPortAddress=h",
            "",
            "zoo.cfg:8: clientPortAddress: is set, but clientPort is not; add a line such as clientPort=2181",
        ),
        (
            "clientPortAddress=h",
            ";h:2181",
            "zoo.cfg:8: clientPortAddress: is set, but clientPort is not; add a line such as clientPort=2181",
        ),
        (
            "clientPort=2182",
            ";h:2181",
            (
                "zoo.cfg:8: clientPort: 0.0.0.0:2182 is not h:2181, the client address in server.1; "
                "remove one of the two"
            ),
        ),
        (
            "clientPort=2181\nclientPortAddress=127.0.0.1",
            ";127.0.0.2:2181",
            (
                "zoo.cfg:9: clientPortAddress: 127.0.0.1:2181 is not 127.0.0.2:2181, the client address in "
                "server.1; remove one of the two"
            ),
        ),
        ("clientPort=70000", "", "zoo.cfg:8: clientPort: 70000 is no port; give one up to 65535"),
        ("clientPort=-1", "", "zoo.cfg:8: clientPort: -1 is too small; give 0 or more"),
        ("clientPort=x", "", 'zoo.cfg:8: clientPort: "x" is not a whole number'),
        ("admin.serverPort=65536", "", "zoo.cfg:8: admin.serverPort: 65536 is no port; give one up to 65535"),
        ("admin.serverPort=0", "", "zoo.cfg:8: admin.serverPort: 0 is too small; give 1 or more"),
        ("admin.idleTimeout=0", "", "zoo.cfg:8: admin.idleTimeout: 0 is too small; give 1 or more"),
        (
            "connectToLearnerMasterLimit=-1",
            "",
            "zoo.cfg:8: connectToLearnerMasterLimit: -1 is too small; give 0 or more",
        ),
    ],
)
def test_a_wrong_value_is_one_line_with_file_line_and_key(
    home: Home, lines: str, client: str, message: str
) -> None:
    assert home.error(lines, client) == message


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", {"srvr"}),
        ("ruok", {"ruok", "srvr"}),
        (" stat, ruok ,,isro", {"stat", "ruok", "isro", "srvr"}),
        ("*", {"*", "srvr"}),
    ],
)
def test_the_white_list_is_words_between_commas_and_srvr_always(
    home: Home, value: str, words: set[str]
) -> None:
    """Java too adds srvr whatever is written: its own scripts ask it."""
    config = home.load(f"4lw.commands.whitelist={value}")
    assert config.admin.whitelist == words
    assert config.warnings == ()


def test_a_star_allows_every_word_and_a_word_itself(home: Home) -> None:
    assert home.load("4lw.commands.whitelist=*").admin.allows("mntr")
    admin = home.load("4lw.commands.whitelist=ruok").admin
    assert admin.allows("ruok")
    assert not admin.allows("mntr")


def test_a_word_that_is_none_is_a_warning(home: Home) -> None:
    assert home.load("4lw.commands.whitelist=ruok mntr,isro").warnings == (
        (
            f'{home.path}:8: 4lw.commands.whitelist: "ruok mntr" is no word of four letters; '
            "put commas between words"
        ),
    )


@pytest.mark.parametrize(("line", "ticks"), [("=7", 7), ("=0", 10), ("=", 10)])
def test_a_learner_has_a_limit_of_its_own_to_reach_its_leader(home: Home, line: str, ticks: int) -> None:
    assert home.load(f"connectToLearnerMasterLimit{line}").connect_limit == ticks


@pytest.mark.parametrize(
    ("sync_limit", "margin"),
    [(2, None), (2, "49.9 %"), (3, "66 %"), (11, "90 %"), (100, "98.9 %"), (2, "0 %")],
)
def test_a_lease_that_can_be_renewed_in_time_is_accepted(
    home: Home, sync_limit: int, margin: str | None
) -> None:
    line = f"fle.leaseMargin={margin}" if margin else ""
    assert home.load(line, sync_limit=sync_limit).sync_limit == sync_limit


@pytest.mark.parametrize(
    ("sync_limit", "line", "message"),
    [
        (1, "", "zoo.cfg:3: syncLimit: a lease of 1 ticks, less a margin of 10 %, ...; give 2 or more"),
        (
            1,
            "fle.leaseMargin=0 %",
            "zoo.cfg:3: syncLimit: a lease of 1 ticks, less a margin of 0 %, ...; give 2 or more",
        ),
        (
            2,
            "fle.leaseMargin=50 %",
            (
                "zoo.cfg:8: fle.leaseMargin: a lease of 2 ticks, less a margin of 50 %, ...; "
                "give less than 50 %, or a syncLimit of 3 or more"
            ),
        ),
        (
            10,
            "fle.leaseMargin=90 %",
            (
                "zoo.cfg:8: fle.leaseMargin: a lease of 10 ticks, less a margin of 90 %, ...; "
                "give less than 90 %, or a syncLimit of 11 or more"
            ),
        ),
        (
            5,
            "fle.leaseMargin=99.9 %",
            (
                "zoo.cfg:8: fle.leaseMargin: a lease of 5 ticks, less a margin of 99.9 %, ...; "
                "give less than 80 %, or a syncLimit of 1001 or more"
            ),
        ),
    ],
)
def test_a_lease_that_ends_before_it_can_be_renewed_is_refused(
    home: Home, sync_limit: int, line: str, message: str
) -> None:
    shortened = home.error(line, sync_limit=sync_limit).replace("leaves no time to renew it", "...")
    assert shortened == message


@pytest.mark.parametrize("tenths", range(0, 1000, 7))
def test_the_limit_that_is_asked_for_is_the_least_that_is_accepted(home: Home, tenths: int) -> None:
    margin = f"fle.leaseMargin={tenths / 10:.1f} %"
    needed = int(home.error(margin, sync_limit=1).split()[-3])
    assert home.load(margin, sync_limit=needed).sync_limit == needed
    assert home.error(margin, sync_limit=needed - 1)


def test_who_never_leads_needs_no_time_to_renew(home: Home) -> None:
    assert home.load("fle.candidate=false", sync_limit=1).sync_limit == 1
    (home.data / "myid").write_text("4")
    assert home.load("", sync_limit=1).sync_limit == 1
