"""Scripted servers around one member: voters on the election port, a leader and learners on the other."""

import contextlib
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio
from trio.abc import Listener, Stream

from trio_fle.ensemble import HostPort
from trio_fle.errors import ConnectionLostError, FleError, RefusedError
from trio_fle.member.learner_link import LearnerLink
from trio_fle.sim.members.disk import VirtualDisk
from trio_fle.sim.members.ensemble import VirtualMember, ensemble_of
from trio_fle.sim.members.network import VirtualNetwork
from trio_fle.storage import Followed, StoredVote
from trio_fle.vote import PeerState, StateSummary, Vote, make_zxid
from trio_fle.wire import (
    FrameBuffer,
    Notification,
    decode_notification,
    encode_frame,
    encode_notification,
    hello_size,
)
from trio_fle.wire.packet import (
    LeaderInfo,
    LearnerInfo,
    PacketType,
    QuorumPacket,
    decode_learner_info,
    encode_leader_info,
    encode_learner_info,
)

THREE = dict.fromkeys((1, 2, 3), "participant")
LEADER = 3
"""The member under test where it leads: its id is the highest, so that it dials the scripted voters."""

INIT_S, SYNC_S, TICK_S = 5.0, 2.5, 0.5
"""initLimit 10, syncLimit 5, tickTime 500 ms."""


def host(sid: int) -> str:
    return f"192.0.2.{sid}"


def quorum_port(sid: int) -> HostPort:
    return HostPort(host(sid), 2888)


@attrs.define(eq=False)
class ScriptedVoter:
    """Listens on an election port; answers every LOOKING vote with the same vote, or with ``vote``."""

    net: VirtualNetwork
    sid: int
    vote: Vote | None = None
    silent: bool = False
    leads: bool = False
    """Whether it answers that it leads, rather than that it looks for a leader."""
    heard: list[Notification] = attrs.field(factory=list, init=False)
    stream: Stream | None = attrs.field(default=None, init=False)
    """The newest connection."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        address = HostPort(host(self.sid), 3888)
        (listener,) = await self.net.host(host(self.sid)).listen([address])
        async with trio.open_nursery() as nursery:
            task_status.started()
            while True:
                nursery.start_soon(self._serve, await listener.accept())

    async def _serve(self, stream: Stream) -> None:
        data = b""
        while (missing := hello_size(data) - len(data)) > 0:
            chunk = await stream.receive_some(missing)
            if not chunk:
                return
            data += chunk
        self.stream = stream
        frames = FrameBuffer()
        try:
            while chunk := await stream.receive_some():
                for body in frames.feed(chunk):
                    await self._hear(stream, decode_notification(body))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return

    async def _hear(self, stream: Stream, heard: Notification) -> None:
        self.heard.append(heard)
        if heard.state is PeerState.LOOKING and not self.silent:
            state = PeerState.LEADING if self.leads else PeerState.LOOKING
            answer = Notification(state, self.vote or heard.vote, heard.round)
            await stream.send_all(encode_frame(encode_notification(answer)))

    async def say(self, state: PeerState, vote: Vote, round_: int) -> None:
        assert self.stream is not None
        notification = Notification(state, vote, round_)
        await self.stream.send_all(encode_frame(encode_notification(notification)))


@attrs.define(eq=False)
class HeldStorage(VirtualDisk):
    """Storage whose writes wait while their name is in ``holds``; and a list of all writes in order."""

    holds: set[str] = attrs.field(factory=set)
    calls: list[str] = attrs.field(factory=list)
    _go: trio.Event = attrs.field(factory=trio.Event, init=False)

    async def accept_epoch(self, epoch: int, followed: Followed | None = None) -> None:
        await self._hold("accept_epoch")
        await VirtualDisk.accept_epoch(self, epoch, followed)

    async def begin_epoch(self, epoch: int) -> None:
        await self._hold("begin_epoch")
        await VirtualDisk.begin_epoch(self, epoch)

    async def _hold(self, name: str) -> None:
        self.calls.append(name)
        while name in self.holds:
            await self._go.wait()

    def let_go(self) -> None:
        self.holds.clear()
        self._go.set()


@attrs.define(eq=False)
class ScriptedLearner:
    """A learner's end of one link to a leader, step by step."""

    sid: int
    link: LearnerLink

    async def send(self, kind: int, zxid: int, data: bytes | None = None) -> None:
        await self.link.send(QuorumPacket(kind, zxid, data))

    async def say_bytes(self, data: bytes) -> None:
        await self.link.stream.send_all(data)

    async def introduce(
        self,
        *,
        accepted: int = 0,
        kind: int = PacketType.FOLLOWERINFO,
        marked: bool = True,
        config_version: int = 0,
        zxid: int = 0,
        epoch: int = 0,
    ) -> None:
        summary = StateSummary(epoch, zxid) if marked else None
        info = LearnerInfo(self.sid, config_version=config_version, summary=summary)
        await self.send(kind, make_zxid(accepted, 0), encode_learner_info(info))

    async def expect(self, kind: PacketType) -> QuorumPacket:
        packet = await self.link.receive()
        assert packet.type == kind, f"{packet} instead of {kind.name}"
        return packet

    async def acknowledge_epoch(self, zxid: int = 0, epoch: int = 0) -> None:
        await self.send(PacketType.ACKEPOCH, zxid, epoch.to_bytes(4, "big", signed=True))

    async def discover(self, *, accepted: int = 0, zxid: int = 0, epoch: int = 0) -> int:
        """Pass the first gate, and acknowledge the epoch; return its zxid."""
        await self.introduce(accepted=accepted, zxid=zxid, epoch=epoch)
        leader_info = await self.expect(PacketType.LEADERINFO)
        await self.expect(PacketType.DIFF)
        await self.expect(PacketType.NEWLEADER)
        await self.acknowledge_epoch(zxid, epoch)
        return leader_info.zxid

    async def join(self, **known: int) -> int:
        """Become a synchronized follower; return the zxid of the epoch."""
        new = await self.discover(**known)
        await self.send(PacketType.ACK, new)
        while (await self.link.receive()).type != PacketType.UPTODATE:
            pass
        await self.send(PacketType.ACK, new)
        return new

    async def answer_pings(self) -> None:
        while True:
            packet = await self.link.receive()
            if packet.type == PacketType.PING:
                await self.send(PacketType.PING, packet.zxid, packet.data)

    async def answer_pings_until_closed(self) -> None:
        with contextlib.suppress(ConnectionLostError, trio.ClosedResourceError):
            await self.answer_pings()

    async def follow(self, **known: int) -> None:
        """Be a good follower until the leader leaves."""
        with contextlib.suppress(ConnectionLostError, trio.ClosedResourceError):
            await self.join(**known)
            await self.answer_pings()

    async def expect_the_end(self) -> None:
        """Wait until the leader closes; nothing may come before."""
        try:
            packet = await self.link.receive()
        except ConnectionLostError:
            return
        raise AssertionError(f"{packet} instead of the end")

    async def until_closed(self) -> float:
        """Swallow whatever comes until the leader closes; return when that was."""
        try:
            while True:
                await self.link.receive()
        except ConnectionLostError:
            return trio.current_time()


