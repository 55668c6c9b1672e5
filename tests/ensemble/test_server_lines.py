"""Server lines: what they may say, how they are written again, and what a wrong one is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_fle.ensemble import HostPort, Server, ServerAddress, is_loopback, is_wildcard, parse_server
from trio_fle.errors import ConfigError
from trio_fle.vote import LearnerType

FORM = "host:quorumPort:electionPort[:participant|observer][;[clientHost:]clientPort]"


@pytest.mark.parametrize(
    ("line", "written"),
    [
        ("127.0.0.1:2888:3888", "127.0.0.1:2888:3888:participant"),
        ("zk-1.example:2888:3888", "zk-1.example:2888:3888:participant"),
        ("h:1:2:participant", "h:1:2:participant"),
        ("h:1:2:PARTICIPANT", "h:1:2:participant"),
        ("h:1:2:Observer", "h:1:2:observer"),
        ("h:1:2;2181", "h:1:2:participant;0.0.0.0:2181"),
        ("h:1:2:observer;c:2181", "h:1:2:observer;c:2181"),
        ("h:1:2 ; 2181", "h:1:2:participant;0.0.0.0:2181"),
        ("h:0:65535", "h:0:65535:participant"),
        ("h:+1:0002", "h:1:2:participant"),
        ("0.0.0.0:1:2", "0.0.0.0:1:2:participant"),
        ("[::1]:1:2", "[0:0:0:0:0:0:0:1]:1:2:participant"),
        ("[2001:DB8::a:b]:1:2;[::]:3", "[2001:db8:0:0:0:0:a:b]:1:2:participant;[0:0:0:0:0:0:0:0]:3"),
        ("[fe80::1%eth0]:1:2", "[fe80:0:0:0:0:0:0:1%eth0]:1:2:participant"),
        ("[zk-1]:1:2", "zk-1:1:2:participant"),
        ("h:1:2: Observer ", "h:1:2:observer"),
        # Java drops what is empty at the end
        ("h:1:2:", "h:1:2:participant"),
        ("h:1:2;", "h:1:2:participant"),
        ("h:1:2;;", "h:1:2:participant"),
        ("h:1:2|", "h:1:2:participant"),
        ("h:1:2;c:3:;", "h:1:2:participant;c:3"),
        # and knows other spellings of a numeric address
        ("127.1:1:2;2130706433:3", "127.0.0.1:1:2:participant;127.0.0.1:3"),
        ("127.0.0.010:1:2", "127.0.0.10:1:2:participant"),
        ("[::ffff:127.0.0.1]:1:2", "127.0.0.1:1:2:participant"),
        ("256.1:1:2", "256.1:1:2:participant"),
        ("1.2.3.4.5:1:2", "1.2.3.4.5:1:2:participant"),
        ("h:\u0661:000000000000000000002", "h:1:2:participant"),
    ],
)
def test_a_server_line_is_written_as_a_real_server_writes_it(line: str, written: str) -> None:
    server = parse_server(1, line, several_addresses=False)
    assert str(server) == written
    assert parse_server(1, written, several_addresses=False) == parse_server(
        1, str(server), several_addresses=False
    )


def test_a_server_line_has_two_ports_for_servers_and_one_for_clients() -> None:
    server = parse_server(5, "h:2888:3888:observer;c:2181", several_addresses=False)
    assert server == Server(5, (ServerAddress("h", 2888, 3888),), LearnerType.OBSERVER, HostPort("c", 2181))
    assert server.addresses[0].quorum == HostPort("h", 2888)
    assert server.addresses[0].election == HostPort("h", 3888)


def test_a_client_port_alone_is_open_on_all_addresses() -> None:
    assert parse_server(1, "h:1:2;2181", several_addresses=False).client == HostPort("0.0.0.0", 2181)


def test_a_server_without_a_client_part_has_no_client_address() -> None:
    assert parse_server(1, "h:1:2", several_addresses=False).client is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", f'"" is not of the form {FORM}'),
        ("h", f'"h" is not of the form {FORM}'),
        ("127.0.0.1:1", f'"127.0.0.1:1" is not of the form {FORM}'),
        ("h:1:2:participant:4", f'"h:1:2:participant:4" is not of the form {FORM}'),
        (":1:2", f'":1:2" is not of the form {FORM}'),
        ("::1:1:2", f'"::1:1:2" is not of the form {FORM}'),
        ("[]:1:2", f'"[]:1:2" is not of the form {FORM}'),
        ("[::1]", f'"[::1]" is not of the form {FORM}'),
        ("h:5:5", '"h:5:5" uses one port for quorum and election; give each its own'),
        ("h:1:2:foo", 'role "foo" is neither participant nor observer'),
        ("h:x:2", 'port "x" is not a number'),
        ("h:1:x", 'port "x" is not a number'),
        ("h:1:", f'"h:1:" is not of the form {FORM}'),
        ("h:1::2", 'port "" is not a number'),
        ("h:1:\u00b2", 'port "\u00b2" is not a number'),
        ("h:1: 2", 'port " 2" is not a number'),
        ("h:1:1_0", 'port "1_0" is not a number'),
        ("h:70000:2", "port 70000 is not in 0..65535"),
        ("h:1:65536", "port 65536 is not in 0..65535"),
        ("h:-1:2", "port -1 is not in 0..65535"),
        ("h:1:2;zz", 'port "zz" is not a number'),
        ("h:1:2;c:zz", 'port "zz" is not a number'),
        ("h:1:2;70000", "port 70000 is not in 0..65535"),
        ("h:1:2;c:1:2", 'client address "c:1:2" is neither port nor host:port'),
        ("h:1:2;:3", 'client address ":3" is neither port nor host:port'),
        ("h:1:2;3;4", f'"h:1:2;3;4" has more than one client address; write {FORM}'),
        ("[::1:1:2", '"[::1:1:2" opens a bracket and has no matching "]:" behind the IPv6 address'),
        ("[::1]1:2", '"[::1]1:2" opens a bracket and has no matching "]:" behind the IPv6 address'),
        ("h:1:2|i:1:2", '"h:1:2|i:1:2" has several addresses; allow them with multiAddress.enabled=true'),
    ],
)
def test_a_wrong_server_line_is_told_what_is_wrong(line: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_server(1, line, several_addresses=False)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("line", "written"),
    [
        ("a:1:2", "a:1:2:participant"),
        ("b:1:2|a:3:4", "a:3:4|b:1:2:participant"),
        ("a:1:2|[::1]:3:4;2181", "[0:0:0:0:0:0:0:1]:3:4|a:1:2:participant;0.0.0.0:2181"),
        ("a:1:2:observer|b:1:2:observer", "a:1:2|b:1:2:observer"),
        ("a:1:2 | b:1:2", "a:1:2|b:1:2:participant"),
        # a role may stand in any one of the addresses, and a real server writes it behind the last
        ("a:1:2|b:1:2:participant", "a:1:2|b:1:2:participant"),
        ("a:1:2|b:1:2:observer", "a:1:2|b:1:2:observer"),
        ("a:1:2:observer|b:1:2", "a:1:2|b:1:2:observer"),
        ("a:1:2:observer|b:1:2;c:9", "a:1:2|b:1:2:observer;c:9"),
    ],
)
def test_several_addresses_are_written_sorted_by_host_with_one_role(line: str, written: str) -> None:
    assert str(parse_server(1, line, several_addresses=True)) == written


@pytest.mark.parametrize("line", ["b:1:2|a:3:4", "a:1:2:observer|b:1:2:observer", "a:1:2|a:3:4;9"])
def test_a_line_of_several_addresses_is_read_again_as_it_was_written(line: str) -> None:
    written = str(parse_server(1, line, several_addresses=True))
    assert str(parse_server(1, written, several_addresses=True)) == written


def test_the_order_of_addresses_in_the_line_is_kept() -> None:
    server = parse_server(1, "b:1:2|a:3:4", several_addresses=True)
    assert [each.host for each in server.addresses] == ["b", "a"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "a:1:2:participant|b:1:2:observer",
            (
                '"a:1:2:participant|b:1:2:observer" gives one server two roles; write '
                "the same role in each address"
            ),
        ),
        ("|a:1:2", f'"" is not of the form {FORM}'),
        ("a:1:2|b:1", f'"b:1" is not of the form {FORM}'),
        ("a:1:2;3|b:1:2;3", f'"a:1:2;3|b:1:2;3" has more than one client address; write {FORM}'),
    ],
)
def test_a_wrong_list_of_addresses_is_told_what_is_wrong(line: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_server(1, line, several_addresses=True)
    assert str(caught.value) == message


@given(st.text(max_size=60), st.booleans())
def test_any_text_is_a_server_or_a_configuration_error(text: str, several: bool) -> None:
    try:
        server = parse_server(1, text, several_addresses=several)
    except ConfigError:
        return
    assert all(each.host and 0 <= each.election_port <= 0xFFFF for each in server.addresses)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "0:0:0:0:0:0:0:0", "::%eth0", "::ffff:0.0.0.0"])
def test_it_is_a_wildcard(host: str) -> None:
    assert is_wildcard(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "zk-1", "", "0.0.0.1", "1.0.0.0"])
def test_it_is_no_wildcard(host: str) -> None:
    assert not is_wildcard(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1"])
def test_it_is_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "fe80::1%lo", "localhost", "127.0.0.1.example"])
def test_it_is_not_numerically_loopback(host: str) -> None:
    assert not is_loopback(host)
