"""Old bugs of the election port: addresses, dials, handshakes and what is said over connections."""

import errno
import os
import socket
import struct
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from unittest.mock import patch

import trio
from nodes import Node, address_of, body, call, start_all
from scenario import scenario, survives, within
from socket_errors import UNRESOLVED
from trio.testing import memory_stream_pair, wait_all_tasks_blocked

from trio_fle.config import TransportOptions
from trio_fle.ensemble import HostPort
from trio_fle.errors import FleError, ListenError, RefusedError
from trio_fle.peers import TcpTransport, transport
from trio_fle.peers.mailbox import Inbox
from trio_fle.sim.members.network import VirtualNetwork
from trio_fle.sim.members.streams import VirtualStream
from trio_fle.vote import MAX_LONG
from trio_fle.wire import Hello, decode_hello, encode_frame, encode_hello, hello_size


@asynccontextmanager
async def running(*nodes: Node) -> AsyncIterator[None]:
    """Connection managers that live as long as the block."""
    async with trio.open_nursery() as nursery:
        await start_all(nursery, nodes)
        yield
        nursery.cancel_scope.cancel()


async def until_connected(node: Node, *sids: int) -> None:
    while not node.manager.connected >= set(sids):
        await node.manager.wait_changed()


# Dialling


@scenario
async def a_lost_first_message() -> None:
    """A vote that was lost with its connection was never repeated, so that an election did not end."""
    node = Node(VirtualNetwork(), 1, (1, 2))
    async with running(node):
        node.tell(2, 77)
        first = await call(node, 2)
        await wait_all_tasks_blocked()
        await first.stream.aclose()
        second = await call(node, 2)
        with within(1, "the last vote is repeated on a new connection"):
            assert await second.next() == 77


@scenario
async def connections_that_pile_up() -> None:
    """Each new connection of a peer left the one before, and its sender, waiting."""
    node = Node(VirtualNetwork(), 1, (1, 2))
    async with running(node):
        await call(node, 2)
        for _ in range(100):
            await wait_all_tasks_blocked()
            await call(node, 2)
        await wait_all_tasks_blocked()
        open_ends = sum(not each.closed for each in node.net.streams if each.here == address_of(1).host)
        assert open_ends <= 3, f"{open_ends} connections of one peer are open"


@scenario
async def dials_that_never_return() -> None:
    """Dialling was synchronous, under one lock: peers that can't be reached kept out all others."""
    net = VirtualNetwork(black_holes={address_of(1), address_of(2)})
    nodes = [Node(net, sid, (1, 2, 3, 4, 5)) for sid in (3, 4, 5)]
    async with running(*nodes):
        with within(2, "those that can be reached are connected"):
            for node in nodes:
                await until_connected(node, *({3, 4, 5} - {node.sid}))


@scenario
async def one_dial_at_a_time() -> None:
    """Each caller that asked to be dialled back was, while the first dial was still under way."""
    net = VirtualNetwork(black_holes={address_of(1)})
    node = Node(net, 2, (2, 3), observers=(1,))
    async with running(node):
        for _ in range(100):
            await (await call(node, 1)).stream.aclose()
        await trio.sleep(1)
        dials = net.dialled.count((address_of(2).host, address_of(1)))
        assert dials == 1, f"{dials} dials of one peer at the same time"


@scenario
async def a_restarted_server_claims_a_wildcard() -> None:
    """A server that restarted behind 0.0.0.0 was dialled there, where nobody is but the caller itself."""
    net = VirtualNetwork()
    async with running(Node(net, 2, (1, 2)), Node(net, 3, (1, 2, 3))):
        await trio.sleep(20)
        (listener,) = await net.host(address_of(1).host).listen([address_of(1)])
        async with listener:
            for sid in (2, 3):
                caller = net.call(address_of(sid), address_of(1).host)
                await caller.send_all(encode_hello(Hello(1, (HostPort("0.0.0.0", 3888),))))
            with within(1, "a restarted server is dialled by both that it asks"):
                async with await listener.accept(), await listener.accept():
                    pass
        assert all(address.host != "0.0.0.0" for _, address in net.dialled), "0.0.0.0 is dialled"


