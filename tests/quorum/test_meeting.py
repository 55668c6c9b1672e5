"""Quorums of two configurations that share a server, or need not."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_fle.quorum import Hierarchical, Majority, OracleMajority, QuorumVerifier, always_meet


def majority(*voters: int) -> Majority:
    return Majority(frozenset(voters))


@pytest.mark.parametrize(
    ("one", "another", "meet"),
    [
        ((1, 2, 3), (1, 2, 3), True),
        ((1, 2, 3), (1, 2, 3, 4), True),
        ((1, 2, 3), (1, 2), True),
        ((1, 2, 3), (1,), False),
        ((1, 2, 3), (1, 2, 3, 4, 5), False),
        ((1, 2, 3), (2, 3, 4), False),
        ((1, 2, 3, 4), (1, 2, 3, 4, 5), True),
        ((1,), (1, 2), True),
        ((1,), (2,), False),
    ],
)
def test_majorities(one: tuple[int, ...], another: tuple[int, ...], meet: bool) -> None:
    assert always_meet(majority(*one), majority(*another)) is meet
    assert always_meet(majority(*another), majority(*one)) is meet


@pytest.mark.parametrize(("other", "meet"), [((1, 2), True), ((1, 2, 3), False), ((1,), False)])
def test_one_of_two_is_enough_for_an_oracle(other: tuple[int, ...], meet: bool) -> None:
    oracle = OracleMajority(frozenset({1, 2}))
    assert always_meet(oracle, majority(*other)) is meet
    assert always_meet(oracle, oracle), "it says yes to one of them"


voters = st.frozensets(st.integers(1, 7), min_size=1, max_size=6)


@st.composite
def verifiers(draw: st.DrawFn) -> QuorumVerifier:
    members = draw(voters)
    if draw(st.booleans()):
        return Majority(members)
    group_of = {sid: draw(st.integers(1, 3)) for sid in members}
    groups = {gid: tuple(sid for sid in sorted(members) if group_of[sid] == gid) for gid in group_of.values()}
    weights = {sid: draw(st.integers(0, 3)) for sid in members}
    return Hierarchical(members, tuple(sorted(groups.items())), tuple(sorted(weights.items())))


def quorums(verifier: QuorumVerifier) -> list[frozenset[int]]:
    sids = sorted(verifier.voters)
    sets = (frozenset(chosen) for size in range(len(sids) + 1) for chosen in combinations(sids, size))
    return [each for each in sets if verifier.contains_quorum(each)]


@given(verifiers(), verifiers())
def test_they_meet_where_no_two_quorums_miss_each_other(one: QuorumVerifier, another: QuorumVerifier) -> None:
    meet = all(first & second for first in quorums(one) for second in quorums(another))
    assert always_meet(one, another) == meet


def test_what_is_too_much_to_count_is_taken_to_miss() -> None:
    many = frozenset(range(20))
    one = Hierarchical(many, ((1, tuple(many)),), tuple((sid, 1) for sid in many))
    assert always_meet(one, one)
    assert not always_meet(one, Majority(many))
