"""The TCP transport, on real sockets: addresses, names, kernel options, and a half-open connection."""

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import trio
from ports import free_ports
from trio.testing import wait_all_tasks_blocked

from trio_fle.config import TransportOptions
from trio_fle.ensemble import HostPort
from trio_fle.errors import ConnectionLostError, RefusedError
from trio_fle.peers import TcpTransport
from trio_fle.peers import transport as transport_module
from trio_fle.peers.listening import accept_all, close_all

pytestmark = pytest.mark.interop


def loopback(port: int) -> HostPort:
    return HostPort("127.0.0.1", port)


async def test_the_first_of_several_addresses_that_answers_is_taken() -> None:
    dead, alive = free_ports(2)
    transport = TcpTransport(TransportOptions())
    (listener,) = await transport.listen([loopback(alive)])
    with trio.fail_after(10):
        stream = await transport.dial([loopback(dead), HostPort("no-such-host.invalid", 1), loopback(alive)])
        async with listener, stream, await listener.accept():
            assert transport.remote(stream) == loopback(alive)


async def test_where_no_address_answers_each_is_told_with_its_cause() -> None:
    (dead,) = free_ports(1)
    with trio.fail_after(10), pytest.raises(ConnectionLostError) as raised:
        await TcpTransport(TransportOptions()).dial([loopback(dead), HostPort("no-such-host.invalid", 1)])
    assert f"127.0.0.1:{dead}: Connection refused" in str(raised.value)
    assert "no-such-host.invalid:1: " in str(raised.value)


async def test_a_dial_is_never_its_own_answer() -> None:
    """A loopback dial to a free port of the clients' range may connect to itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    transport = TcpTransport(TransportOptions())
    with trio.fail_after(30):
        for _ in range(300):
            with pytest.raises(ConnectionLostError, match=r"Connection refused|nobody listens"):
                await transport.dial([loopback(port)])


async def test_the_kernel_watches_connections_unless_told_not_to() -> None:
    (port,) = free_ports(1)
    for keep_alive in (True, False):
        transport = TcpTransport(TransportOptions(keep_alive=keep_alive, user_timeout_s=8))
        (listener,) = await transport.listen([loopback(port)])
        dialled = await transport.dial([loopback(port)])
        async with listener, dialled, await listener.accept() as accepted:
            for stream in (dialled, accepted):
                assert isinstance(stream, trio.SocketStream)
                assert bool(stream.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)) is keep_alive
                assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == (
                    8000 if keep_alive else 0
                )
                assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_only_where_every_address_refused_is_it_known_that_nobody_listens() -> None:
    (dead,) = free_ports(1)
    transport = TcpTransport(TransportOptions())
    with trio.fail_after(10), pytest.raises(RefusedError):
        await transport.dial([loopback(dead)])
    with trio.fail_after(10), pytest.raises(ConnectionLostError) as raised:
        await transport.dial([loopback(dead), HostPort("no-such-host.invalid", 1)])
    assert not isinstance(raised.value, RefusedError)


@pytest.mark.parametrize(("own", "all_ips"), [("0.0.0.0", False), ("::", False), ("127.0.0.1", True)])
async def test_a_wildcard_listens_everywhere(own: str, all_ips: bool) -> None:
    """Sidecars deliver to 127.0.0.1 or to the pod's address."""
    (port,) = free_ports(1)
    transport = TcpTransport(TransportOptions(listen_on_all_ips=all_ips))
    listeners = await transport.listen([HostPort(own, port)])
    try:
        for host in ("127.0.0.1", "127.0.0.2", "::1"):
            async with await transport.dial([HostPort(host, port)]):
                pass
    finally:
        for listener in listeners:
            await listener.aclose()


async def test_ipv6_literals_are_listened_on_and_dialled() -> None:
    (port,) = free_ports(1)
    transport = TcpTransport(TransportOptions())
    (listener,) = await transport.listen([HostPort("::1", port)])
    async with listener, await transport.dial([HostPort("::1", port)]) as stream:
        assert str(transport.remote(stream)) == f"[0:0:0:0:0:0:0:1]:{port}"


async def test_a_busy_second_address_leaves_no_listener_behind() -> None:
    first, second = free_ports(2)
    transport = TcpTransport(TransportOptions())
    with socket.create_server(("127.0.0.1", second)), pytest.raises(OSError, match="in use"):
        await transport.listen([loopback(first), loopback(second)])
    (listener,) = await transport.listen([loopback(first)])
    await listener.aclose()


