"""zoo.cfg, and what overrides it: the parsed value, or one line that says what to mend."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trio_fle.config import MemberConfig, load_config
from trio_fle.errors import ConfigError
from trio_fle.quorum import OracleMajority
from trio_fle.vote import LearnerType

SERVERS = "server.1=h:1:2\nserver.2=h:1:3\nserver.3=h:1:4\n"


class Home:
    """A directory with a zoo.cfg, and a data directory with a myid."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / "zoo.cfg"
        self.data = root / "data"
        self.data.mkdir(exist_ok=True)
        self.myid("1\n")
        self.head = f"dataDir={self.data}\ninitLimit=10\nsyncLimit=5\n"

    def myid(self, content: str | bytes) -> None:
        (self.data / "myid").write_bytes(content.encode() if isinstance(content, str) else content)

    def load(self, text: str | bytes, **options: Any) -> MemberConfig:
        self.path.write_bytes(text.encode("iso-8859-1") if isinstance(text, str) else text)
        return load_config(self.path, **options)

    def with_lines(self, lines: str, **options: Any) -> MemberConfig:
        return self.load(self.head + SERVERS + lines, **options)

    def error(self, text: str | bytes, **options: Any) -> str:
        with pytest.raises(ConfigError) as caught:
            self.load(text, **options)
        message = str(caught.value)
        assert "\n" not in message
        return message.replace(str(self.path), "zoo.cfg").replace(str(self.data), "data")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_what_is_not_set_is_as_in_zookeeper(home: Home) -> None:
    config = home.with_lines("")
    assert (config.path, config.myid, config.data_dir) == (home.path, 1, home.data)
    assert config.data_log_dir == home.data
    assert (config.tick_time_ms, config.init_limit, config.sync_limit) == (3000, 10, 5)
    assert config.learner_type is LearnerType.PARTICIPANT
    assert config.ensemble.voters == {1, 2, 3}
    assert config.ensemble.version == 0
    assert str(config.me) == "h:1:2:participant"
    assert not config.reconfig_enabled
    assert config.observer_election_delay_ms == 200
    assert (config.election.resend_min_s, config.election.resend_max_s) == (0.2, 60.0)
    assert config.transport.cnx_timeout_s == 5.0
    assert config.transport.handshake_timeout_s == config.transport.user_timeout_s == 15.0
    assert config.transport.bind_retries == 3
    assert not config.transport.listen_on_all_ips
    assert not config.transport.multi_address
    assert config.warnings == ()


def test_what_is_not_set_of_our_own_is_as_documented(home: Home) -> None:
    config = home.with_lines("")
    assert config.election.finalize_wait_s == 0.2
    assert config.election.early_finalize
    assert config.election.candidate
    assert config.lease_margin == 0.1
    assert dict(config.advertise) == {}


