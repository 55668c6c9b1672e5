"""Votes: what they say, which of two is better, and when two agree.

All numbers are signed 64-bit integers, compared as such (ZooKeeper compares Java ``long``).
"""

import enum
from typing import Final

import attrs

MIN_LONG: Final = -(2**63)
"""``Long.MIN_VALUE``: "no value" in the votes of those who do not vote."""

MAX_LONG: Final = 2**63 - 1
"""``Long.MAX_VALUE``: as a server id in a handshake, an observer without an id."""

UNTRUSTED_ZXID: Final = -1
"""Last zxid of a server without a trustworthy database (ZOOKEEPER-261): it neither votes nor is voted for."""


class PeerState(enum.IntEnum):
    """State of a server; the numbers are those on the wire."""

    LOOKING = 0
    FOLLOWING = 1
    LEADING = 2
    OBSERVING = 3


class LearnerType(enum.Enum):
    """Role of a server in the server list."""

    PARTICIPANT = "participant"
    OBSERVER = "observer"


def epoch_of(zxid: int) -> int:
    """Epoch of a zxid: its high 32 bits, by arithmetic shift (a negative zxid has a negative epoch)."""
    return zxid >> 32


def make_zxid(epoch: int, counter: int) -> int:
    """Zxid of transaction number ``counter`` (its low 32 bits) in ``epoch``."""
    return (epoch << 32) | (counter & 0xFFFFFFFF)


def hex64(number: int) -> str:
    """Write 64 bits that need not fit a double, a zxid for one: ``0x100000002``."""
    return hex(number & 0xFFFF_FFFF_FFFF_FFFF)


def round_after(round_: int) -> int:
    """Return the next round: a signed 64-bit count that goes round, as Java's does.

    Somebody may have forged the present one, and everybody have adopted it.
    """
    return MIN_LONG if round_ == MAX_LONG else round_ + 1


@attrs.frozen
class Vote:
    """For whom a server votes: the leader, the last zxid that leader logged, and its epoch."""

    leader: int
    zxid: int
    epoch: int

    def beats(self, other: "Vote") -> bool:
        """Whether this vote is better: newer epoch, then newer zxid, then higher id.

        The order alone: whether the leader has any weight is the caller's question
        (``FastLeaderElection.totalOrderPredicate`` asks it first).
        """
        return (self.epoch, self.zxid, self.leader) > (other.epoch, other.zxid, other.leader)


@attrs.frozen
class StateSummary:
    """How far a server's history goes: its current epoch, and its last zxid (``StateSummary``)."""

    epoch: int
    zxid: int

    def is_ahead_of(self, other: "StateSummary") -> bool:
        """Whether this history has something that ``other`` lacks.

        Servers with the same last zxid hold the same, also where one of them forgot the last epoch, in which
        nothing was added: ZooKeeper, whose epochs are never forgotten, compares those first nevertheless.
        """
        return self.zxid != other.zxid and (self.epoch, self.zxid) > (other.epoch, other.zxid)


@attrs.frozen
class CastVote:
    """A vote as one server cast it: in which round, in which state, in which message format."""

    vote: Vote
    round: int
    state: PeerState = PeerState.LOOKING
    version: int = 0

    def agrees_with(self, other: "CastVote") -> bool:
        """Whether both count for the same outcome. Symmetric, not transitive.

        While one of the two servers is LOOKING, all four numbers must match. Between settled servers
        the zxid and the round may differ (each kept those of its own election, ZOOKEEPER-1732 and -1805),
        and the epoch too where one message has a format without a comparable one (version 0).
        Source: ``Vote.equals``.
        """
        if PeerState.LOOKING in (self.state, other.state):
            return self.vote == other.vote and self.round == other.round
        if (self.version > 0) != (other.version > 0):
            return self.vote.leader == other.vote.leader
        return self.vote.leader == other.vote.leader and self.vote.epoch == other.vote.epoch
