"""Whatever a disk, an epoch or an abstention does: a quorum that is alive has one leader, and keeps it."""

import attrs
import pytest
import trio
from socket_errors import IN_USE
from trio.testing import MockClock
from witness import THREE, host, watched

from trio_fle.election.options import ElectionOptions
from trio_fle.ensemble import HostPort
from trio_fle.sim.conditions import Latency
from trio_fle.sim.members.disk import VirtualDisk
from trio_fle.storage import Followed
from trio_fle.vote import StateSummary, make_zxid
from trio_fle.wire.packet import LearnerInfo, PacketType, QuorumPacket, encode_learner_info, encode_packet


@attrs.define(eq=False)
class SlowStorage(VirtualDisk):
    """Takes long to accept an epoch."""

    accept_s: float = 0.0

    async def accept_epoch(self, epoch: int, followed: Followed | None = None) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(self.accept_s)
        await super().accept_epoch(epoch, followed)


@pytest.mark.parametrize("accept_s", [0.5, 1.8, 2.4, 3.0])
async def test_followers_with_disks_slower_than_the_lease_cost_no_leadership(
    accept_s: float, autojump_clock: MockClock
) -> None:
    async with watched(THREE) as (ensemble, _, witness):
        for sid in (1, 2):
            ensemble.storages[sid] = SlowStorage(accept_s=accept_s)
        await ensemble.start()
        await trio.sleep(30)
        witness.assert_all_follow()
        assert len(witness.epochs) == 1


@pytest.mark.parametrize("write_ticks", [0.6, 0.78, 0.9, 1.05, 1.1, 1.3])
@pytest.mark.parametrize("sync_limit", [2, 3, 5])
async def test_a_leader_keeps_the_lease_that_it_has_just_got_from_slow_disks(
    sync_limit: int, write_ticks: float, autojump_clock: MockClock
) -> None:
    """Its lease counts from when it sent NEWLEADER: the first ping must not be half a tick later still."""
    async with watched(THREE, sync_limit=sync_limit) as (ensemble, _, witness):
        ensemble.write_s = Latency(write_ticks * 0.5)
        await ensemble.start()
        await trio.sleep(30)
        witness.assert_all_follow()
        assert len(witness.epochs) == 1


@pytest.mark.parametrize("ahead", [1, 20])
async def test_a_voter_whose_accepted_epoch_is_ahead_costs_one_leadership(
    ahead: int, autojump_clock: MockClock
) -> None:
    async with watched(THREE) as (ensemble, _, witness):
        await ensemble.start()
        await trio.sleep(2)
        ensemble.kill(1)
        await trio.sleep(1)
        await ensemble.storages[1].accept_epoch(1 + ahead)
        await ensemble.start(1)
        await trio.sleep(20)
        witness.assert_all_follow()
        assert len(witness.epochs) == 2
        assert witness.epochs[-1] > 1 + ahead


@pytest.mark.parametrize("before_s", [0.02 * step for step in range(1, 16)])
async def test_an_abstention_that_ends_while_an_election_is_put_off_ends_all_the_same(
    before_s: float, autojump_clock: MockClock
) -> None:
    """1 may not lead; 3 resigned and pauses, since it can't follow 2; then 2 is killed."""
    async with watched(THREE, init_limit=4) as (ensemble, net, witness):
        ensemble.options = ElectionOptions(candidate=False)
        await ensemble.start(1)
        ensemble.options = ElectionOptions()
        await ensemble.start(2, 3)
        await trio.sleep(2)
        assert witness.leader() == 3
        net.bind_errors.extend([IN_USE] * 1000)  # nobody can listen on its quorum port
        resigned = trio.current_time()
        await ensemble.running[3].member.resign()
        await trio.sleep_until(resigned + 4 * 0.5 - before_s)
        ensemble.kill(2)
        net.bind_errors.clear()
        await trio.sleep(20)
        assert witness.leader() == 3


@pytest.mark.parametrize(("claimed", "sid"), [(2**31 - 1, 1), (2**31 - 2, 77), (-7, 1)])
async def test_a_learner_can_not_use_up_the_epochs(claimed: int, sid: int, autojump_clock: MockClock) -> None:
    async with watched(THREE) as (ensemble, net, witness):
        await ensemble.start(2, 3)
        for _ in range(40):
            await trio.sleep(0.02)
            if HostPort(host(3), 2888) in net.listeners:
                stream = net.call(HostPort(host(3), 2888))
                info = encode_learner_info(LearnerInfo(sid, config_version=0, summary=StateSummary(0, 0)))
                said = QuorumPacket(PacketType.OBSERVERINFO, make_zxid(claimed, 0), info)
                await stream.send_all(encode_packet(said))
        await trio.sleep(5)
        witness.assert_all_follow()
        assert max(witness.epochs) < 10
