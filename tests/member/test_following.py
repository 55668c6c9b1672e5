"""A member that follows or observes: what it says to leaders that were recorded, and to those that err."""

import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from learners import INIT_S, SYNC_S, HeldStorage, ScriptedLeader, host, quorum_port, stage
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_fle.config import MemberConfig, TransportOptions
from trio_fle.election.options import ElectionOptions
from trio_fle.ensemble import parse_ensemble
from trio_fle.errors import ConnectionLostError, StorageError
from trio_fle.member.commitments import Commitments
from trio_fle.member.following import Learner, UnstoredError
from trio_fle.member.opening import build_member
from trio_fle.member.status import Phase
from trio_fle.quorum import QuorumVerifier
from trio_fle.sim.members.disk import VirtualConfigFiles, VirtualDisk
from trio_fle.sim.members.ensemble import captured_log, ensemble_of
from trio_fle.sim.members.network import VirtualNetwork
from trio_fle.storage import Followed, StoredVote
from trio_fle.vote import PeerState, Vote, epoch_of, make_zxid
from trio_fle.wire.packet import (
    PacketType,
    QuorumPacket,
    decode_learner_info,
    encode_packet,
)

CONVERSATIONS = json.loads((Path(__file__).parents[1] / "data" / "learner-conversations.json").read_text())[
    "conversations"
]
LEADER = 9
FOLLOWER, OBSERVER = "participant", "observer"


@attrs.define(eq=False)
class Play:
    """One learner of ours, and the leader that the test speaks for."""

    leader: ScriptedLeader
    learner: Learner
    commitments: Commitments
    phases: list[Phase]
    storage: VirtualDisk
    events: list[dict[str, Any]]
    result: list[str | Exception] = attrs.field(factory=list)
    ended: trio.Event = attrs.field(factory=trio.Event)

    async def run(self) -> None:
        try:
            self.result.append(await self.learner.run())
        except (UnstoredError, StorageError) as error:
            self.result.append(error)
        self.ended.set()

    async def outcome(self) -> str | Exception:
        await self.ended.wait()
        return self.result[0]


@asynccontextmanager
async def learning(
    role: str = FOLLOWER,
    *,
    sid: int = 1,
    stored: StoredVote | None = None,
    storage: VirtualDisk | None = None,
    version: int = 0,
    listens: bool = True,
    quorums: QuorumVerifier | None = None,
) -> AsyncIterator[Play]:
    net = VirtualNetwork()
    log, events = captured_log()
    storage = storage or VirtualDisk(stored or StoredVote(0, 0, 0))
    ensemble = attrs.evolve(ensemble_of({sid: role, 7: FOLLOWER, LEADER: FOLLOWER}), version=version)
    ensemble = ensemble if quorums is None else attrs.evolve(ensemble, verifier=quorums)
    config = MemberConfig(
        path=Path("zoo.cfg"),
        myid=sid,
        data_dir=Path("data"),
        data_log_dir=Path("data"),
        tick_time_ms=500,
        init_limit=10,
        sync_limit=5,
        ensemble=ensemble,
        learner_type=ensemble.servers[sid].role,
        election=ElectionOptions(),
        transport=TransportOptions(),
    )
    member = await build_member(
        config, net.host(host(sid)), storage, VirtualConfigFiles(), log, trio.current_time
    )
    commitments = member.commitments
    phases: list[Phase] = []
    learner = Learner(
        config,
        member.membership,
        net.host(host(sid)),
        commitments,
        LEADER,
        log,
        member.patience,
        phases.append,
        lambda epoch: None,
        storage.stored.zxid,
    )
    leader = ScriptedLeader(net, LEADER)
    if listens:
        await leader.listen()
    play = Play(leader, learner, commitments, phases, storage, events)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(member.patience.run)
        nursery.start_soon(play.run)
        yield play
        nursery.cancel_scope.cancel()


# Recorded leaders


def packet_of(message: dict[str, Any]) -> QuorumPacket:
    decoded = message["decoded"]
    zxid = int(decoded["zxid"], 16)
    zxid = zxid - 2**64 if zxid >= 2**63 else zxid
    data = decoded.get("data_hex")
    return QuorumPacket(decoded["type"], zxid, None if data is None else bytes.fromhex(data))


