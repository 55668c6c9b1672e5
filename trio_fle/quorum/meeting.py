"""Whether quorums of two configurations always share a server: else each could follow a leader of its own."""

from itertools import combinations
from typing import Final

from trio_fle.quorum.majority import Majority
from trio_fle.quorum.oracle import OracleMajority
from trio_fle.quorum.verifier import QuorumVerifier

_COUNTED: Final = 14
"""Up to so many voters every set of them is looked at."""


def always_meet(one: QuorumVerifier, another: QuorumVerifier) -> bool:
    """Whether every quorum of ``one`` has a server in common with every quorum of ``another``.

    Where that is too much to count, only equal ones are taken to.
    """
    if one == another:
        return True  # also with an oracle: its yes is given to one of them
    if isinstance(one, Majority) and isinstance(another, Majority):
        return _majorities_meet(one.voters, another.voters)
    voters = sorted(one.voters | another.voters)
    if len(voters) > _COUNTED:
        return False
    everybody = frozenset(voters)
    return not any(
        _is_enough(one, one.voters & chosen) and _is_enough(another, another.voters & (everybody - chosen))
        for size in range(len(voters) + 1)
        for chosen in map(frozenset, combinations(voters, size))
    )


def _is_enough(verifier: QuorumVerifier, sids: frozenset[int]) -> bool:
    """Whether these voters could be enough: one of two, where an oracle may let it lead alone."""
    if isinstance(verifier, OracleMajority) and verifier.consults:
        return bool(sids)
    return verifier.contains_quorum(sids)


def _majorities_meet(one: frozenset[int], another: frozenset[int]) -> bool:
    """Each takes as many as it can of those that the other does not have; the rest is shared out."""
    needed = sum(
        max(0, len(voters) // 2 + 1 - len(voters - others))
        for voters, others in ((one, another), (another, one))
    )
    return needed > len(one & another)
