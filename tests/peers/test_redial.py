"""Connections come back by themselves, and a dead peer costs the others nothing."""

import itertools

import attrs
import pytest
import trio
from nodes import Node, address_of, call, start_all
from trio.abc import Listener, Stream
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_fle.ensemble import HostPort
from trio_fle.errors import ConnectionLostError
from trio_fle.sim.members.network import VirtualNetwork


async def test_a_black_hole_delays_nobody_else(autojump_clock: MockClock) -> None:
    """ZOOKEEPER-822, -880, -3756: a dial that never returns."""
    net = VirtualNetwork(black_holes={address_of(1), address_of(2)})
    nodes = [Node(net, sid, (1, 2, 3, 4, 5)) for sid in (3, 4, 5)]
    async with trio.open_nursery() as nursery:
        await start_all(nursery, nodes)
        with trio.fail_after(0.2):
            for node in nodes:
                while len(node.manager.connected) < 2:
                    await node.manager.wait_changed()
        nursery.cancel_scope.cancel()


async def test_telling_a_dead_peer_never_waits(autojump_clock: MockClock) -> None:
    """CnxManagerTest.testCnxManagerTimeout."""
    net = VirtualNetwork(black_holes={address_of(1)})
    node = Node(net, 2, (1, 2))
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [node])
        before = trio.current_time()
        for number in range(1000):
            node.tell(1, number)
        assert trio.current_time() == before
        nursery.cancel_scope.cancel()


async def test_a_hundred_messages_at_once_make_one_dial(autojump_clock: MockClock) -> None:
    """ZOOKEEPER-4220."""
    net = VirtualNetwork(black_holes={address_of(1)})
    node = Node(net, 2, (1, 2))
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [node])
        for number in range(100):
            node.tell(1, number)
            await (await call(node, 1)).stream.aclose()
        await trio.sleep(1)
        assert len(net.dialled) == 1
        nursery.cancel_scope.cancel()


async def test_a_dial_is_given_up_and_tried_again_for_ever(autojump_clock: MockClock) -> None:
    """QuorumCnxManagerSocketConnectionTimeoutTest: and told once."""
    net = VirtualNetwork(black_holes={address_of(1)})
    node = Node(net, 2, (1, 2))
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [node])
        await trio.sleep(100)
        assert 9 <= len(net.dialled) <= 14, "5 s for each, and 5 s between them at most"
        (told,) = node.named("peer.unreachable")
        assert told["reason"] == "no answer in 5 s"
        net.black_holes.clear()
        one = Node(net, 1, (1, 2))
        await start_all(nursery, [one])
        await trio.sleep(0.5)
        assert one.manager.connected == {2}, "a knock ends the wait, and a dial that hangs"
        nursery.cancel_scope.cancel()


async def test_a_refused_dial_is_repeated_with_growing_waits(autojump_clock: MockClock) -> None:
    net = VirtualNetwork()
    node = Node(net, 2, (1, 2))
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [node])
        times: list[float] = []
        for _ in range(3000):
            times += [trio.current_time()] * (len(net.dialled) - len(times))
            await trio.sleep(0.01)
        waits = [round(later - sooner, 1) for sooner, later in itertools.pairwise(times)]
        assert waits[:7] == [0.2, 0.3, 0.5, 0.9, 1.7, 3.3, 5.1]
        nursery.cancel_scope.cancel()


async def test_the_address_is_asked_for_at_each_dial(autojump_clock: MockClock) -> None:
    """ZOOKEEPER-1506, -2982: a pod comes back under its name, at another address."""
    net = VirtualNetwork()
    moved = HostPort("203.0.113.9", 3888)
    net.moved[address_of(1)] = moved
    two = Node(net, 2, (1, 2))
    (listener,) = await net.host("203.0.113.9").listen([moved])
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [two])
        stream = await listener.accept()
        await wait_all_tasks_blocked()
        assert two.manager.connected == {1}
        elsewhere = HostPort("203.0.113.10", 3888)
        net.moved[address_of(1)] = elsewhere
        (second,) = await net.host("203.0.113.10").listen([elsewhere])
        await trio.sleep(2)
        await stream.aclose()
        with trio.fail_after(0.1):
            await second.accept()
        nursery.cancel_scope.cancel()


async def test_a_broken_connection_is_dialled_again_at_once(autojump_clock: MockClock) -> None:
    net = VirtualNetwork()
    two = Node(net, 2, (1, 2))
    (listener,) = await net.host("x").listen([address_of(1)])
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [two])
        for _ in range(5):
            stream = await listener.accept()
            await trio.sleep(5)
            before = trio.current_time()
            await stream.aclose()
            again = await listener.accept()
            assert trio.current_time() == before
            await trio.sleep(5)
            await again.aclose()
        nursery.cancel_scope.cancel()


async def test_the_end_of_a_connection_may_be_dealt_with_later(autojump_clock: MockClock) -> None:
    net = VirtualNetwork()
    two = Node(net, 2, (1, 2, 3))

    async def linger(sid: int) -> None:
        await trio.sleep(0.01 if sid == 1 else 0)

    two.manager.linger = linger
    (listener,) = await net.host("x").listen([address_of(1)])
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [two])
        stream, caller = await listener.accept(), await call(two, 3)
        await trio.sleep(5)
        ended = trio.current_time()
        await stream.aclose()
        await caller.stream.aclose()
        await wait_all_tasks_blocked()
        assert two.manager.connected == {1}, "no other one waits"
        await listener.accept()
        assert trio.current_time() - ended == pytest.approx(0.01)
        assert two.named("peer.disconnected")[-1]["peer"] == 1
        nursery.cancel_scope.cancel()


