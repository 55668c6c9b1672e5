"""The heir: what is reserved for it in calm, and how it leads as soon as it is elected."""

import attrs
import pytest
import trio
from trio.testing import MockClock
from witness import FIVE, THREE, isolate, separate, watched

from trio_fle.election.electorate import Electorate
from trio_fle.election.options import ElectionOptions
from trio_fle.errors import PeerError, StorageError
from trio_fle.member.commitments import Commitments
from trio_fle.member.decisions import QuorumPort
from trio_fle.member.offered import Offered
from trio_fle.member.succession import LINGER_S, RESERVE_AFTER_S, RESERVE_AGAIN_AFTER_S
from trio_fle.sim.conditions import Conditions, Latency
from trio_fle.sim.members.disk import VirtualDisk
from trio_fle.sim.members.ensemble import VirtualEnsemble, captured_log, ensemble_of
from trio_fle.sim.members.network import VirtualNetwork
from trio_fle.storage import Followed, StoredVote
from trio_fle.vote import LearnerType, StateSummary
from trio_fle.zab import Discovery

LEASE_S = 2.5
FOLLOWED = Followed(3, 4, LEASE_S)
BEFORE = StoredVote(0, 4, 4, FOLLOWED)
RESERVED = StoredVote(0, 4, 4, FOLLOWED, 2)


def commitments(stored: StoredVote) -> Commitments:
    return Commitments(VirtualDisk(stored), trio.current_time, stored)


async def following() -> Commitments:
    """One that follows 3, of whom it accepted epoch 4, and has reserved the next one for 2."""
    held = commitments(StoredVote(0, 3, 3))
    await held.accept(3, 4, FOLLOWED)
    held.renew(3, 4, LEASE_S, trio.current_time())
    await held.reserve(2)
    return held


def disk(held: Commitments) -> VirtualDisk:
    assert isinstance(held.storage, VirtualDisk)
    return held.storage


# What one member commits itself to


async def test_the_reserved_epoch_is_accepted_without_a_write_and_promised(autojump_clock: MockClock) -> None:
    held = await following()
    writes = disk(held).writes
    held.release(3)
    assert held.accept_reserved(2, 5, LEASE_S)
    assert disk(held).writes == writes
    assert (held.stored.accepted_epoch, held.stored.followed) == (5, Followed(2, 5, LEASE_S))
    assert held.binds(1)
    assert not held.binds(2)
    assert await held.accept(2, 5, Followed(2, 5, LEASE_S)), "it was the first to propose it"
    assert not held.accept_reserved(2, 5, LEASE_S)
    await held.wait_free(1)
    assert trio.current_time() == pytest.approx(LEASE_S, abs=0.01)


async def test_it_is_written_with_whatever_is_next(autojump_clock: MockClock) -> None:
    held = await following()
    held.release(3)
    held.accept_reserved(2, 5, LEASE_S)
    held.begin_soon(5)
    await disk(held).settle()
    assert disk(held).stored == StoredVote(0, 5, 5, Followed(2, 5, LEASE_S)) == held.stored


@pytest.mark.parametrize(
    ("heir", "epoch", "lease_s"), [(1, 5, LEASE_S), (2, 6, LEASE_S), (2, 4, LEASE_S), (2, 5, LEASE_S + 0.1)]
)
async def test_nothing_else_is_accepted_so(
    heir: int, epoch: int, lease_s: float, autojump_clock: MockClock
) -> None:
    held = await following()
    held.release(3)
    assert not held.accept_reserved(heir, epoch, lease_s)


async def test_nor_while_the_leader_before_may_lead_nor_when_only_time_has_freed_from_it(
    autojump_clock: MockClock,
) -> None:
    held = await following()
    assert not held.accept_reserved(2, 5, LEASE_S)
    await trio.sleep(2 * LEASE_S)
    assert not held.binds(2)
    assert not held.accept_reserved(2, 5, LEASE_S), "a leader that hung may be followed again"


