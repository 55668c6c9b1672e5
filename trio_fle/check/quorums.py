"""A quorum system, explained: which servers are enough, and whose failure is too much."""

import itertools
import math
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Final

import attrs

from trio_fle.quorum import Hierarchical, Majority, OracleMajority, QuorumVerifier

MAX_ENUMERATED: Final = 12
"""With more voters than this, sets are counted by formula, not listed."""

MAX_LISTED: Final = 20
"""Of more sets than this, only the number is told."""

Sets = tuple[tuple[int, ...], ...]


@attrs.frozen
class Quorums:
    """What a quorum system means. Sets are in ascending order, small ones first."""

    system: str
    """``majority``, ``hierarchical``, or the name of another system."""
    rule: str
    voters: tuple[int, ...]
    possible: bool
    """Whether all voters together are a quorum."""
    minimal: Sets | None = None
    """Sets that are a quorum, and none without any one of its servers; None where there are too many."""
    minimal_count: int | None = None
    """How many of them there are; None where nobody has counted."""
    tolerates: int | None = None
    """How many servers may fail, whichever they are; None where no quorum is possible, or nobody knows."""
    fatal: Sets | None = None
    """Sets of servers without which there is no quorum, none larger than needed; or None, as above."""
    fatal_count: int | None = None


def explain(verifier: QuorumVerifier) -> Quorums:
    """Explain any quorum system: by trying every set of voters where they are few, else by its formula."""
    if isinstance(verifier, OracleMajority):
        verifier = _Either(verifier.voters) if verifier.consults else Majority(verifier.voters)
    voters = tuple(sorted(verifier.voters))
    explained = Quorums(_system(verifier), _rule(verifier), voters, verifier.contains_quorum(verifier.voters))
    if len(voters) <= MAX_ENUMERATED:
        return _enumerated(verifier, explained)
    match verifier:
        case Majority():
            return _majority(explained)
        case Hierarchical():
            return _hierarchical(verifier, explained)
    return explained


@attrs.frozen
class _Either:
    """Two voters and an oracle: each is enough while that says yes to it, as it does to one at most."""

    voters: frozenset[int]

    def weight(self, sid: int) -> int:
        return 1

    def has_weight(self, sid: int) -> bool:
        return True

    def contains_quorum(self, acks: AbstractSet[int]) -> bool:
        return bool(acks & self.voters)


def _system(verifier: QuorumVerifier) -> str:
    return "oracle" if isinstance(verifier, _Either) else type(verifier).__name__.lower()


def _rule(verifier: QuorumVerifier) -> str:
    match verifier:
        case Majority():
            count = len(verifier.voters)
            return f"any {count // 2 + 1} of {count} voters"
        case Hierarchical():
            return _hierarchical_rule(verifier)
        case _Either():
            return "both voters, or the one to which the oracle says yes"
    return "as the configured quorum system decides"


def _hierarchical_rule(verifier: Hierarchical) -> str:
    weights = {group: weight for group, weight, _ in _groups(verifier) if weight}
    if not weights:
        return "no group has any weight, so no set of servers is a quorum"
    needs = ", ".join(f"{weight // 2 + 1} of {weight} in group {group}" for group, weight in weights.items())
    won, count = len(weights) // 2 + 1, len(weights)
    return f"any {won} of {count} groups, each by more than half of its weight ({needs})"


def _groups(verifier: Hierarchical) -> Iterator[tuple[int, int, list[int]]]:
    """Yield each group, its whole weight, and the weights of its voters, the heaviest first."""
    for group, sids in verifier.groups:
        voting = sorted((verifier.weight(sid) for sid in sids if sid in verifier.voters), reverse=True)
        yield group, sum(map(verifier.weight, sids)), voting


def _enumerated(verifier: QuorumVerifier, explained: Quorums) -> Quorums:
    """Try every set of voters. A set that has a quorum keeps it with more servers, in every system."""
    voters = explained.voters
    bits = [1 << at for at in range(len(voters))]

    def members(mask: int) -> tuple[int, ...]:
        return tuple(sid for sid, bit in zip(voters, bits, strict=True) if mask & bit)

    enough = [verifier.contains_quorum(frozenset(members(mask))) for mask in range(1 << len(voters))]
    everybody = len(enough) - 1
    minimal = [
        members(mask)
        for mask in range(1, len(enough))
        if enough[mask] and not any(enough[mask ^ bit] for bit in bits if mask & bit)
    ]
    fatal = [
        members(everybody ^ mask)
        for mask in range(len(enough))
        if not enough[mask] and all(enough[mask | bit] for bit in bits if not mask & bit)
    ]
    return attrs.evolve(
        explained,
        minimal=_sorted(minimal),
        minimal_count=len(minimal),
        tolerates=min(map(len, fatal)) - 1 if explained.possible and fatal else None,
        fatal=_sorted(fatal) if explained.possible else (),
        fatal_count=len(fatal) if explained.possible else 0,
    )


def _sorted(sets: list[tuple[int, ...]]) -> Sets | None:
    return tuple(sorted(sets, key=lambda sids: (len(sids), sids))) if len(sets) <= MAX_LISTED else None


def _majority(explained: Quorums) -> Quorums:
    count = len(explained.voters)
    needed = count // 2 + 1
    return attrs.evolve(
        explained,
        minimal_count=math.comb(count, needed),
        tolerates=count - needed,
        fatal_count=math.comb(count, count - needed + 1),
    )


def _hierarchical(verifier: Hierarchical, explained: Quorums) -> Quorums:
    """Count by groups: a minimal quorum is a minimal win in as many groups as are needed."""
    if not explained.possible:
        return attrs.evolve(explained, minimal_count=0, fatal_count=0)
    groups = [(weight, voting) for _, weight, voting in _groups(verifier) if weight]
    needed = len(groups) // 2 + 1
    wins = [_count_sets(voting, weight // 2 + 1) for weight, voting in groups]
    # a group that observers keep from being won is lost already
    contested = [(weight, voting) for weight, voting in groups if sum(voting) > weight // 2]
    lost = len(contested) - needed + 1
    cuts = [_count_sets(voting, sum(voting) - weight // 2) for weight, voting in contested]
    costs = sorted(_cost(weight, voting) for weight, voting in contested)
    return attrs.evolve(
        explained,
        minimal_count=_choose(wins, needed),
        tolerates=sum(costs[:lost]) - 1,
        fatal_count=_choose(cuts, lost),
    )


def _cost(weight: int, voting: list[int]) -> int:
    """How many voters of a group have to fail until it can't be won: the heaviest first."""
    left, failed = sum(voting), 0
    while left > weight // 2:
        left -= voting[failed]
        failed += 1
    return failed


def _count_sets(voting: list[int], target: int) -> int | None:
    """Count the sets of voters of a group that weigh ``target``, and less without any one of them."""
    if len(set(voting)) == 1 and voting[0]:
        size = -(-target // voting[0])
        return math.comb(len(voting), size)
    if len(voting) > MAX_ENUMERATED:
        return None
    count = 0
    for size in range(len(voting) + 1):
        for chosen in itertools.combinations(voting, size):
            total = sum(chosen)
            count += total >= target and not any(total - one >= target for one in chosen)
    return count


def _choose(counts: list[int | None], size: int) -> int | None:
    """Sum up, over every choice of ``size`` groups, the product of their counts."""
    if None in counts:
        return None
    ways = [1] + [0] * size
    for count in counts:
        assert count is not None
        for at in range(size, 0, -1):
            ways[at] += ways[at - 1] * count
    return ways[size]
