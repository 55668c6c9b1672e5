"""A member that leads, and learners that do what they should not, or nothing."""

import contextlib
from collections.abc import Awaitable, Callable

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from learners import INIT_S, LEADER, SYNC_S, THREE, TICK_S, HeldStorage, ScriptedLearner, Stage, host, stage
from nodes import address_of
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_fle.errors import ConnectionLostError, StorageError
from trio_fle.sim.members.disk import VirtualDisk
from trio_fle.storage import StoredVote
from trio_fle.vote import MIN_LONG, PeerState, StateSummary, Vote, make_zxid
from trio_fle.wire.packet import (
    LearnerInfo,
    PacketType,
    QuorumPacket,
    encode_learner_info,
    encode_packet,
)

ELSEWHERE = "198.51.100.9"
USABLE_S = SYNC_S * 0.9
OBSERVED = {**THREE, 4: "observer"}
NEWER = 2**40

Story = Callable[[ScriptedLearner], Awaitable[None]]


async def follow(play: Stage, sid: int) -> None:
    await (await play.call(sid)).follow()


async def observe(learner: ScriptedLearner) -> None:
    """Say of itself that it observes, and be a good learner otherwise."""
    await learner.introduce(kind=PacketType.OBSERVERINFO)
    new = (await learner.expect(PacketType.LEADERINFO)).zxid
    await learner.acknowledge_epoch()
    await learner.send(PacketType.ACK, new)
    await learner.answer_pings_until_closed()


async def established(play: Stage) -> None:
    with trio.fail_after(30):
        while not play.member.leads():  # noqa: ASYNC110
            await trio.sleep(0.005)


def first_packet(kind: int, data: bytes | None, zxid: int = 0) -> bytes:
    return encode_packet(QuorumPacket(kind, zxid, data))


MARKED = encode_learner_info(LearnerInfo(2, summary=StateSummary(0, 0)))


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        pytest.param(first_packet(PacketType.PING, None), "began with packet 5", id="PING"),
        pytest.param(first_packet(PacketType.ACK, MARKED), "began with packet 3", id="ACK"),
        pytest.param(first_packet(77, MARKED), "began with packet 77", id="an unknown type"),
        pytest.param(first_packet(-1, None), "began with packet -1", id="a negative type"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: leader\r\n\r\n", "length", id="rubbish"),
        pytest.param(first_packet(PacketType.FOLLOWERINFO, None), "before ZooKeeper 3.4", id="null data"),
        pytest.param(first_packet(PacketType.FOLLOWERINFO, MARKED[:8]), "before ZooKeeper 3.4", id="8 bytes"),
        pytest.param(first_packet(PacketType.FOLLOWERINFO, MARKED[:7]), "no server id", id="7 bytes"),
        pytest.param(first_packet(PacketType.FOLLOWERINFO, MARKED[:20]), "no trio-fle member", id="unmarked"),
        pytest.param(
            first_packet(PacketType.OBSERVERINFO, MARKED[:20]), "no trio-fle member", id="unmarked observer"
        ),
        pytest.param(
            first_packet(PacketType.FOLLOWERINFO, MARKED[:12]), "no trio-fle member", id="one of 3.4"
        ),
        pytest.param(
            first_packet(
                PacketType.FOLLOWERINFO, encode_learner_info(LearnerInfo(LEADER, summary=StateSummary(0, 0)))
            ),
            "own server id",
            id="the leader's own id",
        ),
        pytest.param(
            first_packet(
                PacketType.FOLLOWERINFO,
                encode_learner_info(LearnerInfo(2, config_version=NEWER, summary=StateSummary(0, 0))),
            ),
            "newer than ours",
            id="a newer configuration",
        ),
    ],
)
async def test_a_caller_that_begins_wrong_is_refused_and_nobody_else_is_bothered(
    said: bytes, reason: str, autojump_clock: MockClock
) -> None:
    async with stage() as play:
        caller = await play.call(2, source=ELSEWHERE)
        began = trio.current_time()
        await caller.say_bytes(said)
        await caller.expect_the_end()
        assert trio.current_time() == began
        assert [reason in each for each in play.reasons()] == [True], play.reasons()
        play.nursery.start_soon(follow, play, 1)
        await established(play)
        caller = await play.call(2, source="198.51.100.10")
        await caller.say_bytes(said)
        began = trio.current_time()
        assert await caller.until_closed() == began
        await trio.sleep(10)
        assert play.member.leads()
        assert [each["epoch"] for each in play.member.named("leading.established")] == [1]
        assert play.member.named("leading.foreign_learner") == []


