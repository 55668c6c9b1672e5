"""Whoever watches whole members: tells a ``Checker`` what they log, send and hold, and when they may act."""

import math
import struct
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs
import trio

from trio_fle.member import Term
from trio_fle.sim.invariants import CALM, EPOCHS_GROW, NOBODY_FAILS, ONE_ACTS, Checker, ViolationError
from trio_fle.sim.members.ensemble import LogLine, VirtualEnsemble, VirtualMember
from trio_fle.sim.members.network import sid_of
from trio_fle.sim.members.streams import VirtualStream
from trio_fle.vote import LearnerType, Vote, epoch_of
from trio_fle.wire.notification import RIDER_MARK
from trio_fle.wire.packet import PacketType

QUORUM_PORT: Final = 2888

CHANGES_PER_S: Final = 15
"""Changes of state that a member may have within a second."""

MESSAGES_PER_S: Final = 200
"""What a member may send to another one on the election port within a second: each answers what the other
says, and must not answer an answer for ever."""

STEPS_AT_ONCE: Final = 20_000
"""Rounds of the scheduler at one moment of virtual time."""

WORK_S: Final = 0.2
CLEAN_UP_S: Final = 0.15
"""How long a body works at a time, and what it needs after its term."""

_HEAD: Final = struct.Struct(">iqi")
"""Type, zxid and length of the data of a packet; after the data come four bytes (no credentials)."""

_RIDER: Final = struct.Struct(">qqq")
"""What follows the mark of an offer or an acceptance; the last is negative in an acceptance."""

_BEFORE: Final = b"\xff" * 4
"""ACKEPOCH's data where the epoch had been accepted before."""


