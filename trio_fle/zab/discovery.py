"""What a leader and a quorum agree on before it leads: two gates, where ZooKeeper's ``Leader`` has three.

1. *Propose*: a quorum has told the highest epoch that it ever accepted, and how far its history goes; the new
   epoch is higher than all of them, and none of it has seen more than the leader.
2. *Synchronize*: a quorum has accepted the new epoch, of this leader and of no other one, durably; and holds
   what the leader holds.

ZooKeeper has a gate between them, where a quorum has accepted the epoch (ACKEPOCH), before it sends what
learners lack, and makes the epoch its own current one. Here nothing is sent, and no epoch is current before
its leader is established; so both acknowledgements are one (ARCHITECTURE.md, "After the election").

Only voters count at a gate (ZOOKEEPER-2959). Source: ``Leader.getEpochToPropose``, ``waitForEpochAck``,
``waitForNewLeaderAck``.
"""

from collections.abc import Callable

import attrs

from trio_fle.election.electorate import Electorate
from trio_fle.errors import PeerError
from trio_fle.vote import UNTRUSTED_ZXID, StateSummary, make_zxid


class AheadError(PeerError):
    """A learner has seen more than the leader: it can't follow this one."""


@attrs.define
class Gate:
    """Opens once a quorum, the leader itself among it, has passed; stays open."""

    me: int
    is_quorum: Callable[[frozenset[int]], bool]
    passed: set[int] = attrs.field(factory=set, init=False)
    open: bool = attrs.field(default=False, init=False)

    def admit(self, sid: int) -> bool:
        """Count ``sid``; True where that opened the gate."""
        if self.open:
            return False
        self.passed.add(sid)
        self.open = self.me in self.passed and self.is_quorum(frozenset(self.passed))
        return self.open

    def open_alone(self) -> bool:
        """Open it for the leader alone, once that has passed: an oracle says yes. True where it is open."""
        self.open = self.open or self.me in self.passed
        return self.open

    def lose(self, sid: int) -> None:
        """Stop counting a server that went away before the gate opened."""
        if not self.open:
            self.passed.discard(sid)


@attrs.define
class Discovery:
    """How far a would-be leader, whose history is ``summary``, and its learners have come."""

    electorate: Electorate
    summary: StateSummary
    new_epoch: int = attrs.field(default=-1, init=False)
    """The epoch that is proposed: final once ``proposed`` is open."""
    _offered: int = attrs.field(default=-1, init=False)
    proposed: Gate = attrs.field(init=False)
    synchronized: Gate = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        for name in ("proposed", "synchronized"):
            setattr(self, name, Gate(self.electorate.me, self.electorate.is_quorum))

    def propose(self, sid: int, accepted_epoch: int, summary: StateSummary) -> bool:
        """Take in what ``sid`` says of itself; True where the new epoch is settled by it.

        An observer's epoch raises the new one as well, but does not count. Raises ``AheadError`` for one with
        a longer history than the leader's, until a quorum has none.
        """
        if self.proposed.open:
            return False
        if accepted_epoch >= self.new_epoch:
            self.new_epoch = self._epoch_after(accepted_epoch)
            self.synchronized.passed.clear()  # what was offered is no longer what is proposed
        if summary.is_ahead_of(self.summary):
            raise AheadError(
                f"it is ahead: epoch {summary.epoch} and zxid 0x{summary.zxid:x}, the leader's are "
                f"{self.summary.epoch} and 0x{self.summary.zxid:x}"
            )
        counts = summary.zxid != UNTRUSTED_ZXID and sid in self.electorate.voters
        return counts and self.proposed.admit(sid)

    def _epoch_after(self, accepted_epoch: int) -> int:
        """Return the next epoch; where an oracle lets one of two lead alone, the next of its own.

        Each may lead without the other's knowing which epochs it used: the lower id has the even ones, the
        higher id the odd ones, so that no epoch is ever led by both.
        """
        epoch = accepted_epoch + 1
        if self.electorate.consults:
            turn = sorted(self.electorate.voters).index(self.electorate.me)
            epoch += (epoch + turn) % 2
        return epoch

    def offer(self, epoch: int) -> None:
        """Propose ``epoch``, which the leader has offered and accepted; a learner may know a higher one."""
        self.new_epoch = self._offered = epoch
        self.synchronized.admit(self.electorate.me)

    def accept_offer(self, sid: int) -> bool:
        """Count a voter that has accepted the offer with its vote, at both gates; False if that is too late.

        It says with it that it has accepted nothing higher, and that it holds what the leader holds.
        """
        if self._offered == -1 or self.new_epoch != self._offered or sid not in self.electorate.voters:
            return False
        for gate in (self.proposed, self.synchronized):
            gate.admit(sid)
        return True

    def synchronize(self, sid: int, zxid: int, *, first: bool) -> bool:
        """Take in the acknowledgement of NEWLEADER; True where that establishes the leader.

        ``first``: ``sid`` has accepted the epoch of this leader, and of no other one before; else it is not
        counted.
        """
        if not first or zxid != make_zxid(self.new_epoch, 0):
            return False
        return sid in self.electorate.voters and self.synchronized.admit(sid)

    def lose(self, sid: int) -> None:
        """Stop counting a learner that went away, at every gate that is still closed."""
        for gate in (self.proposed, self.synchronized):
            gate.lose(sid)
