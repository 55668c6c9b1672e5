"""The dynamic file: the server list beside zoo.cfg."""

from pathlib import Path

import pytest

from trio_fle.config import MemberConfig, load_config, myid_from_hostname
from trio_fle.errors import ConfigError

SERVERS = "server.1=h:1:2\nserver.2=h:1:3\nserver.3=h:1:4\n"


class Home:
    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "data").mkdir()
        (root / "data" / "myid").write_text("1")

    def load(self, dynamic: str, name: str = "zoo.cfg.dynamic", extra: str = "") -> MemberConfig:
        (self.root / name).write_text(dynamic)
        (self.root / "zoo.cfg").write_text(
            f"dataDir={self.root / 'data'}\ninitLimit=10\nsyncLimit=5\n"
            f"dynamicConfigFile={self.root / name}\n{extra}"
        )
        return load_config(self.root / "zoo.cfg")

    def error(self, dynamic: str, name: str = "zoo.cfg.dynamic", extra: str = "") -> str:
        with pytest.raises(ConfigError) as caught:
            self.load(dynamic, name, extra)
        return str(caught.value).replace(f"{self.root}/", "")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_the_servers_come_from_the_dynamic_file(home: Home) -> None:
    config = home.load(SERVERS + "server.4=h:1:5:observer\n")
    assert (config.ensemble.voters, config.ensemble.observers) == ({1, 2, 3}, {4})
    assert config.ensemble.version == 0
    assert config.warnings == ()


def test_groups_and_weights_come_from_the_dynamic_file(home: Home) -> None:
    config = home.load(SERVERS + "group.1=1:2:3\nweight.3=0\n")
    assert [config.ensemble.verifier.weight(sid) for sid in (1, 2, 3)] == [1, 1, 0]


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("zoo.cfg.dynamic", 0),
        ("zoo.cfg.dynamic.0", 0),
        ("zoo.cfg.dynamic.100000000", 0x1_0000_0000),
        ("zoo.cfg.dynamic.2A", 0x2A),
        ("zoo.cfg.dynamic.7fffffffffffffff", 2**63 - 1),
        ("servers.100000000", 0x1_0000_0000),
        ("servers", 0),
        ("zoo.cfg.dynamic.+10", 16),
        ("zoo.cfg.dynamic.8000000000000000", 0),
        ("zoo.cfg.dynamic.next", 0),
        ("zoo.cfg.dynamic.1.bak", 0),
    ],
)
def test_the_version_is_the_hex_end_of_the_dynamic_file_s_name(home: Home, name: str, version: int) -> None:
    assert home.load(SERVERS, name).ensemble.version == version


@pytest.mark.parametrize(
    ("dynamic", "message"),
    [
        (
            SERVERS + "version=1\n",
            (
                "zoo.cfg.dynamic:4: version: does not belong into a dynamic file; its name ends with it, "
                "as in zoo.cfg.dynamic.1f"
            ),
        ),
        (
            SERVERS + "foo=1\n",
            "zoo.cfg.dynamic:4: foo: does not belong into a dynamic file; move it to zoo.cfg",
        ),
        (
            "tickTime=1\n" + SERVERS,
            "zoo.cfg.dynamic:1: tickTime: does not belong into a dynamic file; move it to zoo.cfg",
        ),
        (SERVERS + "server.4=h:x:1", 'zoo.cfg.dynamic:4: server.4: port "x" is not a number'),
        (SERVERS + "group.1=1:2", "zoo.cfg.dynamic: server 3 is in no group; add it to a group line"),
        ("", "zoo.cfg.dynamic: names no servers; add a line server.N=host:quorumPort:electionPort for each"),
    ],
)
def test_a_wrong_line_of_the_dynamic_file_is_told_by_file_and_line(
    home: Home, dynamic: str, message: str
) -> None:
    assert home.error(dynamic) == message


def test_a_server_line_beside_a_dynamic_file_is_refused(home: Home) -> None:
    assert home.error(SERVERS, extra="server.2=h:1:3\n") == (
        "zoo.cfg:5: server.2: belongs into the dynamic file, zoo.cfg.dynamic, and not here"
    )


def test_relative_paths_begin_where_the_member_is_started(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in Java: not at the directory of zoo.cfg, which has a server list here, too."""
    home.load(SERVERS)
    elsewhere = home.root / "elsewhere"
    (elsewhere / "data").mkdir(parents=True)
    (elsewhere / "data" / "myid").write_text("2")
    (elsewhere / "list.1f").write_text(SERVERS + "server.4=h:1:5:observer\n")
    text = "dataDir=./data\ninitLimit=10\nsyncLimit=5\ndynamicConfigFile=list.1f\n"
    (home.root / "zoo.cfg").write_text(text)
    monkeypatch.chdir(elsewhere)
    config = load_config("../zoo.cfg")
    assert (config.myid, config.ensemble.version, config.ensemble.observers) == (2, 0x1F, {4})
    assert config.warnings == (
        (
            "../zoo.cfg:4: dynamicConfigFile: list.1f depends on where the member is started; "
            "write the whole path"
        ),
    )


def test_a_dynamic_file_that_is_not_there_is_named(home: Home) -> None:
    home.load(SERVERS)
    (home.root / "zoo.cfg.dynamic").unlink()
    with pytest.raises(ConfigError, match=r"zoo\.cfg\.dynamic: can't be read: No such file or directory"):
        load_config(home.root / "zoo.cfg")


def test_a_negative_version_is_refused(home: Home) -> None:
    assert home.error(SERVERS, "zoo.cfg.dynamic.-1") == (
        "zoo.cfg:4: dynamicConfigFile: version -1 is negative; give 0 or more"
    )


def test_a_server_given_twice_in_the_dynamic_file_is_a_warning(home: Home) -> None:
    [warning] = home.load(SERVERS + "server.3=h:1:9\n").warnings
    assert warning.replace(f"{home.root}/", "") == (
        "zoo.cfg.dynamic:4: server.3 is given twice (first at zoo.cfg.dynamic:3); this one counts"
    )


@pytest.mark.parametrize(
    ("hostname", "offset", "myid"),
    [("zk-0", 1, 1), ("zk-2", 1, 3), ("my-zk-10.zk.default.svc", 1, 11), ("zk-0", 0, 0), ("zk-007", 1, 8)],
)
def test_the_ordinal_of_a_pod_s_name_gives_its_id(hostname: str, offset: int, myid: int) -> None:
    assert myid_from_hostname(hostname, offset) == myid


@pytest.mark.parametrize(
    "hostname", ["", "zk", "zk0", "zk-", "zk-a", "zk-\u00b2", "zk.example-1", "zk-1x", "-"]
)
def test_a_name_without_an_ordinal_gives_no_id(hostname: str) -> None:
    with pytest.raises(ConfigError) as caught:
        myid_from_hostname(hostname)
    assert str(caught.value) == f'--myid-from-hostname: "{hostname}" does not end in an ordinal, as zk-0 does'