def is_named(message: dict[str, Any], *names: str) -> bool:
    return message["kind"] == "packet" and message["decoded"]["name"] in names


def the_learner_was(conversation: dict[str, Any]) -> tuple[str, int, int, StoredVote]:
    """Role, id, configuration version and data of the server that was recorded."""
    mine = [packet_of(message) for message in conversation["messages"] if message["dir"] == "c2s"]
    info = decode_learner_info(mine[0].data)
    assert info is not None
    assert mine[1].type == PacketType.ACKEPOCH
    assert mine[1].data is not None
    epoch = int.from_bytes(mine[1].data, "big", signed=True)
    role = OBSERVER if mine[0].type == PacketType.OBSERVERINFO else FOLLOWER
    return role, info.sid, info.config_version or 0, StoredVote(mine[1].zxid, epoch, epoch_of(mine[0].zxid))


def quorums_of(conversation: dict[str, Any]) -> QuorumVerifier | None:
    """Who was enough, by what the leader told."""
    texts = [m["decoded"].get("data_text") for m in conversation["messages"] if is_named(m, "NEWLEADER")]
    return parse_ensemble(texts[0]).verifier if texts and texts[0] else None


def is_held(conversation: dict[str, Any], zxid: int) -> bool:
    """Whether the leader had nothing for its learner."""
    return any(
        is_named(message, "DIFF") and packet_of(message).zxid == zxid for message in conversation["messages"]
    )


def agrees(ours: QuorumPacket, real: QuorumPacket) -> bool:
    """Whether our learner said the same; ours has no clients, and says more of itself."""
    if (ours.type, ours.zxid) != (real.type, real.zxid):
        return False
    if real.type == PacketType.PING:
        return ours.data == b""
    if real.type in (PacketType.FOLLOWERINFO, PacketType.OBSERVERINFO):
        assert ours.data is not None
        assert real.data is not None
        return ours.data.startswith(real.data) and len(real.data) in (12, 20)
    return ours.data == real.data


def what_may_be_said(conversation: dict[str, Any]) -> tuple[list[QuorumPacket], bool]:
    """What the real learner said, up to where ours must not say it; and whether there is such a point.

    Left out are what clients asked of it, and answers to pings that the recording leaves out.
    """
    role, _, _, stored = the_learner_was(conversation)
    said, pings, held = list[QuorumPacket](), 0, is_held(conversation, stored.zxid)
    for message in conversation["messages"]:
        if message["kind"] != "packet":
            continue
        packet = packet_of(message)
        if message["dir"] == "s2c":
            pings += packet.type == PacketType.PING
            if role == FOLLOWER and (
                packet.type == PacketType.PROPOSAL or (packet.type == PacketType.NEWLEADER and not held)
            ):
                return said, True
        elif packet.type == PacketType.PING and pings:
            pings -= 1
            said.append(packet)
        elif packet.type not in (PacketType.PING, PacketType.REQUEST, PacketType.REVALIDATE):
            said.append(packet)
    return said, False


async def replay(play: Play, conversation: dict[str, Any], piece: int) -> list[QuorumPacket]:
    """Speak the leader's side in pieces of so many bytes; return all that our learner says."""
    heard: list[QuorumPacket] = []

    async def listen() -> None:
        with contextlib.suppress(ConnectionLostError):
            while True:
                heard.append(await play.leader.link.receive())

    async with trio.open_nursery() as nursery:
        await play.leader.accept()
        heard.append(play.leader.info)
        nursery.start_soon(listen)
        with contextlib.suppress(trio.BrokenResourceError):
            for message in conversation["messages"]:
                data = bytes.fromhex(message["hex"]) if message["dir"] == "s2c" else b""
                for at in range(0, len(data), piece):
                    await play.leader.link.stream.send_all(data[at : at + piece])
                await wait_all_tasks_blocked()
        if not play.ended.is_set():
            assert isinstance(play.leader.link.stream, trio.abc.HalfCloseableStream)
            await play.leader.link.stream.send_eof()
    return heard


