"""One server as a pure event machine: the real election core and Zab rules, without Trio.

It is a model of what ``member`` and ``storage`` do around them: the same order of events, durable writes,
promises and pauses. What a server serves (HTTP, clients, a body) is left out; what a leader guards is a time
that it takes to end.
"""

import math
from collections.abc import Callable
from typing import Final

import attrs

from trio_fle.election.electorate import Electorate
from trio_fle.election.events import (
    Agreed,
    Back,
    Decided,
    Effect,
    Event,
    Gone,
    Greet,
    Heard,
    Look,
    Proposed,
    Send,
    Settled,
    Silence,
    VoterLooking,
    WakeAt,
)
from trio_fle.election.fle import FastLeaderElection
from trio_fle.election.options import ElectionOptions
from trio_fle.ensemble import Ensemble
from trio_fle.member.member import PAUSE_FIRST_S, PAUSE_MAX_S
from trio_fle.peers.quiet import Backoff
from trio_fle.sim.cores.connections import Connections
from trio_fle.sim.cores.leading import Leading
from trio_fle.sim.cores.learning import Learner, Watch
from trio_fle.sim.cores.promising import Promising
from trio_fle.sim.cores.world import Machine, Stream, World
from trio_fle.storage import StoredVote
from trio_fle.storage.durable import FOLLOW_AFTER_S
from trio_fle.vote import LearnerType, PeerState
from trio_fle.wire import Notification

OBSERVER_DELAY_S: Final = 0.2

WRITES_AGAIN_S: Final = 0.0002
"""How often one who waits for the disk looks whether it is free."""


