"""When an agreed election need not wait for a better vote: a pure rule (``fle.earlyFinalize``).

The wait that it ends is about time, never about safety: two servers that both believe they won are told apart
in discovery, where a quorum accepts one new epoch (ARCHITECTURE.md, "The end of an election").
"""

from collections.abc import Mapping, Set

from trio_fle.election.electorate import Electorate
from trio_fle.election.events import Settled
from trio_fle.vote import CastVote


def settled_early(
    electorate: Electorate, votes: Mapping[int, CastVote], on: CastVote, gone: Set[int]
) -> Settled | None:
    """Return what settles an agreement on ``on`` at this moment; None where a better vote may be on its way.

    ``votes`` are the last of each voter, ``gone`` those voters that are known to be gone: nobody listens
    where they did, or one led this member, and was given up for its silence or has said that it stops. Every
    voter counts, whatever its weight, in the current configuration and in the one that is pending. One that
    is gone leads nobody: where voters agree on it, they may hear better soon.
    """
    if on.vote.leader in gone:
        return None
    settled = Settled.UNANIMOUS
    for sid in electorate.voters:
        cast = votes.get(sid)
        if cast is on or (cast is not None and cast.agrees_with(on)):
            continue
        if sid not in gone:
            return None
        settled = Settled.UNREACHABLE
    return settled
