"""What an election is told, and what it asks for. Values only; whoever holds them carries them out."""

import enum

import attrs

from trio_fle.ensemble import Ensemble
from trio_fle.vote import PeerState, Vote
from trio_fle.wire import Notification

# Events in


@attrs.frozen
class Reserved:
    """The next epoch, which this member may accept of ``heir`` without a wait for the disk.

    ``lease_s`` is how long a lease it promises then; of the heir itself, what it asks for. ``number`` is that
    of the heir's offer.
    """

    epoch: int
    heir: int
    lease_s: float
    number: int = 0


@attrs.frozen
class Look:
    """Begin an election: this member has no leader. Its own history gives the first vote.

    ``candidate`` says whether it may be elected from now on; None: no change. ``again`` begins the running
    election anew, and nothing where none runs. ``lost`` is a leader that was given up for its silence, or
    that has said that it stops. ``reserved`` is the epoch that may ride on the votes.
    """

    zxid: int
    epoch: int
    candidate: bool | None = None
    again: bool = False
    lost: int | None = None
    reserved: Reserved | None = None


@attrs.frozen
class Heard:
    """A notification came from ``sender``; ``config`` is its configuration text, where that parsed."""

    sender: int
    notification: Notification
    config: Ensemble | None = None


@attrs.frozen
class Silence:
    """The time that the last ``WakeAt`` named has come, and nothing was heard before."""


@attrs.frozen
class ConfigSeen:
    """A leader proposed this configuration: until it commits, its quorum is needed as well."""

    ensemble: Ensemble


@attrs.frozen
class ConfigCommitted:
    """The configuration from now on, as the leader that this member follows, or is, says."""

    ensemble: Ensemble


@attrs.frozen
class Established:
    """The elected leader and its quorum agreed on a new epoch: answers carry it from now on."""

    epoch: int


@attrs.frozen
class Leave:
    """The leadership of this member is over: until it looks for a leader it answers nobody."""


@attrs.frozen
class Gone:
    """A voter has no connection to us, and nobody listens where it did."""

    sid: int


@attrs.frozen
class Back:
    """A voter has connected."""

    sid: int


@attrs.frozen
class Answered:
    """Whether the epoch of the heir was accepted here, as ``MayAccept`` said that it may be."""

    accepted: bool


@attrs.frozen
class Freed:
    """A promise of this member has ended: what it could not accept before it may accept now."""


@attrs.frozen
class OracleSaid:
    """What the oracle of two servers says to this one from now on: whether it may lead alone."""

    yes: bool


Event = (
    Look
    | Heard
    | Silence
    | ConfigSeen
    | ConfigCommitted
    | Established
    | Leave
    | Gone
    | Back
    | Answered
    | Freed
    | OracleSaid
)

# Effects out


@attrs.frozen
class Send:
    """Send this notification to that server; it may replace an unsent one."""

    to: int
    notification: Notification


@attrs.frozen
class WakeAt:
    """Step with ``Silence`` at this time (seconds, the clock passed in); replaces the wish before."""

    at: float


@attrs.frozen
class Proposed:
    """The own proposal was set; ``because`` is the server whose vote convinced us (at first our own id)."""

    vote: Vote
    round: int
    because: int


@attrs.frozen
class Agreed:
    """A quorum supports the proposal; unless something better is heard, it is decided at ``until``."""

    vote: Vote
    round: int
    until: float


class Settled(enum.Enum):
    """Why an election could end."""

    WAIT = "wait"
    """The finalize wait passed without a better vote."""

    UNANIMOUS = "unanimous"
    """All voters voted for it: there was nothing to wait for."""

    UNREACHABLE = "unreachable"
    """All voters did but those that are known to be gone."""

    JOINED = "joined"
    """A quorum of settled servers, the leader among them, told of their leader; or, where one of two may lead
    alone, the leader did, and the oracle says no to this one."""

    ORACLE = "oracle"
    """The other one of two voters was not heard, and the oracle says that this one may lead alone."""

    ACCEPTED = "accepted"
    """A quorum has not only voted for this member, but also accepted its epoch: it leads already."""

    @property
    def is_early(self) -> bool:
        """Whether the finalize wait was cut short."""
        return self in (Settled.UNANIMOUS, Settled.UNREACHABLE)


@attrs.frozen
class Outcome:
    """The leader that an election named, in which round, and what settled it."""

    vote: Vote
    round: int
    settled: Settled


@attrs.frozen
class Decided:
    """The election is over: from now on this member is in ``state`` under ``vote.leader``."""

    vote: Vote
    round: int
    state: PeerState
    settled: Settled
    duration_s: float
    sent: int
    received: int


@attrs.frozen
class MayAccept:
    """The heir, for which this member votes, offers the reserved epoch: to be ``Answered`` at once."""

    heir: int
    epoch: int
    lease_s: float


@attrs.frozen
class OfferAccepted:
    """A voter has accepted the epoch that this member offers."""

    sender: int


@attrs.frozen
class Greet:
    """Tell this to whoever connects from now on, in place of what was sent to it last.

    A real server repeats its last LOOKING vote even once it is settled; who has just restarted then counts
    it and follows a server that does not lead. None: tell nothing, for what was said last is true no more.
    """

    notification: Notification | None


@attrs.frozen
class Ignored:
    """A notification that a person should know about counted for nothing."""

    sender: int
    reason: str


@attrs.frozen
class NewerConfig:
    """A peer knows a newer configuration than ours, which is not adopted (``reconfigEnabled`` is false)."""

    sender: int
    config: Ensemble


@attrs.frozen
class Adopted:
    """A peer knew a newer configuration: this member elects under it.

    It is to act on no decision before it has made it durable.
    """

    sender: int
    config: Ensemble


@attrs.frozen
class VoterLooking:
    """A voter looks for a leader, in this round, while this member has one: it was answered.

    ``convinced`` says that it now votes for a better one than this member's.
    """

    sender: int
    round: int
    convinced: bool = False


Effect = (
    Send
    | WakeAt
    | Proposed
    | Agreed
    | MayAccept
    | OfferAccepted
    | Decided
    | Greet
    | Ignored
    | NewerConfig
    | Adopted
    | VoterLooking
)
