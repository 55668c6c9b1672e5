"""Whole members of a hierarchical ensemble: a leader exactly where those that run hold a quorum."""

import pytest
import trio
from hierarchies import GROUPED, WEIGHTLESS
from trio.testing import MockClock

from trio_fle.ensemble import build_ensemble
from trio_fle.sim.members.disk import VirtualDisk
from trio_fle.sim.members.ensemble import VirtualEnsemble, VirtualMember
from trio_fle.sim.members.network import host_of

NINE = dict.fromkeys(range(1, 10), "participant")
HIERARCHY = build_ensemble(
    {f"server.{sid}": f"{host_of(sid)}:2888:3888" for sid in NINE}
    | dict(line.split("=") for line in GROUPED),
    version=0,
)
ELECTING_S = 1.0
"""More than a cold start takes, with everything at once."""
NO_LEADER_S = 30.0


class Hierarchy(VirtualEnsemble):
    """Nine servers in three groups."""

    def _member(self, sid: int, storage: VirtualDisk) -> VirtualMember:
        member = super()._member(sid, storage)
        member.ensemble = HIERARCHY
        return member

    async def settle(self) -> None:
        """Wait, and see that they have a leader exactly if they are a quorum, and which."""
        if HIERARCHY.verifier.contains_quorum(self.running.keys()):
            await trio.sleep(ELECTING_S)
            leader = self.leader()
            assert HIERARCHY.verifier.weight(leader) > 0
            assert self.running[leader].leads()
        else:
            await trio.sleep(NO_LEADER_S)
            assert set(self.roles_now().values()) == {("LOOKING", None)}
            assert not any(member.leads() for member in self.running.values())


@pytest.mark.parametrize(
    ("running", "leader"),
    [
        pytest.param((1, 2, 3, 4, 5, 6, 7, 8, 9), 8, id="all"),
        pytest.param((1, 2, 4, 5), 5, id="two groups won, the third is silent"),
        pytest.param((2, 3, 7), 7, id="two of one group, and the heavy one of another"),
        pytest.param((5, 6, 7, 9), 7, id="beside a quorum, the one without weight"),
        pytest.param((1, 3, 4, 5, 8, 9), 8, id="not all of a group are with its majority"),
        pytest.param((1, 2, 4, 6, 8, 9), None, id="six of nine, one group won"),
        pytest.param((1, 4, 5, 6, 8, 9), None, id="two thirds of the servers, one group won"),
        pytest.param((1, 2, 3, 5, 8, 9), None, id="half of the weight is no majority of a group"),
        pytest.param((7, 8, 9), None, id="a whole group"),
        pytest.param((1, 2, 9), None, id="who has no weight wins no group"),
        pytest.param((1, 4, 7), None, id="one of each group"),
        pytest.param((9,), None, id="the one without weight, alone"),
    ],
)
async def test_they_have_a_leader_exactly_where_they_are_a_quorum(
    running: tuple[int, ...], leader: int | None, autojump_clock: MockClock
) -> None:
    assert HIERARCHY.verifier.contains_quorum(set(running)) is (leader is not None)
    async with trio.open_nursery() as nursery:
        ensemble = Hierarchy(nursery, NINE)
        await ensemble.start(*running)
        await ensemble.settle()
        if leader is not None:
            assert ensemble.leader() == leader
        nursery.cancel_scope.cancel()


async def test_a_leader_comes_and_goes_with_the_quorum(autojump_clock: MockClock) -> None:
    """One by one, in an order in which each group is won and lost, and leaders are killed too."""
    async with trio.open_nursery() as nursery:
        ensemble = Hierarchy(nursery, NINE)
        await ensemble.start()
        await ensemble.settle()
        lost = []
        for sid in (8, 1, 7, 4, 6, 2):
            ensemble.kill(sid)
            await ensemble.settle()
            lost.append(HIERARCHY.verifier.contains_quorum(ensemble.running.keys()))
        for sid in (6, 7, 1, 2):
            await ensemble.start(sid)
            await ensemble.settle()
            lost.append(HIERARCHY.verifier.contains_quorum(ensemble.running.keys()))
        assert lost == [True, True, True, True, False, False, False, True, True, True]
        nursery.cancel_scope.cancel()


async def test_who_has_no_weight_never_leads_though_it_has_the_most_history(
    autojump_clock: MockClock,
) -> None:
    """FLEZeroWeightTest; and it does not keep the others from being led."""
    async with trio.open_nursery() as nursery:
        ensemble = Hierarchy(nursery, NINE)
        await ensemble.start(WEIGHTLESS, zxid=0x100000009, epoch=1)
        others = [sid for sid in NINE if sid != WEIGHTLESS]
        await ensemble.start(*others, zxid=0x100000001, epoch=1)
        await trio.sleep(NO_LEADER_S)
        roles = ensemble.roles_now()
        assert roles.pop(WEIGHTLESS) != ("LEADING", WEIGHTLESS)
        assert roles == {sid: ("LEADING" if sid == 8 else "FOLLOWING", 8) for sid in others}
        assert not ensemble.running[8].named("leading.lost")
        states = ensemble.running[WEIGHTLESS].named("member.state")
        assert {each["to"] for each in states} <= {"LOOKING", "FOLLOWING"}
        nursery.cancel_scope.cancel()