async def test_a_java_server_on_the_host_of_its_election_connection_ends_the_candidacy(
    autojump_clock: MockClock,
) -> None:
    async with stage() as play:
        learner = await play.call(1)
        await learner.introduce(marked=False)
        await play.until_role("LOOKING")
        (told,) = play.member.named("leading.foreign_learner")
        assert told["level"] == "error"
        assert told["peer"] == 1
        assert "fle.candidate=false" in told["hint"]
        assert play.why_it_looked_again() == ["server 1 can't follow a leader without data"]
        for voter in play.voters.values():
            voter.heard.clear()
        await trio.sleep(60)
        votes = [heard.vote for voter in play.voters.values() for heard in voter.heard]
        assert votes
        assert {(vote.leader, vote.epoch) for vote in votes} == {(1, MIN_LONG)}
        assert play.member.role() == ("LOOKING", None)


async def test_a_java_server_that_meets_an_established_leader_ends_it_too(autojump_clock: MockClock) -> None:
    async with stage() as play:
        play.nursery.start_soon(follow, play, 1)
        await established(play)
        await (await play.call(2)).introduce(marked=False)
        await play.until_role("LOOKING")
        assert not play.member.leads()
        (lost,) = play.member.named("leading.lost")
        assert lost["reason"] == "server 2 can't follow a leader without data"


@pytest.mark.parametrize("turns", range(-2, 8))
async def test_a_java_server_that_meets_a_leader_as_it_is_established_ends_it_for_ever(
    turns: int, autojump_clock: MockClock
) -> None:
    async with stage() as play:
        follower, java = await play.call(1), await play.call(2)
        new = await follower.discover()

        async def introduce() -> None:
            for _ in range(-turns):
                await trio.lowlevel.checkpoint()
            await java.introduce(marked=False)

        async def acknowledge() -> None:
            for _ in range(turns):
                await trio.lowlevel.checkpoint()
            with contextlib.suppress(ConnectionLostError):  # it may have given up by then
                await follower.send(PacketType.ACK, new)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(introduce)
            nursery.start_soon(acknowledge)
        await trio.sleep(20)
        assert len(play.member.named("leading.foreign_learner")) == 1
        assert play.member.role() == ("LOOKING", None)
        assert not play.member.member.election.fle.electorate.candidate
        events = [each["event"] for each in play.member.events]
        assert "leading.established" not in events[events.index("leading.foreign_learner") :]


@pytest.mark.parametrize(
    ("sid", "kind", "source"),
    [
        pytest.param(1, PacketType.FOLLOWERINFO, ELSEWHERE, id="from elsewhere"),
        pytest.param(1, PacketType.FOLLOWERINFO, "192.0.2.2", id="from another server's host"),
        pytest.param(1, PacketType.OBSERVERINFO, "192.0.2.1", id="as an observer"),
        pytest.param(4, PacketType.FOLLOWERINFO, "192.0.2.4", id="an observer of the configuration"),
        pytest.param(9, PacketType.FOLLOWERINFO, "192.0.2.1", id="under an unknown id"),
        pytest.param(LEADER, PacketType.FOLLOWERINFO, "192.0.2.3", id="under the leader's own id"),
    ],
)
async def test_an_unmarked_learner_that_can_not_be_believed_is_refused_only(
    sid: int, kind: PacketType, source: str, autojump_clock: MockClock
) -> None:
    async with stage(roles=OBSERVED) as play:
        play.nursery.start_soon(follow, play, 2)
        await established(play)
        learner = await play.call(sid, source=source)
        await learner.introduce(kind=kind, marked=False)
        began = trio.current_time()
        assert await learner.until_closed() == began
        await trio.sleep(10)
        assert play.member.leads()
        assert play.member.named("leading.foreign_learner") == []


