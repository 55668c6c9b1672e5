"""Whole members whose names do not resolve when they start."""

import trio
from trio.testing import MockClock

from trio_fle.ensemble import HostPort
from trio_fle.peers.peer import REDIAL_MAX_S
from trio_fle.sim.members.ensemble import VirtualEnsemble
from trio_fle.sim.members.network import VirtualNetwork, host_of

THREE = dict.fromkeys((1, 2, 3), "participant")
ELECTING_S = 1.5
"""A try to listen each second, and an election."""


def names_of(*sids: int) -> set[HostPort]:
    return {HostPort(host_of(sid), port) for sid in sids for port in (2888, 3888)}


async def test_members_elect_as_soon_as_their_names_resolve(autojump_clock: MockClock) -> None:
    net = VirtualNetwork(unresolved=names_of(1, 2, 3))
    async with trio.open_nursery() as nursery:
        ensemble = VirtualEnsemble(nursery, THREE, net=net)
        for sid in THREE:
            nursery.start_soon(ensemble.start, sid)
        await trio.sleep(3600)
        for member in ensemble.running.values():
            assert 1 <= len(member.named("listen.unresolved")) < 70, "once a minute at most, in the end"
            assert len(member.named("peer.unreachable")) == 2, "once for each"
        net.unresolved -= names_of(1, 2)
        await trio.sleep(REDIAL_MAX_S + ELECTING_S)
        assert {sid: ensemble.running[sid].role() for sid in (1, 2)} == {
            1: ("FOLLOWING", 2),
            2: ("LEADING", 2),
        }
        net.unresolved.clear()
        await trio.sleep(REDIAL_MAX_S + ELECTING_S)
        assert ensemble.leader() == 2
        nursery.cancel_scope.cancel()


async def test_a_leader_is_followed_though_no_name_resolves_any_more(autojump_clock: MockClock) -> None:
    """What is connected stays so; and a follower that loses its leader then finds it again afterwards."""
    async with trio.open_nursery() as nursery:
        ensemble = VirtualEnsemble(nursery, THREE)
        await ensemble.start()
        await trio.sleep(1)
        ensemble.net.unresolved |= names_of(1, 2, 3)
        await trio.sleep(60)
        assert ensemble.leader() == 3
        for stream in ensemble.net.between(host_of(1), host_of(3)):
            ensemble.net.reset(stream)
        await trio.sleep(60)
        assert ensemble.roles_now()[2] == ("FOLLOWING", 3)
        ensemble.net.unresolved.clear()
        await trio.sleep(REDIAL_MAX_S + ELECTING_S)
        assert ensemble.leader() == 3
        nursery.cancel_scope.cancel()
