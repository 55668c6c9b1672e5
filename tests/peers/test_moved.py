"""A server comes back under its name at another address, and names resolve later than members start."""

import pytest
import trio
from nodes import Node, address_of, call, start_all
from trio.testing import MockClock

from trio_fle.ensemble import HostPort
from trio_fle.peers.peer import REDIAL_MAX_S
from trio_fle.sim.members.network import VirtualNetwork

ELSEWHERE = "203.0.113.1"


@pytest.mark.parametrize("mover", [1, 2], ids=["who is dialled", "who dials"])
async def test_who_comes_back_elsewhere_is_connected_though_its_old_connection_is_half_open(
    mover: int, autojump_clock: MockClock
) -> None:
    """Nobody waits for the keep-alive to find that out."""
    net, other = VirtualNetwork(), 3 - mover
    moving, staying = Node(net, mover, (1, 2)), Node(net, other, (1, 2))
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [moving, staying])
        moving.tell(other, 1)
        staying.tell(mover, 2)
        await trio.sleep(10)
        for one, another in ((1, 2), (2, 1)):  # its address has vanished: nobody is told, nor answers
            net.cut(address_of(one).host, address_of(another).host)
        moving.scope.cancel()
        await trio.sleep(10)
        assert staying.manager.connected == {mover}
        net.moved[address_of(mover)] = HostPort(ELSEWHERE, 3888)
        back = Node(net, mover, (1, 2))
        back.manager.transport = net.host(ELSEWHERE)
        await start_all(nursery, [back])
        back.tell(other, 3)
        await trio.sleep(0.5)
        assert (mover, 3) in staying.heard
        assert (other, 2) in back.heard
        connection = staying.manager.connection(mover)
        assert connection is not None
        assert connection.address.host == ELSEWHERE
        assert staying.named("peer.disconnected")[-1]["reason"] == "replaced by a newer connection"
        nursery.cancel_scope.cancel()


async def test_where_nobody_listens_at_the_new_address_the_old_connection_stays(
    autojump_clock: MockClock,
) -> None:
    """The name may be wrong, and the knock forged."""
    net = VirtualNetwork()
    one, two = Node(net, 1, (1, 2)), Node(net, 2, (1, 2))
    said: list[tuple[int, bool]] = []
    two.manager.present = lambda sid, there: said.append((sid, there))
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [one, two])
        await trio.sleep(1)
        connection = two.manager.connection(1)
        net.moved[address_of(1)] = HostPort(ELSEWHERE, 3888)
        net.dialled.clear()
        for _ in range(100):
            await (await call(two, 1)).stream.aclose()
            await trio.sleep(0.1)
        assert two.manager.connection(1) is connection
        assert 1 <= len(net.dialled) <= 11, "one a second"
        assert said == [(1, True)]
        nursery.cancel_scope.cancel()


async def test_a_name_that_does_not_resolve_for_a_while_costs_no_living_connection(
    autojump_clock: MockClock,
) -> None:
    net = VirtualNetwork()
    one, two = Node(net, 1, (1, 2)), Node(net, 2, (1, 2))
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [one, two])
        await trio.sleep(1)
        connection = two.manager.connection(1)
        net.unresolved.add(address_of(1))
        net.dialled.clear()
        await (await call(two, 1)).stream.aclose()
        await trio.sleep(10)
        assert two.manager.connection(1) is connection
        assert net.dialled == []
        nursery.cancel_scope.cancel()


async def test_a_peer_whose_name_resolves_later_is_connected_then_and_was_told_of_once(
    autojump_clock: MockClock,
) -> None:
    net = VirtualNetwork(unresolved={address_of(1), address_of(2)})
    one, two = Node(net, 1, (1, 2)), Node(net, 2, (1, 2))
    async with trio.open_nursery() as nursery:
        for node in (one, two):
            nursery.start_soon(node.run)
        await trio.sleep(600)
        for node, other in ((one, 2), (two, 1)):
            (told,) = node.named("peer.unreachable")
            assert (told["peer"], told["reason"]) == (
                other,
                f"{address_of(other)}: Name or service not known",
            )
            own = node.named("listen.unresolved")
            assert own[0]["address"] == str(address_of(node.sid))
            assert len(own) < 20, "at growing intervals"
        net.unresolved.clear()
        await trio.sleep(REDIAL_MAX_S + 0.5)
        assert (one.manager.connected, two.manager.connected) == ({2}, {1})
        assert not one.named("listen.retry")
        nursery.cancel_scope.cancel()


async def test_a_dial_of_a_name_without_an_address_is_no_proof_that_nobody_is_there(
    autojump_clock: MockClock,
) -> None:
    net = VirtualNetwork()
    one, two = Node(net, 1, (1, 2)), Node(net, 2, (1, 2))
    said: list[tuple[int, bool]] = []
    two.manager.present = lambda sid, there: said.append((sid, there))
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [one, two])
        await trio.sleep(2)
        net.unresolved.add(address_of(1))
        one.scope.cancel()
        await trio.sleep(20)
        assert said == [(1, True)]
        net.unresolved.clear()
        await trio.sleep(REDIAL_MAX_S + 0.1)
        assert said == [(1, True), (1, False)]
        nursery.cancel_scope.cancel()
