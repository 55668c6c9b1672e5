"""A byte from the network can cost its own connection, never the member."""

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from nodes import Caller, Node, address_of, body, call, hello, start_all
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_fle.sim.members.network import VirtualNetwork
from trio_fle.wire import encode_frame

CONFIG = b"server.1=h:1:2:participant\nversion=0"
VOTE = body(5)
MALFORMED = {
    "12 bytes (too short)": VOTE[:12],
    "negative configuration length": VOTE[:40] + b"\xff\xff\xff\xff" + CONFIG,
    "10,000 bytes of configuration announced": VOTE[:40] + (10_000).to_bytes(4, "big") + CONFIG,
    "30 bytes of another protocol": b"GET / HTTP/1.1\r\nHost: example\r\n"[:30],
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_notification_is_skipped_and_the_connection_stays(
    name: str, autojump_clock: MockClock
) -> None:
    """FLEMalformedNotificationMessageTest, ZOOKEEPER-3769."""
    node = Node(VirtualNetwork(), 1, (1, 2))
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [node])
        caller = await call(node, 2)
        await caller.stream.send_all(encode_frame(MALFORMED[name]))
        await caller.say(7)
        await wait_all_tasks_blocked()
        assert node.heard == [(2, 7)]
        assert (node.manager.malformed, len(node.named("peer.malformed"))) == (1, 1)
        nursery.cancel_scope.cancel()


async def test_a_nonsense_configuration_text_reaches_whoever_parses_it(autojump_clock: MockClock) -> None:
    """The fifth of the malformed ones: the message is sound, its text is not."""
    node = Node(VirtualNetwork(), 1, (1, 2))
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [node])
        caller = await call(node, 2)
        await caller.stream.send_all(encode_frame(VOTE[:40] + b"\0\0\0\3x=y"))
        await wait_all_tasks_blocked()
        assert node.heard == [(2, 5)]
        nursery.cancel_scope.cancel()


async def test_every_truncation_is_survived_and_too_many_cost_the_connection(
    autojump_clock: MockClock,
) -> None:
    whole = VOTE[:40] + len(CONFIG).to_bytes(4, "big") + CONFIG
    node = Node(VirtualNetwork(), 1, (1, 2))
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [node])
        caller = await call(node, 2)
        for length in range(1, len(whole)):
            await caller.stream.send_all(encode_frame(whole[:length]))
            await trio.sleep(9)  # slower than 8 in a minute
        await caller.say(9)
        await wait_all_tasks_blocked()
        assert node.heard[-1] == (2, 9)
        await trio.sleep(60)
        for _ in range(8):
            await caller.stream.send_all(encode_frame(b"short"))
        assert await caller.is_closed()
        await wait_all_tasks_blocked()
        (gone,) = node.named("peer.disconnected")
        assert gone["reason"] == "8 malformed notifications within a minute"
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("length", [-1, 0, 512 * 1024 + 1, 2**31 - 1, -(2**31)])
async def test_a_frame_length_out_of_bounds_closes_the_connection(
    length: int, autojump_clock: MockClock
) -> None:
    """CnxManagerTest.testCnxManagerSpinLock."""
    node = Node(VirtualNetwork(), 1, (1, 2))
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [node])
        caller = await call(node, 2)
        await caller.stream.send_all(length.to_bytes(4, "big", signed=True))
        assert await caller.is_closed()
        await wait_all_tasks_blocked()
        assert str(length) in node.named("peer.disconnected")[0]["reason"]
        nursery.cancel_scope.cancel()


async def test_the_longest_frame_is_taken(autojump_clock: MockClock) -> None:
    node = Node(VirtualNetwork(), 1, (1, 2))
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [node])
        caller = await call(node, 2)
        await caller.stream.send_all(encode_frame(VOTE.ljust(512 * 1024, b"\0")))
        await wait_all_tasks_blocked()
        assert node.heard == [(2, 5)]
        nursery.cancel_scope.cancel()