@pytest.mark.parametrize(
    ("lines", "value", "expected"),
    [
        ("tickTime=500", lambda c: c.tick_time_ms, 500),
        ("tickTime = +500 \t", lambda c: c.tick_time_ms, 500),
        ("tickTime: 0500", lambda c: c.tick_time_ms, 500),
        ("tickTime 500", lambda c: c.tick_time_ms, 500),
        ("tickTime=", lambda c: c.tick_time_ms, 3000),
        ("tick\\\n   Time=500", lambda c: c.tick_time_ms, 500),
        ("tickTime=\\u0035\\u0030", lambda c: c.tick_time_ms, 50),
        ("initLimit=7", lambda c: c.init_limit, 7),
        ("syncLimit=7", lambda c: c.sync_limit, 7),
        ("tickTime=2000\nsyncLimit=2", lambda c: c.transport.handshake_timeout_s, 4.0),
        ("tickTime=2000\nsyncLimit=2", lambda c: c.transport.user_timeout_s, 4.0),
        ("quorumCnxnTimeoutMs=700", lambda c: c.transport.handshake_timeout_s, 0.7),
        ("quorumCnxnTimeoutMs=0", lambda c: c.transport.handshake_timeout_s, 15.0),
        ("quorumCnxnTimeoutMs=-1", lambda c: c.transport.handshake_timeout_s, 15.0),
        ("cnxTimeout=250", lambda c: c.transport.cnx_timeout_s, 0.25),
        ("electionPortBindRetry=0", lambda c: c.transport.bind_retries, 0),
        ("electionPortBindRetry=-5", lambda c: c.transport.bind_retries, 3),
        ("electionPortBindRetry=9", lambda c: c.transport.bind_retries, 9),
        ("tcpKeepAlive=false", lambda c: c.transport.keep_alive, False),
        ("tcpKeepAlive=TRUE", lambda c: c.transport.keep_alive, True),
        ("quorumListenOnAllIPs=True", lambda c: c.transport.listen_on_all_ips, True),
        ("multiAddress.enabled=true", lambda c: c.transport.multi_address, True),
        ("fastleader.minNotificationInterval=50", lambda c: c.election.resend_min_s, 0.05),
        ("fastleader.maxNotificationInterval=5000", lambda c: c.election.resend_max_s, 5.0),
        ("observer.election.DelayMs=0", lambda c: c.observer_election_delay_ms, 0),
        ("reconfigEnabled=true", lambda c: c.reconfig_enabled, True),
        ("dataLogDir=/somewhere/else", lambda c: c.data_log_dir, Path("/somewhere/else")),
        ("dataLogDir=", lambda c: c.data_log_dir == c.data_dir, True),
        ("electionAlg=3", lambda c: c.myid, 1),
        ("sslQuorum=false", lambda c: c.myid, 1),
        ("oraclePath=", lambda c: c.oracle_path, None),
        ("oraclePath=/var/run/oracle", lambda c: c.oracle_path, Path("/var/run/oracle")),
        ("oraclePath=run/oracle", lambda c: c.oracle_path, Path("run/oracle")),
        ("oraclePath=o", lambda c: type(c.ensemble.verifier), OracleMajority),
        ("peerType=participant", lambda c: c.learner_type, LearnerType.PARTICIPANT),
        ("group.1=1:2:3\nweight.1=2", lambda c: c.ensemble.verifier.weight(1), 2),
        ("fle.finalizeWait=50", lambda c: c.election.finalize_wait_s, 0.05),
        ("fle.finalizeWait=50 ms", lambda c: c.election.finalize_wait_s, 0.05),
        ("fle.finalizeWait=0.5s", lambda c: c.election.finalize_wait_s, 0.5),
        ("fle.finalizeWait=0", lambda c: c.election.finalize_wait_s, 0.0),
        ("fle.earlyFinalize=false", lambda c: c.election.early_finalize, False),
        ("fle.candidate=false", lambda c: c.election.candidate, False),
        ("fle.leaseMargin=25%", lambda c: c.lease_margin, 0.25),
        ("fle.leaseMargin=12.5 %", lambda c: c.lease_margin, 0.125),
        ("fle.leaseMargin=0 %", lambda c: c.lease_margin, 0.0),
        ("fle.advertise.2=http://h:80/", lambda c: dict(c.advertise), {2: "http://h:80/"}),
        ("admin.serverPort=8081", lambda c: c.settings["admin.serverPort"], "8081"),
        ("! a comment\n#another=1\n\n", lambda c: len(c.settings), 6),
    ],
)
def test_a_value_is_read(
    home: Home, lines: str, value: Callable[[MemberConfig], object], expected: object
) -> None:
    config = home.with_lines(lines)
    assert value(config) == expected
    assert not any("unknown" in warning for warning in config.warnings)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("tickTime=0", "zoo.cfg:7: tickTime: 0 is too small; give 1 or more"),
        ("tickTime=-2", "zoo.cfg:7: tickTime: -2 is too small; give 1 or more"),
        ("tickTime=2s", 'zoo.cfg:7: tickTime: "2s" is not a whole number; give milliseconds, as in 2000'),
        (
            "tickTime=1_000",
            'zoo.cfg:7: tickTime: "1_000" is not a whole number; give milliseconds, as in 2000',
        ),
        (
            "tickTime=2147483648",
            'zoo.cfg:7: tickTime: "2147483648" is not a whole number; give milliseconds, as in 2000',
        ),
        (
            "\ntickTime=\xb2",
            'zoo.cfg:8: tickTime: "\xb2" is not a whole number; give milliseconds, as in 2000',
        ),
        (
            "initLimit=ten",
            'zoo.cfg:7: initLimit: "ten" is not a whole number; give a number of ticks, as in 10',
        ),
        ("initLimit=0", "zoo.cfg:7: initLimit: 0 is too small; give 1 or more"),
        ("syncLimit=-1", "zoo.cfg:7: syncLimit: -1 is too small; give 1 or more"),
        ("cnxTimeout=0", "zoo.cfg:7: cnxTimeout: 0 is too small; give 1 or more"),
        ("cnxTimeout=x", 'zoo.cfg:7: cnxTimeout: "x" is not a whole number'),
        ("quorumListenOnAllIPs=yes", 'zoo.cfg:7: quorumListenOnAllIPs: "yes" is neither true nor false'),
        (
            "fastleader.minNotificationInterval=0",
            "zoo.cfg:7: fastleader.minNotificationInterval: 0 is too small; give 1 or more",
        ),
        (
            "fastleader.maxNotificationInterval=100",
            "zoo.cfg:7: fastleader.maxNotificationInterval: 100 is too small; give 200 or more",
        ),
        (
            "observer.election.DelayMs=-1",
            "zoo.cfg:7: observer.election.DelayMs: -1 is too small; give 0 or more",
        ),
        ("peerType=learner", 'zoo.cfg:7: peerType: "learner" is neither participant nor observer'),
        ("electionAlg=0", "zoo.cfg:7: electionAlg: only 3, fast leader election, exists; remove this line"),
        ("electionAlg=fast", 'zoo.cfg:7: electionAlg: "fast" is not a whole number'),
        (
            "sslQuorum=true",
            (
                "zoo.cfg:7: sslQuorum: TLS between servers is not supported by this "
                "version of trio-fle; set it to false"
            ),
        ),
        (
            "portUnification=TRUE",
            (
                "zoo.cfg:7: portUnification: TLS between servers is not supported by "
                "this version of trio-fle; set it to false"
            ),
        ),
        (
            "quorum.auth.enableSasl=true",
            (
                "zoo.cfg:7: quorum.auth.enableSasl: SASL between servers is not "
                "supported by this version of trio-fle; set it to false"
            ),
        ),
        ("sslQuorum=on", 'zoo.cfg:7: sslQuorum: "on" is neither true nor false'),
        (
            "fle.finalizeWait=soon",
            'zoo.cfg:7: fle.finalizeWait: "soon" is not a duration; write it as in 200 ms or 0.2 s',
        ),
        (
            "fle.finalizeWait=-1",
            'zoo.cfg:7: fle.finalizeWait: "-1" is not a duration; write it as in 200 ms or 0.2 s',
        ),
        (
            "fle.leaseMargin=10",
            'zoo.cfg:7: fle.leaseMargin: "10" is not a percentage below 100; write it as in 10 %',
        ),
        (
            "fle.leaseMargin=100 %",
            'zoo.cfg:7: fle.leaseMargin: "100 %" is not a percentage below 100; write it as in 10 %',
        ),
        ("fle.candidate=maybe", 'zoo.cfg:7: fle.candidate: "maybe" is neither true nor false'),
        ("fle.advertise.x=h:1", "zoo.cfg:7: fle.advertise.x: there is no server x"),
        ("fle.advertise.\\u00b2=h:1", "zoo.cfg:7: fle.advertise.\xb2: there is no server \xb2"),
        (
            "server.4=h:1",
            (
                'zoo.cfg:7: server.4: "h:1" is not of the form '
                "host:quorumPort:electionPort[:participant|observer][;[clientHost:]clientPort]"
            ),
        ),
        ("server.4=h:70000:1", "zoo.cfg:7: server.4: port 70000 is not in 0..65535"),
        ("server.x=h:1:2", 'zoo.cfg:7: server.x: "x" is not a whole number'),
        (
            "server.4=a:1:2|b:1:2",
            (
                'zoo.cfg:7: server.4: "a:1:2|b:1:2" has several addresses; allow them '
                "with multiAddress.enabled=true"
            ),
        ),
        ("group.1=1:2", "zoo.cfg: server 3 is in no group; add it to a group line"),
        (
            "group.1=1:2:3\nweight.2=-1",
            "zoo.cfg:8: weight.2: a negative weight lets quorums miss each other; give 0 or more",
        ),
        ("a=\\u12", "zoo.cfg:7: Invalid \\u escape sequence: \\u12; write \\uXXXX with four hex digits"),
        (
            "server.1=h:1:2:observer\nserver.2=h:1:2:observer\nserver.3=h:1:2:observer",
            "zoo.cfg: all servers are observers; at least one has to be a participant",
        ),
    ],
)
def test_a_wrong_value_is_one_line_with_file_line_and_key(home: Home, lines: str, message: str) -> None:
    assert home.error(home.head + SERVERS + lines) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "zoo.cfg: dataDir is not set; add a line such as dataDir=/var/lib/zookeeper"),
        ("dataDir=\n", "zoo.cfg: dataDir is not set; add a line such as dataDir=/var/lib/zookeeper"),
        (
            "dataDir=/x\n",
            "zoo.cfg: names no servers; add a line server.N=host:quorumPort:electionPort for each",
        ),
        (
            "dataDir=/x\ngroup.1=1\n",
            "zoo.cfg: names no servers; add a line server.N=host:quorumPort:electionPort for each",
        ),
        (
            "dataDir=/nowhere\n" + SERVERS,
            "/nowhere/myid: is missing; write this server's number N of server.N into it",
        ),
    ],
)
def test_what_is_missing_is_named(home: Home, text: str, message: str) -> None:
    assert home.error(text) == message


