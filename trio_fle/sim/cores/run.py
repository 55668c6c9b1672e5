"""Whole ensembles of pure cores in virtual time: stories with faults, and single undisturbed elections."""

import math
import random
from collections.abc import Callable
from typing import Final

import attrs

from trio_fle.election.options import ElectionOptions
from trio_fle.ensemble import Ensemble, build_ensemble
from trio_fle.sim.conditions import Conditions
from trio_fle.sim.cores.server import Server
from trio_fle.sim.cores.story import LEADER, Fault, Story, tell
from trio_fle.sim.cores.world import Machine, Settings, Stream, World
from trio_fle.sim.invariants import ENDS, NOBODY_FAILS, Checker, ViolationError
from trio_fle.sim.outcome import Outcome
from trio_fle.storage import StoredVote
from trio_fle.vote import PeerState, Vote
from trio_fle.wire import Notification, encode_notification

BOUND_S: Final = 30.0
"""Within so long after everything is mended there must be one leader that everybody follows.

Votes are repeated after waits that double, so who looked for a leader during all the faults (some 20 s) may
repeat its vote only so much later; the rest is for a promise (a lease), ``initLimit`` and a few rounds more.
"""

LIMIT_S: Final = 600.0
"""Within so long an election without faults must be over."""

LOOKS_EVERY_S: Final = 0.05
"""How often it is looked whether the end has come."""


@attrs.define(eq=False)
class Ensembles:
    """Runs the servers of one ensemble in a world."""

    world: World
    ensemble: Ensemble
    options: dict[int, ElectionOptions]

    def server(self, sid: int) -> Server | None:
        """Return the process of a server, if it runs."""
        process = self.world.machines[sid].process
        return process if isinstance(process, Server) else None

    def running(self) -> list[Server]:
        """Return all processes, by their ids."""
        return [server for sid in self.world.machines if (server := self.server(sid)) is not None]

    def start(self, sid: int) -> None:
        """Start a server that does not run."""
        machine = self.world.machines[sid]
        if machine.process is None:
            Server(self.world, machine, self.ensemble, self.options[sid]).start()

    def leader(self) -> Server | None:
        """Return a server that leads, if there is one."""
        for server in self.running():
            if server.leader == server.sid:
                return server
        return None

    def leaders(self) -> set[int | None]:
        """Return whom servers follow or are; None for those that have nobody."""
        return {
            None if (server := self.server(sid)) is None else server.leader for sid in self.world.machines
        }