@attrs.define(eq=False)
class Watcher(trio.abc.Instrument):
    """Watches ``ensemble``, and ends ``scope`` at the first violation.

    ``tell`` is told, line by line, of what members log (at ``info`` and above).
    """

    checker: Checker
    scope: trio.CancelScope
    tell: Callable[[str], None] | None = None
    ensemble: VirtualEnsemble = attrs.field(init=False)
    violation: ViolationError | None = attrs.field(default=None, init=False)
    leads: list[int] = attrs.field(factory=list, init=False)
    """Who may act as leader now: one, or nobody."""
    leaderless_s: float = attrs.field(default=0.0, init=False)
    """How long nobody might act as leader."""
    bodies: dict[int, VirtualMember] = attrs.field(factory=dict, init=False)
    """What works in a term, or cleans up after it."""
    elections: int = attrs.field(default=0, init=False)
    """How often a member decided that it leads itself."""
    packets: int = attrs.field(default=0, init=False)
    sent_bytes: int = attrs.field(default=0, init=False)
    _excused: set[VirtualMember] = attrs.field(factory=set, init=False)
    """Whose body stood still while it worked, so that nobody could end it."""
    _proposed: dict[VirtualStream, int] = attrs.field(factory=dict, init=False)
    """The epoch that a leader proposed to the learner at this end."""
    _changes: dict[int, deque[float]] = attrs.field(factory=dict, init=False)
    _messages: dict[tuple[int, int], deque[float]] = attrs.field(factory=dict, init=False)
    _now: float = attrs.field(default=-math.inf, init=False)
    _steps: int = attrs.field(default=0, init=False)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Watch, as long as the block lasts."""
        trio.lowlevel.add_instrument(self)
        try:
            yield
        finally:
            trio.lowlevel.remove_instrument(self)

    def object_to(self, violation: ViolationError) -> None:
        """End the run, for this."""
        if self.violation is None:
            self.violation = violation
            self.scope.cancel()

    def _object(self, invariant: str, what: str) -> None:
        self.object_to(ViolationError(invariant, trio.current_time(), what))

    # Each moment

    def before_io_wait(self, timeout: float) -> None:
        """See who may act, whenever something has run."""
        try:
            self._look(trio.current_time())
        except Exception as error:
            # Trio goes on without an instrument that fails
            self._object(NOBODY_FAILS, f"the watcher: {error!r}")
            raise

    def _look(self, now: float) -> None:
        self._steps = self._steps + 1 if now == self._now else 0
        if not self.leads and now > self._now > -math.inf:
            self.leaderless_s += now - self._now
        self._now = now
        if self._steps > STEPS_AT_ONCE:
            self._object(CALM, f"{self._steps} rounds of the scheduler, and no end")
        alive = self.ensemble.alive()
        self.leads = acting = [
            sid
            for sid, member in alive.items()
            if member.is_open and (leadership := member.member.leadership) is not None and leadership.live
        ]
        if len(acting) > 1:
            self.check(lambda: self.checker.acting(now, acting))
        for body in self.bodies.values():
            if self.ensemble.machines.holds(body.root):
                self._excused.add(body)

    def check(self, check: Callable[[], None]) -> None:
        """Check something; the first violation ends the run."""
        try:
            check()
        except ViolationError as violation:
            self.object_to(violation)

    # What they log

    def hear(self, sid: int, line: LogLine) -> None:
        """Take in a line of the log of ``sid``."""
        now = trio.current_time()
        if self.tell is not None:
            facts = " ".join(f"{key}={value}" for key, value in line.items() if key not in ("event", "level"))
            self.tell(f"{now:11.6f}  {sid}  {line['event']} {facts}")
        if line["event"] == "election.decided" and line["leader"] == sid:
            self.elections += 1
        match line["event"]:
            case "election.started" | "election.vote":
                self.checker.voted(sid, line["round"], _vote(line))
            case "election.decided" if not self._observes(sid):  # it counts what servers answer from before
                joined = line["settled"] == "joined"
                self.check(lambda: self.checker.decided(now, sid, line["round"], _vote(line), joined=joined))
            case "leading.established":
                self.check(lambda: self.checker.established(now, sid, line["epoch"]))
                self.check(lambda: self.checker.accepted(now, sid, line["epoch"], sid))
            case "member.started":
                self.check(lambda: self.holds(sid))
            case "member.state":
                self._count_change(now, sid)

    def holds(self, sid: int) -> None:
        """Check what the disk of ``sid`` holds. Raises ``ViolationError``."""
        stored = self.ensemble.storages[sid].stored
        reserved = stored.heir is not None  # then it counts as accepted, of nobody knows whom
        self.checker.holds(trio.current_time(), sid, stored.accepted_epoch + reserved)

    def struck(self) -> None:
        """Count changes of state from here on: what a fault brings about is no busy loop."""
        self._changes.clear()

    def _count_change(self, now: float, sid: int) -> None:
        changes = self._changes.setdefault(sid, deque(maxlen=CHANGES_PER_S + 1))
        changes.append(now)
        if len(changes) > CHANGES_PER_S and now - changes[0] < 1:
            self.object_to(
                ViolationError(CALM, now, f"{sid} changed its state {len(changes)} times in a second")
            )

    def _count_message(self, now: float, sender: int, to: int) -> None:
        messages = self._messages.setdefault((sender, to), deque(maxlen=MESSAGES_PER_S + 1))
        messages.append(now)
        if len(messages) > MESSAGES_PER_S and now - messages[0] < 1:
            self._object(CALM, f"{sender} sent {len(messages)} messages to {to} within a second")

    # What they send

    def tap(self, stream: VirtualStream, data: bytes) -> None:
        """Take in what is sent: on a quorum port a member tells what it has promised."""
        self.packets += 1
        self.sent_bytes += len(data)
        if stream.port != QUORUM_PORT:
            self._count_message(trio.current_time(), sid_of(stream.here), sid_of(stream.there))
            self._count_acceptance(stream, data)
            return
        at = 0
        while at + _HEAD.size <= len(data):
            kind, zxid, length = _HEAD.unpack_from(data, at)
            at += _HEAD.size + max(length, 0) + 4
            match kind:
                case PacketType.LEADERINFO:
                    self._proposed[stream.other] = epoch_of(zxid)
                case PacketType.FOLLOWERINFO | PacketType.OBSERVERINFO:
                    self.checker.acknowledged(sid_of(stream.here), epoch_of(zxid))
                case PacketType.ACKEPOCH:
                    self._count_acknowledgement(stream, data[at - 8 : at - 4] != _BEFORE)

    def _count_acknowledgement(self, stream: VirtualStream, first: bool) -> None:
        sid, leader, epoch = sid_of(stream.here), sid_of(stream.there), self._proposed[stream]
        self.checker.acknowledged(sid, epoch)
        if first:
            self.check(lambda: self.checker.accepted(trio.current_time(), sid, epoch, leader))

    def _count_acceptance(self, stream: VirtualStream, data: bytes) -> None:
        """Count an epoch that is accepted with a vote."""
        if (at := data.rfind(RIDER_MARK)) >= 0:
            epoch, _number, lease_us = _RIDER.unpack_from(data, at + len(RIDER_MARK))
            if lease_us < 0:
                now, sid, leader = trio.current_time(), sid_of(stream.here), sid_of(stream.there)
                self.check(lambda: self.checker.accepted(now, sid, epoch, leader))

    def _observes(self, sid: int) -> bool:
        member = self.ensemble.running.get(sid)
        if member is None or not member.is_open:
            return self.ensemble.roles[sid] == "observer"
        return member.member.config.learner_type is LearnerType.OBSERVER

    # What runs in a term

    async def guarded(self, sid: int, term: Term) -> None:
        """A body that works while its term is live, and needs a moment to clean up afterwards.

        Nobody else's may begin before it has ended, unless its process stood still and could not end it.
        """
        if term.live and (newest := self.checker.newest) != term.epoch:
            self._object(EPOCHS_GROW, f"{sid} begins under token {term.epoch}, after {newest} was given out")
        member = self.ensemble.running[sid]
        for other, body in self.bodies.items():
            if not body.crashed and body not in self._excused:
                self._object(ONE_ACTS, f"{sid} begins under token {term.epoch} while {other} still cleans up")
        self.bodies[sid] = member
        try:
            while True:
                await trio.sleep(WORK_S)
                if term.live and (newest := self.checker.newest) != term.epoch:
                    self._object(ONE_ACTS, f"{sid} works under token {term.epoch}, after {newest}")
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(CLEAN_UP_S)
            self._excused.discard(member)
            if self.bodies.get(sid) is member:
                del self.bodies[sid]

    # In the end

    def leaders(self) -> set[int | None]:
        """Return whom each member has for a leader; None where it has none, or is not with it yet."""
        found: set[int | None] = set()
        for member in self.ensemble.running.values():
            status = member.member.status
            found.add(status.leader if status.synced and status.has_leader(member.clock()) else None)
        return found


def _vote(line: LogLine) -> Vote:
    return Vote(line["leader"], line["zxid"], line["epoch"])


def said(group: BaseExceptionGroup[BaseException]) -> str:
    """Return the first error in a group, with where it was raised."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    where = traceback.extract_tb(error.__traceback__)[-1:]
    place = "".join(f" ({Path(frame.filename).name}:{frame.lineno})" for frame in where)
    return f"{type(error).__name__}: {error}{place}"
