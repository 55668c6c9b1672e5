"""The queue of events, the machines, and the streams (TCP) between them: what servers live in."""

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

import attrs

from trio_fle.sim.conditions import DIAL_AGAIN_S, RETRANSMIT_S, Conditions
from trio_fle.sim.invariants import CALM, Checker, ViolationError
from trio_fle.storage import StoredVote
from trio_fle.vote import PeerState

AT_ONE_MOMENT: Final = 20_000
"""Events at one moment of virtual time beyond which something goes round for ever."""

DIAL_PATIENCE_S: Final = 5.0
"""How long one dial may take (``cnxTimeout``)."""


@attrs.frozen
class Settings:
    """What all servers of a run have in common; times in seconds.

    ``write_s`` is how long the disk takes at least and at most, ``hearing_s`` what one notification takes its
    receiver, and ``cleanup_s`` how long at most what a leader guards needs to end.
    """

    tick_s: float = 2.0
    init_limit: int = 10
    sync_limit: int = 5
    margin: float = 0.1
    write_s: tuple[float, float] = (0.0005, 0.002)
    hearing_s: float = 0.0001
    cleanup_s: float = 0.0

    @property
    def init_s(self) -> float:
        """How long a learner may take to be synchronized."""
        return self.init_limit * self.tick_s

    @property
    def sync_s(self) -> float:
        """How long leader and learner may be silent; the length of the lease."""
        return self.sync_limit * self.tick_s


class Leads(Protocol):
    """A leadership, for whoever watches that no two act at a time."""

    @property
    def acts(self) -> bool:
        """Whether it may act as leader now."""

    @property
    def over(self) -> bool:
        """Whether it will never act again."""


class Process(Protocol):
    """What a machine runs."""

    machine: "Machine"
    listening: bool
    """Whether its quorum port is open."""

    @property
    def state(self) -> PeerState:
        """What it says that it is."""

    def accept(self, stream: "Stream", *, quorum: bool) -> None:
        """Take in who has dialled."""


@attrs.define(eq=False)
class Machine:
    """One host: its disk, its clock (``rate`` seconds a second), and the process that runs on it, if any."""

    sid: int
    stored: StoredVote
    rate: float = 1.0
    process: Process | None = attrs.field(default=None, init=False)
    hung: bool = attrs.field(default=False, init=False)
    slow_s: float = attrs.field(default=0.0, init=False)
    """What every event takes it, beyond what is usual."""
    backlog: deque[tuple[Callable[..., None], tuple[Any, ...]]] = attrs.field(factory=deque, init=False)
    free_at: float = attrs.field(default=0.0, init=False)
    draining: bool = attrs.field(default=False, init=False)
    writing: StoredVote | None = attrs.field(default=None, init=False)


@attrs.define(eq=False)
class Stream:
    """One connection; side 0 dialled, side 1 was dialled. ``receive`` and ``ended`` belong to each side."""

    ends: tuple[Process, Process]
    born: float
    quorum: bool = False
    """Whether it is between quorum ports."""
    open: list[bool] = attrs.field(factory=lambda: [True, True], init=False)
    receive: list[Callable[..., None] | None] = attrs.field(factory=lambda: [None, None], init=False)
    ended: list[Callable[[], None] | None] = attrs.field(factory=lambda: [None, None], init=False)
    held_up: list[list[tuple[Any, ...] | None]] = attrs.field(factory=lambda: [[], []], init=False)
    """What a cut keeps from each side; None is the end."""
    arrives: list[float] = attrs.field(factory=lambda: [0.0, 0.0], init=False)

    def sid(self, side: int) -> int:
        """Return the server id of that side."""
        return self.ends[side].machine.sid