async def test_a_peer_that_hangs_up_at_once_is_not_dialled_in_a_tight_loop(autojump_clock: MockClock) -> None:
    net = VirtualNetwork()
    two = Node(net, 2, (1, 2))
    (listener,) = await net.host("x").listen([address_of(1)])
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [two])

        async def hang_up() -> None:
            while True:
                await (await listener.accept()).aclose()

        nursery.start_soon(hang_up)
        await trio.sleep(100)
        assert len(net.dialled) < 30
        nursery.cancel_scope.cancel()


async def knocks(listener: Listener[Stream]) -> int:
    """Count those that came and said who they are; who says nothing only asks whether anybody listens."""
    count = 0
    with trio.move_on_after(0.001):
        while True:
            stream = await listener.accept()
            with trio.move_on_after(0.0001):
                count += bool(await stream.receive_some())
    return count


async def test_a_lower_id_leaves_the_higher_one_time_to_dial_again(autojump_clock: MockClock) -> None:
    """A knock that crosses the renewed connection makes a Java server drop it."""
    net = VirtualNetwork()
    one = Node(net, 1, (1, 2))
    (listener,) = await net.host("x").listen([address_of(2)])
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [one])
        await wait_all_tasks_blocked()
        assert await knocks(listener) == 1, "it knocks once when it starts"
        caller = await call(one, 2)
        await trio.sleep(10)
        assert await knocks(listener) == 0
        await caller.stream.aclose()
        await trio.sleep(0.2)
        assert await knocks(listener) == 0
        again = await call(one, 2)
        await trio.sleep(10)
        assert await knocks(listener) == 0
        await again.stream.aclose()
        await trio.sleep(0.3)
        assert await knocks(listener) == 1, "nobody came: it knocks"
        await listener.aclose()
        nursery.cancel_scope.cancel()


@attrs.define
class ResettingNetwork(VirtualNetwork):
    """Resets the next few dials, as a server does that closes its port at that very moment."""

    resets: int = 0

    async def dial(self, source: str, address: HostPort) -> Stream:
        if self.resets:
            self.resets -= 1
            raise ConnectionLostError(f"{address}: Connection reset by peer")
        return await super().dial(source, address)


@pytest.mark.parametrize("resets", [0, 1, 2])
@pytest.mark.parametrize("other", [1, 3], ids=["a lower id", "a higher id"])
async def test_who_was_connected_and_refuses_is_known_to_be_gone_at_once(
    other: int, resets: int, autojump_clock: MockClock
) -> None:
    net = ResettingNetwork()
    mine, theirs = Node(net, 2, (2, other)), Node(net, other, (2, other))
    said: list[tuple[int, bool]] = []
    mine.manager.present = lambda sid, there: said.append((sid, there))
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [mine])
        await trio.sleep(3)
        assert said == [], "who never came is not known to be gone"
        async with trio.open_nursery() as theirs_nursery:
            await start_all(theirs_nursery, [theirs])
            await trio.sleep(3)
            assert said == [(other, True)]
            ended = trio.current_time()
            net.resets = resets
            theirs_nursery.cancel_scope.cancel()
        with trio.fail_after(1):
            while len(said) < 2:  # noqa: ASYNC110
                await trio.sleep(0.001)
        assert said == [(other, True), (other, False)]
        assert trio.current_time() - ended < 0.02
        nursery.cancel_scope.cancel()


async def test_a_thousand_reconnects_leave_no_task_behind(autojump_clock: MockClock) -> None:
    """ZOOKEEPER-2442, -4309, CnxManagerTest.testWorkerThreads."""
    node = Node(VirtualNetwork(), 1, (1, 2))
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [node])
        caller = await call(node, 2)
        await wait_all_tasks_blocked()
        tasks = trio.lowlevel.current_statistics().tasks_living
        for _ in range(1000):
            await caller.stream.aclose()
            caller = await call(node, 2)
            await wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living == tasks
        nursery.cancel_scope.cancel()
    assert node.manager.connected == frozenset()


async def test_removed_voters_are_left_and_added_ones_dialled(autojump_clock: MockClock) -> None:
    net = VirtualNetwork()
    nodes = [Node(net, sid, (1, 2, 3)) for sid in (1, 2, 3)]
    async with trio.open_nursery() as nursery:
        three = attrs.evolve(nodes[2], ids=(1, 3))
        await start_all(nursery, [*nodes[:2], three])
        await trio.sleep(1)
        three.manager.set_peers((2, 3), {sid: (address_of(sid),) for sid in (2, 3)})
        await trio.sleep(1)
        assert 2 in three.manager.connected
        assert [each["peer"] for each in three.named("peer.disconnected")] == [1]
        nursery.cancel_scope.cancel()


async def test_the_longest_wait_between_two_dials_can_change(autojump_clock: MockClock) -> None:
    """A member that becomes an observer has to dial: no voter dials it unasked."""
    net = VirtualNetwork()
    node = Node(net, 2, (1, 2))
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [node])
        dials = []
        for longest_s in (5, 1, 5):
            node.manager.redial_max_s = longest_s
            node.manager.set_peers((1, 2), {sid: (address_of(sid),) for sid in (1, 2)})
            await trio.sleep(20)
            before = len(net.dialled)
            await trio.sleep(60)
            dials.append(len(net.dialled) - before)
        nursery.cancel_scope.cancel()
    assert dials == [12, 54, 12], "and a tenth of a second after each refusal"