@pytest.mark.parametrize(("zxid", "epoch"), [(make_zxid(1, 6), 1), (0, 2), (make_zxid(2, 0), 2)])
async def test_a_learner_that_is_ahead_is_refused_and_another_one_makes_the_quorum(
    zxid: int, epoch: int, autojump_clock: MockClock
) -> None:
    async with stage(stored=StoredVote(make_zxid(1, 5), 1, 2)) as play:
        learner = await play.call(1)
        await learner.introduce(accepted=2, zxid=zxid, epoch=epoch)
        began = trio.current_time()
        assert await learner.until_closed() == began
        assert ["ahead" in each for each in play.reasons()] == [True]
        assert play.member.role() == ("LEADING", LEADER)
        second = await play.call(2)
        await second.join(accepted=2, zxid=make_zxid(1, 5), epoch=1)
        assert play.member.leads()
        assert play.member.member.status.epoch == 3


async def test_the_epoch_is_one_more_than_that_of_a_follower_at_6(autojump_clock: MockClock) -> None:
    """Zab1_0Test.testLastAcceptedEpoch."""
    async with stage() as play:
        learner = await play.call(1)
        assert await learner.join(accepted=6) == make_zxid(7, 0)
        assert play.member.leads()
        assert play.member.storage.stored == StoredVote(0, 0, 7)
        await trio.sleep(0.1)
        assert play.member.storage.stored == StoredVote(0, 7, 7)


async def test_an_observer_raises_the_epoch_and_opens_no_gate(autojump_clock: MockClock) -> None:
    async with stage(roles=OBSERVED) as play:
        observer = await play.call(4)
        await observer.introduce(accepted=20, kind=PacketType.OBSERVERINFO)
        with trio.move_on_after(INIT_S - 0.5):
            await observer.link.receive()
            pytest.fail("it was answered before a quorum had asked")
        voter = await play.call(1)
        assert await voter.join() == make_zxid(21, 0)


async def test_observers_alone_keep_nobody_in_the_lead(autojump_clock: MockClock) -> None:
    """ZOOKEEPER-1294."""
    async with stage(roles=OBSERVED) as play:
        voter = await play.call(1)
        play.nursery.start_soon(voter.follow)
        await established(play)
        play.nursery.start_soon(observe, await play.call(4))
        await trio.sleep(5)
        assert play.member.leads()
        await voter.link.stream.aclose()
        await trio.sleep(SYNC_S)
        assert not play.member.leads()
        (lost,) = play.member.named("leading.lost")
        assert lost["reason"].startswith("too few followers")


async def test_a_voter_that_only_observes_gives_no_lease(autojump_clock: MockClock) -> None:
    """It promises nothing, whatever the configuration says of its id."""
    async with stage() as play:
        play.nursery.start_soon(observe, await play.call(1))
        await play.until_role("LOOKING")
        assert play.why_it_looked_again() == ["no quorum was synchronized in 5 s"]
        assert play.member.named("leading.established") == []


async def test_a_voter_that_only_observes_is_no_follower(autojump_clock: MockClock) -> None:
    async with stage() as play:
        follower = await play.call(1)
        play.nursery.start_soon(follower.follow)
        play.nursery.start_soon(observe, await play.call(2))
        await established(play)
        await trio.sleep(TICK_S)
        await follower.link.stream.aclose()
        await wait_all_tasks_blocked()
        (lost,) = play.member.named("leading.lost")
        assert lost["reason"] == "too few followers are linked: none"


