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
from trio_fle.wire import Notification

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
class Voter:
    """One core, what it has not heard yet, and the newest vote that it has not sent yet to each peer."""

    core: FastLeaderElection
    inbox: list[Event] = attrs.field(factory=list)
    outbox: dict[int, Notification] = attrs.field(factory=dict)
    wake_at: float = math.inf
    free_at: float = 0.0
    has_turn: bool = False


@attrs.define
class Simulation:
    """One election of ``size`` voters that look at once.

    A message is about a millisecond under way, and takes its receiver a tenth of one to hear, as in a member;
    what has arrived meanwhile is heard before anything is sent.
    """

    size: int
    seed: int = 1
    delay_s: tuple[float, float] = (0.0005, 0.0015)
    hearing_s: float = 0.0001
    messages: int = attrs.field(default=0, init=False)
    """Sent to others."""
    now: float = attrs.field(default=0.0, init=False)
    leaders: dict[int, int] = attrs.field(factory=dict, init=False)
    _voters: dict[int, Voter] = attrs.field(factory=dict, init=False)
    _queue: list[tuple[float, int, int, Event | None]] = attrs.field(factory=list, init=False)
    """When, in which order, for whom, and what arrives; None: its turn to hear."""
    _order: "itertools.count[int]" = attrs.field(factory=itertools.count, init=False)
    _arrivals: dict[tuple[int, int], float] = attrs.field(factory=dict, init=False)

    def run(self) -> int:
        """Let all look and return whom all of them elected."""
        rng = random.Random(self.seed)
        ensemble = ensemble_of(self.size)
        self._voters = {sid: Voter(new_core(sid, ensemble)) for sid in ensemble.servers}
        for sid in self._voters:
            self._put(0.0, sid, Look(0, 0))
        while len(self.leaders) < self.size and self.now < LIMIT_S:
            self.now, _, sid, event = heapq.heappop(self._queue)
            voter = self._voters[sid]
            if event is None:
                self._hear(sid, voter, rng)
            elif not isinstance(event, Silence) or voter.wake_at == self.now:
                voter.inbox.append(event)
                if not voter.has_turn:
                    voter.has_turn = True
                    self._put(max(self.now, voter.free_at), sid, None)
        (leader,) = set(self.leaders.values())
        return leader

    def _hear(self, sid: int, voter: Voter, rng: random.Random) -> None:
        voter.has_turn, heard = False, 0
        for event in voter.inbox:  # grows by what it tells itself
            heard += 1
            for effect in voter.core.step(self.now, event):
                self._carry_out(sid, voter, effect)
        voter.inbox.clear()
        voter.free_at = self.now + heard * self.hearing_s
        for to, notification in voter.outbox.items():
            self.messages += 1
            # one connection for each pair: nothing overtakes
            at = max(voter.free_at + rng.uniform(*self.delay_s), self._arrivals.get((sid, to), 0.0))
            self._arrivals[sid, to] = at
            self._put(at, to, Heard(sid, notification))
        voter.outbox.clear()

    def _carry_out(self, sid: int, voter: Voter, effect: Effect) -> None:
        match effect:
            case Send(to, notification) if to == sid:
                voter.inbox.append(Heard(sid, notification))
            case Send(to, notification):
                voter.outbox[to] = notification
            case WakeAt(at):
                voter.wake_at = at
                if at < math.inf:
                    self._put(at, sid, Silence())
            case Decided(vote):
                self.leaders[sid] = vote.leader

    def _put(self, at: float, sid: int, event: Event | None) -> None:
        heapq.heappush(self._queue, (at, next(self._order), sid, event))