@pytest.mark.parametrize("piece", [1 << 20, 5])
@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=[each["title"] for each in CONVERSATIONS])
async def test_to_a_recorded_leader_it_says_what_the_real_learner_said_as_far_as_that_is_true(
    conversation: dict[str, Any], piece: int, autojump_clock: MockClock
) -> None:
    role, sid, version, stored = the_learner_was(conversation)
    expected, unstored = what_may_be_said(conversation)
    quorums = quorums_of(conversation)
    async with learning(role, sid=sid, stored=stored, version=version, quorums=quorums) as play:
        said = await replay(play, conversation, piece)
        assert len(said) == len(expected)
        assert [agrees(*pair) for pair in zip(said, expected, strict=True)] == [True] * len(said)
        outcome = await play.outcome()
        assert isinstance(outcome, UnstoredError) == unstored
        assert unstored or outcome == "the leader left: the connection was closed"
        new = max(message_epochs(conversation))
        held = role == FOLLOWER and is_held(conversation, stored.zxid)
        kept = play.storage.stored
        assert (kept.accepted_epoch, kept.epoch) == (new, new if held else stored.epoch)
        assert play.learner.synced == (held or role == OBSERVER)
        assert play.commitments.promise is None, "no Java server counts on one"
        assert kept.followed is None
        if role == OBSERVER:
            assert play.learner.zxid == last_told(conversation)


def message_epochs(conversation: dict[str, Any]) -> list[int]:
    """The epoch that was proposed."""
    return [
        epoch_of(packet_of(message).zxid)
        for message in conversation["messages"]
        if is_named(message, "LEADERINFO")
    ]


def last_told(conversation: dict[str, Any]) -> int:
    """The last zxid that the observer was told of."""
    return max(
        packet_of(message).zxid
        for message in conversation["messages"]
        if is_named(message, "SNAP", "INFORM", "INFORMANDACTIVATE")
    )


def test_the_recorded_conversations_are_of_every_kind() -> None:
    """Otherwise the test above shows less than it says."""
    kinds = {
        (the_learner_was(each)[0], message["decoded"]["name"])
        for each in CONVERSATIONS
        for message in each["messages"]
        if is_named(message, "DIFF", "SNAP", "TRUNC", "INFORM", "INFORMANDACTIVATE", "PROPOSAL")
    }
    assert {(FOLLOWER, name) for name in ("DIFF", "SNAP", "TRUNC", "PROPOSAL")} < kinds
    assert {(OBSERVER, name) for name in ("SNAP", "INFORM", "INFORMANDACTIVATE")} < kinds
    assert min(len(what_may_be_said(each)[0]) for each in CONVERSATIONS) == 2


def recorded(name: str) -> list[QuorumPacket]:
    """Packets of a leader that has a history, in order."""
    return [packet_of(message) for message in CONVERSATIONS[3]["messages"] if is_named(message, name)]


@pytest.mark.parametrize("role", [FOLLOWER, OBSERVER])
async def test_a_diff_with_a_history_is_acknowledged_by_observers_only(
    role: str, autojump_clock: MockClock
) -> None:
    async with learning(role) as play:
        await play.leader.discover(2, lease_s=None)
        await play.leader.send(PacketType.DIFF, make_zxid(1, 7))
        for proposal, commit in zip(recorded("PROPOSAL"), recorded("COMMIT"), strict=True):
            await play.leader.link.send(proposal, commit)
        await play.leader.send(PacketType.NEWLEADER, make_zxid(2, 0))
        if role == FOLLOWER:
            assert await play.leader.until_closed() == []
            outcome = await play.outcome()
            assert isinstance(outcome, UnstoredError)
            assert str(outcome) == "DIFF up to 0x100000007"
        else:
            assert (await play.leader.expect(PacketType.ACK)).zxid == make_zxid(2, 0)
            assert play.learner.zxid == make_zxid(1, 7)
        assert play.storage.stored == StoredVote(0, 0, 2)


