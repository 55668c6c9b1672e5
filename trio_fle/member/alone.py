"""Leading one of two servers without the other: what an oracle lets a leader do (``zab.oracle``)."""

import math
from collections.abc import Callable

import attrs
import trio

from trio_fle.election.electorate import Electorate
from trio_fle.ensemble import Ensemble
from trio_fle.member.oracle import Oracle
from trio_fle.peers import Transport
from trio_fle.zab import Gate


@attrs.define(eq=False)
class Alone:
    """What the ``oracle`` lets one leader do; nothing where there is none, or others than two vote.

    A gate is opened for one only after ``patience_s`` where the other is among those that are ``present``: it
    may be about to follow, and knows which epochs it has accepted.
    """

    electorate: Electorate
    clock: Callable[[], float]
    oracle: Oracle | None
    present: Callable[[], frozenset[int]]
    patience_s: float
    _began: float = attrs.field(default=math.inf, init=False)

    def __attrs_post_init__(self) -> None:
        if not self.electorate.consults:
            self.oracle = None

    def begin(
        self, nursery: trio.Nursery, ensemble: Ensemble, transport: Transport, heard: Callable[[], None]
    ) -> None:
        """Ask, now that this member listens; and where the other may still lead, whether it does."""
        if self.oracle is not None:
            self._began = self.clock()
            self.oracle.listen(heard)
            (other,) = self.electorate.voters - {self.electorate.me}
            addresses = [address.quorum for address in ensemble.servers[other].addresses]
            nursery.start_soon(self.oracle.find_other_gone, transport, addresses)

    def end(self) -> None:
        """Rely on the oracle no more: soon nobody listens."""
        if self.oracle is not None:
            self.oracle.stop_listening()

    def until(self) -> float:
        """Return until when this member may lead alone; ``-inf`` where it may not."""
        return -math.inf if self.oracle is None else self.oracle.consent.end()

    def may_lead(self) -> bool:
        """Whether it may do so at this moment."""
        return self.until() > self.clock()

    def waits_for(self) -> int | None:
        """Return the other server, where only a lease that may rest on a yes to it keeps us from leading."""
        if self.oracle is None or not self.oracle.consent.is_doubtful:
            return None
        return min(self.electorate.voters - {self.electorate.me})

    def passes(self, gate: Gate) -> bool:
        """Whether a gate is open, for a quorum or for this member alone."""
        if gate.open or not self.may_lead():
            return gate.open
        is_there = self.present() >= self.electorate.voters
        if is_there and self.clock() < self._began + self.patience_s:
            return False
        return gate.open_alone()

    def answered(self, sid: int, sent_at: float) -> None:
        """Note that a follower answered what was sent then: until that moment there were two."""
        if self.oracle is not None and sid in self.electorate.voters:
            self.oracle.other_was_absent(sent_at)
