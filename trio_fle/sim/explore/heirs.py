"""A server for exhaustive exploration that reserves the next epoch for an heir, offers it and accepts it.

What rides on votes is the real thing, as the election core and ``Discovery`` are; what ``member/`` makes of
it (``succession.py``, ``commitments.py``, ``offered.py``) has its counterpart here. What was accepted with a
vote is in memory only, until something is written, or a crash finds that it just was.

Left out: ``heard_epoch``; a stop in good order; a port that is opened again in the same election.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import attrs

from trio_fle.election.events import (
    Answered,
    Decided,
    Effect,
    Event,
    Freed,
    MayAccept,
    OfferAccepted,
    Reserved,
    Silence,
)
from trio_fle.sim.explore.replica import END, ZXID, Out, Replica, clone
from trio_fle.sim.explore.roles import Follow, Lead, succession_key
from trio_fle.vote import make_zxid

LEASE_S: Final = 1.0
LATER_S: Final = 0.5
"""When whoever told the heir alone of its vote tells all others: what it accepted binds it still."""


@attrs.define(eq=False)
class Offering(Lead):
    """A would-be leader whose epoch may have been accepted before it was elected."""

    stands: bool = False
    expected: set[int] = attrs.field(factory=set)
    """Who accepted it with its vote, and has not come yet."""
    came: set[int] = attrs.field(factory=set)


@attrs.define(eq=False)
class Successor(Replica):
    """One server. ``disk`` is what its disk holds while memory is ahead: accepted, followed, heir."""

    heir: int | None = None
    """For whom the next epoch is reserved, on disk."""
    reserving: int | None = None
    disk: tuple[int, int | None, int | None] | None = None
    maybe: tuple[int, int | None] | None = None
    """What the process before may have promised: to which heir, and towards whom that does not bind."""
    maybe_epoch: int = -1
    ended: int = -1
    """The epoch whose leader is proven to have ended."""
    by_vote: tuple[int, int] = (-1, -1)
    offered: tuple[int, frozenset[int]] | None = None
    """What it offers, and who has accepted that, as long as its port is open since."""
    lost: bool = False
    """Whether its leader's end of the link has just ended."""

    @property
    def listens(self) -> bool:
        """Whether its quorum port refuses nobody."""
        return self.offered is not None or isinstance(self.role, Lead)

    @property
    def highest(self) -> int:
        """The highest epoch that counts as accepted."""
        return max(self.accepted, self.maybe_epoch)

    @property
    def may_keep(self) -> tuple[bool, ...]:
        """Whether a crash may find a write done while none is waited for."""
        return (False,) if self.disk is None else (False, True)

    def bound_to(self, towards: int) -> tuple[int, ...]:
        """Return whose port must refuse before a new epoch of ``towards`` may be acknowledged."""
        maybe = () if self.maybe is None or towards in self.maybe else (self.maybe[0],)
        return (*Replica.bound_to(self, towards), *maybe)

    def keeps_promise(self, leader: int) -> bool:
        """Whether it has, or may have, promised ``leader`` to acknowledge no other."""
        maybe = self.heir if self.core is None else self.maybe and self.maybe[0]
        return leader == maybe or Replica.keeps_promise(self, leader)

    def own_actions(self, servers: list[Replica], idle: bool) -> Iterator[tuple[Any, ...]]:
        """Yield what it may do beside what every server may; ``idle``: nothing is under way to or from it."""
        assert self.core is not None
        role, reserved = self.role, self.core.succession.reserved
        follows = isinstance(role, Follow)
        # else whoever dials, or proposes, finds out soon enough
        asks = self.promised if reserved is not None and reserved.heir != self.sid else None
        doubts = self.maybe[0] if self.maybe is not None and follows else None
        for leader in {asks, doubts} - {None, self.sid}:
            if leader is not None and not servers[leader - 1].listens:
                yield "frees", self.sid, leader
        if self.offered is not None and self.core.election is not None:
            yield "shuts", self.sid
        if self.core.untold is not None:
            yield "tells", self.sid
        if idle and isinstance(role, Follow) and role.stage == 4 and self._next_heir(role) != self.heir:
            yield "reserves", self.sid

    def own_events(self) -> dict[str, Callable[..., list[Out]]]:
        """Return what those actions are."""
        return {"frees": self.frees, "shuts": self.shuts, "reserves": self.reserves, "tells": self.tells}

    def key(self) -> tuple[Any, ...]:
        """Return all that its future depends on."""
        role = self.role
        leads = None
        if isinstance(role, Offering):
            leads = role.stands, frozenset(role.expected), frozenset(role.came)
        return (
            *Replica.key(self), self.heir, self.reserving, self.disk, self.maybe, self.maybe_epoch,
            self.ended, self.by_vote, self.offered, leads,
            None if self.core is None else succession_key(self.core),
        )  # fmt: skip

    def copy(self) -> "Successor":
        """Return a copy that may be changed."""
        new = Replica.copy(self)
        assert isinstance(new, Successor)
        if new.core is not None:
            new.core.succession = clone(new.core.succession)
            if new.core.election is not None:
                new.core.election.succession = new.core.succession
        return new

    # Events

    def start(self) -> list[Out]:
        """Start the process: what was reserved may have been accepted, and promised."""
        if self.heir is not None:
            self.maybe_epoch = self.accepted + 1
            self.maybe = None if self.followed is None else (self.heir, self.followed)
        return Replica.start(self)

    def crash(self, kept: bool) -> list[Out]:
        """Kill the process; what was to be written is kept or lost."""
        if kept:
            self._record()
        elif self.disk is not None:
            self.accepted, self.followed, self.heir = self.disk
        self.disk = self.reserving = self.maybe = self.offered = None
        self.maybe_epoch = self.ended = -1
        self.by_vote = (-1, -1)
        return Replica.crash(self, kept)

    def silence(self) -> list[Out]:
        """Wake: nothing was heard."""
        assert self.core is not None
        if self.core.election is None or not self.core.election.is_quiet:
            return Replica.silence(self)
        return self._carry_out_all(self.core.step(LATER_S, Silence()))

    def reserved(self) -> Reserved | None:
        """Return what may ride on the votes of the next election; who offers listens from then on.

        Nothing does where the leader was only silent.
        """
        ended, self.lost, self.offered = self.lost or self.promised is None, False, None
        epoch = self.accepted + 1
        if not ended or self.heir is None or self.followed is None or self.highest >= epoch:
            return None
        if self.heir == self.sid:
            self.offered = epoch, frozenset()
        return Reserved(epoch, self.heir, LEASE_S, self.looks)

    def frees(self, leader: int) -> list[Out]:
        """Find that nobody listens there, as whatever was promised to it depends on."""
        if self.promised == leader:
            self.ended, self.promised = self.accepted, None
        if self.maybe is not None and self.maybe[0] == leader:
            self.maybe = None
        return self._step(Freed())

    def shuts(self) -> list[Out]:
        """Close the port, as it is no more likely to win: nothing that was offered can be led."""
        self.offered = None
        return []

    def tells(self) -> list[Out]:
        """Tell of the own victory before it is established."""
        return self._step(Silence())

    def reserves(self) -> list[Out]:
        """Begin to reserve the next epoch for whoever is the heir."""
        assert isinstance(self.role, Follow)
        self.disk = self.disk or (self.accepted, self.followed, self.heir)
        self.reserving, self.heir = self._next_heir(self.role), None
        self.writing = self.accepted, self.epoch, self.followed
        return []

    def _next_heir(self, role: Follow) -> int:
        assert self.core is not None
        return max((self.core.present - {role.leader}) | {self.sid})

    def written(self) -> list[Out]:
        """The disk is done: it holds what was accepted with a vote as well."""
        reserves = self.reserving is not None
        self._record()
        if not reserves:
            return Replica.written(self)
        self.writing = None
        return []

    def _record(self) -> None:
        if self.reserving is not None:
            self.heir, self.reserving = self.reserving, None
        elif self.writing is not None and (self.accepted, self.followed) != self.writing[::2]:
            self.heir = None
        self.disk = None

    def _step(self, event: Event) -> list[Out]:
        assert self.core is not None
        return self._carry_out_all(self.core.step(0.0, event))

    def _carry_out(self, effect: Effect, outs: list[Out]) -> None:
        match effect:
            case MayAccept(heir, epoch):
                accepted = self._accept_reserved(heir, epoch)
                outs += self._acknowledge(heir) if accepted else []
                assert self.core is not None
                outs += self._carry_out_all(self.core.step(0.0, Answered(accepted)))
            case OfferAccepted(sender):
                if self.offered is not None:
                    self.offered = self.offered[0], self.offered[1] | {sender}
                if isinstance(self.role, Offering):
                    self._count(self.role, sender)
                    outs += self.go_on(self.role)
            case _:
                Replica._carry_out(self, effect, outs)

    def _carry_out_all(self, effects: list[Effect]) -> list[Out]:
        outs: list[Out] = []
        for effect in sorted(
            effects, key=lambda each: isinstance(each, MayAccept)
        ):  # that one is answered last
            self._carry_out(effect, outs)
        return outs

    def _accept_reserved(self, heir: int, epoch: int, *, own: bool = False) -> bool:
        if (self.heir, self.accepted + 1) != (heir, epoch) or self.followed is None:
            return False
        if self.promised is not None or self.ended != self.accepted or self.bound_to(heir):
            return False
        if self.maybe_epoch >= epoch:
            return False
        self.disk = self.disk or (self.accepted, self.followed, self.heir)
        self.accepted, self.followed, self.heir = epoch, None if own else heir, None
        self.accepted_of = self.by_vote = epoch, heir
        if not own:
            self.promised = heir
        return True

    # Leading

    def _play(self, decided: Decided) -> list[Out]:
        outs = Replica._play(self, decided)
        if isinstance(self.role, Lead):
            self.role = Offering(self.role.discovery)
        else:
            self.offered = None
        return outs

    def propose(self) -> list[Out]:
        """Begin to lead, once free of any promise: with what was offered, if that can still be led."""
        role = self.role
        assert isinstance(role, Offering)
        for leader in self.bound_to(self.sid):
            self.frees(leader)
        discovery, known, outs = role.discovery, self.highest, list[Out]()
        if self.offered is not None:
            epoch, accepted_by = self.offered
            role.stands = discovery.new_epoch <= epoch and self._accept_reserved(self.sid, epoch, own=True)
            if role.stands:
                discovery.offer(epoch)
                known, outs = epoch - 1, self._acknowledge(self.sid)
                for sid in sorted(accepted_by):
                    self._count(role, sid)
        discovery.propose(self.sid, known, discovery.summary)
        return outs + self.go_on(role)

    def _count(self, role: Offering, sid: int) -> None:
        if role.stands and sid not in role.came and role.discovery.accept_offer(sid):
            role.expected.add(sid)

    def go_on(self, role: Lead) -> list[Out]:
        """Pass the gates that are open, and tell the learners."""
        discovery = role.discovery
        if role.stage == 0 and discovery.proposed.open and discovery.new_epoch == self.accepted:
            role.stage = 2  # what was offered is accepted here as well
            discovery.synchronize(self.sid, make_zxid(self.accepted, ZXID), first=True)
        return Replica.go_on(self, role)

    def hear_learner(self, sid: int, message: tuple[Any, ...]) -> list[Out] | None:
        """Take in what a learner says; None where this server must look for another leader."""
        role = self.role
        if isinstance(role, Offering):
            match message:
                case ("FOLLOWERINFO", told, epoch, known):
                    # one that may have accepted more has not, if this one leads
                    message = "FOLLOWERINFO", known if role.stage == 3 else told, epoch
                case ("ACK", *_):
                    role.expected.discard(sid)
                    role.came.add(sid)
        return Replica.hear_learner(self, sid, message)

    def linked(self, role: Lead) -> set[int]:
        """Return who follows, as far as it knows: also who is about to."""
        assert isinstance(role, Offering)
        assert self.core is not None
        return Replica.linked(self, role) | (role.expected & self.core.present)

    def _lose(self, role: Lead, sid: int) -> None:
        assert isinstance(role, Offering)
        if sid in role.expected:
            role.learners.pop(sid, None)
        else:
            Replica._lose(self, role, sid)

    # Following

    def dial(self) -> list[Out]:
        """Reach the leader, being free, and say who we are; what was accepted of it by vote is not told."""
        role, outs = self.role, list[Out]()
        assert isinstance(role, Follow)
        for leader in self.bound_to(role.leader):
            outs += self.frees(leader)
        by_vote = self.by_vote == (self.accepted, role.leader)
        told, known = self.accepted - 1 if by_vote else self.highest, self.accepted
        self.role = attrs.evolve(role, stage=1)
        said = "FOLLOWERINFO", told, self.epoch, told if by_vote else known
        return [*outs, ("send", role.leader, said)]

    def hear_leader(self, message: tuple[Any, ...]) -> list[Out] | None:
        """Take in what the leader says; None where this server must look for another one."""
        role, outs = self.role, list[Out]()
        assert isinstance(role, Follow)
        self.lost = message == END
        if message[0] == "NEWLEADER" and (epoch := message[1]) >= self.accepted:
            if (role.leader, epoch) == (self.followed, self.accepted):
                self.maybe, self.maybe_epoch = None, -1  # it leads still: so no heir's was accepted
                outs = [("holds", self.told, self.accepted)]
            elif self.maybe is not None:
                self.maybe = self.maybe[0], None
            if epoch < self.highest or self.bound_to(role.leader):
                return None  # the latter: unless it is found free in time
        more = Replica.hear_leader(self, message)
        return None if more is None else outs + more