async def test_proposals_before_newleader_are_not_acknowledged_though_the_diff_named_our_zxid(
    autojump_clock: MockClock,
) -> None:
    async with learning() as play:
        await play.leader.discover(2, lease_s=None)
        await play.leader.send(PacketType.DIFF, 0)
        await play.leader.link.send(recorded("PROPOSAL")[0])
        await play.leader.send(PacketType.NEWLEADER, make_zxid(2, 0))
        assert await play.leader.until_closed() == []
        assert isinstance(await play.outcome(), UnstoredError)
        assert play.storage.stored.epoch == 0


# Epochs


async def test_an_epoch_below_the_accepted_one_is_refused(autojump_clock: MockClock) -> None:
    async with learning(stored=StoredVote(0, 3, 5)) as play:
        await play.leader.accept()
        assert play.leader.info.zxid == make_zxid(5, 0)
        await play.leader.offer(4)
        assert await play.leader.until_closed() == []
        assert await play.outcome() == "the leader is lost: it proposes epoch 4, and 5 has been accepted"
        assert play.storage.writes == 0


async def test_an_epoch_that_was_accepted_before_is_acknowledged_as_such(autojump_clock: MockClock) -> None:
    async with learning(stored=StoredVote(make_zxid(3, 1), 3, 5)) as play:
        acknowledged = await play.leader.discover(5)
        assert acknowledged.zxid == make_zxid(3, 1)
        assert acknowledged.data == b"\xff" * 4
        assert play.storage.stored.accepted_epoch == 5


@pytest.mark.parametrize("epoch", [1, 3])
async def test_newleader_of_another_epoch_than_the_accepted_one_is_not_acknowledged(
    epoch: int, autojump_clock: MockClock
) -> None:
    async with learning() as play:
        await play.leader.accept()
        await play.leader.offer(2)
        await play.leader.send(PacketType.DIFF, 0)
        await play.leader.send(PacketType.NEWLEADER, make_zxid(epoch, 0))
        assert await play.leader.until_closed() == []
        assert (
            await play.outcome()
            == f"the leader is lost: it sent NEWLEADER of epoch {epoch}, after LEADERINFO of epoch 2"
        )
        assert play.storage.stored == StoredVote(0, 0, 0)


OURS, JAVA = SYNC_S, None
"""What LEADERINFO says of a lease."""


@pytest.mark.parametrize("lease_s", [OURS, JAVA])
async def test_the_epoch_is_accepted_on_disk_before_ackepoch_leaves(
    lease_s: float | None, autojump_clock: MockClock
) -> None:
    storage = HeldStorage(StoredVote(0, 0, 0), holds={"accept_epoch"})
    async with learning(storage=storage) as play:
        with trio.move_on_after(60):
            await play.leader.discover(1, lease_s=lease_s)
            pytest.fail("ACKEPOCH left before the epoch was accepted")
        assert storage.calls == ["accept_epoch"]
        assert play.commitments.promise is None
        storage.let_go()
        await play.leader.expect(PacketType.ACKEPOCH)
        followed = None if lease_s is None else Followed(LEADER, 1, lease_s)
        assert storage.stored == StoredVote(0, 0, 1, followed)


async def test_one_of_ours_is_answered_once_with_all_that_one_write_made_durable(
    autojump_clock: MockClock,
) -> None:
    storage = HeldStorage(StoredVote(0, 0, 0))
    async with learning(storage=storage) as play:
        await play.leader.synchronize(1)
        assert storage.calls == ["accept_epoch"]
        assert storage.stored == StoredVote(0, 0, 1, Followed(LEADER, 1, SYNC_S))
        assert play.commitments.promise is not None
        await play.leader.send(PacketType.UPTODATE, -1)
        await play.leader.expect(PacketType.ACK)
        assert play.commitments.stored.epoch == 1
        assert storage.calls == ["accept_epoch"], "an epoch without transactions may become current later"
        await storage.settle()
        assert storage.stored.epoch == 1


async def test_no_epoch_is_current_whose_leader_is_not_established(autojump_clock: MockClock) -> None:
    async with learning() as play:
        await play.leader.synchronize(1)
        await play.leader.close()
        await play.ended.wait()
        assert play.commitments.stored.epoch == 0


