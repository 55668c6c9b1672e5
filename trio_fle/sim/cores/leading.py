"""Leading, as ``member.leading`` does it: two gates, the lease, and the end in its order."""

import enum
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import attrs

from trio_fle.election.events import Established, Leave
from trio_fle.member.leading import DOUBT_AT
from trio_fle.member.looking import DOUBT_TICKS
from trio_fle.sim.cores.world import Stream
from trio_fle.storage import StoredVote
from trio_fle.vote import StateSummary, make_zxid
from trio_fle.wire.packet import PacketType
from trio_fle.zab import AheadError, Discovery, Lease

if TYPE_CHECKING:
    from trio_fle.sim.cores.server import Server


class Stage(enum.IntEnum):
    """How far a would-be leader has come."""

    WAITING = 0
    PROPOSING = 1
    ACCEPTING = 2
    SYNCHRONIZING = 3
    ESTABLISHED = 4
    ENDING = 5
    OVER = 6


UPTO: Final = {
    Stage.WAITING: "the lease of the leader before has not run out",
    Stage.PROPOSING: "no quorum told its epoch",
    Stage.SYNCHRONIZING: "no quorum was synchronized",
}
"""Why each stage that waits for others ends after ``initLimit``."""


@attrs.define(eq=False)
class Handler:
    """One learner as its leader sees it: what it has said, and what it has not been told yet."""

    leading: "Leading"
    stream: Stream
    sid: int
    observes: bool = False
    accepted: int | None = None
    first: bool = False
    """Whether it has accepted the epoch of this leader, and of no other one before."""
    told: bool = False
    synced: bool = False
    up_to_date: bool = False
    sent_at: float = 0.0
    heard_at: float = 0.0
    pings: dict[int, float] = attrs.field(factory=dict)
    last_ping: int = 0

    def send(self, kind: PacketType, zxid: int = 0, data: float = 0) -> None:
        """Send one packet."""
        world = self.leading.server.world
        world.send(self.stream, 1, (kind, zxid, data), world.now)

    def receive(self, kind: PacketType, zxid: Any, data: Any) -> None:
        """Take in one packet, in the order of the protocol.

        FOLLOWERINFO has the accepted epoch and the history in place of a zxid.
        """
        leading = self.leading
        self.heard_at = leading.server.world.now
        match kind:
            case PacketType.FOLLOWERINFO | PacketType.OBSERVERINFO:
                self.observes = kind is PacketType.OBSERVERINFO
                leading.meet(self, *zxid)
            case PacketType.ACKEPOCH:
                self.first = data != -1
            case PacketType.ACK if not self.synced:
                self.synced = True
                leading.synchronize(self, zxid)
            case PacketType.PING:
                sent_at = self.pings.pop(data, None)
                if sent_at is not None:
                    leading.answered(self, sent_at)

    def ping(self, now: float) -> None:
        """Send a ping; its number comes back with the answer."""
        self.last_ping += 1
        self.pings[self.last_ping] = now
        self.send(PacketType.PING, 0, self.last_ping)


