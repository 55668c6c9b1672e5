"""Reading and sending without giving up a turn: never at the cost of others, and never past an end."""

import socket
import struct

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair

from trio_fle.config import TransportOptions
from trio_fle.ensemble import HostPort, is_numeric
from trio_fle.errors import ConnectionLostError, RefusedError
from trio_fle.peers.streams import IN_A_ROW_BYTES, Arrivals, send_all, send_some, until_ended
from trio_fle.peers.transport import TcpTransport, socket_to


def pair() -> tuple[trio.SocketStream, trio.SocketStream]:
    one, other = trio.socket.socketpair()
    return trio.SocketStream(one), trio.SocketStream(other)


async def test_what_has_arrived_is_read_at_once_and_others_have_their_turn_after_so_much() -> None:
    near, far = pair()
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with near, far, trio.open_nursery() as nursery:
        await far.send_all(bytes(20 * IN_A_ROW_BYTES))
        nursery.start_soon(count)
        arrivals = Arrivals(near)
        seen = []
        for _ in range(20):
            assert len(await arrivals.receive_some(IN_A_ROW_BYTES)) == IN_A_ROW_BYTES
            seen.append(turns)
        nursery.cancel_scope.cancel()
    assert seen[0] == 0
    assert seen[-1] > 10


async def test_who_sends_without_end_holds_up_nobody_for_long() -> None:
    near, far = pair()
    async with near, far, trio.open_nursery() as nursery:

        async def flood() -> None:
            while True:
                await far.send_all(b"x")

        async def read() -> None:
            arrivals = Arrivals(near)
            while True:
                await arrivals.receive_some(1)

        nursery.start_soon(flood)
        nursery.start_soon(read)
        for _ in range(1000):
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()


async def test_a_stream_ends_is_reset_or_was_closed_here() -> None:
    near, far = pair()
    await far.send_eof()
    assert await Arrivals(near).receive_some(1) == b""
    await far.aclose()
    with pytest.raises(trio.BrokenResourceError):
        await send_all(near, b"x")
    await near.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await Arrivals(near).receive_some(1)
    with pytest.raises(trio.ClosedResourceError):
        await send_all(near, b"x")


async def test_a_reset_connection_is_broken() -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        near = await trio.open_tcp_stream(*listener.socket.getsockname()[:2])
        far = await listener.accept()
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        far.socket.close()
        async with near:
            with pytest.raises(trio.BrokenResourceError):
                await Arrivals(near).receive_some(1)


async def test_who_is_closed_while_it_waits_is_told_so() -> None:
    near, far = pair()
    async with far, trio.open_nursery() as nursery:

        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await Arrivals(near).receive_some(1)

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        near.socket.close()


async def test_what_the_kernel_does_not_take_is_the_rest() -> None:
    near, far = pair()
    much = bytes(range(256)) * 40_000
    async with near, far, trio.open_nursery() as nursery:
        rest = await send_some(near, much)
        assert 0 < len(rest) < len(much)
        nursery.start_soon(near.send_all, rest)
        got = bytearray()
        while len(got) < len(much):
            got += await far.receive_some()
        assert got == much


async def test_memory_streams_are_read_by_their_own_rules(autojump_clock: MockClock) -> None:
    near, far = memory_stream_pair()
    await send_all(far, b"abc")
    assert await Arrivals(near).receive_some(2) == b"ab"


async def test_a_connection_that_nobody_accepts_ends_with_what_listens() -> None:
    """So a dial to a process that is about to end tells when it has: nobody has to dial again and again."""
    transport = TcpTransport(TransportOptions())
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    where = [HostPort(*listener.socket.getsockname()[:2])]
    stream = await transport.dial(where)
    async with trio.open_nursery() as nursery:
        with trio.fail_after(10):
            nursery.start_soon(until_ended, stream, trio.current_time() + 60)
            await trio.testing.wait_all_tasks_blocked()
            listener.socket.close()
    with pytest.raises(RefusedError):
        await transport.dial(where)


async def test_a_connection_that_lasts_is_waited_for_no_longer_than_asked(autojump_clock: MockClock) -> None:
    near, far = memory_stream_pair()
    await until_ended(near, 3.0)
    assert trio.current_time() == 3.0
    with pytest.raises(trio.BrokenResourceError):
        await far.send_all(b"x")


@pytest.mark.parametrize(
    "host",
    [
        "fe80::1%\0",
        "fe80::1%\xff",
        "fe80::1%",
        "fe80::1%eth0/1",
        "fe80::1%an-interface-of-a-long-name",
        "1.2.3.4%\0",
        "1.2.3.4%eth0",
    ],
)
async def test_what_no_kernel_takes_for_an_address_is_none_and_dialling_it_only_fails(host: str) -> None:
    """Anybody may send one in a handshake, and a server without a name for it would ask no resolver."""
    assert not is_numeric(host)
    with trio.fail_after(10):
        with pytest.raises(ConnectionLostError):
            await TcpTransport(TransportOptions()).dial([HostPort(host, 1)])


@pytest.mark.parametrize("host", ["fe80::1%nope0", "fe80::1%99999", "fe80::1%a..b", "fe80::1%-"])
async def test_an_interface_that_is_not_there_fails_like_a_name_that_does_not_resolve(host: str) -> None:
    assert is_numeric(host)
    transport = TcpTransport(TransportOptions())
    with trio.fail_after(10):
        with pytest.raises(ConnectionLostError):
            await transport.dial([HostPort(host, 1)])
        with pytest.raises(OSError, match=r"."):
            await transport.listen([HostPort(host, 0)])


def test_a_zone_leads_to_its_interface() -> None:
    sock, address = socket_to("fe80::1%lo", 2888)
    sock.close()
    assert (sock.family, address[1], address[3]) == (socket.AF_INET6, 2888, socket.if_nametoindex("lo"))