async def test_an_epoch_of_a_java_leader_is_current_on_disk_before_newleader_is_acknowledged(
    autojump_clock: MockClock,
) -> None:
    storage = HeldStorage(StoredVote(0, 0, 0), holds={"begin_epoch"})
    async with learning(storage=storage) as play:
        await play.leader.discover(1, lease_s=JAVA)
        await play.leader.send(PacketType.DIFF, 0)
        await play.leader.send(PacketType.NEWLEADER, make_zxid(1, 0))
        with trio.move_on_after(60):
            await play.leader.link.receive()
            pytest.fail("the acknowledgement left before the epoch was current")
        assert storage.calls == ["accept_epoch", "begin_epoch"]
        storage.let_go()
        await play.leader.expect(PacketType.ACK)
        assert storage.stored == StoredVote(0, 1, 1)


async def test_a_link_that_broke_before_the_acknowledgement_came_costs_no_vote(
    autojump_clock: MockClock,
) -> None:
    """The epoch was accepted for this very leader, so it counts when it is acknowledged again."""
    async with stage(3, votes={1: HISTORY, 2: HISTORY}) as play:
        leader = await ScriptedLeader(play.net, 2).listen()
        for _ in range(2):
            acknowledged = await leader.discover(5)
            assert acknowledged.data == bytes(4)
            await leader.close()


@pytest.mark.parametrize(("lease_s", "synchronizing"), [(OURS, False), (JAVA, False), (JAVA, True)])
async def test_an_epoch_that_can_not_be_written_is_not_acknowledged(
    lease_s: float | None, synchronizing: bool, autojump_clock: MockClock
) -> None:
    full = StorageError("No space left on device")
    async with learning() as play:
        if synchronizing:
            await play.leader.discover(1, lease_s=lease_s)
            play.storage.fails = full
        else:
            await play.leader.accept()
            play.storage.fails = full
            await play.leader.offer(1, lease_s=lease_s)
        if synchronizing or lease_s is not None:
            await play.leader.send(PacketType.DIFF, 0)
            await play.leader.send(PacketType.NEWLEADER, make_zxid(1, 0))
        assert await play.leader.until_closed() == []
        assert await play.outcome() is full
        assert play.commitments.stored == StoredVote(0, 0, int(synchronizing))
        assert play.commitments.promise is None


# An established leader


async def test_packets_that_nobody_knows_are_tolerated_after_newleader(autojump_clock: MockClock) -> None:
    async with learning() as play:
        await play.leader.synchronize(1)
        for kind in (77, -1, PacketType.SYNC, PacketType.COMMIT, PacketType.REVALIDATE):
            await play.leader.send(kind, 5, b"whatever")
        await play.leader.send(PacketType.UPTODATE, -1)
        await play.leader.expect(PacketType.ACK)
        for kind in (77, -1, PacketType.SYNC, PacketType.NEWLEADER):
            await play.leader.send(kind, 5, None)
        await play.leader.send(PacketType.PING, 5)
        await play.leader.expect(PacketType.PING)
        assert not play.ended.is_set()


async def test_a_ping_before_uptodate_is_answered(autojump_clock: MockClock) -> None:
    """The lease may rest on it already."""
    async with learning() as play:
        await play.leader.synchronize(1)
        assert play.phases == [Phase.SYNCHRONIZATION]
        await trio.sleep(1)
        await play.leader.send(PacketType.PING, make_zxid(1, 0), b"12345678")
        assert (await play.leader.expect(PacketType.PING)).data == b"12345678"
        assert play.commitments.promise is not None
        assert play.commitments.promise.until == trio.current_time() + SYNC_S


@pytest.mark.parametrize(("asked", "answered"), [(None, b""), (b"", b""), (b"\0" * 8, b"\0" * 8)])
async def test_the_answer_to_a_ping_is_never_null_and_gives_back_its_zxid(
    asked: bytes | None, answered: bytes, autojump_clock: MockClock
) -> None:
    async with learning() as play:
        await play.leader.lead(1)
        await play.leader.send(PacketType.PING, make_zxid(1, 9), asked)
        assert await play.leader.link.receive() == QuorumPacket(PacketType.PING, make_zxid(1, 9), answered)