async def test_a_would_be_leader_is_told_of_no_epoch_that_was_accepted_of_itself(
    autojump_clock: MockClock,
) -> None:
    held = await following()
    assert held.told_epoch(2) == 4
    held.release(3)
    held.accept_reserved(2, 5, LEASE_S)
    assert (held.told_epoch(2), held.told_epoch(1)) == (4, 5)


async def test_until_a_reservation_is_durable_it_is_none(autojump_clock: MockClock) -> None:
    held = await following()
    disk(held).fails = StorageError("No space left on device")
    with pytest.raises(StorageError):
        await held.reserve(1)
    held.release(3)
    assert not held.accept_reserved(2, 5, LEASE_S), "the disk may name the other one by now"


async def test_a_restarted_process_may_have_accepted_what_was_reserved(autojump_clock: MockClock) -> None:
    held = commitments(RESERVED)
    assert held.highest_epoch == 5
    assert held.stored.accepted_epoch == 4
    held.release(3)
    assert not held.accept_reserved(2, 5, LEASE_S)
    assert held.binds(1), "it may have promised the heir"
    held.release(2)
    assert not held.binds(1)
    assert held.highest_epoch == 5
    assert not await held.accept(1, 5), "it may have been accepted of the heir"
    assert await held.accept(1, 6)


@pytest.mark.parametrize("heir_is_asked", [False, True])
async def test_it_has_not_where_its_leader_still_leads(
    heir_is_asked: bool, autojump_clock: MockClock
) -> None:
    held = commitments(RESERVED)
    assert not held.binds(3)
    if heir_is_asked:
        held.release(2)
    held.meet_leader(3, 4)
    assert held.highest_epoch == 4
    held.renew(3, 4, LEASE_S, trio.current_time())
    held.release(3)
    assert held.accept_reserved(2, 5, LEASE_S)


async def test_it_may_have_where_another_server_says_that_it_leads_that_epoch(
    autojump_clock: MockClock,
) -> None:
    """A would-be leader that failed may have proposed the same number, and not know yet that it did."""
    held = commitments(RESERVED)
    with pytest.raises(PeerError, match="it proposes epoch 4, and 5 may have been accepted"):
        held.meet_leader(1, 4)
    assert held.highest_epoch == 5


async def test_it_may_have_where_its_leader_is_back_with_another_epoch(autojump_clock: MockClock) -> None:
    held = commitments(RESERVED)
    held.meet_leader(3, 7)
    assert held.highest_epoch == 5
    assert held.binds(3)


# Whole ensembles


async def ready(ensemble: VirtualEnsemble, *, write_s: float = 0.0) -> None:
    ensemble.write_s = Latency(write_s)
    await ensemble.start()
    await trio.sleep(2)


def leads_what_it_offered(ensemble: VirtualEnsemble, sid: int) -> bool:
    leading = ensemble.running[sid].member._leading
    assert leading is not None
    offered, epoch = leading.offered, leading.discovery.new_epoch
    return offered is not None and offered.stands and offered.epoch == epoch


@pytest.mark.parametrize("roles", [THREE, FIVE])
async def test_the_heir_leads_without_a_wait_for_any_disk(
    roles: dict[int, str], autojump_clock: MockClock
) -> None:
    async with watched(roles) as (ensemble, _, witness):
        await ready(ensemble, write_s=0.2)
        heir = len(roles) - 1
        assert {ensemble.storages[sid].stored.heir for sid in range(1, heir + 1)} == {heir}
        ensemble.kill(heir + 1)
        began = trio.current_time()
        while not ensemble.running[heir].leads():  # noqa: ASYNC110
            await trio.sleep(0.001)
        assert trio.current_time() - began < 0.05
        assert leads_what_it_offered(ensemble, heir)
        await trio.sleep(3)
        witness.assert_all_follow()
        assert witness.epochs == [1, 2]
        assert ensemble.storages[1].stored.accepted_epoch == 2