@pytest.mark.parametrize(("key", "example"), [("initLimit", "10"), ("syncLimit", "5")])
def test_a_limit_has_to_be_set(home: Home, key: str, example: str) -> None:
    kept = [line for line in home.head.splitlines() if not line.startswith(key)]
    message = home.error("\n".join(kept) + "\n" + SERVERS)
    assert message == f"zoo.cfg: {key} is not set; add a line such as {key}={example}"


def test_one_that_is_there_under_a_wrong_name_is_pointed_at(home: Home) -> None:
    message = home.error(home.head.replace("syncLimit", "syncLimt") + SERVERS)
    assert message.startswith("zoo.cfg:")
    assert message.endswith(": syncLimt: unknown key; did you mean syncLimit? That has to be set")


def test_a_byte_order_mark_before_a_required_key_is_named(home: Home) -> None:
    home.path.write_bytes(b"\xef\xbb\xbf" + (home.head + SERVERS).encode())
    with pytest.raises(ConfigError, match="the file begins with a byte order mark: save it without one"):
        load_config(home.path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "none.cfg")
    assert str(caught.value) == f"{tmp_path / 'none.cfg'}: can't be read: No such file or directory"


def test_a_directory_instead_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path)
    assert str(caught.value) == f"{tmp_path}: can't be read: Is a directory"


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_lines_are_counted_as_an_editor_shows_them(home: Home, newline: str) -> None:
    text = home.head + SERVERS + "# comment\n\nfoo=a\\\n  b\\\n  c\ntickTime=x\n"
    message = home.error(text.replace("\n", newline))
    assert message.startswith("zoo.cfg:12: tickTime: ")


