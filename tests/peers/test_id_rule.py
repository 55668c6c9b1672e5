"""One connection for each pair of servers, dialled by the higher id; claims prove nothing."""

import itertools

import pytest
import trio
from nodes import Caller, Node, address_of, call, start_all
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_fle.ensemble import HostPort
from trio_fle.sim.members.network import VirtualNetwork
from trio_fle.vote import MAX_LONG


def everybody(net: VirtualNetwork, size: int) -> list[Node]:
    ids = tuple(range(1, size + 1))
    return [Node(net, sid, ids) for sid in ids]


@pytest.mark.parametrize("order", list(itertools.permutations((1, 2, 3))))
async def test_in_whatever_order_they_start_each_pair_has_one_connection(
    order: tuple[int, ...], autojump_clock: MockClock
) -> None:
    nodes = everybody(VirtualNetwork(), 3)
    async with trio.open_nursery() as nursery:
        for sid in order:
            await start_all(nursery, [nodes[sid - 1]])
            await trio.sleep(0.3)
        await trio.sleep(10)
        for node in nodes:
            assert node.manager.connected == {1, 2, 3} - {node.sid}
            assert len(node.named("peer.connected")) == 2, "and the first one was kept"
            for other in node.manager.connected:
                connection = node.manager.connection(other)
                assert connection is not None
                assert connection.direction.value == ("out" if node.sid > other else "in")
        nursery.cancel_scope.cancel()


async def test_notifications_cross_both_ways(autojump_clock: MockClock) -> None:
    """CnxManagerTest.testCnxManager: whoever has something to say is dialled back."""
    nodes = everybody(VirtualNetwork(), 5)
    async with trio.open_nursery() as nursery:
        await start_all(nursery, nodes)
        for node in nodes:
            for other in nodes:
                node.tell(other.sid, 100 * node.sid + other.sid)
        await trio.sleep(1)
        for node in nodes:
            assert sorted(node.heard) == [
                (sid, 100 * sid + node.sid) for sid in range(1, 6) if sid != node.sid
            ]
        nursery.cancel_scope.cancel()


async def test_a_restarted_server_is_connected_again_once(autojump_clock: MockClock) -> None:
    for killed in (1, 2, 3):
        nodes = everybody(VirtualNetwork(), 3)
        async with trio.open_nursery() as nursery:
            await start_all(nursery, nodes)
            await trio.sleep(2)
            nodes[killed - 1].scope.cancel()
            await trio.sleep(3)
            assert all(killed not in node.manager.connected for node in nodes)
            again = Node(nodes[0].net, killed, (1, 2, 3))
            began = trio.current_time()
            await start_all(nursery, [again])
            while len(again.manager.connected) < 2:
                await again.manager.wait_changed()
            assert trio.current_time() - began < 0.5, "it dials or knocks at once, and need not be waited for"
            await trio.sleep(10)
            survivors = [node for node in nodes if node.sid != killed]
            for node in survivors:
                assert len(node.named("peer.connected")) == 3
            nursery.cancel_scope.cancel()


async def test_the_last_message_is_repeated_where_the_first_connection_lost_it(
    autojump_clock: MockClock,
) -> None:
    """ZOOKEEPER-481, -512: the first frame of each connection is lost with it."""
    net = VirtualNetwork()
    node = Node(net, 1, (1, 2))
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [node])
        node.tell(2, 77)
        first = await call(node, 2)
        await wait_all_tasks_blocked()
        await first.stream.aclose()
        second = await call(node, 2)
        assert await second.next() == 77
        node.tell(2, 78)
        assert await second.next() == 78
        nursery.cancel_scope.cancel()


async def test_the_own_id_is_turned_away_and_counted(autojump_clock: MockClock) -> None:
    node = Node(VirtualNetwork(), 2, (1, 2, 3))
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [node])
        for _ in range(5):
            assert await (await call(node, 2)).is_closed()
        assert node.manager.own_id_claims == 5
        (told,) = node.named("peer.rejected")
        assert "our own server id, 2" in told["reason"]
        nursery.cancel_scope.cancel()