async def test_a_handshake_may_come_one_byte_at_a_time(autojump_clock: MockClock) -> None:
    node = Node(VirtualNetwork(), 1, (1, 2))
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [node])
        stream = node.net.call(address_of(1))
        for byte in hello(2) + encode_frame(VOTE):
            await stream.send_all(bytes([byte]))
            await trio.sleep(0.05)
        assert node.heard == [(2, 5)]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "address", [b"h:99999", b"h:", b"h:-1", b"h", b"[::1", b"|h:1", b"h:1||h:2", b"h:1:2", b""]
)
async def test_a_bad_address_closes_this_connection_only(address: bytes, autojump_clock: MockClock) -> None:
    """The first of them ends a Java listener for good. CnxManagerTest.testInitialMessage."""
    node = Node(VirtualNetwork(), 1, (1, 2))
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [node])
        stream = node.net.call(address_of(1))
        await stream.send_all(hello(2)[:16] + len(address).to_bytes(4, "big") + address)
        assert await Caller(stream).is_closed()
        await (await call(node, 2)).say(6)
        await wait_all_tasks_blocked()
        assert node.heard == [(2, 6)]
        nursery.cancel_scope.cancel()


@settings(max_examples=150)
@given(st.one_of(st.binary(max_size=2000), st.binary(max_size=200).map(lambda rest: hello(2) + rest)))
def test_any_bytes_leave_the_member_working(data: bytes) -> None:
    """ZOOKEEPER-1633, -2186."""

    async def main() -> None:
        node = Node(VirtualNetwork(), 1, (1, 2))
        async with trio.open_nursery() as nursery:
            await start_all(nursery, [node])
            stream = node.net.call(address_of(1))
            await stream.send_all(data)
            await stream.aclose()
            await wait_all_tasks_blocked()
            node.heard.clear()
            await (await call(node, 2)).say(6)
            await wait_all_tasks_blocked()
            assert node.heard == [(2, 6)]
            nursery.cancel_scope.cancel()

    trio.run(main, clock=MockClock(autojump_threshold=0))


async def test_one_line_a_minute_tells_of_a_port_scanner(autojump_clock: MockClock) -> None:
    """Health checks connect and close, a thousand times in a minute."""
    node = Node(VirtualNetwork(), 1, (1, 2))
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [node])
        for number in range(1000):
            stream = node.net.call(address_of(1), source="198.51.100.9")
            if number % 2:
                await stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
            await stream.aclose()
            await trio.sleep(0.06)
        (told,) = node.named("peer.rejected")
        assert told["level"] == "info"
        await trio.sleep(1)
        await node.net.call(address_of(1), source="198.51.100.9").aclose()
        await wait_all_tasks_blocked()
        assert node.named("peer.rejected")[-1]["suppressed"] == 999
        await node.net.call(address_of(1), source="203.0.113.1").aclose()
        await wait_all_tasks_blocked()
        assert len(node.named("peer.rejected")) == 3, "another source has a line of its own"
        nursery.cancel_scope.cancel()


async def test_who_claims_an_id_and_hangs_up_does_not_fill_the_log(autojump_clock: MockClock) -> None:
    node = Node(VirtualNetwork(), 1, (1, 2))
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [node])
        for _ in range(500):
            await (await call(node, 2)).stream.aclose()
            await trio.sleep(0.1)
        assert len([each for each in node.events if each["level"] != "debug"]) <= 45
        nursery.cancel_scope.cancel()


async def test_a_legal_frame_that_never_ends_holds_its_own_bytes_only(autojump_clock: MockClock) -> None:
    node = Node(VirtualNetwork(), 1, (1, 2))
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [node])
        caller = await call(node, 2)
        await caller.stream.send_all((512 * 1024).to_bytes(4, "big") + b"x")
        stranger = await call(node, 3)
        await stranger.say(4)
        await wait_all_tasks_blocked()
        assert node.heard == [(3, 4)]
        nursery.cancel_scope.cancel()