async def test_whoever_crashes_before_it_wrote_that_down_counts_for_nobody_else(
    autojump_clock: MockClock,
) -> None:
    async with watched(THREE) as (ensemble, net, witness):
        await ready(ensemble, write_s=0.2)
        ensemble.kill(3)
        while not ensemble.running[2].leads():  # noqa: ASYNC110
            await trio.sleep(0.001)
        ensemble.crash(1)
        isolate(net, 2, THREE)
        await ensemble.start(1, 3)
        await trio.sleep(LEASE_S)
        assert witness.epochs == [1, 2]
        await trio.sleep(2 * LEASE_S)
        assert witness.leader() == 3
        assert witness.epochs == [1, 2, 3]


async def test_a_follower_that_crashes_and_comes_back_costs_a_leader_nothing(
    autojump_clock: MockClock,
) -> None:
    async with watched(THREE) as (ensemble, _, witness):
        await ready(ensemble)
        for sid in (1, 2):
            ensemble.crash(sid)
            await ensemble.start(sid)
            await trio.sleep(2)
        witness.assert_all_follow()
        assert witness.epochs == [1]
        ensemble.kill(3)
        await trio.sleep(2)
        assert leads_what_it_offered(ensemble, 2)


async def test_whoever_starts_again_tells_what_it_may_have_accepted(autojump_clock: MockClock) -> None:
    async with watched(THREE) as (ensemble, _, _):
        await ready(ensemble, write_s=0.2)
        ensemble.kill(3)
        while ensemble.running[1].member.commitments.stored.accepted_epoch < 2:  # noqa: ASYNC110
            await trio.sleep(0.001)
        ensemble.crash(1)
        await ensemble.start(1)
        (started,) = ensemble.running[1].named("member.started")
        assert started["accepted_epoch"] == 2
        assert ensemble.storages[1].stored.accepted_epoch == 1


async def test_a_silent_leader_is_replaced_as_ever(autojump_clock: MockClock) -> None:
    async with watched(THREE) as (ensemble, _, witness):
        await ready(ensemble)
        ensemble.hang(3)
        await trio.sleep(3 * LEASE_S)
        assert witness.leader() == 2
        assert ensemble.running[2].member._succession.offered is None


async def test_whoever_elects_deals_later_with_the_end_of_its_leaders_connection(
    autojump_clock: MockClock,
) -> None:
    async with watched(FIVE) as (ensemble, _, witness):
        await ready(ensemble)
        manager = ensemble.running[1].member.manager
        ensemble.kill(5)
        while not ensemble.running[4].leads():  # noqa: ASYNC110
            await trio.sleep(0.0001)
        assert 5 in manager.connected
        await trio.sleep(LINGER_S)
        assert 5 not in manager.connected
        ensemble.kill(3)
        await trio.sleep(0.001)
        assert 3 not in manager.connected, "it led nobody"
        await trio.sleep(2)
        assert witness.leader() == 4


async def test_who_accepts_tells_the_heir_alone(autojump_clock: MockClock) -> None:
    async with watched(FIVE) as (ensemble, _, witness):
        await ready(ensemble)
        ensemble.kill(5)
        await trio.sleep(2)
        witness.assert_all_follow()
        for sid in (1, 2, 3):
            *_, decided = ensemble.running[sid].named("election.decided")
            assert (decided["leader"], decided["settled"]) == (4, "joined")
            assert (decided["sent"], decided["received"]) == (1, 2), "an acceptance for an offer, and a word"


async def test_another_heir_is_named_a_second_after_the_first_is_gone(autojump_clock: MockClock) -> None:
    async with watched(FIVE) as (ensemble, _, _):
        await ready(ensemble)
        ensemble.crash(4)
        await trio.sleep(RESERVE_AGAIN_AFTER_S - 0.01)
        assert ensemble.storages[1].stored.heir == 4
        await trio.sleep(0.5)
        assert {ensemble.storages[sid].stored.heir for sid in (1, 2, 3)} == {3}
        ensemble.kill(5)
        await trio.sleep(1)
        assert leads_what_it_offered(ensemble, 3)


