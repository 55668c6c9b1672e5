"""What a member has promised, for how long, and what alone sets it free before."""

from typing import Any

import attrs
import pytest
import trio
from learners import INIT_S, SYNC_S, THREE, ScriptedLeader, ScriptedVoter, Stage, host, quorum_port, stage
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_fle.ensemble import HostPort
from trio_fle.errors import PeerError, StorageError
from trio_fle.member.commitments import Commitments
from trio_fle.member.gone import GoneLeader
from trio_fle.sim.members.disk import VirtualDisk
from trio_fle.sim.members.ensemble import captured_log, ensemble_of
from trio_fle.sim.members.network import VirtualNetwork
from trio_fle.storage import Followed, StoredVote
from trio_fle.vote import PeerState, Vote, make_zxid
from trio_fle.wire.packet import PacketType

LEASE_S = 2.5
FOLLOWED = Followed(1, 4, LEASE_S)
FULL = StorageError("No space left on device")


def commitments(stored: StoredVote, *, rate: float = 1.0) -> Commitments:
    return Commitments(VirtualDisk(stored), lambda: trio.current_time() * rate, stored)


def disk(held: Commitments) -> VirtualDisk:
    assert isinstance(held.storage, VirtualDisk)
    return held.storage


FRESH = StoredVote(0, 3, 4)
RESTARTED = StoredVote(0, 4, 4, FOLLOWED)


# Epochs


async def test_an_epoch_is_accepted_once_and_none_below_it(autojump_clock: MockClock) -> None:
    held = commitments(FRESH)
    assert await held.accept(1, 6)
    assert held.stored == StoredVote(0, 3, 6)
    with pytest.raises(PeerError, match="it proposes epoch 5, and 6 has been accepted"):
        await held.accept(1, 5)
    assert disk(held).stored == held.stored
    assert disk(held).writes == 1


async def test_an_epoch_is_accepted_of_one_leader_only(autojump_clock: MockClock) -> None:
    """Another one may be followed under the same number, once it is established; that does not count."""
    held = commitments(FRESH)
    assert await held.accept(1, 6, Followed(1, 6, LEASE_S))
    assert await held.accept(1, 6, Followed(1, 6, LEASE_S)), "its link had broken"
    assert not await held.accept(2, 6, Followed(2, 6, LEASE_S))
    assert held.stored.followed == Followed(2, 6, LEASE_S), "the promise is to that one now"
    assert not await held.accept(2, 6, Followed(2, 6, LEASE_S))
    assert await held.accept(1, 6)
    assert await held.accept(2, 7)


async def test_an_observer_keeps_what_it_promised_as_a_voter(autojump_clock: MockClock) -> None:
    """The lease of its leader may rest on that, and it may be a voter again before the lease is over."""
    held = commitments(RESTARTED)
    await held.accept(1, 5)
    assert held.stored.followed == FOLLOWED == disk(held).stored.followed
    await trio.sleep(LEASE_S)
    await held.accept(1, 6)
    assert held.stored.followed is None


async def test_whose_an_epoch_was_is_forgotten_by_a_restart(autojump_clock: MockClock) -> None:
    held = commitments(RESTARTED)
    assert not await held.accept(1, 4, FOLLOWED)
    assert disk(held).writes == 0, "it holds all that already"


async def test_what_can_not_be_written_has_not_changed_in_memory_either(autojump_clock: MockClock) -> None:
    """EpochWriteFailureTest (ZOOKEEPER-2307)."""
    held = commitments(RESTARTED)
    disk(held).fails = FULL
    for attempt in (held.accept(1, 9), held.begin(4), held.forget()):
        with pytest.raises(StorageError):
            await attempt
        assert held.stored == RESTARTED == disk(held).stored


async def test_beginning_an_epoch_changes_nothing_else(autojump_clock: MockClock) -> None:
    held = commitments(attrs.evolve(RESTARTED, epoch=3))
    await held.begin(4)
    assert held.stored == RESTARTED == disk(held).stored


async def test_an_epoch_that_begins_soon_is_current_at_once_and_durable_later(
    autojump_clock: MockClock,
) -> None:
    held = commitments(FRESH)
    held.begin_soon(4)
    assert held.stored.epoch == 4
    assert disk(held).stored.epoch == 3
    await disk(held).settle()
    assert disk(held).stored.epoch == 4


# The promise


async def test_a_restarted_process_is_bound_for_the_whole_lease_from_its_start(
    autojump_clock: MockClock,
) -> None:
    await trio.sleep(10)
    held, began = commitments(RESTARTED), trio.current_time()
    assert held.binds(2)
    assert not held.binds(1), "its leader may propose another epoch"
    await held.wait_free(1)
    assert trio.current_time() == began
    await held.wait_free(2)
    assert trio.current_time() - began == pytest.approx(LEASE_S, abs=0.01)
    assert not held.binds(2)