async def test_an_own_name_is_told_as_a_number_unless_it_leads_to_oneself() -> None:
    transport = TcpTransport(TransportOptions())
    for host in ("192.0.2.1", "no-such-host.invalid", "localhost"):
        assert await transport.numeric(HostPort(host, 5)) == HostPort(host, 5)


HALF_OPEN = """
import sys, trio
from trio_fle.config import TransportOptions
from trio_fle.ensemble import HostPort
from trio_fle.peers import TcpTransport

async def main():
    transport = TcpTransport(TransportOptions(user_timeout_s=2))
    stream = await transport.dial([HostPort("10.99.0.2", 3888)])
    print("connected", flush=True)
    sys.stdin.readline()
    with trio.fail_after(30):
        try:
            await stream.receive_some()
        except trio.BrokenResourceError as error:
            print("broken:", error.__cause__, flush=True)

trio.run(main)
"""


@pytest.fixture
def cut_off() -> Iterator[Callable[[], None]]:
    """Two network namespaces joined by a veth pair: a host of ours, and one whose link can be cut."""
    names = ("fle-a", "fle-b")

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    for name in names:
        subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
        ip("netns", "add", name)
    ip("link", "add", "fle-va", "netns", "fle-a", "type", "veth", "peer", "name", "fle-vb", "netns", "fle-b")
    for name, link, address in (("fle-a", "fle-va", "10.99.0.1/24"), ("fle-b", "fle-vb", "10.99.0.2/24")):
        ip("-n", name, "address", "add", address, "dev", link)
        ip("-n", name, "link", "set", link, "up")
    yield lambda: ip("-n", "fle-b", "link", "set", "fle-vb", "down")
    for name in names:
        ip("netns", "delete", name)


@pytest.mark.root
def test_a_half_open_connection_is_found_while_idle(cut_off: Callable[[], None], tmp_path: Path) -> None:
    """Without keep-alive it is found at the next election, which then lasts a quarter of an hour."""
    listen = "import socket; s = socket.create_server(('10.99.0.2', 3888)); print('up', flush=True)"
    in_namespace = ["ip", "netns", "exec"]
    script = tmp_path / "dial.py"
    script.write_text(HALF_OPEN)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    hold = f"{listen}; c = s.accept(); import signal; signal.pause()"
    with subprocess.Popen([*in_namespace, "fle-b", sys.executable, "-c", hold], **pipes) as listening:
        assert listening.stdout is not None
        assert listening.stdout.readline() == "up\n"
        with subprocess.Popen([*in_namespace, "fle-a", sys.executable, str(script)], **pipes) as dialling:
            assert dialling.stdout is not None
            assert dialling.stdout.readline() == "connected\n"
            cut_off()
            told, _nothing = dialling.communicate("\n", timeout=30)
            assert "broken: [Errno 110]" in told
        listening.kill()


@pytest.fixture
def two_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """``twofold`` has an IPv6 and an IPv4 address, as localhost has on many machines, in this order."""
    real = socket.getaddrinfo

    def look_up(host: str, *rest: object, **more: object) -> object:
        if host == "twofold":
            return [*real("::1", *rest, **more), *real("127.0.0.1", *rest, **more)]  # type: ignore[arg-type]
        return real(host, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


@pytest.mark.usefixtures("two_addresses")
async def test_every_address_of_the_own_name_is_listened_on_and_told_by_its_ipv4_one() -> None:
    (port,) = free_ports(1)
    transport = TcpTransport(TransportOptions())
    listeners = await transport.listen([HostPort("twofold", port)])
    try:
        for host in ("::1", "127.0.0.1", "twofold"):
            with trio.fail_after(5):
                async with await transport.dial([HostPort(host, port)]):
                    pass
    finally:
        for listener in listeners:
            await listener.aclose()
    assert len(listeners) == 2


@pytest.mark.usefixtures("two_addresses")
async def test_a_dead_address_of_a_name_delays_the_next_one_a_moment_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (port,) = free_ports(1)
    real = transport_module._connect_to

    async def connect(ip: str, port: int) -> trio.SocketStream:
        if ip == "127.0.0.1":
            await trio.sleep_forever()
        return await real(ip, port)

    transport = TcpTransport(TransportOptions())
    (listener,) = await transport.listen([HostPort("::1", port)])
    monkeypatch.setattr(transport_module, "_connect_to", connect)
    async with listener:
        with trio.fail_after(3):
            async with await transport.dial([HostPort("twofold", port)]):
                pass


async def test_limits_beyond_what_the_kernel_takes_are_cut() -> None:
    (port,) = free_ports(1)
    transport = TcpTransport(TransportOptions(user_timeout_s=3e9))
    (listener,) = await transport.listen([loopback(port)])
    async with listener, await transport.dial([loopback(port)]):
        pass


async def test_a_number_is_never_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    (port,) = free_ports(1)
    transport = TcpTransport(TransportOptions())

    async def thread(*_: object, **__: object) -> None:
        raise AssertionError("a thread was asked")

    (listener,) = await transport.listen([loopback(port)])
    monkeypatch.setattr(trio.to_thread, "run_sync", thread)
    async with listener:
        assert await transport.numeric(loopback(port)) == loopback(port)
        assert await transport._resolve("::1") == ["::1"]


@contextmanager
def a_resolver(answers: dict[str, list[str]], hangs: str = "") -> Iterator[list[str]]:
    """A resolver that knows these names, and hangs for one; the list of names that it was asked for."""
    asked: list[str] = []
    ended, real = threading.Event(), socket.getaddrinfo

    def look_up(host: str, *rest: Any, **more: Any) -> list[Any]:
        if not host.startswith("zk"):
            return real(host, *rest, **more)
        asked.append(host)
        if host == hangs:
            ended.wait(30)
        if host not in answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 0)) for ip in answers[host]]

    with patch.object(socket, "getaddrinfo", look_up):
        try:
            yield asked
        finally:
            ended.set()