async def test_an_acknowledgement_of_another_epoch_establishes_nobody(autojump_clock: MockClock) -> None:
    async with stage() as play:
        learner = await play.call(1)
        new = await learner.discover()
        began = trio.current_time()
        await learner.send(PacketType.ACK, new + 1)
        await play.until_role("LOOKING")
        assert trio.current_time() - began == pytest.approx(INIT_S, abs=0.05)
        assert play.why_it_looked_again() == ["no quorum was synchronized in 5 s"]
        assert play.member.named("leading.established") == []


@pytest.mark.parametrize("kind", [PacketType.PING, PacketType.ACKEPOCH, PacketType.FOLLOWERINFO, 99])
async def test_anything_but_an_acknowledgement_of_newleader_costs_the_link(
    kind: int, autojump_clock: MockClock
) -> None:
    async with stage() as play:
        learner = await play.call(1)
        new = await learner.discover()
        await learner.send(kind, new)
        began = trio.current_time()
        assert await learner.until_closed() == began
        assert play.reasons() == [f"it sent packet {int(kind)}, not the ACK of NEWLEADER"]
        assert play.member.role() == ("LEADING", LEADER)


@pytest.mark.parametrize(
    ("kind", "data"),
    [(PacketType.ACK, None), (PacketType.ACKEPOCH, None), (PacketType.ACKEPOCH, b"abc"), (99, bytes(4))],
)
async def test_anything_but_an_epoch_in_answer_to_leaderinfo_costs_the_link(
    kind: int, data: bytes | None, autojump_clock: MockClock
) -> None:
    async with stage() as play:
        learner = await play.call(1)
        await learner.introduce()
        await learner.expect(PacketType.LEADERINFO)
        await learner.send(kind, 0, data)
        began = trio.current_time()
        assert await learner.until_closed() == began
        assert len(play.reasons()) == 1


# Silence


async def says_nothing(learner: ScriptedLearner) -> None:
    await trio.lowlevel.checkpoint()


async def stops_within_its_first_packet(learner: ScriptedLearner) -> None:
    await learner.say_bytes(first_packet(PacketType.FOLLOWERINFO, MARKED)[:-1])


async def stops_after_followerinfo(learner: ScriptedLearner) -> None:
    await learner.introduce()
    await learner.expect(PacketType.LEADERINFO)


async def stops_after_ackepoch(learner: ScriptedLearner) -> None:
    await learner.discover()


async def stops_after_the_acknowledgement(learner: ScriptedLearner) -> None:
    await learner.join()


@pytest.mark.parametrize(
    ("story", "after_s"),
    [
        (says_nothing, INIT_S),
        (stops_within_its_first_packet, INIT_S),
        (stops_after_followerinfo, INIT_S),
        (stops_after_ackepoch, INIT_S),
        (stops_after_the_acknowledgement, SYNC_S),
    ],
)
async def test_a_learner_that_falls_silent_is_given_up_and_costs_the_leader_nothing(
    story: Story, after_s: float, autojump_clock: MockClock
) -> None:
    async with stage() as play:
        play.nursery.start_soon(follow, play, 1)
        await established(play)
        silent = await play.call(2)
        await story(silent)
        began = trio.current_time()
        closed = await silent.until_closed()
        assert after_s <= closed - began <= after_s + 0.05
        assert ["silent for" in each for each in play.reasons()] == [True]
        assert play.member.leads()


async def test_a_leader_without_learners_gives_up_after_initlimit_and_has_begun_nothing(
    autojump_clock: MockClock,
) -> None:
    async with stage() as play:
        began = await play.until_role("LEADING")
        assert await play.until_role("LOOKING") - began == pytest.approx(INIT_S, abs=0.05)
        assert play.why_it_looked_again() == ["no quorum told its epoch in 5 s"]
        assert play.member.storage.writes == 0
        assert play.member.named("leading.established") == []


