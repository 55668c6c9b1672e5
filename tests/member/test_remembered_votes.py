"""Early finalize and what it must not cost: votes that are true no more, and leaders that wait to the end."""

from collections.abc import Sequence

import pytest
import trio
from test_lease_regressions import reset
from trio.testing import MockClock
from witness import FIVE, THREE, Witness, host, watched

from trio_fle.election.options import ElectionOptions
from trio_fle.ensemble import HostPort
from trio_fle.sim.members.ensemble import VirtualMember, ensemble_of
from trio_fle.sim.members.network import VirtualHost, VirtualNetwork


async def leaderless_s(witness: Witness) -> float:
    """Wait for a leader; return how long that took."""
    began = trio.current_time()
    with trio.fail_after(60):
        while not any(member.leads() for member in witness.ensemble.running.values()):  # noqa: ASYNC110
            await trio.sleep(0.01)
    return trio.current_time() - began


@pytest.mark.parametrize("how", ["hung", "powered off"])
async def test_a_voter_that_left_and_joined_again_is_not_voted_for_once_it_is_silent(
    how: str, autojump_clock: MockClock
) -> None:
    """4 looks for a moment, and follows 5 again: nobody may still hold the vote that it cast meanwhile."""
    async with watched(FIVE) as (ensemble, net, witness):
        await ensemble.start()
        await trio.sleep(2)
        reset(net, 4, 5)
        await trio.sleep(1.5)
        assert witness.leader() == 5
        if how == "hung":
            ensemble.hang(4)
        else:
            ensemble.suspend(4)
            net.black_holes |= {HostPort(host(4), 2888), HostPort(host(4), 3888)}
        await trio.sleep(1)
        ensemble.kill(5)
        assert await leaderless_s(witness) < 0.3
        assert witness.leader() == 3


async def test_a_voter_that_is_gone_is_not_voted_for_whoever_did_so_last(autojump_clock: MockClock) -> None:
    async with watched(FIVE) as (ensemble, net, witness):
        await ensemble.start()
        await trio.sleep(2)
        reset(net, 3, 5)
        reset(net, 4, 5)
        await trio.sleep(1)
        assert witness.leader() == 5
        ensemble.kill(4)
        await trio.sleep(1)
        ensemble.kill(5)
        assert await leaderless_s(witness) < 0.1
        assert witness.leader() == 3


@pytest.mark.parametrize("wait_s", [0.2, 0.6, 1.0])
@pytest.mark.parametrize("listens_after_s", [0.0, 0.25, 0.35, 0.45])
async def test_a_leader_that_waits_to_the_end_is_not_given_up_by_followers_that_did_not(
    wait_s: float, listens_after_s: float, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a Java server among members of ours: it is elected, and knows that only after its finalize wait."""
    listen = VirtualHost.listen

    async def listen_late(
        self: VirtualHost, addresses: Sequence[HostPort]
    ) -> Sequence[trio.abc.Listener[trio.abc.Stream]]:
        if self.name == host(3) and addresses[0].port == 2888:
            await trio.sleep(listens_after_s)
        return await listen(self, addresses)

    monkeypatch.setattr(VirtualHost, "listen", listen_late)
    net = VirtualNetwork()
    async with trio.open_nursery() as nursery:
        members = [
            VirtualMember(
                sid,
                ensemble_of(THREE),
                net,
                ElectionOptions(finalize_wait_s=wait_s, candidate=sid == 3, early_finalize=sid != 3),
            )
            for sid in (1, 2, 3)
        ]
        for member in members:
            await nursery.start(member.run)
        await trio.sleep(wait_s + listens_after_s + 0.2)
        assert [member.role() for member in members] == [("FOLLOWING", 3), ("FOLLOWING", 3), ("LEADING", 3)]
        assert members[2].leads()
        assert len(members[0].named("election.decided")) == 1
        nursery.cancel_scope.cancel()
