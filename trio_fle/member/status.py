"""What a member says of itself: one frozen value, the same for the library, for HTTP and for metrics."""

import enum

import attrs

from trio_fle.election.stalled import Stalled
from trio_fle.vote import PeerState, Vote


class Phase(enum.Enum):
    """How far a member has come (ZooKeeper's ``zabState``)."""

    ELECTION = "election"
    DISCOVERY = "discovery"
    SYNCHRONIZATION = "synchronization"
    BROADCAST = "broadcast"


@attrs.frozen
class PeerStatus:
    """The election connection to one other server of the configuration."""

    sid: int
    role: str
    """participant or observer."""
    connected: bool
    address: str | None = None
    direction: str | None = None


@attrs.frozen
class MemberStatus:
    """State of a member at one moment. Whether it leads depends on the time: ask ``leads(now)``.

    ``lease_end`` is a time of the lease clock: None where this member does not lead, ``inf`` where it is a
    quorum by itself.
    """

    myid: int
    state: PeerState
    phase: Phase
    leader: int | None
    """The elected leader; None while LOOKING."""
    epoch: int
    """That of the leader, while there is one; else that of the last one this member was synchronized with."""
    accepted_epoch: int
    """The highest epoch promised to a leader."""
    zxid: int
    round: int
    vote: Vote | None
    """The last concluded vote; while LOOKING, the proposal."""
    config_version: int
    listed: bool = True
    """Whether the configuration names this member at all."""
    config_text: str = ""
    """The configuration of the ensemble, as servers send it to each other."""
    peers: tuple[PeerStatus, ...] = ()
    synced: bool = False
    """Whether this member holds what its leader holds; False for one that only votes."""
    lease_end: float | None = None
    stalled: Stalled | None = None
    """Why the running election takes long, once it does."""

    def leads(self, now: float) -> bool:
        """Whether this member is the leader at ``now``, a time of the lease clock."""
        return self.lease_end is not None and now < self.lease_end

    def lease_left_s(self, now: float) -> float:
        """Return how long the lease lasts: 0 where this member does not lead, ``inf`` where it is alone."""
        return max(0.0, self.lease_end - now) if self.lease_end is not None else 0.0

    def follows(self) -> bool:
        """Whether this member follows or observes an established leader."""
        return self.phase is Phase.BROADCAST and self.state in (PeerState.FOLLOWING, PeerState.OBSERVING)

    def has_leader(self, now: float) -> bool:
        """Whether an established leader is known: this member within its lease, or another."""
        return self.follows() or self.leads(now)