@pytest.mark.parametrize("epoch", [None, -1])
async def test_no_epoch_is_current_that_a_quorum_has_not_acknowledged(
    epoch: int | None, autojump_clock: MockClock
) -> None:
    """ZOOKEEPER-1192, Zab1_0Test.testAbandonBeforeACKEpoch; -1 acknowledges nothing."""
    async with stage() as play:
        learner = await play.call(1)
        await learner.introduce()
        new = await learner.expect(PacketType.LEADERINFO)
        began = trio.current_time()
        if epoch is not None:
            await learner.acknowledge_epoch(0, epoch)
            await learner.send(PacketType.ACK, new.zxid)
        await learner.until_closed()
        await play.until_role("LOOKING")
        assert trio.current_time() - began == pytest.approx(INIT_S, abs=0.05)
        assert play.why_it_looked_again() == ["no quorum was synchronized in 5 s"]
        assert play.member.storage.stored == StoredVote(0, 0, 1)
        assert play.member.named("leading.established") == []


@pytest.mark.parametrize("forged", [False, True])
async def test_a_follower_that_forgot_whose_epoch_it_accepted_costs_an_attempt_at_most(
    forged: bool, autojump_clock: MockClock
) -> None:
    """The third server is down; a claim from elsewhere ends nothing."""
    async with stage(silent=(2,)) as play:
        play.net.listeners.pop(address_of(2), None)
        for stream in play.net.between(host(2), host(LEADER)):
            if stream.here == host(LEADER):
                stream.reset()
        learner = await play.call(1, source="192.0.2.99" if forged else None)
        await learner.introduce()
        new = await learner.expect(PacketType.LEADERINFO)
        began = trio.current_time()
        await learner.acknowledge_epoch(0, -1)
        await learner.send(PacketType.ACK, new.zxid)
        await learner.until_closed()
        if forged:
            assert trio.current_time() - began >= SYNC_S
            return
        assert trio.current_time() == began
        again = await play.call(1)
        assert await again.join(accepted=1) == make_zxid(2, 0)
        assert trio.current_time() - began < 0.5
        assert play.member.leads()


# The lease


async def test_followers_that_answer_no_ping_cost_the_lease(autojump_clock: MockClock) -> None:
    async with stage() as play:
        learner = await play.call(1)
        await learner.discover()
        sent_at = trio.current_time()
        await trio.sleep(0.4)
        await learner.send(PacketType.ACK, make_zxid(1, 0))
        await established(play)
        assert play.member.member.status.lease_end == pytest.approx(sent_at + USABLE_S, abs=0.01)
        await trio.sleep_until(sent_at + USABLE_S * 2 / 3 - 0.01)
        assert play.member.leads()
        await trio.sleep(0.02)
        assert not play.member.leads()
        (lost,) = play.member.named("leading.lost")
        assert lost["reason"] == "no quorum answered for 1.5 s"
        assert lost["overdue_ms"] == 0
        assert play.why_it_looked_again() == ["no quorum answered for 1.5 s"]


@pytest.mark.parametrize(
    "answer", [None, b"", b"\0\0\0\2", (2).to_bytes(9, "big"), (99).to_bytes(8, "big"), bytes(8)]
)
async def test_an_answer_without_the_number_of_a_ping_renews_nothing(
    answer: bytes | None, autojump_clock: MockClock
) -> None:
    async with stage() as play:
        learner = await play.call(1)
        await learner.join()
        lease_end = play.member.member.status.lease_end
        await trio.sleep(TICK_S)
        for _ in range(5):
            await trio.sleep(0.1)  # by now the second ping was sent
            await learner.send(PacketType.PING, make_zxid(1, 0), answer)
        assert play.member.member.status.lease_end == lease_end
        await trio.sleep(USABLE_S)
        assert not play.member.leads()


async def test_an_answer_counts_from_when_its_ping_was_sent_however_late_it_comes(
    autojump_clock: MockClock,
) -> None:
    async with stage() as play:
        learner = await play.call(1)
        await learner.join()
        ping = await learner.expect(PacketType.PING)
        sent_at = trio.current_time()
        await trio.sleep(1.2)
        await learner.send(PacketType.PING, ping.zxid, ping.data)
        await wait_all_tasks_blocked()
        assert play.member.member.status.lease_end == pytest.approx(sent_at + USABLE_S)
        await learner.send(PacketType.PING, ping.zxid, ping.data)
        await wait_all_tasks_blocked()
        assert play.member.member.status.lease_end == pytest.approx(sent_at + USABLE_S)