async def test_a_knock_of_a_configured_id_is_answered_at_its_configured_address(
    autojump_clock: MockClock,
) -> None:
    """ZOOKEEPER-2164, and decision 15: not where the caller says."""
    net = VirtualNetwork()
    node = Node(net, 2, (1, 2))
    elsewhere = HostPort("203.0.113.66", 666)
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [node])
        await trio.sleep(30)
        net.dialled.clear()
        for claimed in (elsewhere, HostPort("0.0.0.0", 3888), HostPort("::", 3888), HostPort("127.0.0.1", 1)):
            assert await (await call(node, 1, claimed)).is_closed()
            await trio.sleep(0.5)
        assert {address for _, address in net.dialled} == {address_of(1)}
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("unusable", ["0.0.0.0", "::", "0:0:0:0:0:0:0:0", "127.0.0.1", "::1"])
async def test_an_unconfigured_id_is_dialled_where_it_says_if_that_can_be(
    unusable: str, autojump_clock: MockClock
) -> None:
    net = VirtualNetwork()
    node = Node(net, 200, (200,))
    said = HostPort("203.0.113.5", 3888)
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [node])
        await trio.sleep(1)
        net.dialled.clear()
        assert await (await call(node, 7, HostPort(unusable, 1))).is_closed()
        await trio.sleep(0.05)
        assert net.dialled == []
        (listener,) = await net.host("203.0.113.5").listen([said])
        assert await (await call(node, 7, said)).is_closed()
        caller = Caller(await listener.accept())
        assert (await caller.read_hello()).sid == 200
        await caller.say(5)
        await wait_all_tasks_blocked()
        assert node.heard == [(7, 5)]
        node.tell(7, 6)
        assert await caller.next() == 6
        nursery.cancel_scope.cancel()


async def test_forged_knocks_leave_a_living_connection_alone(autojump_clock: MockClock) -> None:
    """Ten a second for ten minutes: the connection lives, and a line a minute tells of them at most."""
    net = VirtualNetwork()
    one, two = Node(net, 1, (1, 2)), Node(net, 2, (1, 2))
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [one, two])
        two.tell(1, 5)
        await trio.sleep(1)
        connection = two.manager.connection(1)
        net.dialled.clear()
        for _ in range(600):
            for _ in range(10):
                caller = await call(two, 1, HostPort("203.0.113.66", 666))
                await caller.stream.aclose()
            await trio.sleep(1)
        assert two.manager.connection(1) is connection
        assert net.dialled == []
        assert len(two.events) <= 12
        assert len(one.heard) <= 602, "a probe a second at most"
        nursery.cancel_scope.cancel()


async def test_forged_knocks_for_a_dead_server_cost_few_dials(autojump_clock: MockClock) -> None:
    net = VirtualNetwork()
    node = Node(net, 2, (1, 2))
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [node])
        for _ in range(1000):
            await (await call(node, 1)).stream.aclose()
            await trio.sleep(0.01)
        assert len(net.dialled) <= 10 * 10 + 5
        nursery.cancel_scope.cancel()


async def test_observers_without_an_id_get_negative_ids_and_leave_nothing_behind(
    autojump_clock: MockClock,
) -> None:
    net = VirtualNetwork()
    node = Node(net, 2, (1, 2, 3))
    said = HostPort("203.0.113.5", 3888)
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [node])
        (listener,) = await net.host("203.0.113.5").listen([said])
        callers = []
        for _ in range(3):
            assert await (await call(node, MAX_LONG, said)).is_closed()
            caller = Caller(await listener.accept())
            await caller.read_hello()
            callers.append(caller)
        await wait_all_tasks_blocked()
        assert {sid for sid in node.manager.connected if sid < 0} == {-1, -2, -3}
        for caller in callers:
            await caller.stream.aclose()
        await listener.aclose()
        for number in range(10_000):
            await (await call(node, MAX_LONG, said)).stream.aclose()
            if number % 100 == 0:
                await trio.sleep(1)
        await trio.sleep(60)
        assert len(node.manager._peers) <= 3
        legacy = net.call(address_of(2))
        await legacy.send_all(MAX_LONG.to_bytes(8, "big"))
        assert await Caller(legacy).is_closed()
        nursery.cancel_scope.cancel()


async def test_strangers_are_kept_up_to_a_number(autojump_clock: MockClock) -> None:
    node = Node(VirtualNetwork(), 2, (1, 2))
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [node])
        kept = [await call(node, 1000 + number) for number in range(100)]
        await wait_all_tasks_blocked()
        assert len(node.manager.connected) == 64
        for caller in kept:
            await caller.stream.aclose()
        await wait_all_tasks_blocked()
        assert node.manager.connected == frozenset()
        nursery.cancel_scope.cancel()


