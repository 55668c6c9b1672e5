"""The leader's lease, and the promise of those who follow it (decision 12).

A leader may act until ``lease end = sent + length * (1 - margin)``, where ``sent`` is the moment at which
it sent the newest ping that a quorum has answered. Whoever answered a ping promises, for ``length`` from
the moment the ping *arrived*, to acknowledge no other epoch. A ping arrives after it was sent, so every
promise outlasts the lease that rests on it while the clocks' rates differ by less than the margin.

Times are seconds of a clock that never stops, not even while the machine sleeps; each server reads its own.
"""

import math
from collections.abc import Callable

import attrs

from trio_fle.ensemble import HostPort


@attrs.define
class Lease:
    """What the answers to pings let a leader count on."""

    me: int
    is_quorum: Callable[[frozenset[int]], bool]
    length_s: float
    """``syncLimit`` ticks: how long a follower keeps its promise."""
    margin: float
    """Part of the length that is not counted on (``fle.leaseMargin``)."""
    alone: Callable[[], float] = lambda: -math.inf
    """Until when this server may lead without any answer: what an oracle grants (``zab.oracle``)."""
    _answered: dict[int, float] = attrs.field(factory=dict, init=False)

    @property
    def usable_s(self) -> float:
        """How long a lease lasts from the ping on which it rests."""
        return self.length_s * (1 - self.margin)

    def answered(self, sid: int, sent_at: float) -> None:
        """Note that ``sid`` answered what was sent at ``sent_at``: a ping, or NEWLEADER."""
        self._answered[sid] = max(sent_at, self._answered.get(sid, -math.inf))

    def lost(self, sid: int) -> None:
        """Stop counting a follower whose connection has broken."""
        self._answered.pop(sid, None)

    def end(self) -> float:
        """When the lease ends: ``-inf`` without a quorum, ``inf`` where this server alone is one.

        An oracle is asked only where no follower makes up a quorum.
        """
        holders = {self.me}
        if self.is_quorum(frozenset(holders)):
            return math.inf
        for sid, sent_at in sorted(self._answered.items(), key=lambda each: -each[1]):
            holders.add(sid)
            if self.is_quorum(frozenset(holders)):
                return sent_at + self.usable_s
        return self.alone()


@attrs.frozen
class Promise:
    """That no epoch but that of ``leader`` is acknowledged before ``until``."""

    leader: int
    epoch: int
    until: float
    where: HostPort | None = None
    """The address at which it was followed; None after a restart. Its name may lead elsewhere by now."""
    but: int | None = None
    """One other server towards which it does not bind."""

    def renewed(self, until: float) -> "Promise":
        """Return the promise after one more answer; it never gets shorter."""
        return attrs.evolve(self, until=max(self.until, until))

    def binds(self, now: float, *, towards: int) -> bool:
        """Whether a new epoch of ``towards`` must not be acknowledged yet.

        A leader that proposes another epoch itself has given up the one before.
        """
        return towards not in (self.leader, self.but) and now < self.until