async def test_a_process_that_followed_nobody_is_free(autojump_clock: MockClock) -> None:
    held = commitments(FRESH)
    assert not held.binds(2)
    await held.wait_free(2)
    assert trio.current_time() == 0


@pytest.mark.parametrize("rate", [0.5, 2.0])
async def test_the_lease_clock_counts_and_no_other(rate: float, autojump_clock: MockClock) -> None:
    held = commitments(RESTARTED, rate=rate)
    await held.wait_free(2)
    assert LEASE_S / rate <= trio.current_time() < LEASE_S / rate + 0.3, "it is looked at once a second"


async def test_a_renewed_promise_is_longer_and_never_shorter(autojump_clock: MockClock) -> None:
    held = commitments(FRESH)
    held.renew(1, 4, LEASE_S, arrived=10.0)
    held.renew(1, 4, LEASE_S, arrived=5.0)
    assert held.promise is not None
    assert held.promise.until == 12.5
    held.renew(1, 4, LEASE_S, arrived=20.0)
    assert held.promise.until == 22.5


async def test_a_promise_of_another_epoch_takes_the_place_of_the_one_before(
    autojump_clock: MockClock,
) -> None:
    held = commitments(RESTARTED)
    await trio.sleep(1)
    held.renew(1, 5, 0.1, arrived=1.0)
    assert held.promise is not None
    assert (held.promise.epoch, held.promise.until) == (5, 1.1)


async def test_a_release_wakes_who_waits_and_concerns_that_leader_only(autojump_clock: MockClock) -> None:
    held = commitments(RESTARTED)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(held.wait_free, 2)
        await trio.sleep(0.5)
        held.release(3)
        assert held.binds(2)
        await trio.sleep(0.25)
        held.release(1)
    assert trio.current_time() == 0.75
    assert held.stored.followed == FOLLOWED, "the disk is not touched for it"


async def test_a_clean_stop_forgets_the_promise_on_disk(autojump_clock: MockClock) -> None:
    held = commitments(RESTARTED)
    await held.forget()
    assert not held.binds(2)
    assert disk(held).stored == StoredVote(0, 4, 4)
    await held.forget()
    assert disk(held).writes == 1


# Whether the leader is gone


async def swallow_callers(net: VirtualNetwork) -> ScriptedLeader:
    return await ScriptedLeader(net, 1).listen()


async def find_out(held: Commitments, net: VirtualNetwork, log: Any) -> None:
    async with trio.open_nursery() as nursery:
        gone = GoneLeader(held, lambda: ensemble_of(THREE).servers, net.host(host(2)), log)
        gone.nursery = nursery
        gone.find_out()


def cut(net: VirtualNetwork) -> None:
    net.cut(host(2), host(1))
    net.cut(host(1), host(2))


async def test_a_port_that_refuses_frees_at_once(autojump_clock: MockClock) -> None:
    net, held = VirtualNetwork(), commitments(RESTARTED)
    log, events = captured_log()
    await find_out(held, net, log)
    assert trio.current_time() < 0.05
    assert not held.binds(2)
    assert net.dialled == [(host(2), quorum_port(1))]
    assert [each["event"] for each in events] == ["promise.released"]


async def test_a_name_that_leads_elsewhere_by_now_does_not_free(autojump_clock: MockClock) -> None:
    """The leader may go on at its old address, cut off: whoever refuses at the new one says nothing of it."""
    net, held = VirtualNetwork(), commitments(FRESH)
    log, events = captured_log()
    old = HostPort("203.0.113.9", 2888)
    (listener,) = await net.host(old.host).listen([old])
    held.renew(1, 4, LEASE_S, arrived=trio.current_time(), where=old)
    await find_out(held, net, log)
    assert trio.current_time() == pytest.approx(LEASE_S, abs=0.3)
    assert events == []
    assert {address for _, address in net.dialled} == {old}
    await listener.aclose()
    held.renew(1, 4, LEASE_S, arrived=trio.current_time(), where=old)
    await find_out(held, net, log)
    assert not held.binds(2), "and it frees once that one refuses"


async def test_a_port_that_listens_does_not_free(autojump_clock: MockClock) -> None:
    net, held = VirtualNetwork(), commitments(RESTARTED)
    log, events = captured_log()
    await swallow_callers(net)
    await find_out(held, net, log)
    assert trio.current_time() == pytest.approx(LEASE_S, abs=0.3)
    assert held.promise is not None
    assert events == []
    assert len(net.dialled) > 5, "it was asked again and again"
    assert all(stream.closed for stream in net.streams if stream.here == host(2))