@attrs.define(eq=False)
class ScriptedLeader:
    """Listens on a quorum port; the test speaks for it, one link at a time."""

    net: VirtualNetwork
    sid: int
    listener: Listener[Stream] = attrs.field(init=False)
    link: LearnerLink = attrs.field(init=False)
    info: QuorumPacket = attrs.field(init=False)
    """How the present caller introduced itself."""

    async def listen(self) -> "ScriptedLeader":
        (self.listener,) = await self.net.host(host(self.sid)).listen([quorum_port(self.sid)])
        return self

    async def accept(self) -> None:
        """Take the next caller; those that hang up at once only wanted to know whether we listen."""
        while True:
            stream = await self.listener.accept()
            self.link = LearnerLink(stream, quorum_port(self.sid), 1000.0)
            try:
                self.info = await self.link.receive()
            except ConnectionLostError:
                continue
            return

    async def send(self, kind: int, zxid: int, data: bytes | None = None) -> None:
        await self.link.send(QuorumPacket(kind, zxid, data))

    async def expect(self, kind: PacketType) -> QuorumPacket:
        packet = await self.link.receive()
        assert packet.type == kind, f"{packet} instead of {kind.name}"
        return packet

    async def offer(self, epoch: int, *, lease_s: float | None = SYNC_S) -> None:
        """Send LEADERINFO, as one of ours unless there is no lease."""
        info = encode_leader_info(LeaderInfo(lease_s=lease_s))
        await self.send(PacketType.LEADERINFO, make_zxid(epoch, 0), info)

    async def discover(self, epoch: int, *, lease_s: float | None = SYNC_S) -> QuorumPacket:
        """Take a caller in; return its ACKEPOCH: one of ours waits for NEWLEADER before it says that."""
        await self.accept()
        await self.offer(epoch, lease_s=lease_s)
        if lease_s is not None:
            await self.send(PacketType.DIFF, self.summary.zxid)
            await self.send(PacketType.NEWLEADER, make_zxid(epoch, 0))
        return await self.expect(PacketType.ACKEPOCH)

    @property
    def summary(self) -> StateSummary:
        """The history that the present caller told."""
        info = decode_learner_info(self.info.data)
        assert info is not None
        assert info.summary is not None
        return info.summary

    async def synchronize(self, epoch: int, *, lease_s: float | None = SYNC_S) -> None:
        """Take a caller in, up to its acknowledgement of NEWLEADER."""
        acknowledged = await self.discover(epoch, lease_s=lease_s)
        if lease_s is None:
            await self.send(PacketType.DIFF, acknowledged.zxid)
            await self.send(PacketType.NEWLEADER, make_zxid(epoch, 0))
        assert (await self.expect(PacketType.ACK)).zxid == make_zxid(epoch, 0)

    async def lead(self, epoch: int, *, lease_s: float | None = SYNC_S) -> None:
        """Take a caller in, and be established."""
        await self.synchronize(epoch, lease_s=lease_s)
        await self.send(PacketType.UPTODATE, -1)
        assert (await self.expect(PacketType.ACK)).zxid == make_zxid(epoch, 0)

    async def until_closed(self) -> list[QuorumPacket]:
        """Return what still comes before the learner closes its end."""
        packets = []
        with contextlib.suppress(ConnectionLostError):
            while True:
                packets.append(await self.link.receive())
        return packets

    async def close(self) -> None:
        await self.link.stream.aclose()