async def test_a_second_link_of_a_server_takes_the_place_of_its_first(autojump_clock: MockClock) -> None:
    """Of a process that was killed the leader may not have heard yet."""
    async with stage() as play:
        first, other = await play.call(1), await play.call(2)
        await first.join()
        await other.join()
        play.nursery.start_soon(other.answer_pings_until_closed)
        second = await play.call(1)
        began = trio.current_time()
        await second.join()
        assert await first.until_closed() == began
        play.nursery.start_soon(second.answer_pings_until_closed)
        await trio.sleep(10)
        assert play.member.leads()


async def test_a_claim_from_elsewhere_takes_no_follower_s_place(autojump_clock: MockClock) -> None:
    async with stage(silent=(2,)) as play:
        follower = await play.call(1)
        await follower.join()
        play.nursery.start_soon(follower.answer_pings_until_closed)
        await trio.sleep(1)
        assert play.member.leads()
        for _ in range(5):
            forger = await play.call(1, source="203.0.113.9")
            await forger.introduce()
            await trio.sleep(0.2)
        await trio.sleep(10)
        assert play.member.leads()
        assert play.member.named("leading.lost") == []


# A crowd, and hostile bytes


async def test_600_silent_callers_do_not_keep_a_follower_out(autojump_clock: MockClock) -> None:
    async with stage() as play:
        crowd = [await play.call(9, source=ELSEWHERE) for _ in range(600)]
        await wait_all_tasks_blocked()
        began = trio.current_time()
        await (await play.call(1)).join()
        assert trio.current_time() - began < TICK_S
        assert play.member.leads()
        assert len(crowd) == 600


async def test_600_strangers_that_introduce_themselves_do_not_keep_a_follower_out(
    autojump_clock: MockClock,
) -> None:
    async with stage() as play:
        for sid in range(1000, 1600):
            stranger = await play.call(sid, source=ELSEWHERE)
            await stranger.introduce()
        await wait_all_tasks_blocked()
        began = trio.current_time()
        await (await play.call(1)).join()
        assert trio.current_time() - began < TICK_S
        assert play.member.leads()
        assert any("too many learners" in each for each in play.reasons())


VALID = [
    first_packet(PacketType.FOLLOWERINFO, MARKED),
    first_packet(PacketType.OBSERVERINFO, MARKED),
    first_packet(PacketType.ACKEPOCH, bytes(4)),
    first_packet(PacketType.ACK, None, make_zxid(1, 0)),
    first_packet(PacketType.PING, bytes(8), make_zxid(1, 0)),
    first_packet(PacketType.ACKEPOCH, b"\x7f\xff\xff\xff", 2**63 - 1),
]
STREAMS = st.lists(st.one_of(st.sampled_from(VALID), st.binary(max_size=60)), max_size=8).map(b"".join)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """Cut a stream into pieces of these sizes; the rest is the last one."""
    pieces, at = [], 0
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    return [piece for piece in [*pieces, data[at:]] if piece]


@settings(max_examples=60)
@given(said=STREAMS, sizes=st.lists(st.integers(1, 40), max_size=12), stays=st.booleans())
def test_any_bytes_cost_their_own_link_at_most(said: bytes, sizes: list[int], stays: bool) -> None:
    async def play_it() -> None:
        async with stage() as play:
            play.nursery.start_soon(follow, play, 1)
            await established(play)
            hostile = await play.call(2, source=ELSEWHERE)
            with contextlib.suppress(trio.BrokenResourceError):
                for piece in cut(said, sizes):
                    await hostile.say_bytes(piece)
                    await trio.sleep(0.01)
            if not stays:
                await hostile.link.stream.aclose()
            await trio.sleep(8)
            assert play.failure == []
            assert play.member.leads()
            assert [each["epoch"] for each in play.member.named("leading.established")] == [1]

    trio.run(play_it, clock=MockClock(autojump_threshold=0))