@pytest.mark.parametrize("mended_after_s", [None, 1.5])
async def test_a_host_that_can_not_be_reached_does_not_free_before_it_refuses(
    mended_after_s: float | None, autojump_clock: MockClock
) -> None:
    """Nobody listens there; but while the path is cut that is not known."""
    net, held = VirtualNetwork(), commitments(RESTARTED)
    log, events = captured_log()
    cut(net)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(find_out, held, net, log)
        await trio.sleep(1.4)
        assert held.binds(2)
        if mended_after_s is None:
            await held.wait_free(2)
            assert trio.current_time() == pytest.approx(LEASE_S, abs=0.01)
            assert events == []
        else:
            await trio.sleep_until(mended_after_s)
            net.mend_all()
            await held.wait_free(2)
            assert trio.current_time() < mended_after_s + 0.3
            assert [each["event"] for each in events] == ["promise.released"]


async def test_a_dial_that_never_returns_does_not_free_and_ends_with_the_lease(
    autojump_clock: MockClock,
) -> None:
    net, held = VirtualNetwork(), commitments(RESTARTED)
    log, events = captured_log()
    net.black_holes.add(quorum_port(1))
    await find_out(held, net, log)
    assert trio.current_time() == pytest.approx(LEASE_S, abs=0.01)
    assert events == []


async def test_a_leader_that_ends_later_frees_then(autojump_clock: MockClock) -> None:
    net, held = VirtualNetwork(), commitments(RESTARTED)
    log, events = captured_log()
    leader = await swallow_callers(net)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(find_out, held, net, log)
        await trio.sleep(1)
        assert held.binds(2)
        await leader.listener.aclose()
        await held.wait_free(2)
    assert 1 < trio.current_time() < 1.3
    assert [(each["leader"], each["epoch"]) for each in events] == [(1, 4)]


async def test_a_refusal_frees_of_no_promise_that_was_made_meanwhile(autojump_clock: MockClock) -> None:
    net, held = VirtualNetwork(), commitments(RESTARTED)
    log, events = captured_log()
    cut(net)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(find_out, held, net, log)
        await trio.sleep(0.5)
        held.renew(1, 5, LEASE_S, arrived=trio.current_time())
        net.mend_all()
    assert held.binds(2)
    assert events == []


# The whole member


MINE = 3
VOTE = Vote(2, make_zxid(4, 7), 4)


async def followed_leader(play: Stage, epoch: int = 5) -> tuple[ScriptedLeader, ScriptedVoter, int]:
    """Let member 3 follow server 2; return both sides of that, and the round in which it was elected."""
    leader = await ScriptedLeader(play.net, 2).listen()
    await leader.lead(epoch)
    await wait_all_tasks_blocked()
    assert play.member.member.commitments.binds(MINE)
    return leader, play.voters[2], play.member.member.status.round


async def test_that_the_leader_is_heard_looking_frees_no_earlier_than_its_port_refuses(
    autojump_clock: MockClock,
) -> None:
    """Anybody can say so in its name."""
    async with stage(MINE, votes={1: VOTE, 2: VOTE}) as play:
        leader, voter, round_ = await followed_leader(play)
        for said in (round_ - 1, round_, round_ + 1):
            await voter.say(PeerState.LOOKING, VOTE, said)
            await trio.sleep(0.3)
            assert play.member.member.commitments.binds(MINE)
        await leader.listener.aclose()
        await trio.sleep(0.3)
        assert not play.member.member.commitments.binds(MINE)


async def test_however_often_that_is_heard_the_leader_is_asked_in_one_go(autojump_clock: MockClock) -> None:
    async with stage(MINE, votes={1: VOTE, 2: VOTE}) as play:
        _, voter, round_ = await followed_leader(play)
        before = len(play.net.dialled)
        for _ in range(50):
            await voter.say(PeerState.LOOKING, VOTE, round_ + 1)
            await wait_all_tasks_blocked()
        await trio.sleep(1)
        assert 1 < len(play.net.dialled) - before < 15


@pytest.mark.parametrize("state", [PeerState.LEADING, PeerState.FOLLOWING])
async def test_only_looking_makes_it_ask(state: PeerState, autojump_clock: MockClock) -> None:
    async with stage(MINE, votes={1: VOTE, 2: VOTE}) as play:
        leader, voter, round_ = await followed_leader(play)
        await leader.listener.aclose()
        await voter.say(state, VOTE, round_ + 1)
        await wait_all_tasks_blocked()
        assert play.member.member.commitments.binds(MINE)