@attrs.define(eq=False)
class StoryRun:
    """Lets a story happen."""

    story: Story
    world: World
    ensembles: Ensembles

    def begin(self, skip: frozenset[int]) -> None:
        """Plan all starts and faults but those that are skipped."""
        story, world = self.story, self.world
        for sid in sorted(story.ensemble.servers):
            world.machines[sid] = Machine(sid, story.stored[sid], story.rates[sid])
            world.put(story.starts[sid], self.ensembles.start, sid)
        for number, fault in enumerate(story.faults):
            if number not in skip:
                world.put(fault.at, self._strike, number, fault)
        world.put(story.mended_at, self._mend_all)

    def _strike(self, number: int, fault: Fault) -> None:
        world, who = self.world, fault.who
        if who == LEADER:
            leader = self.ensembles.leader()
            who = fault.other % len(world.machines) + 1 if leader is None else leader.sid
        other = fault.other if fault.other != who else fault.other % len(world.machines) + 1
        if world.trace is not None:
            world.say(who, f"[fault {number}] {fault}")
        machine, end = world.machines[who], min(world.now + fault.lasts_s, self.story.mended_at)
        match fault.kind:
            case "kill" | "kill all" | "bounce":
                self._kill(fault.kind, who, end)
            case "hang" | "slow":
                self._hamper(machine, fault, end)
            case "power":
                world.crash(machine, power=True)
                self._cut("isolate", who, other, end)
                world.put(end, self.ensembles.start, who)
            case "cut" | "cut one way" | "isolate" | "split" | "deaf" | "dumb":
                self._cut(fault.kind, who, other, end)
            case "resign":
                if (server := self.ensembles.server(who)) is not None:
                    world.run(server, server.resign)
            case _:
                self._break(fault.kind, who, other)

    def _hamper(self, machine: Machine, fault: Fault, end: float) -> None:
        world = self.world
        if fault.kind == "slow":
            machine.slow_s = 0.02 * world.rng.random()
        elif machine.process is not None:
            machine.hung = True
        world.put(end, self._ease, machine)

    def _ease(self, machine: Machine) -> None:
        machine.hung, machine.slow_s = False, 0.0
        self.world.drain(machine)

    def _kill(self, kind: str, who: int, end: float) -> None:
        world = self.world
        for machine in world.machines.values():
            if kind == "kill all" or (machine.sid == who) == (kind == "kill"):
                world.crash(machine)
                if kind == "bounce":
                    self.ensembles.start(machine.sid)
                else:
                    late_s = 0.1 * world.rng.random() if kind == "kill all" else 0.0
                    world.put(end + late_s, self.ensembles.start, machine.sid)

    def _cut(self, kind: str, who: int, other: int, end: float) -> None:
        world = self.world
        others = [sid for sid in world.machines if sid != who]
        side = [who]
        if kind == "split":
            side += sorted(world.rng.sample(others, world.rng.randrange(len(others))))
        if kind in ("cut", "cut one way"):
            others = [other]
        for one in side:
            for another in [sid for sid in others if sid not in side]:
                ways = [(one, another)] if kind != "deaf" else []
                ways += [(another, one)] if kind not in ("cut one way", "dumb") else []
                for way in ways:
                    world.cut(*way)
                    world.put(end, world.mend, *way)

    def _break(self, kind: str, who: int, other: int) -> None:
        """Break a connection of ``who``: to ``other`` between election ports, any between quorum ports."""
        for stream in list(self.world.streams):
            sids = stream.sid(0), stream.sid(1)
            if kind == "reset link":
                if stream.quorum and who in sids:
                    self.world.reset(stream)
            elif not stream.quorum and set(sids) == {who, other}:
                if kind == "reset":
                    self.world.reset(stream)
                else:
                    self.world.half_open(stream, self.world.rng.randrange(2))

    def _mend_all(self) -> None:
        world = self.world
        if world.trace is not None:
            world.say(LEADER, "everything is mended")
        for path in list(world.cuts):
            world.mend(*path)
        for machine in world.machines.values():
            self._ease(machine)
            self.ensembles.start(machine.sid)

    def finish(self) -> float:
        """Go on until all have one leader, and for a lease longer; return when they had it."""
        world, story = self.world, self.story
        end, looks_at, since, led = story.mended_at + BOUND_S, story.mended_at, math.inf, None
        checked = world.checker.led_by
        while world.step():
            if world.now < looks_at or world.now < story.mended_at:
                continue
            looks_at = world.now + LOOKS_EVERY_S
            leaders = self.ensembles.leaders()
            if len(leaders) != 1 or None in leaders or leaders != led:
                since, led = world.now, leaders
                if world.now > end:
                    checked(world.now, BOUND_S, leaders)
            elif world.now >= since + story.settings.sync_s:
                return since
        checked(world.now, BOUND_S, {None})
        return world.now


