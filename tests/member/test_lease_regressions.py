"""What once let two members lead, or none of them ever."""

import struct

import pytest
import trio
from socket_errors import IN_USE
from trio.testing import MockClock, wait_all_tasks_blocked
from witness import FIVE, THREE, Witness, host, isolate, separate, watched

from trio_fle.ensemble import HostPort
from trio_fle.member.term import Leadership
from trio_fle.sim.members.disk import VirtualDisk
from trio_fle.sim.members.ensemble import VirtualEnsemble
from trio_fle.sim.members.network import VirtualNetwork
from trio_fle.storage import Followed
from trio_fle.vote import PeerState
from trio_fle.wire import Hello, encode_frame, encode_hello

LEASE_S = 2.5


def reset(net: VirtualNetwork, here: int, there: int) -> None:
    """Break all connections between two hosts at one end; the other learns nothing."""
    for stream in net.between(host(here), host(there)):
        if stream.here == host(here):
            stream.reset()


def followed(ensemble: VirtualEnsemble, sid: int) -> Followed | None:
    storage = ensemble.storages[sid]
    assert isinstance(storage, VirtualDisk)
    return storage.stored.followed


async def led_by_3_with_1(ensemble: VirtualEnsemble, net: VirtualNetwork) -> None:
    """3 leads and 1 follows; the two are then cut off from each other, and 2 never knew of 3."""
    separate(net, 3, 2)
    await ensemble.start(1, 3)
    await trio.sleep(2)
    assert ensemble.leader() == 3
    separate(net, 3, 1)


# What frees a follower


async def test_a_follower_of_another_that_stops_keeps_its_promise_to_the_leader_before(
    autojump_clock: MockClock,
) -> None:
    async with watched(THREE) as (ensemble, net, witness):
        await led_by_3_with_1(ensemble, net)
        reset(net, 1, 3)
        await ensemble.start(2, epoch=1)
        await trio.sleep(0.7)
        assert ensemble.roles_now()[1] == ("FOLLOWING", 2), "linked with it, and bound to 3"
        assert witness.leader() == 3
        await ensemble.stop(1)
        assert followed(ensemble, 1) is not None
        await ensemble.start(1)
        await trio.sleep(5)
        assert witness.leader() == 2


async def test_a_follower_that_was_reset_while_it_said_goodbye_keeps_its_promise(
    autojump_clock: MockClock,
) -> None:
    async with watched(THREE) as (ensemble, net, witness):
        await led_by_3_with_1(ensemble, net)
        ensemble.running[1].stop.set()
        await trio.sleep(0.1)
        reset(net, 1, 3)
        await ensemble.stop(1)
        assert followed(ensemble, 1) is not None
        await ensemble.start(1, 2)
        await trio.sleep(6)
        assert witness.leader() == 1, "it has the higher epoch"


async def test_a_follower_whose_leader_stays_silent_while_it_says_goodbye_keeps_its_promise(
    autojump_clock: MockClock,
) -> None:
    async with watched(THREE) as (ensemble, net, witness):
        await led_by_3_with_1(ensemble, net)
        await ensemble.stop(1)
        assert followed(ensemble, 1) is not None
        await ensemble.start(1, 2)
        await trio.sleep(5)
        assert witness.leader() == 1


async def forge_looking(net: VirtualNetwork, victim: int, claimed: int, round_: int) -> trio.abc.Stream:
    """Say under another's id that it looks for a leader."""
    stream = net.call(HostPort(host(victim), 3888), "198.51.100.7")
    await stream.send_all(encode_hello(Hello(claimed, (HostPort(host(claimed), 3888),))))
    said = struct.pack(">iqqqqi", PeerState.LOOKING, claimed, 0, round_, 0, 1)
    await stream.send_all(encode_frame(said))
    return stream


@pytest.mark.parametrize("round_", [1, 2, 2**40])
async def test_one_notification_under_the_id_of_the_leader_frees_nobody(
    round_: int, autojump_clock: MockClock
) -> None:
    async with watched(THREE) as (ensemble, net, witness):
        await led_by_3_with_1(ensemble, net)
        async with await forge_looking(net, 1, 3, round_):
            await trio.sleep(0.05)
            assert ensemble.running[1].member.commitments.binds(2)
            reset(net, 1, 3)
            await ensemble.start(2, epoch=1)
            await trio.sleep(6)
        assert witness.leader() == 2


# How long a leader is to be waited for