@attrs.define(eq=False)
class World:
    """Virtual time (``now``, seconds), and what happens in it. Deterministic from ``rng``."""

    conditions: Conditions
    settings: Settings
    rng: random.Random
    checker: Checker
    trace: Callable[[str], None] | None = None
    now: float = attrs.field(default=0.0, init=False)
    machines: dict[int, Machine] = attrs.field(factory=dict, init=False)
    messages: int = attrs.field(default=0, init=False)
    """Notifications that were sent."""
    won: int = attrs.field(default=0, init=False)
    """How often a server decided that it leads itself."""
    cuts: dict[tuple[int, int], float] = attrs.field(factory=dict, init=False)
    """Since when nothing goes from one to another."""
    streams: dict[Stream, None] = attrs.field(factory=dict, init=False)
    terms: dict[Leads, int] = attrs.field(factory=dict, init=False)
    """Leaderships that may still act, and whose each is."""
    _queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = attrs.field(
        factory=list, init=False
    )
    _order: "itertools.count[int]" = attrs.field(factory=itertools.count, init=False)
    _at_once: int = attrs.field(default=0, init=False)

    def say(self, sid: int, what: str) -> None:
        """Add a line to the trace; ask whether there is one before making ``what``."""
        if self.trace is not None:
            self.trace(f"{self.now:10.6f}  {sid:>3}  {what}")

    def put(self, at: float, what: Callable[..., None], *args: Any) -> None:
        """Let something happen at that time."""
        heapq.heappush(self._queue, (at, next(self._order), what, args))

    def after(self, process: Process, seconds: float, what: Callable[..., None], *args: Any) -> None:
        """Let ``process`` do something then, if it lives; one that stands still does it later."""
        self.put(self.now + seconds, self.run, process, what, *args)

    def step(self) -> bool:
        """Let the next thing happen; False where there is none."""
        if not self._queue:
            return False
        at, _, what, args = heapq.heappop(self._queue)
        self._at_once = self._at_once + 1 if at == self.now else 0
        if self._at_once > AT_ONE_MOMENT:
            raise ViolationError(
                CALM, at, f"more than {AT_ONE_MOMENT} events at one moment; the next: {what}"
            )
        self.now = at
        what(*args)
        if len(self.terms) > 1:
            self._check_terms()
        return True

    def established(self, term: Leads, sid: int, epoch: int) -> None:
        """Note that ``sid`` leads from now on."""
        self.checker.established(self.now, sid, epoch)
        self.terms[term] = sid

    def _check_terms(self) -> None:
        self.terms = {term: sid for term, sid in self.terms.items() if not term.over}
        self.checker.acting(self.now, [sid for term, sid in self.terms.items() if term.acts])

    def run(self, process: Process, what: Callable[..., None], *args: Any) -> None:
        """Let ``process`` do something now, unless it is dead or must be waited for."""
        machine = process.machine
        if machine.process is not process:
            return
        if machine.hung or machine.backlog or machine.free_at > self.now:
            machine.backlog.append((what, args))
            self.drain(machine)
            return
        what(*args)
        if machine.slow_s:
            machine.free_at = self.now + machine.slow_s

    def drain(self, machine: Machine) -> None:
        """Let a machine that stood still, or is slow, go on with what waits."""
        if not machine.draining and machine.backlog and not machine.hung:
            machine.draining = True
            self.put(max(self.now, machine.free_at), self._drain, machine)

    def _drain(self, machine: Machine) -> None:
        machine.draining = False
        if machine.hung or not machine.backlog:
            return
        what, args = machine.backlog.popleft()
        what(*args)
        machine.free_at = self.now + machine.slow_s
        self.drain(machine)

    # Disks

    def write(self, process: Process, stored: StoredVote, done: Callable[[], None]) -> None:
        """Make ``stored`` durable, and call ``done`` once it is."""
        machine = process.machine
        assert machine.writing is None, "a server writes one thing after the other"
        machine.writing = stored
        self.put(self.now + self.rng.uniform(*self.settings.write_s), self._written, process, stored, done)

    def _written(self, process: Process, stored: StoredVote, done: Callable[[], None]) -> None:
        machine = process.machine
        if machine.process is process:
            machine.stored, machine.writing = stored, None
            self.run(process, done)

    def crash(self, machine: Machine, *, power: bool = False) -> None:
        """Kill the process; what it was writing is on disk or is not. With ``power`` nobody is told."""
        if machine.process is None:
            return
        process, machine.process = machine.process, None
        self.terms = {term: sid for term, sid in self.terms.items() if sid != machine.sid}
        if machine.writing is not None and self.rng.random() < 0.5:
            machine.stored = machine.writing
        machine.writing, machine.hung, machine.slow_s = None, False, 0.0
        machine.backlog.clear()
        for stream in list(self.streams):
            for side in (0, 1):
                if stream.ends[side] is process and power:
                    stream.open[side] = False
                    self.put(self.now + self.settings.sync_s, self.break_off, stream, 1 - side)
                elif stream.ends[side] is process:
                    self.close(stream, side)

    # Streams

    def dial(
        self,
        process: Process,
        to: int,
        answered: Callable[[Stream | None, bool], None],
        *,
        quorum: bool = False,
        patience_s: float = DIAL_PATIENCE_S,
    ) -> None:
        """Dial a port; ``answered`` gets the stream, or None and whether the dial was refused."""
        delay_s = self.conditions.dial_s(self.rng, process.machine.sid, to)
        self.put(self.now + delay_s, self._dialled, process, to, answered, quorum, self.now + patience_s)

    def _dialled(
        self,
        process: Process,
        to: int,
        answered: Callable[[Stream | None, bool], None],
        quorum: bool,
        until: float,
    ) -> None:
        sid = process.machine.sid
        if (sid, to) in self.cuts or (to, sid) in self.cuts:
            if self.now + DIAL_AGAIN_S > until:
                self.put(until, self.run, process, answered, None, False)
            else:
                self.put(self.now + DIAL_AGAIN_S, self._dialled, process, to, answered, quorum, until)
            return
        back_s = self.conditions.delay_s(self.rng, to, sid)
        target = self._listener(to, quorum)
        if target is None:
            self.after(process, back_s, answered, None, True)
        elif self.machines[sid].process is process:
            stream = Stream((process, target), self.now, quorum)
            self.streams[stream] = None
            self.run(target, self._accepted, target, stream, quorum)
            self.after(process, back_s, answered, stream, False)

    def probe(
        self, process: Process, to: int, answered: Callable[[bool], None], *, quorum: bool, patience_s: float
    ) -> None:
        """Dial a port and say nothing; ``answered`` gets whether the dial was refused."""
        sid = process.machine.sid
        delay_s = self.conditions.dial_s(self.rng, sid, to)
        self.put(self.now + delay_s, self._probed, process, to, answered, quorum, self.now + patience_s)

    def _probed(
        self, process: Process, to: int, answered: Callable[[bool], None], quorum: bool, until: float
    ) -> None:
        sid = process.machine.sid
        if (sid, to) not in self.cuts and (to, sid) not in self.cuts:
            back_s = self.conditions.delay_s(self.rng, to, sid)
            self.after(process, back_s, answered, self._listener(to, quorum) is None)
        elif self.now + DIAL_AGAIN_S > until:
            self.put(max(until, self.now), self.run, process, answered, False)
        else:
            self.put(self.now + DIAL_AGAIN_S, self._probed, process, to, answered, quorum, until)

    def _listener(self, sid: int, quorum: bool) -> Process | None:
        process = self.machines[sid].process
        return None if process is None or (quorum and not process.listening) else process

    def _accepted(self, target: Process, stream: Stream, quorum: bool) -> None:
        target.accept(stream, quorum=quorum)

    def send(self, stream: Stream, side: int, message: tuple[Any, ...] | None, at: float) -> None:
        """Send a message, or the end, from that side; it leaves at ``at`` and overtakes nothing."""
        if not stream.open[side]:
            return
        path = stream.sid(side), stream.sid(1 - side)
        if path in self.cuts or stream.held_up[1 - side]:
            stream.held_up[1 - side].append(message)
            return
        arrives = max(at + self.conditions.delay_s(self.rng, *path), stream.arrives[side])
        stream.arrives[side] = arrives
        self.put(arrives, self._arrived, stream, 1 - side, message)

    def _arrived(self, stream: Stream, side: int, message: tuple[Any, ...] | None) -> None:
        if not stream.open[side]:
            self.send_end(stream, side)  # a reset: nobody listens to this any more
        elif message is None:
            self.break_off(stream, side)
        else:
            self.run(stream.ends[side], self._taken, stream, side, message)

    def _taken(self, stream: Stream, side: int, message: tuple[Any, ...]) -> None:
        receive = stream.receive[side]
        if stream.open[side] and receive is not None:
            receive(*message)

    def send_end(self, stream: Stream, side: int) -> None:
        """Let the other side know that this one has ended."""
        if stream.open[1 - side]:
            stream.open[side] = True
            self.send(stream, side, None, self.now)
            stream.open[side] = False

    def close(self, stream: Stream, side: int) -> None:
        """Close one end; the other learns it as it would learn anything, after what was sent before."""
        if stream.open[side]:
            self.send(stream, side, None, self.now)
            stream.open[side] = False
            self._forget(stream)

    def break_off(self, stream: Stream, side: int) -> None:
        """End one side of a stream for a reason outside of its process, which is told."""
        if stream.open[side]:
            self.run(stream.ends[side], self._broken, stream, side)

    def _broken(self, stream: Stream, side: int) -> None:
        if stream.open[side]:
            stream.open[side] = False
            self._forget(stream)
            if (ended := stream.ended[side]) is not None:
                ended()

    def _forget(self, stream: Stream) -> None:
        if not any(stream.open):
            self.streams.pop(stream, None)

    # What goes wrong between machines

    def cut(self, one: int, another: int) -> None:
        """Let nothing pass from ``one`` to ``another``; streams between them end after the user time-out."""
        if (one, another) not in self.cuts:
            self.cuts[one, another] = self.now
            self.put(self.now + self.settings.sync_s, self._time_out, one, another, self.now)

    def _time_out(self, one: int, another: int, since: float) -> None:
        if self.cuts.get((one, another)) != since:
            return
        for stream in list(self.streams):
            if {stream.sid(0), stream.sid(1)} == {one, another} and stream.born < since:
                self.break_off(stream, 0)
                self.break_off(stream, 1)

    def mend(self, one: int, another: int) -> None:
        """End that cut: what waited is sent again."""
        if self.cuts.pop((one, another), None) is None:
            return
        for stream in list(self.streams):
            for side in (0, 1):
                if (stream.sid(side), stream.sid(1 - side)) == (one, another):
                    held_up, stream.held_up[1 - side] = stream.held_up[1 - side], []
                    arrives = max(self.now + RETRANSMIT_S * self.rng.random(), stream.arrives[side])
                    stream.arrives[side] = arrives
                    for message in held_up:
                        self.put(arrives, self._arrived, stream, 1 - side, message)

    def reset(self, stream: Stream) -> None:
        """Let both ends of a stream learn that it is lost: something on the way said so."""
        for side in (0, 1):
            self.put(self.now + self.conditions.delay_s(self.rng, 1, 2), self.break_off, stream, side)

    def half_open(self, stream: Stream, side: int) -> None:
        """Let one end of a stream be lost; the other learns it by what it sends, or by the time-out."""
        self.break_off(stream, side)
        self.put(self.now + self.settings.sync_s, self.break_off, stream, 1 - side)