async def test_the_promise_counts_from_the_arrival_of_the_ping_and_precedes_its_answer(
    autojump_clock: MockClock,
) -> None:
    async with learning() as play:
        await play.leader.lead(1, lease_s=7.5)
        for _ in range(3):
            await trio.sleep(1)
            await play.leader.send(PacketType.PING, make_zxid(1, 0))
            await play.leader.expect(PacketType.PING)
            promise = play.commitments.promise
            assert promise is not None
            assert (promise.leader, promise.epoch) == (LEADER, 1)
            assert promise.until == trio.current_time() + 7.5


async def test_an_observer_promises_nothing(autojump_clock: MockClock) -> None:
    async with learning(OBSERVER) as play:
        await play.leader.lead(1)
        await play.leader.send(PacketType.PING, make_zxid(1, 0))
        await play.leader.expect(PacketType.PING)
        assert play.commitments.promise is None
        assert play.storage.stored == StoredVote(0, 0, 1)


async def test_a_leader_that_is_silent_for_synclimit_is_left(autojump_clock: MockClock) -> None:
    async with learning() as play:
        await play.leader.lead(1)
        await trio.sleep(SYNC_S - 0.1)
        await play.leader.send(PacketType.PING, make_zxid(1, 0))
        heard_at = trio.current_time()
        await play.leader.expect(PacketType.PING)
        assert await play.outcome() == "the leader is lost: silent for 2.5 s"
        assert trio.current_time() - heard_at == pytest.approx(SYNC_S)
        assert not play.learner.left_by_leader
        assert play.commitments.promise is not None, "it may lead on"


@pytest.mark.parametrize("step", range(4))
async def test_a_leader_that_falls_silent_before_newleader_is_left_after_initlimit(
    step: int, autojump_clock: MockClock
) -> None:
    async with learning() as play:
        if step == 0:
            await play.leader.accept()
        else:
            await play.leader.discover(1, lease_s=JAVA)
        if step > 1:
            await play.leader.send(*((PacketType.SNAP, 9) if step == 2 else (PacketType.DIFF, 0)))
        began = trio.current_time()
        assert await play.outcome() == "the leader is lost: silent for 5 s"
        assert trio.current_time() - began == pytest.approx(INIT_S)


async def test_between_newleader_and_uptodate_synclimit_counts_already(autojump_clock: MockClock) -> None:
    async with learning() as play:
        await play.leader.synchronize(1)
        began = trio.current_time()
        assert await play.outcome() == "the leader is lost: silent for 2.5 s"
        assert trio.current_time() - began == pytest.approx(SYNC_S)


async def test_a_leader_that_closes_the_link_is_known_to_have_done_so(autojump_clock: MockClock) -> None:
    async with learning() as play:
        await play.leader.lead(1)
        await play.leader.close()
        assert await play.outcome() == "the leader left: the connection was closed"
        assert play.learner.left_by_leader


@pytest.mark.parametrize(("data", "stops"), [(b"\0", False), (b"\1", True), (None, False), (b"\1\0", False)])
async def test_a_leader_that_says_that_it_has_resigned_is_owed_nothing(
    data: bytes | None, stops: bool, autojump_clock: MockClock
) -> None:
    async with learning() as play:
        await play.leader.lead(1)
        assert play.commitments.promise is not None
        await play.leader.send(PacketType.RESIGNATION, -1, data)
        assert await play.outcome() == f"the leader left: {'it stops' if stops else 'it resigned'}"
        assert play.commitments.promise is None
        assert play.learner.absent == stops
        assert not play.learner.left_by_leader, "there is nothing to find out"


async def test_a_transaction_is_not_acknowledged_by_a_voter(autojump_clock: MockClock) -> None:
    async with learning() as play:
        await play.leader.lead(1)
        proposal = recorded("PROPOSAL")[0]
        await play.leader.link.send(proposal)
        assert await play.leader.until_closed() == []
        outcome = await play.outcome()
        assert isinstance(outcome, UnstoredError)
        assert str(outcome) == "transaction 0x100000001"


# Leaders that err


