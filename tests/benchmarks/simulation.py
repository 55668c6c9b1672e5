"""Pure cores elect over a queue of events: nothing but what the election itself computes."""

import heapq
import itertools
import math
import random

import attrs
from core_driver import ensemble_of

from trio_fle.election.electorate import Electorate
from trio_fle.election.events import Decided, Effect, Event, Heard, Look, Send, Silence, WakeAt
from trio_fle.election.fle import FastLeaderElection
from trio_fle.election.options import ElectionOptions
from trio_fle.ensemble import Ensemble
from trio_fle.vote import LearnerType

LIMIT_S = 60.0
"""Virtual time within which an election has to be over."""


def new_core(me: int, ensemble: Ensemble) -> FastLeaderElection:
    """Return the core of one voter, with the options that members have unless told otherwise."""
    options = ElectionOptions()
    electorate = Electorate(
        me,
        LearnerType.PARTICIPANT,
        options.candidate,
        ensemble,
        ensemble,
        exact=not options.early_finalize,
    )
    return FastLeaderElection(electorate, options)


@attrs.define
class Simulation:
    """One election of ``size`` voters that look at once; each message takes about a millisecond."""

    size: int
    seed: int = 1
    delay_s: tuple[float, float] = (0.0005, 0.0015)
    messages: int = attrs.field(default=0, init=False)
    """Sent to others."""
    now: float = attrs.field(default=0.0, init=False)
    leaders: dict[int, int] = attrs.field(factory=dict, init=False)
    _cores: dict[int, FastLeaderElection] = attrs.field(factory=dict, init=False)
    _wakes: dict[int, float] = attrs.field(factory=dict, init=False)
    _queue: list[tuple[float, int, int, Event]] = attrs.field(factory=list, init=False)
    _order: "itertools.count[int]" = attrs.field(factory=itertools.count, init=False)
    _arrivals: dict[tuple[int, int], float] = attrs.field(factory=dict, init=False)

    def run(self) -> int:
        """Let all look and return whom all of them elected."""
        rng = random.Random(self.seed)
        ensemble = ensemble_of(self.size)
        for sid in ensemble.servers:
            self._cores[sid] = new_core(sid, ensemble)
        for sid in self._cores:
            self._put(0.0, sid, Look(0, 0))
        while len(self.leaders) < self.size and self.now < LIMIT_S:
            self.now, _, sid, event = heapq.heappop(self._queue)
            if isinstance(event, Silence) and self._wakes.get(sid) != self.now:
                continue  # another time was wished since
            for effect in self._cores[sid].step(self.now, event):
                self._carry_out(sid, effect, rng)
        (leader,) = set(self.leaders.values())
        return leader

    def _carry_out(self, sid: int, effect: Effect, rng: random.Random) -> None:
        match effect:
            case Send(to, notification) if to == sid:
                self._put(self.now, sid, Heard(sid, notification))
            case Send(to, notification):
                self.messages += 1
                # one connection for each pair: nothing overtakes
                at = max(self.now + rng.uniform(*self.delay_s), self._arrivals.get((sid, to), 0.0))
                self._arrivals[sid, to] = at
                self._put(at, to, Heard(sid, notification))
            case WakeAt(at):
                self._wakes[sid] = at
                if at < math.inf:
                    self._put(at, sid, Silence())
            case Decided(vote):
                self.leaders[sid] = vote.leader

    def _put(self, at: float, sid: int, event: Event) -> None:
        heapq.heappush(self._queue, (at, next(self._order), sid, event))