def test_an_override_stands_above_the_file(home: Home) -> None:
    config = home.with_lines("tickTime=1000", overrides={"tickTime": " 50 ", "fle.candidate": "false"})
    assert config.tick_time_ms == 50
    assert not config.election.candidate
    assert config.settings["tickTime"] == "50"
    assert config.warnings == ()


def test_an_override_mends_a_wrong_line(home: Home) -> None:
    assert home.with_lines("tickTime=x", overrides={"tickTime": "50"}).tick_time_ms == 50


def test_an_override_adds_a_server(home: Home) -> None:
    config = home.with_lines("", overrides={"server.4": "h:1:5:observer"})
    assert config.ensemble.observers == {4}


def test_a_wrong_override_is_told_by_its_option(home: Home) -> None:
    message = home.error(home.head + SERVERS, overrides={"tickTime": "x"})
    assert message == '--set: tickTime: "x" is not a whole number; give milliseconds, as in 2000'


def test_an_unknown_override_is_a_warning(home: Home) -> None:
    assert home.with_lines("", overrides={"tickTimes": "1"}).warnings == (
        "--set: tickTimes: unknown key; did you mean tickTime?",
    )


def test_a_byte_order_mark_is_named_as_what_makes_the_first_key_unknown(home: Home) -> None:
    """ZooKeeper drops that key without a word."""
    home.path.write_bytes(b"\xef\xbb\xbftickTime=500\n" + (home.head + SERVERS).encode())
    config = load_config(home.path)
    assert config.tick_s == 3.0, "ZooKeeper's default"
    (told,) = config.warnings
    assert told.endswith(
        "tickTime: unknown key, since the file begins with a byte order mark; save it without one"
    )