async def test_a_leader_that_does_not_listen_yet_is_dialled_again(autojump_clock: MockClock) -> None:
    async with learning(listens=False) as play:
        await trio.sleep(0.25)
        await play.leader.listen()
        await play.leader.lead(1)
        assert trio.current_time() < 0.4
        assert play.learner.synced


async def test_a_leader_that_never_listens_is_left_within_half_a_second(autojump_clock: MockClock) -> None:
    async with learning(listens=False) as play:
        outcome = await play.outcome()
        assert isinstance(outcome, str)
        assert "refused" in outcome
        assert 0.3 < trio.current_time() < 0.6


async def test_a_leader_that_moved_is_looked_for_again_while_its_old_address_swallows_the_dial(
    autojump_clock: MockClock,
) -> None:
    """Not for as long as ``initLimit`` lasts: for one ``cnxTimeout``."""
    async with learning(listens=False) as play:
        play.learner.config = attrs.evolve(play.learner.config, tick_time_ms=2000)
        net = play.leader.net
        net.black_holes.add(quorum_port(LEADER))
        await trio.sleep(1)
        net.black_holes.clear()
        await play.leader.listen()
        with trio.fail_after(TransportOptions().cnx_timeout_s):
            await play.leader.lead(1)
        assert play.learner.synced


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (PacketType.DIFF, bytes(4)),
        (PacketType.PING, bytes(4)),
        (77, bytes(4)),
        (PacketType.LEADERINFO, None),
        (PacketType.LEADERINFO, bytes(3)),
    ],
)
async def test_a_leader_that_does_not_begin_with_an_epoch_is_left(
    kind: int, data: bytes | None, autojump_clock: MockClock
) -> None:
    async with learning() as play:
        await play.leader.accept()
        await play.leader.send(kind, make_zxid(1, 0), data)
        assert await play.leader.until_closed() == []
        assert isinstance(await play.outcome(), str)
        assert play.storage.writes == 0


@pytest.mark.parametrize("kind", [PacketType.NEWLEADER, PacketType.PROPOSAL, PacketType.UPTODATE, 77])
async def test_a_leader_that_does_not_say_how_it_synchronizes_is_left(
    kind: int, autojump_clock: MockClock
) -> None:
    async with learning() as play:
        await play.leader.accept()
        await play.leader.offer(1)
        await play.leader.send(kind, make_zxid(1, 0))
        assert await play.leader.until_closed() == []
        assert (
            await play.outcome() == f"the leader is lost: it sent packet {int(kind)}, not DIFF, TRUNC or SNAP"
        )
        assert play.storage.stored.epoch == 0


LEADERINFO = encode_packet(QuorumPacket(PacketType.LEADERINFO, make_zxid(1, 0), b"\0\1\0\0"))
SAID = [
    LEADERINFO,
    encode_packet(QuorumPacket(PacketType.DIFF, 0)),
    encode_packet(QuorumPacket(PacketType.SNAP, 9)),
    encode_packet(QuorumPacket(PacketType.NEWLEADER, make_zxid(1, 0))),
    encode_packet(QuorumPacket(PacketType.UPTODATE, -1)),
    encode_packet(QuorumPacket(PacketType.INFORM, 2**63 - 1, b"")),
    encode_packet(QuorumPacket(PacketType.LEADERINFO, 2**63 - 1, bytes(4))),
]


@settings(max_examples=150)
@given(
    said=st.lists(st.one_of(st.sampled_from(SAID), st.binary(max_size=60)), max_size=8).map(b"".join),
    role=st.sampled_from([FOLLOWER, OBSERVER]),
    piece=st.integers(1, 50),
    begins_well=st.booleans(),
)
def test_any_bytes_of_a_leader_end_following_it_and_nothing_else(
    said: bytes, role: str, piece: int, begins_well: bool
) -> None:
    async def play_it() -> None:
        async with learning(role) as play:
            await play.leader.accept()
            stream = play.leader.link.stream
            with contextlib.suppress(trio.BrokenResourceError):
                data = LEADERINFO * begins_well + said
                for at in range(0, len(data), piece):
                    await stream.send_all(data[at : at + piece])
            outcome = await play.outcome()
            assert isinstance(outcome, str | UnstoredError)
            stored = play.storage.stored
            assert stored.epoch <= stored.accepted_epoch
            assert stored == play.commitments.stored

    trio.run(play_it, clock=MockClock(autojump_threshold=0))