@attrs.define(eq=False)
class Leading:
    """One attempt at leading."""

    server: "Server"
    discovery: Discovery = attrs.field(init=False)
    lease: Lease = attrs.field(init=False)
    stage: Stage = attrs.field(default=Stage.WAITING, init=False)
    handlers: dict[Handler, None] = attrs.field(factory=dict, init=False)
    granted: float = attrs.field(default=-math.inf, init=False)
    """The latest end of a lease that any answers allowed."""
    _stage_began: float = attrs.field(default=0.0, init=False)
    _doubted: bool = attrs.field(default=False, init=False)
    _writes: bool = attrs.field(default=False, init=False)
    _why: str | None = attrs.field(default=None, init=False)
    """Why it ends as soon as the disk is done."""
    _guards: bool = attrs.field(default=False, init=False)
    """Whether something still runs under this leadership."""

    def __attrs_post_init__(self) -> None:
        server, settings = self.server, self.server.world.settings
        electorate = server.core.electorate
        self.discovery = Discovery(electorate, StateSummary(server.stored.epoch, server.stored.zxid))
        self.lease = Lease(server.sid, electorate.is_quorum, settings.sync_s, settings.margin)

    @property
    def established(self) -> int | None:
        """Our id, once it leads."""
        return self.server.sid if self.stage is Stage.ESTABLISHED else None

    @property
    def acts(self) -> bool:
        """Whether it, or what it guards, may act as leader: its lease is not over, by its own clock."""
        return self._guards and self.server.clock() < self.granted

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.stage is Stage.OVER

    def start(self) -> None:
        """Open the quorum port, and wait to be free of any promise."""
        self.server.listening = True
        self._ping()
        self._enter(Stage.WAITING)
        self.server.promising.when_free(self.server.sid, self._free)

    def _free(self) -> None:
        if self.stage is Stage.WAITING:
            self._enter(Stage.PROPOSING)
            self.discovery.propose(
                self.server.sid,
                max(self.server.stored.accepted_epoch, self.server.heard_epoch),
                self.discovery.summary,
            )
            self.go_on()

    def _enter(self, stage: Stage) -> None:
        self.stage, self._stage_began = stage, self.server.world.now
        if stage in UPTO:
            self.server.world.after(self.server, self.server.world.settings.init_s, self._too_long, stage)

    def _too_long(self, stage: Stage) -> None:
        if self.stage is stage:
            self._end(UPTO[stage])

    def go_on(self) -> None:
        """See which gates are open, tell the learners, and pass on."""
        discovery, server = self.discovery, self.server
        match self.stage:
            case Stage.PROPOSING if discovery.proposed.open:
                self._enter(Stage.ACCEPTING)
                accepted = attrs.evolve(server.stored, accepted_epoch=discovery.new_epoch, followed=None)
                self._tell_learners()
                self._write(accepted, self._accepted)
                return
            case Stage.SYNCHRONIZING if discovery.synchronized.open and self._doubt_in_s() > 0:
                self._establish()
        self._tell_learners()
        if self.stage is Stage.ESTABLISHED:
            self._check()

    def _write(self, stored: StoredVote, done: Callable[[], None]) -> None:
        """Make that durable, and go on, or end: while the disk works, nothing can."""

        def written() -> None:
            self._writes = False
            if self._why is None:
                done()
            else:
                self._end(self._why)

        self._writes = True
        self.server.write(stored, written)

    def _accepted(self) -> None:
        sid, epoch, world = self.server.sid, self.discovery.new_epoch, self.server.world
        world.checker.accepted(world.now, sid, epoch, sid)
        self.server.accepted_of = epoch, sid
        self._enter(Stage.SYNCHRONIZING)
        self.discovery.synchronize(sid, make_zxid(epoch, 0), first=True)
        self.go_on()

    def _establish(self) -> None:
        server, epoch = self.server, self.discovery.new_epoch
        self._enter(Stage.ESTABLISHED)
        self._guards = True
        self.granted = max(self.granted, self.lease.end())
        if server.world.trace is not None:
            server.world.say(server.sid, f"leads epoch {epoch}")
        server.led()
        server.begin_soon(epoch)
        server.put(Established(epoch))
        server.world.established(self, server.sid, epoch)

    def _tell_learners(self) -> None:
        stage, world = self.stage, self.server.world
        for handler in self.handlers:
            if handler.accepted is None:
                continue
            if not handler.told and Stage.ACCEPTING <= stage < Stage.ENDING:
                handler.told, handler.sent_at = True, self.server.clock()
                handler.send(PacketType.LEADERINFO, self.discovery.new_epoch, world.settings.sync_s)
                handler.send(PacketType.NEWLEADER, self.discovery.new_epoch, self.discovery.summary.zxid)
            if handler.synced and not handler.up_to_date and stage is Stage.ESTABLISHED:
                handler.up_to_date = True
                handler.send(PacketType.UPTODATE)

    # Learners

    def accept(self, stream: Stream) -> None:
        """Take in a caller, who will say who it is."""
        handler = Handler(self, stream, stream.sid(0), heard_at=self.server.world.now)
        stream.receive[1] = handler.receive
        stream.ended[1] = lambda: self._lose(handler)
        self.handlers[handler] = None
        self._be_patient(handler)

    def meet(self, handler: Handler, accepted: int, summary: StateSummary) -> None:
        """Take in the epoch that a learner has accepted, and its history: the first gate."""
        for older in list(self.handlers):
            if older is not handler and older.sid == handler.sid:
                self._lose(older)
        handler.accepted = accepted
        server, discovery = self.server, self.discovery
        if discovery.proposed.open and accepted > discovery.new_epoch and self._is_credible(handler):
            server.heard_epoch = max(server.heard_epoch, accepted)
            self.give_up(f"{handler.sid} has accepted epoch {accepted}")
            return
        try:
            discovery.propose(handler.sid, accepted, summary)
        except AheadError:
            self._lose(handler)
            return
        self.go_on()

    def _is_credible(self, handler: Handler) -> bool:
        return handler.sid in self.server.ensemble.voters and handler.sid in self.server.connections.connected

    def synchronize(self, handler: Handler, epoch: int) -> None:
        """Take in that a learner holds what we hold: the second gate; it counts like a ping's answer."""
        if epoch == self.discovery.new_epoch:
            self.answered(handler, handler.sent_at)
        self.discovery.synchronize(handler.sid, make_zxid(epoch, 0), first=handler.first)
        self.go_on()

    def answered(self, handler: Handler, sent_at: float) -> None:
        """Note the answer to what was sent at ``sent_at``."""
        if not handler.observes:
            self.lease.answered(handler.sid, sent_at)
            self.granted = max(self.granted, self.lease.end())
            if self.stage is Stage.SYNCHRONIZING:
                self.go_on()

    def _be_patient(self, handler: Handler) -> None:
        """Give a learner up that is silent for too long."""
        if handler not in self.handlers:
            return
        world = self.server.world
        waits = handler.accepted is not None and not handler.told
        patience_s = world.settings.sync_s if handler.synced else world.settings.init_s
        left_s = patience_s if waits else handler.heard_at + patience_s - world.now
        if left_s <= 0:
            self._lose(handler)
        else:
            world.after(self.server, left_s + 1e-6, self._be_patient, handler)

    def _lose(self, handler: Handler) -> None:
        if handler in self.handlers:
            del self.handlers[handler]
            self.server.world.close(handler.stream, 1)
            if handler.sid not in {other.sid for other in self.handlers if other.synced}:
                self.lease.lost(handler.sid)
                self.discovery.lose(handler.sid)
            self.go_on()

    # The lease, and the end

    def _ping(self) -> None:
        if self.stage is Stage.OVER:
            return
        now, settings = self.server.clock(), self.server.world.settings
        for handler in self.handlers:
            if handler.synced:
                handler.ping(now)
        self._check()
        self.server.world.after(self.server, settings.tick_s / 2, self._ping)

    def _doubt_in_s(self) -> float:
        return self.lease.end() - (1 - DOUBT_AT) * self.lease.usable_s - self.server.clock()

    def _check(self) -> None:
        """Give up where too few follow, or none has answered for too long."""
        if self.stage is not Stage.ESTABLISHED:
            return
        synced = {handler.sid for handler in self.handlers if handler.synced and not handler.observes}
        left_s = self._doubt_in_s()
        if not self.server.core.electorate.is_quorum(synced | {self.server.sid}):
            self.give_up(f"only {sorted(synced)} follow")
        elif left_s <= 0:
            self.give_up("no quorum answered")
        elif left_s < self.server.world.settings.tick_s / 2:
            self.server.lease_after(left_s + 1e-6, self._check)

    def give_up(self, reason: str) -> None:
        """End the leadership; what it guards ends first, while the port stays open and pings go on."""
        if self.stage is Stage.ESTABLISHED:
            self._enter(Stage.ENDING)
            world = self.server.world
            if world.trace is not None:
                self.server.world.say(self.server.sid, f"ends its leadership: {reason}")
            world.after(self.server, world.rng.uniform(0, world.settings.cleanup_s), self._vacate, reason)
            self.server.lease_after(max(0.0, self.granted - self.server.clock()), lambda: self._end(reason))
        elif self.stage < Stage.ESTABLISHED:
            self._end(reason)

    def _vacate(self, reason: str) -> None:
        self._guards = False
        if self.stage is Stage.ENDING and self.server.clock() < self.granted:
            self._end(reason)

    def _end(self, reason: str) -> None:
        """Close the port, then the links, then look: whoever finds nobody listening knows that we ended."""
        if self.stage is Stage.OVER:
            return
        if self._writes:
            self._why = self._why or reason
            return
        came_far = self.stage >= Stage.ESTABLISHED
        server = self.server
        if self.stage is Stage.ENDING and self._guards and server.clock() < self.granted:
            # pings went on, and granted more
            server.lease_after(self.granted - server.clock(), lambda: self._end(reason))
            return
        self.stage = Stage.OVER
        server.put(Leave())
        server.listening = False
        for handler in list(self.handlers):
            del self.handlers[handler]
            server.world.close(handler.stream, 1)
        server.leave(f"leads no more: {reason}", came_far=came_far)

    # Who looks for a leader meanwhile

    def connections_changed(self) -> None:
        """See whether enough voters are there to follow."""
        self.voter_looks()

    def voter_looks(self) -> None:
        """Give up, before we lead, where those who don't look are no quorum; a tick later."""
        server, settings = self.server, self.server.world.settings
        if self.stage >= Stage.ESTABLISHED or self._doubted:
            return
        now = server.world.now
        looking = {sid for sid, at in server.looking.items() if now - at <= DOUBT_TICKS * settings.tick_s}
        present = server.connections.connected | {server.sid} | {handler.sid for handler in self.handlers}
        if looking and not server.core.electorate.is_quorum(frozenset(present - looking)):
            self._doubted = True
            server.world.after(server, settings.tick_s, self._give_way)

    def _give_way(self) -> None:
        if self.stage < Stage.ESTABLISHED:
            self._end("too many voters look for a leader")