def test_the_data_directory_may_be_given_outside_the_file(home: Home) -> None:
    other = home.root / "other"
    other.mkdir()
    (other / "myid").write_text("2")
    config = home.with_lines("", data_dir=str(other), overrides={"dataDir": "/nowhere"})
    assert (config.data_dir, config.data_log_dir, config.myid) == (other, other, 2)


def test_an_id_may_be_given_outside_the_file(home: Home) -> None:
    (home.data / "myid").unlink()
    assert home.with_lines("", myid=3).myid == 3


def test_nothing_is_created(home: Home) -> None:
    home.with_lines("dataLogDir=" + str(home.root / "logs"), myid=2, data_dir=str(home.root / "none"))
    assert sorted(path.name for path in home.root.iterdir()) == ["data", "zoo.cfg"]
    assert [path.name for path in home.data.iterdir()] == ["myid"]


@pytest.mark.parametrize(
    ("lines", "warning"),
    [
        ("tickTimes=1", "tickTimes: unknown key; did you mean tickTime?"),
        ("ticktime=1", "ticktime: unknown key; did you mean tickTime?"),
        ("initlimit=1", "initlimit: unknown key; did you mean initLimit?"),
        (
            "fastleader.maxNotificationIntervall=1",
            (
                "fastleader.maxNotificationIntervall: unknown key; did you mean "
                "fastleader.maxNotificationInterval?"
            ),
        ),
        ("fle.finaliseWait=1", "fle.finaliseWait: unknown key; did you mean fle.finalizeWait?"),
        ("zzzz=1", "zzzz: unknown key"),
        ("sever.4=h:1:2", "sever.4: unknown key"),
    ],
)
def test_an_unknown_key_is_a_warning_with_the_nearest_known_one(home: Home, lines: str, warning: str) -> None:
    [told] = home.with_lines(lines).warnings
    assert told.startswith(f"{home.path}:7: {warning}")


