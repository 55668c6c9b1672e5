"""What must hold at every step of every run: simulated, explored, or of real processes.

========================  ==============================================================================
*leadership*              at most one server is ever established as the leader of an epoch
*epochs grow*             each established epoch is higher than all before it, over the whole ensemble
*one acts*                no two servers may act as leader at the same moment (their leases do not overlap)
*a vote has its quorum*   what an election decided was voted for by a quorum, in that round or as the
                          leader that some of them had; or it had been elected before
*accepted once*           a server accepts an epoch for one leader only, whatever it went through: of all
                          that propose the same, a quorum does so for one at most
*promises are kept*       a server's accepted epoch never goes back: nothing that it acknowledged is lost
========================  ==============================================================================

*Leadership* is what *Leadership1* (of those that lead now) and *Leadership2* (of all that ever did) say in
the published TLA+ specification of Zab (Disalg-ICS-NJU, ``Zab.tla``); the rest has no counterpart there. Its
invariants on transactions (*TotalOrder*, *PrefixConsistency*, *Agreement*) say nothing of members that store
none. See also ``trio_fle.sim.explore``.
"""

from collections.abc import Callable, Iterable, Set
from typing import Final

import attrs

from trio_fle.vote import Vote

LEADERSHIP: Final = "leadership"
EPOCHS_GROW: Final = "epochs grow"
ONE_ACTS: Final = "one acts"
VOTE_HAS_QUORUM: Final = "a vote has its quorum"
ACCEPTED_ONCE: Final = "accepted once"
PROMISES_ARE_KEPT: Final = "promises are kept"
ENDS: Final = "a leader within a bound"
CALM: Final = "no busy loop"
NOBODY_FAILS: Final = "no member fails"


class ViolationError(AssertionError):
    """Something happened that must not: which invariant, when, and who was there."""

    def __init__(self, invariant: str, at: float, what: str) -> None:
        super().__init__(f"{invariant}, violated at {at:.6f} s: {what}")
        self.invariant = invariant
        self.at = at
        self.what = what


@attrs.define
class Checker:
    """Is told what servers do, and raises ``ViolationError`` at the first thing that must not be.

    ``is_quorum`` is that of the configuration. Times are seconds of one clock, that of whoever watches.
    ``grow``: whether epochs have to. Two servers that an oracle lets lead one after the other, and that never
    met in between, can't know of each other's.
    """

    is_quorum: Callable[[Set[int]], bool]
    grow: bool = True
    leaders: dict[int, int] = attrs.field(factory=dict, init=False)
    """Who was established in each epoch."""
    decisions: int = attrs.field(default=0, init=False)
    """Elections that ended on votes, once for each server that they ended for."""
    _voted: dict[tuple[int, Vote], set[int]] = attrs.field(factory=dict, init=False)
    _settled: dict[int, int] = attrs.field(factory=dict, init=False)
    """On which leader each decided last: what it tells counts like a vote where all its numbers agree."""
    chosen: set[int] = attrs.field(factory=set, init=False)
    """Leaders that anybody decided on, by a quorum's votes: one that is joined may be one that came back."""
    _accepted: dict[int, int] = attrs.field(factory=dict, init=False)
    """The highest epoch that each server has acknowledged."""
    _accepted_of: dict[tuple[int, int], int] = attrs.field(factory=dict, init=False)
    """By server and epoch: for which leader it was accepted."""

    def established(self, at: float, sid: int, epoch: int) -> None:
        """Note that ``sid`` leads ``epoch`` from now on."""
        if (before := self.leaders.get(epoch)) is not None and before != sid:
            raise ViolationError(LEADERSHIP, at, f"{sid} is established in epoch {epoch}, as {before} was")
        if self.grow and (highest := max(self.leaders, default=-1)) >= epoch:
            led = self.leaders[highest]
            raise ViolationError(
                EPOCHS_GROW, at, f"{sid} is established in epoch {epoch} after {led} in {highest}"
            )
        self.leaders[epoch] = sid

    @property
    def newest(self) -> int:
        """The epoch that was established last; -1 before the first."""
        return next(reversed(self.leaders), -1)

    def accepted(self, at: float, sid: int, epoch: int, leader: int) -> None:
        """Note that ``sid`` has acknowledged ``epoch``, which ``leader`` proposes, and none had before it."""
        if (before := self._accepted_of.setdefault((sid, epoch), leader)) != leader:
            what = f"{sid} has accepted epoch {epoch} of {before} and {leader}"
            raise ViolationError(ACCEPTED_ONCE, at, what)
        self.acknowledged(sid, epoch)

    def acting(self, at: float, sids: Iterable[int]) -> None:
        """Note who may act as leader at this moment."""
        acting = sorted(sids)
        if len(acting) > 1:
            raise ViolationError(ONE_ACTS, at, f"{' and '.join(map(str, acting))} may act as leader")

    def voted(self, sid: int, round_: int, vote: Vote) -> None:
        """Note that ``sid`` cast this vote."""
        self._voted.setdefault((round_, vote), set()).add(sid)

    def decided(self, at: float, sid: int, round_: int, vote: Vote, *, joined: bool) -> None:
        """Note that an election ended on ``vote``; ``joined``: on what settled servers said.

        A server may join itself, where others knew earlier that it is elected. What an observer decides must
        not be told: voters that elect answer it with their last concluded vote, in the present round.
        """
        self.decisions += 1
        if not (joined and vote.leader in self.chosen):
            settled = {each for each, leader in self._settled.items() if leader == vote.leader}
            voters = self._voted.get((round_, vote), set()) | settled
            if not self.is_quorum(voters):
                said, who = "joins" if joined else "decides on", sorted(voters) or "nobody"
                what = f"{sid} {said} {vote} in round {round_}, for which {who} voted"
                raise ViolationError(VOTE_HAS_QUORUM, at, what)
            self.chosen.add(vote.leader)
        self._settled[sid] = vote.leader

    def acknowledged(self, sid: int, epoch: int) -> None:
        """Note that ``sid`` has told others that it has accepted ``epoch``."""
        self._accepted[sid] = max(self._accepted.get(sid, -1), epoch)

    def holds(self, at: float, sid: int, accepted: int) -> None:
        """Check what ``sid`` holds, after a restart for example, against what it has told."""
        if accepted < (told := self._accepted.get(sid, -1)):
            what = f"{sid} holds accepted epoch {accepted}, and has acknowledged {told}"
            raise ViolationError(PROMISES_ARE_KEPT, at, what)

    def led_by(self, at: float, bound_s: float, leaders: Set[int | None]) -> None:
        """Check, long enough after all faults have ended, that everybody has one and the same leader."""
        if len(leaders) != 1 or None in leaders:
            said = ", ".join(sorted(map(str, leaders)))
            raise ViolationError(
                ENDS, at, f"{bound_s:g} s after the faults have ended, the leaders are: {said}"
            )