async def test_a_second_connection_waits_until_it_proves_itself(autojump_clock: MockClock) -> None:
    node = Node(VirtualNetwork(), 1, (1, 2))
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [node])
        first = await call(node, 2)
        await first.say(1)
        node.tell(2, 50)
        assert await first.next() == 50
        await wait_all_tasks_blocked()
        second = await call(node, 2)
        assert await second.next() == 50, "it is told what was said last"
        await first.say(2)
        await wait_all_tasks_blocked()
        assert node.heard == [(2, 1), (2, 2)], "the first lives on"
        await second.say(3)
        assert await first.is_closed()
        await wait_all_tasks_blocked()
        assert node.heard == [(2, 1), (2, 2), (2, 3)]
        assert [each.get("reason") for each in node.named("peer.disconnected")] == [
            "replaced by a newer connection"
        ]
        node.tell(2, 51)
        assert await second.next() == 51
        nursery.cancel_scope.cancel()


async def test_a_second_connection_takes_over_when_the_first_ends_and_goes_when_it_does_not(
    autojump_clock: MockClock,
) -> None:
    node = Node(VirtualNetwork(), 1, (1, 2))
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [node])
        first = await call(node, 2)
        await wait_all_tasks_blocked()
        second = await call(node, 2)
        await wait_all_tasks_blocked()
        began = trio.current_time()
        assert await second.is_closed()
        assert trio.current_time() - began == pytest.approx(node.options.handshake_timeout_s)
        third = await call(node, 2)
        await wait_all_tasks_blocked()
        await first.stream.aclose()
        await wait_all_tasks_blocked()
        node.tell(2, 9)
        assert await third.next() == 9
        nursery.cancel_scope.cancel()


async def test_messages_of_one_peer_are_never_reordered_by_a_new_connection(
    autojump_clock: MockClock,
) -> None:
    """Decision 8: the replaced connection has fully ended before its successor delivers."""
    node = Node(VirtualNetwork(), 1, (1, 2))
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [node])
        number = 0
        for _ in range(50):
            caller = await call(node, 2)
            for _ in range(3):
                number += 1
                await caller.say(number)
        await trio.sleep(1)
        numbers = [zxid for _, zxid in node.heard]
        assert numbers == sorted(numbers)
        assert numbers[-1] == number
        assert len(node.manager.connected) == 1
        nursery.cancel_scope.cancel()


async def test_a_legacy_handshake_of_an_observer_is_taken(autojump_clock: MockClock) -> None:
    """CnxManagerTest.testCnxManagerNPE (ZOOKEEPER-1789)."""
    node = Node(VirtualNetwork(), 2, (1, 2), observers=(5,))
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [node])
        stream = node.net.call(address_of(2))
        await stream.send_all((5).to_bytes(8, "big"))
        caller = Caller(stream)
        await caller.say(3)
        await wait_all_tasks_blocked()
        assert node.heard == [(5, 3)]
        nursery.cancel_scope.cancel()


async def test_of_many_that_would_replace_a_connection_only_the_newest_waits(
    autojump_clock: MockClock,
) -> None:
    """A stranger that claims an id again and again takes one place, not one for each time."""
    node = Node(VirtualNetwork(), 1, (1, 2))
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [node])
        first = await call(node, 2)
        await wait_all_tasks_blocked()
        tasks = trio.lowlevel.current_statistics().tasks_living
        for _ in range(200):
            newest = await call(node, 2)
            await wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living <= tasks + 5
        await first.stream.aclose()
        await newest.say(8)
        await wait_all_tasks_blocked()
        assert node.heard == [(2, 8)]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("claim", ["localhost", "127.1", "2130706433", "0x7f.1", "0", "evil.example"])
async def test_a_stranger_is_dialled_at_plain_numbers_only(claim: str, autojump_clock: MockClock) -> None:
    """Anything else asks a resolver, or is our own host in another spelling."""
    net = VirtualNetwork()
    node = Node(net, 2, (1, 2, 3))
    async with trio.open_nursery() as nursery:
        await nursery.start(node.run)
        caller = await call(node, -7, HostPort(claim, 3888), source="203.0.113.9")
        assert await caller.is_closed()
        await trio.sleep(1)
        assert not [address for _, address in net.dialled if address.host == claim]
        assert node.named("peer.unreachable") == [] or all(
            each["peer"] in (1, 3) for each in node.named("peer.unreachable")
        )
        nursery.cancel_scope.cancel()