async def test_another_server_that_looks_does_not_make_it_ask(autojump_clock: MockClock) -> None:
    async with stage(MINE, votes={1: VOTE, 2: VOTE}) as play:
        leader, _, round_ = await followed_leader(play)
        await leader.listener.aclose()
        await play.voters[1].say(PeerState.LOOKING, VOTE, round_ + 1)
        await wait_all_tasks_blocked()
        assert play.member.member.commitments.binds(MINE)


async def test_a_restarted_follower_acknowledges_no_other_epoch_before_the_lease_is_over(
    autojump_clock: MockClock,
) -> None:
    async with stage(MINE, stored=RESTARTED, votes={2: VOTE}, silent=[1], listening=[1]) as play:
        leader = await ScriptedLeader(play.net, 2).listen()
        acknowledged = await leader.discover(5)
        assert LEASE_S <= trio.current_time() < LEASE_S + 0.1
        assert acknowledged.data == (4).to_bytes(4, "big")
        assert play.member.storage.stored.followed == Followed(2, 5, SYNC_S)


async def test_a_restarted_follower_whose_leader_is_gone_acknowledges_at_once(
    autojump_clock: MockClock,
) -> None:
    async with stage(MINE, stored=RESTARTED, votes={2: VOTE}, silent=[1]) as play:
        leader = await ScriptedLeader(play.net, 2).listen()
        await leader.discover(5)
        assert trio.current_time() < 0.5
        assert [each["leader"] for each in play.member.named("promise.released")] == [1]


async def test_a_restarted_follower_acknowledges_its_own_leader_at_once(autojump_clock: MockClock) -> None:
    stored = StoredVote(0, 4, 4, Followed(2, 4, LEASE_S))
    async with stage(MINE, stored=stored, votes={1: VOTE, 2: VOTE}) as play:
        leader = await ScriptedLeader(play.net, 2).listen()
        await leader.discover(5)
        assert trio.current_time() < 0.5


@pytest.mark.parametrize(("lease_s", "leads"), [(LEASE_S, True), (INIT_S + 2, False)])
async def test_a_would_be_leader_keeps_what_it_promised_to_another(
    lease_s: float, leads: bool, autojump_clock: MockClock
) -> None:
    stored = StoredVote(0, 4, 4, Followed(1, 4, lease_s))
    async with stage(MINE, stored=stored, silent=[1], listening=[1]) as play:
        await play.until_role("LEADING")
        learner = await play.call(2)
        await learner.introduce(accepted=4)
        if leads:
            assert (await learner.expect(PacketType.LEADERINFO)).zxid == make_zxid(5, 0)
            assert LEASE_S <= trio.current_time() < LEASE_S + 0.1
            await learner.expect(PacketType.DIFF)
        else:
            await play.until_role("LOOKING")
            assert play.why_it_looked_again() == ["the lease of the leader before has not run out"]
            assert play.member.storage.stored.accepted_epoch == 4, "nor has it proposed one"


async def test_a_follower_that_lost_a_silent_leader_keeps_its_promise(autojump_clock: MockClock) -> None:
    async with stage(MINE, votes={1: VOTE, 2: VOTE}) as play:
        leader, _, _ = await followed_leader(play)
        await trio.sleep(1)
        await leader.send(PacketType.PING, make_zxid(5, 0))
        await leader.expect(PacketType.PING)
        answered = trio.current_time()
        cut_hosts(play, 2)
        await play.until_role("LOOKING")
        promise = play.member.member.commitments.promise
        assert promise is not None
        assert promise.until == answered + SYNC_S


def cut_hosts(play: Stage, sid: int) -> None:
    play.net.cut(host(sid), host(MINE))
    play.net.cut(host(MINE), host(sid))


async def test_a_link_that_the_leader_closed_frees_if_its_port_refuses(autojump_clock: MockClock) -> None:
    async with stage(MINE, votes={1: VOTE, 2: VOTE}) as play:
        leader, voter, _ = await followed_leader(play)
        voter.silent = True
        await leader.listener.aclose()
        await leader.close()
        await trio.sleep(0.05)
        assert play.member.member.commitments.promise is None


async def test_a_link_that_was_closed_does_not_free_while_the_leader_listens(
    autojump_clock: MockClock,
) -> None:
    async with stage(MINE, votes={1: VOTE, 2: VOTE}) as play:
        leader, voter, _ = await followed_leader(play)
        voter.silent = True
        await leader.close()
        await trio.sleep(SYNC_S - 0.2)
        assert play.member.role()[0] == "LOOKING"
        assert play.member.member.commitments.binds(MINE)