@contextmanager
def a_resolver(*answers: str | OSError) -> Iterator[list[str]]:
    """A resolver that answers so, one look-up after the other; the list of addresses that were used."""
    used: list[str] = []
    ahead = list(answers)

    def look_up(host: str, port: None, **_: object) -> list[tuple[object, ...]]:
        answer = ahead.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answer, 0))]

    async def connect(ip: str, port: int) -> object:
        used.append(ip)
        return memory_stream_pair()[0]

    def listen(ips: Sequence[str], port: int) -> list[object]:
        used.extend(ips)
        if ips != ["192.0.2.2"]:
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        return []

    with (
        patch.object(socket, "getaddrinfo", look_up),
        patch.object(transport, "_connect_to", connect),
        patch.object(transport, "_listen_on", listen),
    ):
        yield used


PEER = HostPort("zk-1.example", 3888)


@scenario
async def a_peer_that_moved() -> None:
    """A peer that came back at another address was looked for at the old one."""
    tcp = TcpTransport(TransportOptions(keep_alive=False))
    with a_resolver("192.0.2.1", "192.0.2.2") as used:
        await tcp._connect(PEER)
        await tcp._connect(PEER)
    assert used == ["192.0.2.1", "192.0.2.2"], f"the second dial goes to {used[-1]}, the old address"


@scenario
async def a_name_that_resolves_later() -> None:
    """A peer whose name could not be resolved at first was never found."""
    tcp = TcpTransport(TransportOptions(keep_alive=False))
    with a_resolver(UNRESOLVED, "192.0.2.2") as used:
        for _ in range(2):
            try:
                await tcp._connect(PEER)
            except OSError:
                continue
    assert used == ["192.0.2.2"], "the name is not looked up again"


@scenario
async def several_addresses() -> None:
    """A server whose first address does not answer has to be reached at its second."""
    tcp = TcpTransport(TransportOptions(keep_alive=False))
    used: list[str] = []

    async def connect(ip: str, port: int) -> trio.SocketStream:
        used.append(ip)
        await trio.lowlevel.checkpoint()
        raise ConnectionRefusedError(errno.ECONNREFUSED, ip)

    with patch.object(transport, "_connect_to", connect):
        await dial_all(tcp, HostPort("192.0.2.1", 1), HostPort("192.0.2.2", 1))
    assert sorted(used) == ["192.0.2.1", "192.0.2.2"], f"only {used} is dialled"


@scenario
async def an_address_that_no_probe_reaches() -> None:
    """A server was not even dialled, since a probe had found its only address unreachable."""
    tcp = TcpTransport(TransportOptions(keep_alive=False))
    used: list[str] = []

    async def connect(ip: str, port: int) -> trio.SocketStream:
        used.append(ip)
        await trio.lowlevel.checkpoint()
        raise ConnectionRefusedError(errno.ECONNREFUSED, ip)

    with patch.object(transport, "_connect_to", connect):
        await dial_all(tcp, HostPort("192.0.2.1", 1))
    assert used == ["192.0.2.1"], "the only address is not dialled"


async def dial_all(tcp: TcpTransport, *addresses: HostPort) -> None:
    try:
        await tcp.dial(addresses)
    except FleError:
        return


# Listening


@scenario
async def an_own_name_that_resolves_later() -> None:
    """A server whose own name did not resolve yet gave up listening, and ran on without an election port."""
    node = Node(VirtualNetwork(bind_errors=[UNRESOLVED] * 60), 1, (1,))
    with survives("the listener", ListenError):
        async with running(node):
            assert trio.current_time() == 60


@scenario
async def an_own_name_that_moved() -> None:
    """Each try to listen used the address that the own name had at the start."""
    tcp = TcpTransport(TransportOptions(keep_alive=False))
    with a_resolver("192.0.2.1", "192.0.2.2") as used:
        for _ in range(2):
            try:
                await tcp.listen([PEER])
            except OSError:
                continue
    assert used[-1] == "192.0.2.2", f"it tries to listen at {used[-1]} again, the old address"


@scenario
async def an_accept_that_fails() -> None:
    """A time-out of accept ended the listener, and nobody could connect any more."""
    node = Node(VirtualNetwork(), 1, (1, 2))
    async with running(node):
        node.net.listeners[address_of(1)].errors.append(OSError(errno.ETIMEDOUT, "timed out"))
        with survives("the listener", RefusedError, trio.BrokenResourceError):
            node.net.call(address_of(1))
            await trio.sleep(1)
            await (await call(node, 2)).say(5)
        await trio.sleep(1)
        assert node.heard == [(2, 5)], "the listener died: nobody is heard after an error of accept"


