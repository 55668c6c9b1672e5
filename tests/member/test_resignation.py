"""A leader that ends in good order says so: nobody has to find it out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from learners import THREE, ScriptedLearner, Stage, stage
from trio.testing import MockClock, wait_all_tasks_blocked
from witness import watched

from trio_fle.ensemble import HostPort
from trio_fle.errors import ConnectionLostError
from trio_fle.member import Term
from trio_fle.member.leading import HAND_OVER_S
from trio_fle.member.learner_link import LearnerLink
from trio_fle.vote import PeerState, Vote
from trio_fle.wire.packet import PacketType, QuorumPacket

CLEANUP_S = 1.0
WHERE = HostPort("192.0.2.3", 2888)
OBSERVED = {**THREE, 4: "observer"}


def resignation(*, stops: bool) -> QuorumPacket:
    return QuorumPacket(PacketType.RESIGNATION, -1, bytes([stops]))


async def last_words(learner: ScriptedLearner) -> tuple[QuorumPacket | None, float]:
    """Answer pings until the leader closes; return the last thing that it said, and when."""
    last, at = None, 0.0
    try:
        while True:
            last, at = await learner.link.receive(), trio.current_time()
            if last.type == PacketType.PING:
                await learner.send(PacketType.PING, last.zxid, last.data)
    except (ConnectionLostError, trio.ClosedResourceError):
        return last, at


async def clean_up(_: int, term: Term) -> None:
    """A body that needs a while to end."""
    try:
        await trio.sleep_forever()
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(CLEANUP_S)


@asynccontextmanager
async def led(play: Stage, *others: int) -> AsyncIterator[tuple[ScriptedLearner, dict[int, object]]]:
    """Follow the leader as server 1; on leaving, wait for its last words to that one and to ``others``."""
    said: dict[int, object] = {}

    async def listen(learner: ScriptedLearner) -> None:
        said[learner.sid] = await last_words(learner)

    follower = await play.call(1)
    await follower.join()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen, follower)
        for sid in others:
            observer = await play.call(sid)
            await observer.introduce(kind=PacketType.OBSERVERINFO)
            new = (await observer.expect(PacketType.LEADERINFO)).zxid
            await observer.acknowledge_epoch()
            await observer.send(PacketType.ACK, new)
            nursery.start_soon(listen, observer)
        yield follower, said


async def test_it_says_so_once_what_it_guards_has_ended(autojump_clock: MockClock) -> None:
    async with stage(guarded=clean_up) as play:
        async with led(play) as (_, said):
            began = trio.current_time()
            await play.member.member.resign()
        assert said == {1: (resignation(stops=False), began + CLEANUP_S)}


async def test_one_that_stops_says_that_it_votes_no_more(autojump_clock: MockClock) -> None:
    async with stage() as play:
        async with led(play) as (_, said):
            began = trio.current_time()
            play.member.stop.set()
        assert said == {1: (resignation(stops=True), began)}


async def test_one_that_ends_for_another_reason_goes_on_voting(autojump_clock: MockClock) -> None:
    async with stage(roles=OBSERVED) as play:
        async with led(play, 4) as (follower, said):
            await trio.sleep(0.1)
            await follower.link.stream.aclose()
            said[1] = None
        assert said[4] == (resignation(stops=False), trio.current_time())


async def test_who_has_not_acknowledged_newleader_is_told_nothing(autojump_clock: MockClock) -> None:
    async with stage() as play, led(play):
        other = await play.call(2)
        await other.discover()
        play.member.stop.set()
        assert (await last_words(other))[0] is None


async def test_a_follower_that_has_left_unread_what_came_before_costs_nobody_anything(
    autojump_clock: MockClock,
) -> None:
    async with stage() as play:
        async with led(play) as (_, said):
            deaf = await play.call(2)
            await deaf.join()
            await trio.sleep(1.5)  # some pings, none of them read
            await deaf.link.stream.aclose()
            began = trio.current_time()
            play.member.stop.set()
        assert said == {1: (resignation(stops=True), began)}


async def test_a_successor_leads_before_anybody_finds_the_one_before_it_gone(
    autojump_clock: MockClock,
) -> None:
    async with watched(THREE) as (ensemble, _, _):
        await ensemble.start()
        await trio.sleep(2)
        stopping, began = ensemble.running[3], trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ensemble.stop, 3)
            with trio.fail_after(HAND_OVER_S / 2):
                while not ensemble.running[2].leads():  # noqa: ASYNC110
                    await trio.sleep(0.001)
            assert not stopping.ended.is_set()
        assert trio.current_time() - began == pytest.approx(HAND_OVER_S)
        for sid in (1, 2):
            survivor = ensemble.running[sid]
            assert survivor.named("promise.released") == []
            (lost,) = survivor.named("following.lost")
            assert lost["reason"] == "the leader left: it stops"
        (decided,) = ensemble.running[2].named("election.decided")[1:]
        assert decided["settled"] == "accepted"


async def test_one_that_resigned_has_a_vote_in_the_election_of_its_successor(
    autojump_clock: MockClock,
) -> None:
    async with watched(THREE) as (ensemble, _, witness):
        await ensemble.start()
        await trio.sleep(2)
        await ensemble.running[3].member.resign()
        await trio.sleep(0.5)
        assert witness.leader() == 2
        (decided,) = ensemble.running[2].named("election.decided")[1:]
        assert decided["settled"] == "accepted"
        assert ensemble.running[3].role() == ("FOLLOWING", 2)


async def test_one_that_has_resigned_leads_nobody_who_comes_late(autojump_clock: MockClock) -> None:
    async with stage() as play, led(play):
        late = await play.call(2)  # it has called, and says nothing yet
        play.member.stop.set()
        await trio.sleep(HAND_OVER_S / 2)
        with pytest.raises(ConnectionLostError):
            await late.link.receive()


async def test_a_real_socket_brings_the_last_packet_and_then_the_end() -> None:
    near, far = trio.socket.socketpair()
    link = LearnerLink(trio.SocketStream(near), WHERE, 5.0)
    other = LearnerLink(trio.SocketStream(far), WHERE, 5.0)
    await other.send(QuorumPacket(PacketType.PING, 0))  # left unread
    with trio.CancelScope() as scope:
        scope.cancel()
        await link.hang_up(resignation(stops=True))
    near.close()
    assert await other.receive() == resignation(stops=True)
    with pytest.raises(ConnectionLostError):
        await other.receive()
    far.close()


async def test_a_packet_that_is_half_sent_is_followed_by_no_other() -> None:
    near, far = trio.socket.socketpair()
    link = LearnerLink(trio.SocketStream(near), WHERE, 60.0)
    large = QuorumPacket(PacketType.PROPOSAL, 1, bytes(8 << 20))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.send, large)
        await wait_all_tasks_blocked()
        await link.hang_up(resignation(stops=True))
        nursery.cancel_scope.cancel()
    near.close()
    received, end = 0, trio.SocketStream(far)
    while chunk := await end.receive_some(1 << 20):
        received += len(chunk)
        assert not any(chunk[-64:]), "nothing but the large one"
    assert 0 < received < 8 << 20
    far.close()


@pytest.mark.parametrize(("round_", "sender", "leaves"), [(2, 1, True), (1, 1, False), (2, 2, False)])
async def test_a_would_be_leader_that_looks_for_one_itself_is_waited_for_no_more(
    round_: int, sender: int, leaves: bool, autojump_clock: MockClock
) -> None:
    """Whatever listens on its quorum port and says nothing."""
    best = Vote(1, 5, 0)
    async with stage(votes={1: best, 2: best}, listening=[1]) as play:
        await play.until_role("FOLLOWING")
        await trio.sleep(0.1)
        before = len(play.why_it_looked_again())
        await play.voters[sender].say(PeerState.LOOKING, best, round_)
        await trio.sleep(0.1)
        assert play.why_it_looked_again()[before:] == ["the leader looks for one itself"] * leaves


async def test_a_leader_that_nobody_follows_stops_at_once(autojump_clock: MockClock) -> None:
    async with watched({1: "participant"}) as (ensemble, _, witness):
        await ensemble.start()
        await trio.sleep(2)
        assert witness.leader() == 1
        began = trio.current_time()
        await ensemble.stop(1)
        assert trio.current_time() - began < HAND_OVER_S