async def clean_up_and_end(witness: Witness, ensemble: VirtualEnsemble, cleaned_s: float) -> None:
    """Cancel the leader's block when it has cleaned up for so long, with a second or so left."""
    await trio.sleep(cleaned_s)
    assert witness.bodies == {3}
    ensemble.kill(3)
    await trio.sleep(0.9)
    assert witness.bodies == {3}, "it still cleans up"
    await trio.sleep(6)
    assert witness.bodies == {2}
    assert witness.leader() == 2


@pytest.mark.parametrize("cleaned_s", [1.0, LEASE_S, 3 * LEASE_S])
async def test_a_resigned_leader_that_is_cancelled_while_it_cleans_up_is_waited_for(
    cleaned_s: float, autojump_clock: MockClock
) -> None:
    witness = Witness(cleanup_s=lambda: cleaned_s + 1 if ensemble.running.get(3) else 0, survives=True)
    async with watched(THREE, witness=witness) as (ensemble, _, _):
        await ensemble.start()
        await trio.sleep(2)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ensemble.running[3].member.resign)
            await clean_up_and_end(witness, ensemble, cleaned_s)
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("cleaned_s", [1.0, LEASE_S, 3 * LEASE_S])
async def test_a_leader_that_lost_its_quorum_and_is_cancelled_while_it_cleans_up_is_waited_for(
    cleaned_s: float, autojump_clock: MockClock
) -> None:
    witness = Witness(cleanup_s=lambda: cleaned_s + 1.6 if ensemble.running.get(3) else 0, survives=True)
    async with watched(THREE, witness=witness) as (ensemble, net, _):
        await ensemble.start()
        await trio.sleep(2)
        isolate(net, 3, THREE)
        await trio.sleep(1.75)
        assert not ensemble.running[3].leads()
        net.mend_all()
        await clean_up_and_end(witness, ensemble, cleaned_s)


async def test_all_that_wait_until_a_leadership_is_vacated_are_woken(autojump_clock: MockClock) -> None:
    leadership = Leadership(1, 1, trio.current_time, 10.0)
    scopes = [leadership.enter(), leadership.enter()]
    with trio.move_on_after(1) as patience:
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(leadership.wait_vacated)
                await wait_all_tasks_blocked()
            for scope in scopes:
                leadership.leave(scope)
    assert not patience.cancelled_caught


# Ensembles that must find together again


@pytest.mark.parametrize(("init_limit", "sync_limit"), [(2, 5), (2, 10), (1, 5), (5, 5)])
@pytest.mark.parametrize("again", [1, 2, 4])
async def test_voters_restarted_within_the_lease_follow_one_leader_in_the_end(
    init_limit: int, sync_limit: int, again: int, autojump_clock: MockClock
) -> None:
    async with watched(THREE, init_limit=init_limit, sync_limit=sync_limit) as (ensemble, net, witness):
        await ensemble.start()
        await trio.sleep(2)
        for _ in range(again):
            isolate(net, 3, THREE)
            for sid in (1, 2):
                ensemble.kill(sid)
                await ensemble.start(sid)
                await trio.sleep(0.3)
            net.mend_all()
            await trio.sleep(0.5)
        await trio.sleep(sync_limit * 0.5 + 10)
        witness.assert_all_follow()


@pytest.mark.parametrize(("init_limit", "sync_limit"), [(2, 5), (2, 10), (1, 5), (5, 5)])
async def test_a_leader_whose_lease_outlasts_the_patience_of_all_others_is_replaced(
    init_limit: int, sync_limit: int, autojump_clock: MockClock
) -> None:
    async with watched(THREE, init_limit=init_limit, sync_limit=sync_limit) as (ensemble, net, witness):
        await ensemble.start()
        await trio.sleep(2)
        isolate(net, 3, THREE)
        for sid in (1, 2):
            reset(net, sid, 3)
        await trio.sleep(sync_limit * 0.5 + 10)
        assert witness.leader() == 2
        net.mend_all()
        await trio.sleep(10)
        witness.assert_all_follow()


@pytest.mark.parametrize(("init_limit", "sync_limit"), [(2, 10), (3, 10), (2, 20)])
async def test_a_voter_that_stood_for_leader_while_all_were_bound_follows_in_the_end(
    init_limit: int, sync_limit: int, autojump_clock: MockClock
) -> None:
    """2 tried in vain to lead 1, as long as the lease of 3 lasted; then 3 and 1 find together again."""
    lease_s = sync_limit * 0.5
    async with watched(THREE, init_limit=init_limit, sync_limit=sync_limit) as (ensemble, net, witness):
        await ensemble.start()
        await trio.sleep(2)
        isolate(net, 3, THREE)
        for sid in (1, 2):
            reset(net, sid, 3)
        await trio.sleep(lease_s * 0.7)
        isolate(net, 2, THREE)
        reset(net, 1, 2)
        await trio.sleep(lease_s * 0.1)
        net.mend(host(1), host(3))
        net.mend(host(3), host(1))
        await trio.sleep(lease_s + 2)
        assert witness.leader() == 3
        net.mend_all()
        await trio.sleep(lease_s + 10)
        witness.assert_all_follow()