@scenario
async def a_listener_that_outlives_its_server() -> None:
    """Listeners of elections that were over kept their port."""
    net = VirtualNetwork()
    async with running(Node(net, 1, (1,))):
        pass
    assert address_of(1) not in net.listeners, "the port is still bound"


# Handshakes


@scenario
async def random_bytes_for_a_handshake() -> None:
    """A port scanner's bytes were read as the length of an address, and took the listener down."""
    node = Node(VirtualNetwork(), 1, (1, 2))
    async with running(node):
        stream = node.net.call(address_of(1))
        await stream.send_all(struct.pack(">qqi", -65536, 5, 0x7FFFFFFF) + b"\x99" * 100)
        with within(1, "a handshake of 2 GB is turned away"):
            assert await stream.receive_some() == b""
        await (await call(node, 2)).say(7)
        await wait_all_tasks_blocked()
        assert node.heard == [(2, 7)], "nobody is heard after it"


@scenario
async def a_protocol_version_is_no_id() -> None:
    """A server of a later release was taken for one whose id is its protocol version, -65536."""
    node = Node(VirtualNetwork(), 1, (1, 2))
    async with running(node):
        await (await call(node, 2)).say(7)
        await wait_all_tasks_blocked()
        assert node.heard == [(2, 7)], f"server 2 is not known: {node.named('peer.rejected')}"


@scenario
async def an_observer_of_an_old_release() -> None:
    """An observer whose handshake has an id that stands for none, and no address, ended newer voters."""
    node = Node(VirtualNetwork(), 2, (2, 3))
    with survives("the voter", LookupError):
        async with running(node):
            stream = node.net.call(address_of(2))
            await stream.send_all(MAX_LONG.to_bytes(8, "big"))
            await wait_all_tasks_blocked()
            await (await call(node, 3)).say(7)
            await wait_all_tasks_blocked()
    assert node.heard == [(3, 7)], "nobody is heard after it"


async def first_packet() -> bytes:
    """What a dialling member sends first."""
    net = VirtualNetwork()
    sent: list[bytes] = []

    def tap(stream: VirtualStream, data: bytes) -> None:
        sent.append(data)

    net.tap = tap
    async with running(Node(net, 1, (1, 2)), two := Node(net, 2, (1, 2))):
        await until_connected(two, 1)
        return sent[0]


@scenario
async def a_handshake_in_pieces() -> None:
    """A handshake came in several segments, and the other side read the first only."""
    data = await first_packet()
    assert len(data) == hello_size(data), f"the first segment has {len(data)} bytes of the handshake"
    assert decode_hello(data).sid == 2


@scenario
def a_handshake_on_a_foreign_platform() -> None:
    """Host names were written in the platform's character set, and read in that of another."""
    told = Hello(1, (HostPort("bücher.example", 3888),))
    heard = decode_hello(encode_hello(told))
    assert heard == told, f"the host is told as {heard.addresses[0].host}"


@scenario
async def a_handshake_that_does_not_end() -> None:
    """How long a handshake may take could not be set apart from how long a connection may."""
    options = TransportOptions(handshake_timeout_s=1.0, cnx_timeout_s=30.0)
    node = Node(VirtualNetwork(), 1, (1,), options)
    async with running(node):
        stream = node.net.call(address_of(1))
        with within(2, "a silent caller is turned away after the 1 s that was set"):
            assert await stream.receive_some() == b""


# What is said


@scenario
async def a_malformed_notification() -> None:
    """One message that was cut short ended the receiver, and its server was deaf from then on."""
    node = Node(VirtualNetwork(), 1, (1, 2))
    async with running(node):
        caller = await call(node, 2)
        await caller.say(1)
        await caller.stream.send_all(encode_frame(body(2)[:33]))
        await caller.say(3)
        await trio.sleep(1)
        assert node.heard == [(2, 1), (2, 3)], "what follows a malformed message is not heard"


@scenario
def a_full_inbox() -> None:
    """Of too many votes the newest were dropped, and the oldest were counted."""
    inbox = Inbox[int](100)
    for number in range(200):
        inbox.put(2, number)
    newest = [inbox.get_nowait() for _ in range(100)][-1]
    assert newest == 199, f"the newest of 200 votes that is heard is number {newest}"