# The member around it


HISTORY = Vote(2, make_zxid(4, 7), 4)


async def test_a_voter_that_can_not_store_what_its_leader_has_goes_on_by_vote_alone(
    autojump_clock: MockClock,
) -> None:
    async with stage(3, stored=StoredVote(make_zxid(4, 2), 4, 4), votes={1: HISTORY, 2: HISTORY}) as play:
        leader = await ScriptedLeader(play.net, 2).listen()
        acknowledged = await leader.discover(5, lease_s=None)
        assert acknowledged == QuorumPacket(PacketType.ACKEPOCH, make_zxid(4, 2), (4).to_bytes(4, "big"))
        play.voters[2].leads = True
        await leader.send(PacketType.DIFF, make_zxid(4, 7))
        await leader.send(PacketType.NEWLEADER, make_zxid(5, 0))
        assert await leader.until_closed() == []
        await wait_all_tasks_blocked()
        (told,) = play.member.named("following.unsynced")
        assert (told["level"], told["leader"], told["epoch"]) == ("warning", 2, 5)
        await trio.sleep(60)
        status = play.member.member.status
        assert (status.state, status.leader, status.synced) == (PeerState.FOLLOWING, 2, False)
        assert play.member.storage.stored == StoredVote(make_zxid(4, 2), 4, 5)
        play.voters[2].leads = False
        began = trio.current_time()
        await play.until_role("LOOKING")
        assert trio.current_time() - began <= INIT_S
        assert play.why_it_looked_again() == ["the leader does not lead"]


async def test_a_leader_whose_election_connection_breaks_is_watched_no_more(
    autojump_clock: MockClock,
) -> None:
    async with stage(3, votes={1: HISTORY, 2: HISTORY}) as play:
        leader = await ScriptedLeader(play.net, 2).listen()
        await leader.discover(5, lease_s=None)
        play.voters[2].leads = True
        await leader.send(PacketType.DIFF, make_zxid(4, 7))
        await leader.send(PacketType.NEWLEADER, make_zxid(5, 0))
        await leader.until_closed()
        await trio.sleep(0.3)  # before the leader is asked whether it leads
        assert play.member.role() == ("FOLLOWING", 2)
        assert play.voters[2].stream is not None
        await play.voters[2].stream.aclose()
        began = trio.current_time()
        await play.until_role("LOOKING")
        assert trio.current_time() - began < 0.05
        assert play.why_it_looked_again() == ["the connection to the leader broke"]


async def test_an_epoch_that_a_follower_can_not_write_ends_its_member(autojump_clock: MockClock) -> None:
    full = StorageError("No space left on device")
    async with stage(3, votes={1: HISTORY, 2: HISTORY}) as play:
        leader = await ScriptedLeader(play.net, 2).listen()
        await leader.accept()
        play.member.storage.fails = full
        await leader.offer(5, lease_s=JAVA)
        assert await leader.until_closed() == []
        await play.member.ended.wait()
        await wait_all_tasks_blocked()
        assert play.failure == [full]


async def test_a_leader_under_other_quorums_is_not_acknowledged_where_they_can_not_be_adopted(
    autojump_clock: MockClock,
) -> None:
    """Else its quorum, and one of those who do not know of that configuration, could miss each other."""
    async with learning() as play:
        await play.leader.accept()
        await play.leader.offer(5)
        await play.leader.send(PacketType.DIFF, 0)
        others = attrs.evolve(ensemble_of({1: FOLLOWER, 2: FOLLOWER, 3: FOLLOWER, 4: FOLLOWER}), version=1)
        text = others.text.encode()
        await play.leader.send(PacketType.NEWLEADER, make_zxid(5, 0), text)
        outcome = await play.outcome()
        assert "newer configuration with other servers" in str(outcome)
        assert play.storage.stored.accepted_epoch == 0
        assert play.storage.stored.epoch == 0
