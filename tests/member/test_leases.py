"""Two members never lead at the same time: what each cut, reset and restart leads to."""

import pytest
import trio
from trio.testing import MockClock
from witness import THREE, host, isolate, watched

from trio_fle.sim.members.disk import VirtualDisk

LEASE_S = 2.5
"""syncLimit 5 * tickTime 500 ms; less the margin of 10 %."""


async def test_a_killed_leader_is_replaced_at_once(autojump_clock: MockClock) -> None:
    async with watched(THREE) as (ensemble, _, witness):
        await ensemble.start()
        await trio.sleep(2)
        ensemble.kill(witness.leader())
        await trio.sleep(0.5)
        assert witness.leader() == 2
        assert witness.epochs == [1, 2]


async def test_a_leader_that_is_cut_off_is_replaced_once_its_lease_is_over(autojump_clock: MockClock) -> None:
    async with watched(THREE) as (ensemble, net, witness):
        await ensemble.start()
        await trio.sleep(2)
        isolate(net, 3, THREE)
        cut_at = trio.current_time()
        await trio.sleep(1.2)
        assert witness.leader() == 3, "two thirds of the lease have not passed since the last ping"
        await trio.sleep(0.8)
        assert not ensemble.running[3].leads()
        await trio.sleep(2)
        assert witness.leader() == 2
        heard_before_s = 0.25  # the last ping, by which its followers' promises count
        assert LEASE_S - heard_before_s <= witness.led[-1][0] - cut_at < LEASE_S + 1
        net.mend_all()
        await trio.sleep(2)
        assert witness.leader() == 2
        assert ensemble.running[3].role() == ("FOLLOWING", 2)


@pytest.mark.parametrize("towards", [True, False])
async def test_a_leader_that_is_cut_off_one_way_only_ends_as_well(
    towards: bool, autojump_clock: MockClock
) -> None:
    async with watched(THREE) as (ensemble, net, witness):
        await ensemble.start()
        await trio.sleep(2)
        for other in (1, 2):
            net.cut(*((host(other), host(3)) if towards else (host(3), host(other))))
        await trio.sleep(8)
        assert witness.leader() == 2
        net.mend_all()
        await trio.sleep(5)
        assert {member.role()[1] for member in ensemble.running.values()} == {witness.leader()}


async def test_a_reset_that_only_the_followers_see_does_not_free_them(autojump_clock: MockClock) -> None:
    async with watched(THREE) as (ensemble, net, witness):
        await ensemble.start()
        await trio.sleep(2)
        for other in (1, 2):
            for stream in net.between(host(3), host(other)):
                if stream.here == host(other):
                    stream.reset()
            net.cut(host(3), host(other))
            net.cut(host(other), host(3))
        before = trio.current_time()
        await trio.sleep(5)
        assert witness.leader() == 2
        assert witness.led[-1][0] - before > LEASE_S * 0.9, "the old lease ran out first"


async def test_followers_restarted_within_the_lease_keep_the_promise_of_their_former_selves(
    autojump_clock: MockClock,
) -> None:
    async with watched(THREE) as (ensemble, net, witness):
        await ensemble.start()
        await trio.sleep(2)
        isolate(net, 3, THREE)
        for sid in (1, 2):
            ensemble.kill(sid)
            await ensemble.start(sid)
        restarted = trio.current_time()
        await trio.sleep(LEASE_S - 0.1)
        assert not ensemble.running[2].leads()
        assert not ensemble.running[3].leads()
        stalled = ensemble.running[2].named("election.stalled")
        assert [(each["because"], each["missing"]) for each in stalled] == [("waiting_lease", [3])]
        await trio.sleep(1)
        assert witness.leader() == 2
        assert witness.led[-1][0] - restarted >= LEASE_S


async def test_an_ensemble_that_is_restarted_as_a_whole_does_not_wait(autojump_clock: MockClock) -> None:
    async with watched(THREE) as (ensemble, _, witness):
        await ensemble.start()
        await trio.sleep(2)
        for sid in (1, 2, 3):
            ensemble.kill(sid)
        await ensemble.start()
        await trio.sleep(0.6)
        assert witness.leader() == 3
        assert witness.epochs == [1, 3], "epoch 2 was reserved, and may have been accepted"


async def test_a_follower_that_stops_in_good_order_leaves_no_promise_behind(
    autojump_clock: MockClock,
) -> None:
    async with watched(THREE) as (ensemble, _, witness):
        await ensemble.start()
        await trio.sleep(2)
        storage = ensemble.storages[1]
        assert isinstance(storage, VirtualDisk)
        assert storage.stored.followed is not None
        ensemble.running.pop(1).stop.set()
        await trio.sleep(1)
        assert storage.stored.followed is None
        assert witness.leader() == 3


async def test_a_leader_that_loses_its_last_follower_stops_first_what_it_guards(
    autojump_clock: MockClock,
) -> None:
    """The follower leaves in good order; until the body has ended it is not let go."""
    async with watched(THREE) as (ensemble, _, witness):
        await ensemble.start(2, 3)
        await trio.sleep(2)
        assert witness.bodies == {3}
        storage = ensemble.storages[2]
        leaving = ensemble.running.pop(2)
        leaving.stop.set()
        await trio.sleep(0.1)
        assert not ensemble.running[3].leads()
        assert witness.bodies == {3}, "it cleans up"
        assert storage.stored.followed is not None
        await trio.sleep(0.4)
        assert witness.bodies == set()
        assert storage.stored.followed is None


async def test_a_resigning_leader_is_followed_by_another_that_begins_after_its_body_has_ended(
    autojump_clock: MockClock,
) -> None:
    async with watched(THREE) as (ensemble, _, witness):
        await ensemble.start()
        await trio.sleep(2)
        began = trio.current_time()
        await ensemble.running[3].member.resign()
        assert trio.current_time() - began == pytest.approx(0.3, abs=0.05)
        await trio.sleep(0.5)
        assert witness.leader() == 2
        await trio.sleep(10)
        assert witness.leader() == 2, "it follows, though its id is the higher"


async def test_a_leader_whom_nobody_can_replace_leads_again_after_it_resigned(
    autojump_clock: MockClock,
) -> None:
    roles = {1: "participant"}
    async with watched(roles) as (ensemble, _, witness):
        await ensemble.start()
        await trio.sleep(1)
        assert witness.leader() == 1
        await ensemble.running[1].member.resign()
        await trio.sleep(1)
        assert not ensemble.running[1].leads()
        await trio.sleep(5)
        assert witness.leader() == 1


async def test_clocks_that_differ_by_less_than_the_margin_do_no_harm(autojump_clock: MockClock) -> None:
    """The leader's clock is slow, its followers' are fast: the worst case."""
    async with watched(THREE, {1: 1.04, 2: 1.04, 3: 0.96}) as (ensemble, net, witness):
        await ensemble.start()
        for _ in range(5):
            await trio.sleep(3)
            isolate(net, witness.leader(), THREE)
            await trio.sleep(6)
            net.mend_all()
        assert len(witness.led) == 6


async def test_clocks_that_differ_by_more_than_the_margin_are_noticed_here(autojump_clock: MockClock) -> None:
    """The test of the tests: without the margin two members would lead."""
    noticed = pytest.RaisesExc(AssertionError, match="lead at|still work")
    with pytest.RaisesGroup(noticed, flatten_subgroups=True):
        async with watched(THREE, {1: 2.5, 2: 2.5, 3: 0.4}) as (ensemble, net, witness):
            await ensemble.start()
            await trio.sleep(5)
            isolate(net, witness.leader(), THREE)
            await trio.sleep(10)
