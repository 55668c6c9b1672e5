"""Configuration texts: what servers send each other, read and written as a real server does."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_fle.ensemble import (
    Ensemble,
    HostPort,
    Server,
    ServerAddress,
    build_ensemble,
    parse_ensemble,
)
from trio_fle.ensemble.address import normal_host
from trio_fle.errors import ConfigError
from trio_fle.quorum import Hierarchical, Majority, OracleMajority
from trio_fle.vote import MAX_LONG, MIN_LONG, LearnerType

CONFIGS = json.loads((Path(__file__).parents[1] / "data" / "quorum-configs.json").read_text())["configs"]
NEGATIVE_WEIGHT = "weight.1=-1"


def named(rows: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(row, id=str(CONFIGS.index(row))) for row in rows]


ACCEPTED = [row for row in CONFIGS if row["ok"] and NEGATIVE_WEIGHT not in row["input"]]
REFUSED = [row for row in CONFIGS if not row["ok"]]


@pytest.mark.parametrize("row", named(ACCEPTED))
def test_a_text_is_read_as_a_real_server_reads_it(row: dict[str, Any]) -> None:
    ensemble = parse_ensemble(row["input"])
    assert sorted(ensemble.voters) == row["voting"]
    assert sorted(ensemble.observers) == row["observing"]
    assert ensemble.version == row["version"]


@pytest.mark.parametrize("row", named(ACCEPTED))
def test_a_text_is_written_as_a_real_server_writes_it(row: dict[str, Any]) -> None:
    assert parse_ensemble(row["input"]).text == row["toString"]


@pytest.mark.parametrize("row", named([row for row in ACCEPTED if row["version"] >= 0]))
def test_a_text_is_read_again_as_it_was_written(row: dict[str, Any]) -> None:
    ensemble = parse_ensemble(row["input"])
    again = parse_ensemble(ensemble.text)
    assert again.same_members(ensemble)
    assert again.version == ensemble.version
    assert again.verifier == ensemble.verifier


def test_a_negative_version_is_written_as_a_real_server_does_and_read_by_nobody() -> None:
    [row] = [row for row in ACCEPTED if row["version"] < 0]
    assert row["toString"] == "version=ffffffffffffffff"
    with pytest.raises(ConfigError, match="is not a signed 64-bit hexadecimal number"):
        parse_ensemble(row["toString"])


@pytest.mark.parametrize("row", named(REFUSED))
def test_a_text_that_a_real_server_refuses_is_refused(row: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        parse_ensemble(row["input"])


def test_a_negative_weight_is_refused_though_a_real_server_takes_it() -> None:
    [row] = [row for row in CONFIGS if row["ok"] and NEGATIVE_WEIGHT in row["input"]]
    assert row["quorums"][:2] == [[2], [3]]  # two quorums without a common server
    with pytest.raises(ConfigError, match=r"^weight\.1: a negative weight lets quorums miss each other"):
        parse_ensemble(row["input"])


def test_addresses_in_a_list_are_read_where_they_are_allowed() -> None:
    [row] = [row for row in REFUSED if row["message"].startswith("Multiple address feature is disabled")]
    ensemble = parse_ensemble(row["input"], several_addresses=True)
    assert [each.host for each in ensemble.servers[1].addresses] == ["127.0.0.1", "127.0.0.2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("foo=bar", "foo: only server, group and weight lines belong here"),
        ("server.x=h:1:2", 'server.x: "x" is not a whole number'),
        ("server=h:1:2", "server: only server, group and weight lines belong here"),
        ("server.1=h:1:2\ngroup=1", 'group: "group" is not a whole number'),
        ("server.1=h:1:2\nweights.x=1", 'weights.x: "x" is not a whole number'),
        (
            "server.9223372036854775808=h:1:2",
            'server.9223372036854775808: "9223372036854775808" is not a whole number',
        ),
        ("server.1=h:1:2\ngroup.1=a", 'group.1: "a" is not a whole number'),
        ("server.1=h:1:2\ngroup.x=1", 'group.x: "x" is not a whole number'),
        ("server.1=h:1:2\ngroup.1=", 'group.1: "" is not a whole number'),
        ("server.1=h:1:2\ngroup.1=1\nweight.1=heavy", 'weight.1: "heavy" is not a whole number'),
        (
            "server.1=h:1:2\ngroup.1=1\nweight.1=-2",
            "weight.1: a negative weight lets quorums miss each other; give 0 or more",
        ),
        ("server.1=h:1:2:observer", "all servers are observers; at least one has to be a participant"),
        ("server.1=h:1:2\nserver.3=h:1:3\ngroup.1=1", "server 3 is in no group; add it to a group line"),
        ("server.1=h:1:2\nweight.1=2", "server 1 is in no group; add it to a group line"),
        ("server.1=h:1:2\ngroup.1=1\ngroup.2=1", "server 1 is in more than one group; leave it in one"),
        ("server.1=h:1:2\ngroup.1=1:1", "server 1 is in more than one group; leave it in one"),
        (
            f"server.1=h:1:2\nserver.2=h:1:3\ngroup.4=1:2\nweight.1={2**62}\nweight.2={2**62}",
            f"group.4: its weights sum up to more than {MAX_LONG}; give smaller ones",
        ),
        ("server.1=h:1:2\ngroup.1=1:7", "server 7 is in a group, but is no participant; take it out"),
        ("version=zz", 'version "zz" is not a signed 64-bit hexadecimal number'),
        ("version=0x1", 'version "0x1" is not a signed 64-bit hexadecimal number'),
        ("version=", 'version "" is not a signed 64-bit hexadecimal number'),
        ("version=8000000000000000", 'version "8000000000000000" is not a signed 64-bit hexadecimal number'),
        (
            "server.1=h",
            (
                'server.1: "h" is not of the form host:quorumPort:electionPort[:participant|observer]'
                "[;[clientHost:]clientPort]"
            ),
        ),
    ],
)
def test_a_wrong_text_is_told_by_key_and_reason(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_ensemble(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("", 0),
        ("version=0", 0),
        ("version=-1", -1),
        ("version=+A", 10),
        ("version = 100000003 ", 0x1_0000_0003),
        ("version=7fffffffffffffff", MAX_LONG),
        ("version=-8000000000000000", MIN_LONG),
        ("version=1\nversion=2", 2),
    ],
)
def test_a_version_is_signed_hex_and_0_where_there_is_none(text: str, version: int) -> None:
    assert parse_ensemble(text).version == version


@pytest.mark.parametrize(
    "text",
    [
        "server.1=h:1:2\n",
        "server.1 = h:1:2",
        "server.1: h:1:2",
        "server.1 h:1:2",
        "  server.1=h:1:2  ",
        "server.1=h:\\\n    1:2",
        "server.1=\\u0068:1:2",
        "# a comment\r\n! another\r\n\r\nserver.1=h:1:2\r\n",
        "server.1=x:8:9\nserver.1=h:1:2",
        "server.+1=h:1:2",
        "server.1=h:+1:2",
        "server.1=h:01:02",
    ],
)
def test_a_text_is_a_java_properties_file(text: str) -> None:
    assert parse_ensemble(text).text == "server.1=h:1:2:participant\nversion=0"


lines = st.from_regex(
    r"(server|group|weight|version|x)\.?[0-9x+-]{0,3}\s?[=: ]"
    r"\[?[a-h0-9:.|;%\[\]\\-]{0,30}(:observer|:participant)?",
    fullmatch=True,
)


@given(st.one_of(st.text(max_size=80), st.lists(lines, max_size=6).map("\n".join)), st.booleans())
def test_any_text_is_an_ensemble_or_a_configuration_error(text: str, several: bool) -> None:
    try:
        ensemble = parse_ensemble(text, several_addresses=several)
    except ConfigError:
        return
    if ensemble.version < 0:
        return
    again = parse_ensemble(ensemble.text, several_addresses=several)
    assert again.same_members(ensemble)
    assert again.version == ensemble.version


ports = st.integers(0, 0xFFFF)
hosts = st.one_of(
    st.from_regex(r"[a-z]([a-z0-9.-]{0,20}[a-z0-9])?", fullmatch=True),
    st.ip_addresses().map(str).map(normal_host),
    st.from_regex(r"fe80::[1-9a-f]%[a-z]{1,5}[0-9]", fullmatch=True),
)
addresses = st.builds(ServerAddress, hosts, ports, ports).filter(
    lambda each: each.quorum_port != each.election_port
)
clients = st.none() | st.builds(HostPort, hosts, ports)


@st.composite
def ensembles(draw: st.DrawFn) -> Ensemble:
    sids = draw(
        st.lists(st.integers(-2, 70) | st.integers(MIN_LONG, MAX_LONG), min_size=1, max_size=8, unique=True)
    )
    servers = {
        sid: Server(
            sid,
            tuple(draw(st.lists(addresses, min_size=1, max_size=3, unique=True))),
            draw(st.sampled_from(LearnerType)) if at else LearnerType.PARTICIPANT,
            draw(clients),
        )
        for at, sid in enumerate(sids)
    }
    voters = frozenset(sid for sid, server in servers.items() if server.role is LearnerType.PARTICIPANT)
    version = draw(st.integers(0, MAX_LONG))
    if draw(st.booleans()):
        return Ensemble(servers, Majority(voters), version)
    places = {sid: draw(st.integers(-1, 3)) for sid in sorted(voters)}
    groups = {group: tuple(sid for sid in places if places[sid] == group) for group in places.values()}
    weights = tuple((sid, draw(st.integers(0, 9))) for sid in sorted(voters))
    return Ensemble(servers, Hierarchical(voters, tuple(sorted(groups.items())), weights), version)


@given(ensembles())
def test_an_ensemble_is_read_as_it_was_written(ensemble: Ensemble) -> None:
    again = parse_ensemble(ensemble.text, several_addresses=True)
    assert again.same_members(ensemble)
    assert (again.version, again.verifier) == (ensemble.version, ensemble.verifier)
    assert sorted(again.text.splitlines()) == sorted(ensemble.text.splitlines())


@given(ensembles(), st.integers(0, MAX_LONG))
def test_the_version_is_no_difference_between_members(ensemble: Ensemble, version: int) -> None:
    assert ensemble.same_members(Ensemble(ensemble.servers, ensemble.verifier, version))


THREE = "server.1=zk-1:1:2\nserver.2=zk-2.invalid:1:2\nserver.3=zk-3:1:2"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("\n".join(reversed(THREE.splitlines())), id="another order of lines"),
        pytest.param(THREE.replace("1:2", "1:2:participant"), id="a role written out"),
        pytest.param(THREE.replace("1:2", "01:+2"), id="ports written otherwise"),
        pytest.param(THREE + "\nversion=100000000", id="another version"),
    ],
)
def test_it_is_no_other_ensemble_with(text: str) -> None:
    assert parse_ensemble(text).same_members(parse_ensemble(THREE))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(THREE.replace("zk-3:", "zk-4:"), id="another host"),
        pytest.param(THREE.replace("zk-3:1:2", "zk-3:1:3"), id="another election port"),
        pytest.param(THREE.replace("zk-3:1:2", "zk-3:3:2"), id="another quorum port"),
        pytest.param(THREE + ":observer", id="another role"),
        pytest.param(THREE + ";2181", id="a client address"),
        pytest.param(THREE + "\nserver.4=zk-4:1:2", id="a further server"),
        pytest.param(THREE.replace("server.3", "server.4"), id="another id"),
        pytest.param(THREE + "\ngroup.1=1:2:3", id="groups"),
    ],
)
def test_it_is_another_ensemble_with(text: str) -> None:
    assert not parse_ensemble(text).same_members(parse_ensemble(THREE))


def test_other_weights_make_another_ensemble() -> None:
    grouped = THREE + "\ngroup.1=1:2:3"
    assert parse_ensemble(grouped).same_members(parse_ensemble(grouped + "\nweight.1=1"))
    assert not parse_ensemble(grouped).same_members(parse_ensemble(grouped + "\nweight.1=2"))


def test_the_order_within_a_group_is_no_difference() -> None:
    one, other = parse_ensemble(THREE + "\ngroup.1=3:1:2"), parse_ensemble(THREE + "\ngroup.1=1:2:3")
    assert one.same_members(other)
    assert one.text == other.text


def test_the_order_of_addresses_is_no_difference() -> None:
    one = parse_ensemble("server.1=a:1:2|b:1:2|a:3:4", several_addresses=True)
    other = parse_ensemble("server.1=a:3:4|a:1:2|b:1:2", several_addresses=True)
    assert one.same_members(other)
    assert other.same_members(one)
    assert one.servers[1].addresses[0] != other.servers[1].addresses[0]


def test_spellings_of_one_ipv6_address_are_no_difference() -> None:
    one, other = parse_ensemble("server.1=[::1]:1:2"), parse_ensemble("server.1=[0:0:0:0:0:0:0:1]:1:2")
    assert one.same_members(other)


def test_names_are_not_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("looked a name up")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    monkeypatch.setattr("socket.gethostbyname", refuse)
    ensemble = parse_ensemble(THREE)
    assert ensemble.servers[2].addresses == (ServerAddress("zk-2.invalid", 1, 2),)
    assert ensemble.same_members(parse_ensemble(THREE))


def test_built_of_properties_it_takes_its_version_from_outside() -> None:
    assert build_ensemble({"server.1": "h:1:2"}, 7).text == "server.1=h:1:2:participant\nversion=7"
    with pytest.raises(ConfigError, match="version: only server, group and weight lines belong here"):
        build_ensemble({"server.1": "h:1:2", "version": "1"}, 7)


def test_with_an_oracle_groups_and_weights_are_not_even_read() -> None:
    text = "server.1=h:1:2\nserver.2=h:3:4\ngroup.1=rubbish\nweight.x=-7\nversion=5"
    ensemble = parse_ensemble(text, oracle=True)
    assert ensemble.verifier == OracleMajority(frozenset({1, 2}))
    assert ensemble.version == 5
    assert "group" not in ensemble.text


def test_a_majority_with_an_oracle_is_another_quorum_system() -> None:
    text = "server.1=h:1:2\nserver.2=h:3:4"
    assert not parse_ensemble(text, oracle=True).same_members(parse_ensemble(text))
    assert parse_ensemble(text, oracle=True).text == parse_ensemble(text).text