@attrs.define(eq=False)
class Server:
    """One process, from its start to its end."""

    world: World
    machine: Machine
    ensemble: Ensemble
    options: ElectionOptions
    core: FastLeaderElection = attrs.field(init=False)
    connections: Connections = attrs.field(init=False)
    stored: StoredVote = attrs.field(init=False)
    """What memory knows to be durable."""
    zxid: int = attrs.field(init=False)
    promising: Promising = attrs.field(init=False)
    heard_epoch: int = attrs.field(default=-1, init=False)
    accepted_of: tuple[int, int] = attrs.field(default=(-1, -1), init=False)
    """The epoch that was accepted last, and whose it was."""
    listening: bool = attrs.field(default=False, init=False)
    role: "Leading | Learner | Watch | None" = attrs.field(default=None, init=False)
    lost: int | None = attrs.field(default=None, init=False)
    looking: dict[int, float] = attrs.field(factory=dict, init=False)
    """When each voter was last heard looking for a leader while this server has one."""
    decided_round: int = attrs.field(default=0, init=False)
    decided_at: float = attrs.field(default=0.0, init=False)
    _inbox: list[Event] = attrs.field(factory=list, init=False)
    _has_turn: bool = attrs.field(default=False, init=False)
    _busy_until: float = attrs.field(default=0.0, init=False)
    _wake_at: float = attrs.field(default=math.inf, init=False)
    _pauses: Backoff = attrs.field(factory=lambda: Backoff(PAUSE_FIRST_S, PAUSE_MAX_S), init=False)
    _paused: bool = attrs.field(default=False, init=False)
    _decision: Decided | None = attrs.field(default=None, init=False)
    _abstains_until: float = attrs.field(default=-math.inf, init=False)

    def __attrs_post_init__(self) -> None:
        me, options = self.machine.sid, self.options
        kind = self.ensemble.servers[me].role
        self.core = FastLeaderElection(
            Electorate(
                me, kind, options.candidate, self.ensemble, self.ensemble, exact=not options.early_finalize
            ),
            options,
        )
        self.connections = Connections(
            me,
            self,
            self.world,
            self.ensemble.voters,
            self._deliver,
            self._note_presence,
            self._lost_connection,
        )
        self.machine.process = self
        self.stored = stored = self.machine.stored
        self.zxid = stored.zxid
        self.promising = Promising(self)
        self.world.checker.holds(self.world.now, me, stored.accepted_epoch)

    @property
    def sid(self) -> int:
        """The server id."""
        return self.machine.sid

    @property
    def observes(self) -> bool:
        """Whether it is an observer."""
        return self.core.electorate.learner_type is LearnerType.OBSERVER

    @property
    def leader(self) -> int | None:
        """Whom it follows, synchronized, or leads as; None where it is not that far."""
        return None if self.role is None else self.role.established

    def clock(self) -> float:
        """Return the time of the lease clock."""
        return self.world.now * self.machine.rate

    def lease_after(self, seconds: float, what: Callable[[], None]) -> None:
        """Do something when that much has passed on the lease clock."""
        self.world.after(self, max(seconds, 1e-6) / self.machine.rate, what)

    # The role of the moment

    def start(self) -> None:
        """Begin to look for a leader, and to connect."""
        if self.world.trace is not None:
            stored = self.stored
            self.world.say(
                self.sid,
                f"starts: zxid 0x{stored.zxid:x}, epoch {stored.epoch}, accepted {stored.accepted_epoch}",
            )
        self.look()
        self.connections.start()
        self.promising.find_out()

    def look(self, *, again: bool = False) -> None:
        """Look for a leader; what was lost is told once."""
        candidate = self.options.candidate and self.world.now >= self._abstains_until
        stored, lost, self.lost = self.stored, self.lost, None
        if not again:
            self._decision, self._paused = None, True
            self.world.after(self, self._pauses.next(), self._end_pause)
        if self.options.candidate and not candidate:
            self.world.after(self, self._abstains_until - self.world.now, self._stand_again)
        self.put(Look(stored.zxid, stored.epoch, candidate, again, lost))

    def _stand_again(self) -> None:
        if self.role is None and self._decision is None:
            self.look(again=True)

    def _end_pause(self) -> None:
        self._paused = False
        if self._decision is not None:
            self._play(self._decision)

    def _decide(self, decided: Decided) -> None:
        if self.world.trace is not None:
            vote = decided.vote
            self.world.say(
                self.sid, f"decides on {vote.leader} in round {decided.round} ({decided.settled.value})"
            )
        joined = decided.settled is Settled.JOINED
        self.world.won += decided.state is PeerState.LEADING
        if joined or not self.observes:  # an observer may count votes of before (see ``Checker.decided``)
            self.world.checker.decided(self.world.now, self.sid, decided.round, decided.vote, joined=joined)
        self._decision = decided
        if not self._paused:
            self._play(decided)

    def _play(self, decided: Decided) -> None:
        self.looking.clear()
        self.decided_round, self.decided_at = decided.round, self.world.now
        if decided.state is PeerState.LEADING:
            self.role = Leading(self)
        else:
            behind_s = self.options.finalize_wait_s if decided.settled.is_early else 0.0
            self.role = Learner(self, decided.vote.leader, behind_s)
        self.role.start()

    def leave(self, reason: str, *, came_far: bool) -> None:
        """End the role, and look for another leader."""
        if self.world.trace is not None:
            self.world.say(self.sid, f"looks: {reason}")
        self.role = None
        if came_far:
            self._pauses.reset()
        if self.observes:
            self.world.after(self, self.world.rng.uniform(0, OBSERVER_DELAY_S), self.look)
        else:
            self.look()

    def watch(self, leader: int) -> None:
        """Follow by vote alone: the leader holds what this server does not."""
        self.role = Watch(self, leader)
        self.role.start()

    def resign(self) -> None:
        """Give up leading, and be no candidate for a while."""
        if isinstance(self.role, Leading):
            self._abstains_until = self.world.now + self.world.settings.init_s
            self.role.give_up("resigned")

    def led(self) -> None:
        """Note that this server leads: it abstains no more."""
        self._abstains_until = -math.inf

    @property
    def state(self) -> PeerState:
        """What it says that it is."""
        return self.core.state

    def accept(self, stream: Stream, *, quorum: bool) -> None:
        """Take in who has dialled."""
        if not quorum:
            self.connections.accept(stream)
        elif isinstance(self.role, Leading) and self.listening:
            self.role.accept(stream)
        else:
            self.world.close(stream, 1)

    # The election

    def put(self, event: Event) -> None:
        """Let the election hear of something, in its turn."""
        self._inbox.append(event)
        if not self._has_turn:
            self._has_turn = True
            if self._busy_until <= self.world.now:
                self._take_turn()
            else:
                self.world.after(self, self._busy_until - self.world.now, self._take_turn)

    def _take_turn(self) -> None:
        heard, now, step = 0, self.world.now, self.core.step
        for event in self._inbox:  # grows by what its effects bring
            heard += 1
            for effect in step(now, event):
                self._carry_out(effect)
        self._inbox.clear()
        self._has_turn = False
        self._busy_until = now + heard * self.world.settings.hearing_s
        self.connections.flush(self._busy_until)
        if self._wake_at <= now:
            self._wake(self._wake_at)

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Send(to, notification):
                self.connections.tell(to, notification)
            case WakeAt(at):
                self._sleep_until(at)
            case Proposed():
                self._vote(effect)
            case Agreed(vote, round_):
                if self.world.trace is not None:
                    self.world.say(self.sid, f"agrees on {vote.leader} in round {round_}")
            case Decided():
                self._decide(effect)
            case Greet(notification):
                if notification is not None:
                    # what it says once settled counts like a vote, with those of the same round
                    self.world.checker.voted(self.sid, notification.round, notification.vote)
                self.connections.greet_with(notification)
            case VoterLooking():
                self._note_looking(effect)

    def _vote(self, proposed: Proposed) -> None:
        vote, round_ = proposed.vote, proposed.round
        if not self.observes:
            self.world.checker.voted(self.sid, round_, vote)
        if self.world.trace is not None:
            self.world.say(
                self.sid, f"votes for {vote.leader} in round {round_}, because of {proposed.because}"
            )

    def _sleep_until(self, at: float) -> None:
        if at != self._wake_at and at < math.inf:
            self.world.after(self, at - self.world.now, self._wake, at)
        self._wake_at = at

    def _wake(self, at: float) -> None:
        if at == self._wake_at and not self._has_turn:
            self._wake_at = math.inf
            self.put(Silence())

    def _deliver(self, sender: int, notification: Notification) -> None:
        promise = self.promising.promise
        if notification.state is PeerState.LOOKING and promise is not None and promise.leader == sender:
            self.promising.find_out()
        self.put(Heard(sender, notification))

    def _note_presence(self, sid: int, there: bool) -> None:
        if sid in self.core.electorate.voters:
            if self.world.trace is not None:
                self.world.say(self.sid, f"{'meets' if there else 'knows gone'} {sid}")
            self.put(Back(sid) if there else Gone(sid))
        if self.role is not None:
            self.role.connections_changed()

    def _lost_connection(self, sid: int) -> None:
        if self.world.trace is not None:
            self.world.say(self.sid, f"loses its connection to {sid}")
        if self.role is not None:
            self.role.connections_changed()

    def _note_looking(self, voter: VoterLooking) -> None:
        since = self.connections.since(voter.sender)
        changed = voter.convinced and voter.round == self.decided_round
        if since is not None and (voter.round > self.decided_round or changed or since > self.decided_at):
            self.looking[voter.sender] = self.world.now
            if self.role is not None:
                self.role.voter_looks()

    # Commitments

    def write(self, stored: StoredVote, done: Callable[[], None]) -> None:
        """Make that durable, then take it for true, then go on."""

        def written() -> None:
            self.stored = stored
            done()

        if self.machine.writing is None:
            self.world.write(self, stored, written)
        else:
            self.world.after(self, WRITES_AGAIN_S, self.write, stored, done)

    def begin_soon(self, epoch: int) -> None:
        """Make ``epoch`` the current one; durable with the next write, or by one that comes soon."""
        self.stored = attrs.evolve(self.stored, epoch=epoch)
        self.world.after(self, FOLLOW_AFTER_S, self._settle)

    def _settle(self) -> None:
        if self.machine.writing is None and self.machine.stored.epoch < self.stored.epoch:
            self.world.write(self, self.stored, lambda: None)