@pytest.mark.parametrize("ahead", [1, 2])
@pytest.mark.parametrize("accepted", [2, 7])
async def test_a_voter_whose_accepted_epoch_ran_ahead_follows_in_the_end(
    ahead: int, accepted: int, autojump_clock: MockClock
) -> None:
    """It accepted an epoch of a leader that nobody else acknowledged."""
    async with watched(THREE) as (ensemble, _, witness):
        await ensemble.start(*THREE.keys() - {ahead})
        await trio.sleep(2)
        before = witness.leader()
        await ensemble.start(ahead)
        await trio.sleep(1)
        ensemble.kill(ahead)
        await ensemble.storages[ahead].accept_epoch(accepted)
        await ensemble.start(ahead)
        await trio.sleep(20)
        witness.assert_all_follow()
        assert before in (2, 3)


# Stopping


async def stopped_in_time(ensemble: VirtualEnsemble, sid: int) -> None:
    with trio.move_on_after(2) as patience:
        await ensemble.running[sid].member.stop()
    assert not patience.cancelled_caught, f"{sid} plays {ensemble.running[sid].role()}"
    ensemble.kill(sid)


@pytest.mark.parametrize("sid", [1, 2, 3])
async def test_a_member_can_be_stopped_at_every_step_after_the_decision(
    sid: int, autojump_clock: MockClock
) -> None:
    for steps in [*range(6)] * 4 + [*range(6, 40, 2)]:
        async with watched(THREE) as (ensemble, _, _):
            await ensemble.start()
            await ensemble.running[sid].decision()
            for _ in range(steps):
                await trio.lowlevel.checkpoint()
            await stopped_in_time(ensemble, sid)


@pytest.mark.parametrize("sid", [1, 2, 3])
async def test_a_member_can_be_stopped_at_any_time_of_its_start(sid: int, autojump_clock: MockClock) -> None:
    for step in range(25):
        async with watched(THREE) as (ensemble, _, _):
            await ensemble.start()
            await trio.sleep(step * 0.002)
            await stopped_in_time(ensemble, sid)


@pytest.mark.parametrize("sid", [1, 2])
async def test_a_member_can_be_stopped_at_any_time_after_its_leader_was_killed(
    sid: int, autojump_clock: MockClock
) -> None:
    for step_ms in [*range(10), *range(10, 50, 4)]:
        async with watched(THREE) as (ensemble, _, _):
            await ensemble.start()
            await trio.sleep(1)
            ensemble.kill(3)
            await trio.sleep(step_ms / 1000)
            await stopped_in_time(ensemble, sid)


@pytest.mark.parametrize("sid", [1, 3])
async def test_a_member_whose_elections_come_to_nothing_can_be_stopped_at_any_time(
    sid: int, autojump_clock: MockClock
) -> None:
    for step in range(24):
        async with watched(THREE) as (ensemble, net, _):
            await ensemble.start()
            net.bind_errors.extend([IN_USE] * 1000)
            await trio.sleep(1 + step * 0.05)
            await stopped_in_time(ensemble, sid)


# Time goes on


@pytest.mark.parametrize("sync_limit", [1, 2])
async def test_a_lease_that_ends_within_a_rounding_error_does_not_keep_the_leader_busy(
    sync_limit: int, autojump_clock: MockClock
) -> None:
    for step in range(20):
        rate = 0.96 + step * 0.004
        async with watched(
            # a clean-up in less than the third of such a lease that is left for it
            THREE,
            {3: rate},
            init_limit=2,
            sync_limit=sync_limit,
            witness=Witness(cleanup_s=lambda: 0.1),
        ) as (ensemble, net, _):
            await ensemble.start()
            await trio.sleep(1 + step * 0.0137)
            isolate(net, 3, THREE)
            await trio.sleep(sync_limit * 0.5)


@pytest.mark.parametrize("seed", range(10))
async def test_five_with_short_limits_are_led(seed: int, autojump_clock: MockClock) -> None:
    async with watched(FIVE, {5: 1 + seed * 0.003}, init_limit=2, sync_limit=2) as (ensemble, _, witness):
        await ensemble.start()
        await trio.sleep(10)
        witness.assert_all_follow()