def run_cores(
    seed: int,
    *,
    trace: Callable[[str], None] | None = None,
    skip: frozenset[int] = frozenset(),
) -> Outcome:
    """Let the story of ``seed`` happen, checked at every step; ``skip`` leaves out faults by their number.

    ``trace`` gets a line for each thing that happens. The same seed and the same ``skip`` give the same
    trace. Raises ``ViolationError``.
    """
    rng = random.Random(seed)
    story = tell(rng)
    checker = Checker(story.ensemble.verifier.contains_quorum)
    world = World(story.conditions, story.settings, rng, checker, trace)
    run = StoryRun(story, world, Ensembles(world, story.ensemble, story.options))
    run.begin(skip)
    try:
        since = run.finish()
    except ViolationError:
        raise
    except Exception as error:
        raise ViolationError(NOBODY_FAILS, world.now, f"{type(error).__name__}: {error}") from error
    return Outcome(
        seed,
        elections=world.won,
        leaderships=len(checker.leaders),
        decisions=checker.decisions,
        messages=world.messages,
        virtual_s=world.now,
        mended_s=max(0.0, since - story.mended_at),
    )


def count_faults(seed: int) -> int:
    """Return how many faults the story of a seed has."""
    return len(tell(random.Random(seed)).faults)


# One election


@attrs.frozen
class Election:
    """One election of a whole ensemble, in seconds from its cause, and the notifications that it took.

    ``bytes`` are those of the notifications with their lengths, without what TCP adds.
    """

    leader: int
    decided_s: float
    """Until the last server knew whom it follows."""
    established_s: float
    """Until a leader was established."""
    followed_s: float
    """Until all were synchronized with it."""
    messages: int
    bytes: int


def elect(
    size: int,
    conditions: Conditions | None = None,
    seed: int = 1,
    *,
    options: ElectionOptions | None = None,
    settings: Settings | None = None,
    failover: bool = False,
) -> Election:
    """Let ``size`` connected voters elect; with ``failover`` anew, after the first leader was killed."""
    options = options or ElectionOptions()
    lines = {f"server.{sid}": f"h{sid}:{sid}:{1000 + sid}:participant" for sid in range(1, size + 1)}
    ensemble = build_ensemble(lines, 0)
    world = World(
        conditions or Conditions(),
        settings or Settings(),
        random.Random(seed),
        Checker(ensemble.verifier.contains_quorum),
    )
    ensembles = Ensembles(world, ensemble, dict.fromkeys(ensemble.servers, options))
    for sid in sorted(ensemble.servers):
        machine = world.machines[sid] = Machine(sid, StoredVote(0, 0, 0))
        Server(world, machine, ensemble, options)
    _connect_all(world, ensembles)
    election = _measure(world, ensembles)
    if failover:
        world.crash(world.machines[election.leader])
        election = _measure(world, ensembles)
    return election


def _connect_all(world: World, ensembles: Ensembles) -> None:
    servers = ensembles.running()
    for server in servers:
        server.connections.start(dial=False)
    for server in servers:
        for lower in servers[: server.sid - 1]:
            stream = Stream((server, lower), 0.0)
            world.streams[stream] = None
            server.connections.adopt(stream, 0)
            lower.connections.adopt(stream, 1)
    for server in servers:
        server.look()


def _measure(world: World, ensembles: Ensembles) -> Election:
    began, messages, epochs = world.now, world.messages, len(world.checker.leaders)
    decisions = world.checker.decisions
    decided_at = established_at = math.inf
    while world.step():
        if world.now > began + LIMIT_S:
            raise ViolationError(ENDS, world.now, f"no leader of all within {LIMIT_S:g} s")
        servers = ensembles.running()
        if decided_at == math.inf and world.checker.decisions - decisions >= len(servers):
            decided_at = world.now
        if established_at == math.inf and len(world.checker.leaders) > epochs:
            established_at = world.now
        if established_at < math.inf:
            led = {server.leader for server in servers}
            if len(led) == 1 and None not in led:
                break
    leader = max(world.checker.leaders.items())[1]
    sent = world.messages - messages
    text = ensembles.ensemble.text.encode()
    frame = 4 + len(encode_notification(Notification(PeerState.LOOKING, Vote(1, 0, 0), 1, config=text)))
    return Election(leader, decided_at - began, established_at - began, world.now - began, sent, sent * frame)