@pytest.mark.parametrize(
    "line",
    [
        "autopurge.purgeInterval=1",
        "4lw.commands.whitelist=*",
        "metricsProvider.anything=1",
        "ssl.quorum.keyStore.location=/k",
        "authProvider.1=x",
        "maxClientCnxns=0",
        "standaloneEnabled=false",
        "clientPort=2181",
    ],
)
def test_a_key_of_zookeeper_is_no_warning(home: Home, line: str) -> None:
    assert home.with_lines(line).warnings == ()


def test_a_key_given_twice_is_a_warning_and_the_last_one_counts(home: Home) -> None:
    config = home.with_lines("tickTime=1\ntickTime=2")
    assert config.tick_time_ms == 2
    assert config.warnings == (
        f"{home.path}:8: tickTime is given twice (first at {home.path}:7); this one counts",
    )


def test_an_oracle_for_other_than_two_voters_has_no_effect_and_says_so(home: Home) -> None:
    config = home.with_lines("oraclePath=/o")
    assert config.warnings == (f"{home.path}:7: oraclePath: has an effect for 2 voters only, and here are 3",)


def test_an_oracle_stands_above_groups_and_weights(home: Home) -> None:
    servers = "server.1=h:1:2\nserver.2=h:1:3\nserver.3=h:1:4:observer\n"
    config = home.load(home.head + servers + "oraclePath=/o\ngroup.1=1:2\nweight.1=3\n")
    assert config.ensemble.verifier == OracleMajority(frozenset({1, 2}))
    assert config.warnings == (f"{home.path}:8: group.1: has no effect beside oraclePath: a majority counts",)


def test_the_server_list_counts_more_than_the_peer_type(home: Home) -> None:
    config = home.with_lines("peerType=observer")
    assert config.learner_type is LearnerType.PARTICIPANT
    assert config.warnings == (
        f"{home.path}:7: peerType=observer, but server.1 is listed as participant, which counts",
    )


def test_an_observer_needs_no_peer_type(home: Home) -> None:
    home.myid("4")
    config = home.with_lines("server.4=h:1:5:observer")
    assert config.learner_type is LearnerType.OBSERVER


def test_several_addresses_are_allowed_by_the_key_in_the_file_alone(home: Home) -> None:
    config = home.with_lines("multiAddress.enabled=true\nserver.4=a:1:2|b:1:2")
    assert len(config.ensemble.servers[4].addresses) == 2


@pytest.mark.parametrize("content", ["1", "1\n", "1\r\n", "+1", "1\nanything", "01"])
def test_a_myid_is_read(home: Home, content: str) -> None:
    home.myid(content)
    assert home.with_lines("").myid == 1


@pytest.mark.parametrize("sid", [-5, 0, 300, 2**63 - 2, -(2**63)])
def test_any_other_id_is_an_id_as_well(home: Home, sid: int) -> None:
    home.myid(str(sid))
    assert home.with_lines(f"server.{sid}=h:1:5").myid == sid


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (b"", ""),
        (b"\n1", ""),
        (b" 1", " 1"),
        (b"1 ", "1 "),
        (b"one", "one"),
        (b"-1", "-1"),
        (b"0x1", "0x1"),
        (b"1.0", "1.0"),
        (b"1_0", "1_0"),
        (b"\xc2\xb2", "\xb2"),
        (b"\xff1", "\ufffd1"),
        (b"9223372036854775807", "9223372036854775807"),
        (b"9223372036854775808", "9223372036854775808"),
        (b"1" * 100, "1" * 40),
    ],
)
def test_a_wrong_myid_is_shown(home: Home, content: bytes, shown: str) -> None:
    home.myid(content)
    message = home.error(home.head + SERVERS)
    assert message == f'data/myid: "{shown}" is no server id; write the N of server.N alone on the first line'


def test_a_myid_that_can_not_be_read_is_told(home: Home) -> None:
    (home.data / "myid").unlink()
    (home.data / "myid").mkdir()
    assert home.error(home.head + SERVERS) == "data/myid: can't be read: Is a directory"