# Disks


async def test_a_leader_is_established_once_it_has_accepted_the_epoch_on_its_own_disk(
    autojump_clock: MockClock,
) -> None:
    storage = HeldStorage(StoredVote(0, 0, 0), holds={"accept_epoch"})
    async with stage(storage=storage) as play:
        learner = await play.call(1)
        await learner.discover()
        await learner.send(PacketType.ACK, make_zxid(1, 0))
        with trio.move_on_after(1):
            while (packet := await learner.link.receive()).type == PacketType.PING:
                await learner.send(PacketType.PING, packet.zxid, packet.data)
            pytest.fail("UPTODATE left before the epoch was accepted")
        assert storage.calls == ["accept_epoch"]
        assert play.member.named("leading.established") == []
        storage.let_go()
        await established(play)
        assert storage.calls == ["accept_epoch"], "one write, and no other before it leads"
        assert storage.stored == StoredVote(0, 0, 1)
        await trio.sleep(0.1)
        assert storage.stored == StoredVote(0, 1, 1)


FULL = StorageError("acceptedEpoch: No space left on device")


async def test_an_epoch_that_can_not_be_accepted_ends_the_member_before_it_leads(
    autojump_clock: MockClock,
) -> None:
    """EpochWriteFailureTest (ZOOKEEPER-2307)."""
    storage = VirtualDisk()
    async with stage(storage=storage) as play:
        await play.until_role("LEADING")
        storage.fails = FULL
        learner = await play.call(1)
        await learner.introduce()
        await learner.expect(PacketType.LEADERINFO)
        await learner.until_closed()
        await play.member.ended.wait()
        await wait_all_tasks_blocked()
        assert play.failure == [FULL]
        assert storage.stored == StoredVote(0, 0, 0)
        assert storage.closed
        assert play.member.named("leading.established") == []


async def test_an_epoch_that_can_not_be_made_current_ends_the_member_that_leads_it(
    autojump_clock: MockClock,
) -> None:
    """ZOOKEEPER-3701: it stops claiming."""
    storage = VirtualDisk()
    async with stage(storage=storage) as play:
        learner = await play.call(1)
        await learner.join()
        assert play.member.leads()
        storage.fails = FULL
        await play.member.ended.wait()
        await wait_all_tasks_blocked()
        assert play.failure == [FULL]
        assert storage.stored == StoredVote(0, 0, 1)
        assert not play.member.leads()


# Voters that have changed their minds (ZOOKEEPER-3109)


async def test_voters_that_look_again_right_after_the_decision_bound_the_time(
    autojump_clock: MockClock,
) -> None:
    async with stage() as play:
        began = await play.until_role("LEADING")
        for voter in play.voters.values():
            voter.silent = True
            await voter.say(PeerState.LOOKING, Vote(2, 0, 0), round_=2)
        assert await play.until_role("LOOKING") - began <= 1.1 * TICK_S
        assert play.why_it_looked_again() == ["too many voters look for a leader"]


async def test_one_of_two_voters_that_looks_again_is_no_reason_to_give_up(autojump_clock: MockClock) -> None:
    async with stage() as play:
        await play.until_role("LEADING")
        await play.voters[2].say(PeerState.LOOKING, Vote(2, 0, 0), round_=2)
        await trio.sleep(2 * TICK_S)
        await (await play.call(1)).join()
        assert play.member.leads()


async def test_one_that_looks_again_ends_it_where_no_other_is_there(autojump_clock: MockClock) -> None:
    """The third server is down: nobody is left to make a quorum with, and that ends within a tick."""
    async with stage(silent=(1,)) as play:
        play.net.listeners.pop(address_of(1), None)
        for stream in play.net.between(host(1), host(LEADER)):
            if stream.here == host(LEADER):
                stream.reset()
        began = await play.until_role("LEADING")
        play.voters[2].silent = True
        await play.voters[2].say(PeerState.LOOKING, Vote(2, 0, 0), round_=2)
        assert await play.until_role("LOOKING") - began <= 1.1 * TICK_S