async def test_a_name_is_dialled_where_it_leads_at_that_moment() -> None:
    """From nowhere to one address, and on to another."""
    (port,) = free_ports(1)
    transport, name = TcpTransport(TransportOptions()), HostPort("zk1", port)
    answers: dict[str, list[str]] = {}
    with trio.fail_after(10), a_resolver(answers):
        with pytest.raises(ConnectionLostError, match=r"zk1:\d+: Name or service not known") as raised:
            await transport.dial([name])
        assert not isinstance(raised.value, RefusedError)
        for ip in ("127.0.0.2", "127.0.0.3"):
            answers["zk1"] = [ip]
            (listener,) = await transport.listen([name])
            async with listener, await transport.dial([name]) as stream:
                assert transport.remote(stream) == HostPort(ip, port)
                assert await transport.hosts([name, HostPort("127.0.0.9", 1)]) == {ip, "127.0.0.9"}


async def test_an_own_name_that_does_not_resolve_is_listened_on_once_it_does() -> None:
    (port,) = free_ports(1)
    transport, name = TcpTransport(TransportOptions()), HostPort("zk1", port)
    answers: dict[str, list[str]] = {}
    with trio.fail_after(10), a_resolver(answers):
        with pytest.raises(socket.gaierror):
            await transport.listen([name])
        assert await transport.numeric(name) == name
        assert await transport.hosts([name]) == frozenset()
        answers["zk1"] = ["127.0.0.2"]
        (listener,) = await transport.listen([name])
        async with listener, await transport.dial([HostPort("127.0.0.2", port)]):
            pass


async def test_a_name_that_the_resolver_hangs_on_holds_up_no_other() -> None:
    (port,) = free_ports(1)
    transport, name = TcpTransport(TransportOptions(cnx_timeout_s=0.01)), HostPort("zk1", port)
    with trio.fail_after(10), a_resolver({"zk1": ["127.0.0.2"]}, hangs="zk2") as asked:
        for _ in range(40):
            with trio.move_on_after(0.01):
                await transport.dial([HostPort("zk2", port)])
        assert await transport.hosts([HostPort("zk2", port)]) == frozenset()
        began = trio.current_time()
        assert await transport.numeric(HostPort("zk2", port)) == HostPort("zk2", port)
        assert trio.current_time() - began < 5, "an own name is only told, and waited for a moment"
        (listener,) = await transport.listen([name])
        async with listener, await transport.dial([name]):
            pass
        assert asked.count("zk2") <= 4, "each costs a thread for as long as the resolver hangs"


async def test_a_call_at_the_very_moment_at_which_a_listener_is_closed_harms_nobody() -> None:
    """Whoever accepts is awake for the caller already, and meets a closed socket, not its cancellation."""
    for _ in range(30):
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        with socket.socket() as caller:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(accept_all, listener, nursery, trio.aclose_forcefully, pytest.fail)
                await wait_all_tasks_blocked()
                with listener.socket.dup() as also:
                    caller.connect(listener.socket.getsockname())
                    await trio.lowlevel.wait_readable(also)
                nursery.cancel_scope.cancel()
                await close_all([listener])
