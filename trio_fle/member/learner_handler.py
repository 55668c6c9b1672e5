"""One learner, as its leader sees it. Source: ``LearnerHandler``."""

from typing import Final, Protocol

import attrs
import trio

from trio_fle.errors import MalformedMessageError, PeerError
from trio_fle.member.learner_link import LearnerLink
from trio_fle.vote import epoch_of, make_zxid
from trio_fle.wire.packet import (
    PROTOCOL_VERSION,
    LeaderInfo,
    LearnerInfo,
    PacketType,
    QuorumPacket,
    decode_learner_info,
    encode_leader_info,
)

_QUEUED: Final = 16
"""Packets that a learner may leave unread before its link is given up."""

_UNANSWERED: Final = 64
"""Pings whose answers are waited for."""


class LeaderSide(Protocol):
    """What a handler asks of the leader: where all learners meet."""

    @property
    def lease_s(self) -> float:
        """How long followers are to keep their promise."""

    @property
    def config_text(self) -> bytes:
        """The configuration that NEWLEADER carries."""

    @property
    def zxid(self) -> int:
        """The leader's last zxid."""

    async def wait_proposed(self, handler: "LearnerHandler") -> int:
        """Pass the first gate; return the new epoch. Raises ``AheadError``."""

    def synchronized(self, handler: "LearnerHandler", zxid: int, sent_at: float, *, first: bool) -> None:
        """Note that it has come to the second gate, with the answer to what was sent at ``sent_at``.

        ``first``: it has accepted the epoch of this leader, and of no other one before. It is told
        ``up_to_date`` once the gate is passed.
        """

    def answered(self, handler: "LearnerHandler", sent_at: float) -> None:
        """Note the answer to a ping that was sent at ``sent_at``."""

    def clock(self) -> float:
        """Return the time of the lease clock."""


@attrs.define(eq=False)
class LearnerHandler:
    """One link: its learner is led through discovery and synchronization, then pinged."""

    link: LearnerLink
    info: LearnerInfo
    observes: bool
    accepted_epoch: int
    sync_s: float
    synced: bool = attrs.field(default=False, init=False)
    """Whether it has acknowledged NEWLEADER: from then on it is pinged."""
    ended: trio.Event = attrs.field(factory=trio.Event, init=False)
    _pings: dict[int, float] = attrs.field(factory=dict, init=False)
    """When each unanswered ping was sent, by its number."""
    _last_ping: int = attrs.field(default=0, init=False)
    _send: trio.MemorySendChannel[QuorumPacket] = attrs.field(init=False)
    _queue: trio.MemoryReceiveChannel[QuorumPacket] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._send, self._queue = trio.open_memory_channel[QuorumPacket](_QUEUED)

    @property
    def sid(self) -> int:
        """Server id that the learner claims."""
        return self.info.sid

    async def run(self, leader: LeaderSide) -> None:
        """Serve the learner until its link ends. Raises ``PeerError`` with the reason, if nobody ended it."""
        async with trio.open_nursery() as nursery:
            self.link.scope = nursery.cancel_scope
            nursery.start_soon(self._send_queued)
            await self._synchronize(leader)
            await self._receive_answers(leader)
        self.link.check_heard()

    async def _synchronize(self, leader: LeaderSide) -> None:
        """Send all up to NEWLEADER: what ACKEPOCH says of a learner's history, ours have said before."""
        new = make_zxid(await leader.wait_proposed(self), 0)
        info = LeaderInfo(PROTOCOL_VERSION, leader.lease_s)
        sent_at = leader.clock()
        await self.link.send(
            QuorumPacket(PacketType.LEADERINFO, new, encode_leader_info(info)),
            QuorumPacket(PacketType.DIFF, leader.zxid),
            QuorumPacket(PacketType.NEWLEADER, new, leader.config_text),
        )
        first = await self._receive_ackepoch()
        packet = await self.link.receive()
        if packet.type != PacketType.ACK:
            raise MalformedMessageError(f"it sent packet {packet.type}, not the ACK of NEWLEADER")
        self.link.patience_s = self.sync_s
        self.synced = True
        leader.synchronized(self, packet.zxid, sent_at, first=first)

    def up_to_date(self) -> None:
        """Queue that its leader leads: the last gate is passed."""
        self._queue_packet(QuorumPacket(PacketType.UPTODATE, -1))

    async def _receive_ackepoch(self) -> bool:
        """Return whether the learner has accepted the epoch of this leader, and of no other one before.

        After a restart it has forgotten whose an epoch was, and says no.
        """
        packet = await self.link.receive()
        if packet.type != PacketType.ACKEPOCH:
            raise MalformedMessageError(f"it sent packet {packet.type}, not ACKEPOCH")
        if packet.data is None or len(packet.data) < 4:
            raise MalformedMessageError("it sent ACKEPOCH without an epoch")
        return int.from_bytes(packet.data[:4], "big", signed=True) != -1

    def ping(self, zxid: int, now: float) -> None:
        """Queue a ping; its number comes back with the answer."""
        self._last_ping += 1
        self._pings[self._last_ping] = now
        if len(self._pings) > _UNANSWERED:
            del self._pings[next(iter(self._pings))]
        self._queue_packet(QuorumPacket(PacketType.PING, zxid, self._last_ping.to_bytes(8, "big")))

    def _queue_packet(self, packet: QuorumPacket) -> None:
        try:
            self._send.send_nowait(packet)
        except trio.WouldBlock:
            self.link.scope.cancel()  # it has not read for long: the link is of no more use

    async def _send_queued(self) -> None:
        while True:
            await self.link.send(await self._queue.receive())

    async def _receive_answers(self, leader: LeaderSide) -> None:
        while True:
            packet = await self.link.receive()
            if packet.type == PacketType.PING and packet.data is not None and len(packet.data) == 8:
                sent_at = self._pings.pop(int.from_bytes(packet.data, "big"), None)
                if sent_at is not None:
                    leader.answered(self, sent_at)


async def receive_learner(link: LearnerLink, sync_s: float) -> LearnerHandler:
    """Read who calls. Raises ``PeerError`` for what is no learner of today."""
    packet = await link.receive()
    if packet.type not in (PacketType.FOLLOWERINFO, PacketType.OBSERVERINFO):
        raise MalformedMessageError(f"it began with packet {packet.type}, not FOLLOWERINFO or OBSERVERINFO")
    info = decode_learner_info(packet.data)
    if info is None or info.protocol_version < PROTOCOL_VERSION:
        raise PeerError("a learner from before ZooKeeper 3.4 can't follow this leader")
    observes = packet.type == PacketType.OBSERVERINFO
    return LearnerHandler(link, info, observes, epoch_of(packet.zxid), sync_s)
