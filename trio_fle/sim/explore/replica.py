"""One server for exhaustive exploration: a state, an event, and what comes of it; no time, and no queue.

The election core and ``Discovery`` are the real ones. A write is two steps, so that a crash can come
between. Every function here is deterministic, so whoever explores may remember what it gave.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import attrs

from trio_fle.election.electorate import Electorate
from trio_fle.election.events import (
    Back,
    Decided,
    Effect,
    Established,
    Event,
    Gone,
    Greet,
    Heard,
    Leave,
    Look,
    Proposed,
    Reserved,
    Send,
    Settled,
    Silence,
)
from trio_fle.election.fle import FastLeaderElection
from trio_fle.election.options import ElectionOptions
from trio_fle.ensemble import Ensemble
from trio_fle.sim.explore.roles import Follow, Lead, core_key, role_key
from trio_fle.vote import LearnerType, PeerState, StateSummary, Vote, make_zxid
from trio_fle.wire import Notification
from trio_fle.zab import AheadError, Discovery

ZXID: Final = 0
END: Final = ("END",)
Out = tuple[Any, ...]
"""What a step asks for: ``tell``, ``send`` and ``close`` with whom, or a fact for whoever checks."""

T = TypeVar("T")


def clone(of: T) -> T:
    """Copy a value of an attrs class with its dicts and sets, and nothing deeper."""
    kind: Any = type(of)
    new: T = object.__new__(kind)
    for name in _names(kind):
        value = getattr(of, name)
        if type(value) is dict or type(value) is set:
            value = value.copy()
        object.__setattr__(new, name, value)
    return new


@functools.cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in attrs.fields(kind))


@attrs.define(eq=False)
class Replica:
    """One server. ``core`` is None while it is down."""

    sid: int
    ensemble: Ensemble
    options: ElectionOptions
    accepted: int = 0
    epoch: int = 0
    followed: int | None = None
    """Whom it follows, on disk."""
    promised: int | None = None
    accepted_of: tuple[int, int] = (-1, -1)
    """The epoch that was accepted last, and whose it was."""
    core: FastLeaderElection | None = None
    writing: tuple[int, int, int | None] | None = None
    role: Lead | Follow | None = None
    said: dict[int, Notification] = attrs.field(factory=dict)
    """What was said last to each, or waits for it."""
    greeting: Notification | None = None
    looks: int = 0
    told: frozenset[tuple[int, int]] = frozenset()
    """Epochs that it has acknowledged, each with its leader."""
    voted: frozenset[tuple[int, Vote]] = frozenset()
    chosen: frozenset[int] = frozenset()

    @property
    def leader(self) -> int | None:
        """Whom it follows or is, once that is established for it."""
        role = self.role
        if isinstance(role, Lead):
            return self.sid if role.stage == 3 else None
        return role.leader if role is not None and role.stage == 4 else None

    @property
    def listens(self) -> bool:
        """Whether its quorum port refuses nobody."""
        return isinstance(self.role, Lead)

    @property
    def highest(self) -> int:
        """The highest epoch that counts as accepted."""
        return self.accepted

    @property
    def may_keep(self) -> tuple[bool, ...]:
        """Whether a crash may find a write done while none is waited for."""
        return (False,)

    def bound_to(self, towards: int) -> tuple[int, ...]:
        """Return whose port must refuse before a new epoch of ``towards`` may be acknowledged."""
        return () if self.promised in (None, towards) else (self.promised,)

    def keeps_promise(self, leader: int) -> bool:
        """Whether it has promised ``leader`` to acknowledge no other, also as a process yet to be started."""
        return leader == (self.followed if self.core is None else self.promised)

    def own_actions(self, servers: "list[Replica]", idle: bool) -> Iterator[tuple[Any, ...]]:
        """Yield what it may do beside what every server may; ``idle``: nothing is under way to or from it."""
        yield from ()

    def own_events(self) -> dict[str, Callable[..., list[Out]]]:
        """Return what those actions are."""
        return {}

    def key(self) -> tuple[Any, ...]:
        """Return all that its future depends on."""
        return (
            self.accepted, self.epoch, self.followed, self.promised, self.accepted_of, self.writing,
            role_key(self.role), tuple(sorted(self.said.items(), key=lambda item: item[0])), self.greeting,
            self.looks, self.told, self.voted, self.chosen, core_key(self.core),
        )  # fmt: skip

    def copy(self) -> "Replica":
        """Return a copy that may be changed."""
        new = clone(self)
        if self.core is not None:
            new.core = core = clone(self.core)
            if core.election is not None:
                core.election = clone(core.election)
                core.election.gone, core.election.present = core.gone, core.present
        if isinstance(self.role, Lead):
            new.role = role = clone(self.role)
            role.discovery = discovery = clone(role.discovery)
            for name in ("proposed", "synchronized"):
                setattr(discovery, name, clone(getattr(discovery, name)))
        return new

    # Events

    def start(self) -> list[Out]:
        """Start the process."""
        self.core = FastLeaderElection(
            Electorate(
                self.sid,
                LearnerType.PARTICIPANT,
                True,
                self.ensemble,
                self.ensemble,
                exact=not self.options.early_finalize,
            ),
            self.options,
        )
        self.promised = self.followed
        return [("holds", self.told, self.highest), *self.look()]

    def crash(self, kept: bool) -> list[Out]:
        """Kill the process; a write under way is kept or lost."""
        if self.writing is not None and kept:
            self.accepted, self.epoch, self.followed = self.writing
        self.core = self.role = self.writing = self.greeting = self.promised = None
        self.accepted_of = (-1, -1)
        self.said.clear()
        return []

    def look(self) -> list[Out]:
        """Look for a leader."""
        outs: list[Out] = []
        if isinstance(self.role, Lead):
            outs = self._step(Leave())
        self.role = None
        self.looks += 1
        return outs + self._step(Look(ZXID, self.epoch, reserved=self.reserved()))

    def reserved(self) -> Reserved | None:
        """Return what may ride on the votes of the next election."""
        return None

    def hear(self, sender: int, notification: Notification) -> list[Out]:
        """Hear a notification."""
        return self._step(Heard(sender, notification))

    def silence(self) -> list[Out]:
        """Wake: nothing was heard."""
        return self._step(Silence())

    def note(self, sid: int, there: bool) -> list[Out]:
        """Learn that a server is there, and greet it, or that it is gone."""
        outs = self._step(Back(sid) if there else Gone(sid))
        return outs + self.greet(sid) if there else outs

    def greet(self, sid: int) -> list[Out]:
        """Begin a new connection."""
        first = self.greeting or self.said.get(sid)
        return [] if first is None else [("tell", sid, first)]

    def _step(self, event: Event) -> list[Out]:
        assert self.core is not None
        outs: list[Out] = []
        for effect in self.core.step(0.0, event):
            self._carry_out(effect, outs)
        return outs

    def _carry_out(self, effect: Effect, outs: list[Out]) -> None:
        match effect:
            case Send(to, notification):
                self.greeting = None
                self.said[to] = notification
                outs.append(("tell", to, notification))
            case Greet(notification):
                self.greeting = notification
                if notification is None:
                    self.said.clear()
                else:
                    self.voted |= {(notification.round, notification.vote)}
            case Proposed(vote, round_):
                self.voted |= {(round_, vote)}
            case Decided(vote, round_):
                joined = effect.settled is Settled.JOINED
                if not joined:
                    self.chosen |= {vote.leader}
                outs.append(("decided", round_, vote, joined))
                outs += self._play(effect)

    def _play(self, decided: Decided) -> list[Out]:
        if decided.state is not PeerState.LEADING:
            self.role = Follow(decided.vote.leader)
            return []
        assert self.core is not None
        self.role = Lead(Discovery(self.core.electorate, StateSummary(self.epoch, ZXID)))
        return []

    # Writes

    def written(self) -> list[Out]:
        """The disk is done: what was written counts, and goes on."""
        assert self.writing is not None
        self.accepted, self.epoch, self.followed = self.writing
        self.writing, role = None, self.role
        assert role is not None
        if role.stage > 2:
            return []  # the current epoch
        if isinstance(role, Lead):
            role.stage = 2
            role.discovery.synchronize(self.sid, make_zxid(self.accepted, 0), first=True)
            return [*self._acknowledge(self.sid), *self.go_on(role)]
        return self._accepted(role)

    def _accepted(self, role: Follow) -> list[Out]:
        """Acknowledge the epoch and NEWLEADER: what is accepted is durable."""
        self.promised, self.role = role.leader, attrs.evolve(role, stage=3)
        first = self.accepted_of == (role.epoch, role.leader)
        outs = self._acknowledge(role.leader) if first else []
        return [*outs, ("send", role.leader, ("ACK", role.epoch, first))]

    def _acknowledge(self, leader: int) -> list[Out]:
        before, self.told = self.told, self.told | {(self.accepted, leader)}
        return [("accepted", before, self.accepted, leader)]

    def _begin(self, epoch: int) -> None:
        """Make an epoch the current one, some time after its leader is established."""
        self.writing = self.accepted, epoch, self.followed

    # Leading

    def propose(self) -> list[Out]:
        """Begin to lead, once free of any promise."""
        assert isinstance(self.role, Lead)
        self.promised = None
        discovery = self.role.discovery
        discovery.propose(self.sid, self.highest, discovery.summary)
        return self.go_on(self.role)

    def go_on(self, role: Lead) -> list[Out]:
        """Pass the gates that are open, and tell the learners."""
        discovery, outs = role.discovery, list[Out]()
        epoch = discovery.new_epoch
        if role.stage == 0 and discovery.proposed.open:
            role.stage, self.writing, self.accepted_of = 1, (epoch, self.epoch, None), (epoch, self.sid)
        elif role.stage == 2 and discovery.synchronized.open:
            role.stage = 3
            self._begin(epoch)
            outs += [("established", epoch), *self._step(Established(epoch))]
        for sid, stage in sorted(role.learners.items()):
            if stage == 0 and role.stage >= 1:
                role.learners[sid] = 1
                outs.append(("send", sid, ("NEWLEADER", epoch)))
            elif stage == 2 and role.stage == 3:
                role.learners[sid] = 3
                outs.append(("send", sid, ("UPTODATE",)))
        return outs

    def hear_learner(self, sid: int, message: tuple[Any, ...]) -> list[Out] | None:
        """Take in what a learner says; None where this server must look for another leader."""
        role = self.role
        if not isinstance(role, Lead):
            return []
        discovery = role.discovery
        match message:
            case ("FOLLOWERINFO", accepted, epoch):
                self._lose(role, sid)
                if discovery.proposed.open and accepted > discovery.new_epoch:
                    return None
                try:
                    discovery.propose(sid, accepted, StateSummary(epoch, ZXID))
                except AheadError:
                    return [("close", sid)]
                role.learners[sid] = 0
            case ("ACK", epoch, first):
                role.learners[sid] = 2
                discovery.synchronize(sid, make_zxid(epoch, 0), first=first)
            case ("END",):
                self._lose(role, sid)
                if role.stage == 3 and not discovery.electorate.is_quorum(self.linked(role) | {self.sid}):
                    return None
        return self.go_on(role)

    def linked(self, role: Lead) -> set[int]:
        """Return who follows, as far as it knows."""
        return {sid for sid, stage in role.learners.items() if stage >= 2}

    def _lose(self, role: Lead, sid: int) -> None:
        if role.learners.pop(sid, None) is not None:
            role.discovery.lose(sid)

    # Following

    def dial(self) -> list[Out]:
        """Reach the leader, being free, and say who we are."""
        role = self.role
        assert isinstance(role, Follow)
        if self.promised != role.leader:
            self.promised = None
        self.role = attrs.evolve(role, stage=1)
        return [("send", role.leader, ("FOLLOWERINFO", self.accepted, self.epoch))]

    def hear_leader(self, message: tuple[Any, ...]) -> list[Out] | None:
        """Take in what the leader says; None where this server must look for another one."""
        role = self.role
        assert isinstance(role, Follow)
        match message:
            case ("NEWLEADER", epoch):
                if epoch < self.accepted:
                    return None
                self.role = role = attrs.evolve(role, stage=2, epoch=epoch)
                outs = self._step(Established(epoch))
                if epoch > self.highest:
                    self.accepted_of = epoch, role.leader
                if (epoch, role.leader) == (self.accepted, self.followed):
                    return outs + self._accepted(role)
                self.writing = epoch, self.epoch, role.leader
                return outs
            case ("UPTODATE",):
                self.role = attrs.evolve(role, stage=4)
                self._begin(role.epoch)
            case ("END",):
                return None
        return []
