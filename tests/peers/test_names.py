"""Names are looked up all at once, and one that takes for ever holds up nobody."""

import socket
import threading
from typing import Any

import pytest
import trio

from trio_fle.peers.names import Names, look_up_all

TABLE = {
    "two": [("10.0.0.2", socket.AF_INET), ("2001:db8::2", socket.AF_INET6)],
    "six-first": [("2001:db8::3", socket.AF_INET6), ("10.0.0.3", socket.AF_INET)],
    "me": [("127.0.0.1", socket.AF_INET)],
}


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(host: str, port: None, **kind: socket.SocketKind) -> list[Any]:
        if host not in TABLE:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(family, kind["type"], 6, "", (ip, 0)) for ip, family in TABLE[host]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.usefixtures("resolver")
async def test_each_name_has_its_addresses_ipv4_first_or_a_reason() -> None:
    names = await look_up_all({"two", "six-first", "me", "nobody", "10.9.9.9", "0.0.0.0"}, 30)
    assert names.addresses == {
        "10.9.9.9": ("10.9.9.9",),
        "me": ("127.0.0.1",),
        "six-first": ("10.0.0.3", "2001:db8::3"),
        "two": ("10.0.0.2", "2001:db8::2"),
    }
    assert names.failures == {"nobody": "Name or service not known"}
    assert names.own == {"127.0.0.1"}
    assert names.is_here("me")
    assert not names.is_here("two")


async def test_a_resolver_that_hangs_is_given_up(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answered.wait() and [])
    try:
        names = await look_up_all({"slow", "slower", "127.0.0.1"}, 3)
    finally:
        answered.set()
    assert trio.current_time() == pytest.approx(3)
    assert names.failures == {"slow": "no answer within 3 s", "slower": "no answer within 3 s"}
    assert names.addresses == {"127.0.0.1": ("127.0.0.1",)}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("zk1", "ZK1", True),
        ("zk1", "zk2", False),
        ("zk1", "alias", True),
        ("10.0.0.1", "zk1", True),
        ("::1", "0:0:0:0:0:0:0:1", True),
        ("10.0.0.1", "10.0.0.2", False),
    ],
)
def test_hosts_are_the_same_by_name_or_by_address(one: str, other: str, same: bool) -> None:
    names = Names({"zk1": ("10.0.0.1",), "alias": ("10.0.0.1", "10.0.0.7"), "zk2": ("10.0.0.2",)})
    assert names.same(one, other) is same


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        ("localhost", True),
        ("127.0.1.1", True),
        ("me", True),
        ("zk1", False),
        ("0.0.0.0", False),
        ("gone", False),
    ],
)
def test_loopback_is_known_by_number_name_or_address(host: str, inside: bool) -> None:
    assert Names({"me": ("127.0.1.1",), "zk1": ("10.0.0.1",)}).is_loopback(host) is inside