@attrs.define(eq=False)
class Stage:
    """One member, the scripted voters around it, and the network."""

    nursery: trio.Nursery
    net: VirtualNetwork
    member: VirtualMember
    voters: Mapping[int, ScriptedVoter]
    failure: list[BaseException] = attrs.field(factory=list, init=False)
    """What ended the member."""

    async def call(self, sid: int, *, source: str | None = None, to: int = LEADER) -> ScriptedLearner:
        """Reach the member's quorum port, as soon as it listens there."""
        while True:
            try:
                stream = self.net.call(quorum_port(to), source or host(sid))
            except RefusedError:
                await trio.sleep(0.01)
                continue
            return ScriptedLearner(sid, LearnerLink(stream, quorum_port(to), 1000.0))

    async def until_role(self, state: str) -> float:
        """Return once the member is in this state, or was for a moment meanwhile."""
        before = len(self.member.named("member.state"))
        with trio.fail_after(120):
            while not self._has_been(state, before):  # noqa: ASYNC110
                await trio.sleep(0.005)
        return trio.current_time()

    def _has_been(self, state: str, since: int) -> bool:
        news = [each["to"] for each in self.member.named("member.state")[since:]]
        return state in [self.member.role()[0], *news]

    def reasons(self) -> list[str]:
        """Why callers were turned away, and learners lost."""
        return [
            each["reason"]
            for each in self.member.events
            if each["event"] in ("peer.rejected", "leading.learner_lost")
        ]

    def why_it_looked_again(self) -> list[str]:
        return [each["reason"] for each in self.member.named("member.state") if each["to"] == "LOOKING"]

    async def run_member(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        try:
            await self.member.run(task_status=task_status)
        except FleError as error:
            self.failure.append(error)


@asynccontextmanager
async def stage(
    sid: int = LEADER,
    roles: Mapping[int, str] = THREE,
    *,
    stored: StoredVote | None = None,
    storage: VirtualDisk | None = None,
    votes: Mapping[int, Vote] | None = None,
    silent: Collection[int] = (),
    listening: Collection[int] = (),
    **more: Any,
) -> AsyncIterator[Stage]:
    """Start scripted voters and one member: a leader where no other vote is given.

    ``silent`` voters say nothing; those ``listening`` on their quorum ports do so before the member starts.
    """
    net = VirtualNetwork()
    storage = storage or VirtualDisk(stored or StoredVote(0, 0, 0))
    async with trio.open_nursery() as nursery:
        voters = {
            other: ScriptedVoter(net, other, (votes or {}).get(other), other in silent)
            for other in roles
            if other != sid and roles[other] == "participant"
        }
        for voter in voters.values():
            await nursery.start(voter.run)
        for other in listening:
            await ScriptedLeader(net, other).listen()
        member = VirtualMember(sid, ensemble_of(roles), net, storage=storage, **more)
        made = Stage(nursery, net, member, voters)
        await nursery.start(made.run_member)
        yield made
        nursery.cancel_scope.cancel()
