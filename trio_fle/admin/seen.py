"""What of a member's status may be told at a moment, and how."""

import attrs

from trio_fle.member.status import MemberStatus, Phase
from trio_fle.vote import PeerState


def as_seen(status: MemberStatus, now: float) -> MemberStatus:
    """Return what may be told at ``now``: an established leader past its lease is looking for one.

    It may still believe otherwise, since no clock rings in time for certain: whoever asks is told by the
    clock.
    """
    if status.state is PeerState.LEADING and status.phase is Phase.BROADCAST and not status.leads(now):
        return attrs.evolve(
            status,
            state=PeerState.LOOKING,
            phase=Phase.ELECTION,
            leader=None,
            synced=False,
            lease_end=None,
        )
    return status