async def test_where_the_heir_is_gone_as_well_they_elect_as_ever(autojump_clock: MockClock) -> None:
    async with watched(FIVE) as (ensemble, _, witness):
        await ready(ensemble)
        ensemble.crash(4)
        ensemble.kill(5)
        await trio.sleep(2)
        assert witness.leader() == 3
        assert not leads_what_it_offered(ensemble, 3)
        witness.assert_all_follow()


async def test_an_heir_that_dies_as_it_is_elected_holds_nobody_up(autojump_clock: MockClock) -> None:
    async with watched(FIVE) as (ensemble, _, witness):
        await ready(ensemble)
        ensemble.kill(5)
        while ensemble.running[1].member.commitments.stored.accepted_epoch < 2:  # noqa: ASYNC110
            await trio.sleep(0.0001)
        ensemble.kill(4)
        began = trio.current_time()
        await trio.sleep(1)
        assert witness.leader() == 3
        assert witness.led[-1][0] - began < 0.5
        witness.assert_all_follow()


async def test_an_heir_that_dies_before_anybody_has_linked_with_it_is_found_gone_by_its_successor(
    autojump_clock: MockClock,
) -> None:
    """The successor has promised it a lease too, and nobody else would ask."""
    async with watched(FIVE) as (ensemble, net, witness):
        net.conditions = Conditions(Latency(0.005))
        ensemble.nursery.start_soon(net.run)
        await ready(ensemble)
        ensemble.kill(5)
        while ensemble.running[3].member.commitments.stored.accepted_epoch < 2:  # noqa: ASYNC110
            await trio.sleep(0.0005)
        assert ensemble.running[3].member.commitments.binds(3)
        ensemble.kill(4)
        began = trio.current_time()
        await trio.sleep(2)
        assert witness.leader() == 3
        assert witness.led[-1][0] - began < 1 < LEASE_S


@pytest.mark.parametrize("then", ["hangs", "is cut off", "loses its followers"])
async def test_who_accepted_and_did_not_hear_the_word_is_bound_for_a_lease_at_most(
    then: str, autojump_clock: MockClock
) -> None:
    """The heir leads without it, and later it is needed for a quorum, which looks in another round."""
    async with watched(FIVE) as (ensemble, net, witness):
        net.conditions = Conditions(Latency(0.0005))
        ensemble.nursery.start_soon(net.run)
        await ready(ensemble)
        ensemble.kill(5)
        while ensemble.running[3].member.commitments.stored.accepted_epoch < 2:  # noqa: ASYNC110
            await trio.sleep(0.0001)
        separate(net, 3, 4)
        await trio.sleep(3)
        assert witness.leader() == 4
        match then:
            case "hangs":
                ensemble.hang(4)
            case "is cut off":
                isolate(net, 4, FIVE)
            case _:
                ensemble.kill(1)
                await trio.sleep(3)
                net.mend_all()
        await trio.sleep(4 * LEASE_S)
        assert [member.leads() for member in ensemble.running.values()].count(True) == 1


@pytest.mark.parametrize("case", ["the heir is no candidate", "the heir is gone too"])
async def test_where_nothing_is_offered_the_end_of_the_leader_is_known_as_soon_as_it_matters(
    case: str, autojump_clock: MockClock
) -> None:
    async with watched(FIVE) as (ensemble, net, _):
        net.conditions = Conditions(Latency(0.0005))
        ensemble.nursery.start_soon(net.run)
        if case == "the heir is no candidate":
            ensemble.own_options = {4: ElectionOptions(candidate=False)}
        await ready(ensemble)
        if case == "the heir is gone too":
            ensemble.crash(4)
        ensemble.kill(5)
        began = trio.current_time()
        while not ensemble.running[3].leads():  # noqa: ASYNC110
            await trio.sleep(0.0002)
        assert trio.current_time() - began < LINGER_S