def test_an_id_that_is_no_member_is_told_with_those_that_are(home: Home) -> None:
    home.myid("9")
    assert home.error(home.head + SERVERS) == "zoo.cfg: there is no server.9, only 1, 2, 3; is myid right?"


@pytest.mark.parametrize("language", ["C", "C.UTF-8", "POSIX"])
def test_the_file_is_latin_1_whatever_the_language(home: Home, language: str) -> None:
    home.path.write_bytes(home.head.encode() + SERVERS.encode() + b"fle.advertise.1=caf\xe9\n# \xff\xfe\n")
    code = (
        "import sys; from trio_fle.config import load_config;"
        "print(ascii(load_config(sys.argv[1]).advertise[1]))"
    )
    environment = {**os.environ, "LANG": language, "LC_ALL": language, "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(home.path)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "'caf\\xe9'"


keys = st.sampled_from(
    "tickTime initLimit server.1 server.2 group.1 weight.1 peerType sslQuorum electionAlg fle.leaseMargin "
    "fle.finalizeWait fle.advertise.1 multiAddress.enabled cnxTimeout oraclePath foo".split()
)
values = st.text(st.characters(max_codepoint=255), max_size=20) | st.sampled_from(
    [
        "1",
        "-1",
        "true",
        "h:1:2",
        "10 %",
        "5 ms",
        "\\u12",
        "[::1]:1:2",
        "a:1:2|b:1:2",
        "99999999999",
        "\xb2",
        "1:2",
    ]
)
written = st.lists(st.builds(lambda key, value: f"{key}={value}".encode("latin-1"), keys, values), max_size=5)


@given(st.binary(max_size=200) | written.map(b"\n".join), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_a_configuration_or_a_configuration_error(
    home: Home, content: bytes, complete: bool
) -> None:
    head = (home.head + SERVERS).encode() if complete else b""
    try:
        config = home.load(head + content)
    except ConfigError:
        return
    assert config.tick_time_ms >= 1
    assert config.myid in config.ensemble.servers


@given(st.binary(max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_an_id_or_a_configuration_error(home: Home, content: bytes) -> None:
    home.myid(content)
    try:
        config = home.with_lines("")
    except ConfigError:
        return
    assert config.myid in (1, 2, 3)


def test_a_proposed_configuration_is_not_forgotten_by_switching_reconfiguration_off(home: Home) -> None:
    pending = home.root / "zoo.cfg.dynamic.next"
    pending.write_text(SERVERS + "server.4=h:1:5\nversion=9\n")
    assert home.with_lines("reconfigEnabled=true").seen.version == 9
    with pytest.raises(ConfigError) as caught:
        home.with_lines("")
    assert str(caught.value) == (
        f"{pending}: holds a configuration with other servers that was proposed, and not committed here; set "
        "reconfigEnabled=true, or remove it if it came to nothing"
    )
    pending.write_text(SERVERS + "version=9\n")
    assert home.with_lines("").seen.version == 0, "the same servers: nothing to lose"


def test_server_lines_above_all_files_are_refused_where_they_may_change(home: Home) -> None:
    overrides = {"server.3": "h:1:9"}
    assert (
        home.load(home.head + SERVERS, overrides=overrides).ensemble.servers[3].addresses[0].election_port
        == 9
    )
    with pytest.raises(ConfigError, match=r"^--set: server\.3: stands above every file"):
        home.load(home.head + SERVERS + "reconfigEnabled=true\n", overrides=overrides)


def test_an_address_of_a_server_that_was_removed_is_a_warning(home: Home) -> None:
    config = home.with_lines("fle.advertise.9=h:80\nfle.advertise.2=h:81")
    assert config.advertise == {2: "h:81"}
    assert config.warnings == (f"{home.path}:7: fle.advertise.9: there is no server 9",)