async def test_an_acceptance_that_comes_late_holds_nobody_to_what_it_was_released_from(
    autojump_clock: MockClock,
) -> None:
    async with watched(THREE) as (ensemble, _, _):
        await ready(ensemble)
        ensemble.kill(3)
        await trio.sleep(1)
        leading = ensemble.running[2].member._leading
        assert leading is not None
        assert leading.learners.followers == {1}
        leading.offer_accepted(1)
        assert leading.learners.expected == set()
        await ensemble.stop(1)
        assert not ensemble.running[2].leads(), "its body has ended before a follower was let go"


async def test_the_lease_counts_from_before_the_offer_was_sent(autojump_clock: MockClock) -> None:
    async with watched(THREE) as (ensemble, net, _):
        net.conditions = Conditions(Latency(0.005))
        ensemble.nursery.start_soon(net.run)
        await ready(ensemble)
        ensemble.kill(3)
        heir = ensemble.running[2]
        while not heir.leads():  # noqa: ASYNC110
            await trio.sleep(0.0005)
        leading = heir.member._leading
        assert leading is not None
        assert leading.offered is not None
        assert leading.leadership is not None
        assert trio.current_time() >= leading.offered.at + 0.01, "there and back again"
        assert leading.leadership.lease_end == leading.offered.at + leading.lease.usable_s


@pytest.mark.parametrize(("version", "stands"), [(0, True), (7, False)])
async def test_what_was_offered_under_another_configuration_is_void(
    version: int, stands: bool, autojump_clock: MockClock
) -> None:
    held = await following()
    held.release(3)
    offered = Offered(5, 0.0, 0, ensemble_of(THREE))
    now = attrs.evolve(ensemble_of(THREE), version=version)
    discovery = Discovery(Electorate(2, LearnerType.PARTICIPANT, True, now, now), StateSummary(4, 0))
    port = QuorumPort(VirtualNetwork().host("192.0.2.2"), list, captured_log()[0])
    assert offered.propose(discovery, port, held) == stands
    assert held.stored.accepted_epoch == (5 if stands else 4)


@pytest.mark.parametrize("lived_ms", [0, 10, *range(22, 46), 60, 90])
async def test_whoever_stops_leaves_nothing_reserved_and_follows_at_once_when_it_is_back(
    lived_ms: int, autojump_clock: MockClock
) -> None:
    """A reservation that was written after the promise was forgotten kept it from its leader for good."""
    async with watched(THREE) as (ensemble, _, witness):
        ensemble.write_s = Latency(0.02)
        await ensemble.start()
        while not witness.led:  # noqa: ASYNC110
            await trio.sleep(0.001)
        await trio.sleep(lived_ms / 1000)
        await ensemble.stop(1)
        assert (ensemble.storages[1].stored.followed, ensemble.storages[1].stored.heir) == (None, None)
        await ensemble.start(1)
        await trio.sleep(1)
        witness.assert_all_follow()
        assert witness.epochs == [1]


async def test_who_follows_nobody_reserves_nothing(autojump_clock: MockClock) -> None:
    held = await following()
    await held.forget()
    writes = disk(held).writes
    await held.reserve(1)
    assert (held.stored.heir, disk(held).stored.heir, disk(held).writes) == (None, None, writes)


async def test_nothing_is_reserved_in_the_first_moments(autojump_clock: MockClock) -> None:
    async with watched(THREE) as (ensemble, _, witness):
        await ensemble.start()
        while not witness.led:  # noqa: ASYNC110
            await trio.sleep(0.001)
        await trio.sleep(RESERVE_AFTER_S / 2)
        assert ensemble.storages[1].stored.heir is None
        await trio.sleep(RESERVE_AFTER_S)
        assert ensemble.storages[1].stored.heir == 2
