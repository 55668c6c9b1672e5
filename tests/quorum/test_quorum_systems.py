"""Which sets of servers are enough, as the classes of a real server say, and what follows from it."""

import json
from collections.abc import Set as AbstractSet
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_fle.ensemble import parse_ensemble
from trio_fle.quorum import Hierarchical, Majority, OracleMajority, QuorumVerifier, all_quorums

CONFIGS = json.loads((Path(__file__).parents[1] / "data" / "quorum-configs.json").read_text())["configs"]
SOUND = [
    # a real server takes a negative weight; ours does not: see tests/ensemble
    pytest.param(row, id=f"{at}-{row['class']}")
    for at, row in enumerate(CONFIGS)
    if row["ok"] and "=-1\nweight" not in row["toString"]
]

sids = st.integers(-3, 12)
weights = st.integers(0, 5)
voter_sets = st.frozensets(sids, max_size=9)
hierarchies = st.dictionaries(sids, st.tuples(st.integers(1, 4), weights), max_size=9)


def subsets(members: AbstractSet[int]) -> list[frozenset[int]]:
    each = sorted(members)
    return [frozenset(some) for size in range(len(each) + 1) for some in combinations(each, size)]


def hierarchical(placed: dict[int, tuple[int, int]]) -> Hierarchical:
    groups = {group: tuple(sid for sid in placed if placed[sid][0] == group) for group, _ in placed.values()}
    weighed = tuple(sorted((sid, weight) for sid, (_, weight) in placed.items()))
    return Hierarchical(frozenset(placed), tuple(sorted(groups.items())), weighed)


def test_all_but_one_of_the_recorded_configurations_are_ours_too() -> None:
    assert (len(CONFIGS), sum(row["ok"] for row in CONFIGS), len(SOUND)) == (34, 19, 18)


@pytest.mark.parametrize("row", SOUND)
def test_every_subset_is_a_quorum_exactly_where_a_real_server_says_so(row: dict[str, Any]) -> None:
    verifier = parse_ensemble(row["input"]).verifier
    members = frozenset(row["voting"]) | frozenset(row["observing"])
    quorums = {frozenset(each) for each in row["quorums"]}
    for some in subsets(members):
        assert verifier.contains_quorum(some) is (some in quorums), sorted(some)


@pytest.mark.parametrize("row", SOUND)
def test_every_server_weighs_what_it_weighs_for_a_real_server(row: dict[str, Any]) -> None:
    verifier = parse_ensemble(row["input"]).verifier
    for sid, weight in row["weights"].items():
        # where a real server has no number and throws, ours says 0
        assert verifier.weight(int(sid)) == (0 if weight == "NullPointerException" else weight)


@pytest.mark.parametrize("row", SOUND)
def test_the_kind_of_the_quorum_system_is_that_of_a_real_server(row: dict[str, Any]) -> None:
    kind = {"QuorumMaj": Majority, "QuorumHierarchical": Hierarchical}[row["class"]]
    assert type(parse_ensemble(row["input"]).verifier) is kind


@pytest.mark.parametrize(
    ("voters", "needed"), [(0, 1), (1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4)]
)
def test_a_majority_is_more_than_half(voters: int, needed: int) -> None:
    majority = Majority(frozenset(range(voters)))
    assert not majority.contains_quorum(frozenset(range(needed - 1)))
    assert majority.contains_quorum(frozenset(range(needed)))


def test_every_vote_of_a_majority_weighs_1_even_that_of_a_stranger() -> None:
    assert [Majority(frozenset({1, 2})).weight(sid) for sid in (1, 2, 3, -1)] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("placed", "acks", "enough"),
    [
        pytest.param(
            {n: ((n - 1) // 3, 1) for n in range(1, 10)}, {1, 2, 4, 5}, True, id="2 of 3 in 2 of 3 groups"
        ),
        pytest.param(
            {n: ((n - 1) // 3, 1) for n in range(1, 10)}, {1, 2, 3, 4, 7}, False, id="1 of 3 groups"
        ),
        pytest.param({1: (1, 1), 2: (1, 1), 3: (2, 1), 4: (2, 1)}, {1, 2}, False, id="1 of 2 groups"),
        pytest.param(
            {1: (1, 1), 2: (1, 1), 3: (2, 0)}, {1, 2}, True, id="a group of weight 0 does not count"
        ),
        pytest.param({1: (1, 1), 2: (1, 1)}, {1}, False, id="half of an even weight"),
        pytest.param({1: (1, 1), 2: (1, 1), 3: (1, 5)}, {3}, True, id="a heavy server alone"),
        pytest.param({1: (1, 1), 2: (1, 1), 3: (1, 5)}, {1, 2}, False, id="all without the heavy server"),
        pytest.param({1: (1, 0), 2: (1, 0)}, {1, 2}, False, id="all weights 0"),
        pytest.param({1: (1, 1)}, {1, 9}, True, id="a stranger beside a quorum"),
        pytest.param({1: (1, 1), 2: (1, 1), 3: (1, 1)}, {1, 8, 9}, False, id="strangers add nothing"),
        pytest.param({1: (1, 1)}, set(), False, id="nobody"),
    ],
)
def test_a_hierarchy_is_won_by_more_than_half_of_the_groups(
    placed: dict[int, tuple[int, int]], acks: set[int], enough: bool
) -> None:
    assert hierarchical(placed).contains_quorum(acks) is enough


def test_a_server_without_a_weight_weighs_0() -> None:
    assert Hierarchical(frozenset({1}), ((1, (1,)),), ((1, 4),)).weight(2) == 0


@given(st.one_of(voter_sets.map(Majority), hierarchies.map(hierarchical)))
def test_any_two_quorums_share_a_voter(verifier: QuorumVerifier) -> None:
    quorums = [some for some in subsets(verifier.voters) if verifier.contains_quorum(some)]
    smallest = [one for one in quorums if not any(other < one for other in quorums)]
    assert all(one & other for one in smallest for other in smallest)


@given(
    st.one_of(voter_sets.map(Majority), hierarchies.map(hierarchical)),
    st.frozensets(sids),
    st.frozensets(sids),
)
def test_more_acks_never_undo_a_quorum(
    verifier: QuorumVerifier, acks: frozenset[int], more: frozenset[int]
) -> None:
    if all_quorums([verifier], acks):
        assert all_quorums([verifier], acks | more)


@given(voter_sets)
def test_one_group_of_equal_weights_is_a_majority(voters: frozenset[int]) -> None:
    hierarchy, majority = hierarchical(dict.fromkeys(voters, (1, 1))), Majority(voters)
    for some in subsets(voters)[1:]:
        assert hierarchy.contains_quorum(some) is majority.contains_quorum(some)


def test_the_order_of_construction_does_not_matter() -> None:
    text = "server.1=h:1:2\nserver.2=h:1:3\nserver.3=h:1:4\ngroup.1=1:2\ngroup.2=3"
    mixed = "\n".join(reversed(text.splitlines()))
    assert parse_ensemble(text).verifier == parse_ensemble(mixed).verifier
    assert hash(parse_ensemble(text).verifier) == hash(parse_ensemble(mixed).verifier)


def test_all_quorums_counts_voters_only() -> None:
    three = Majority(frozenset({1, 2, 3}))
    assert three.contains_quorum({1, 8, 9})
    assert not all_quorums([three], {1, 8, 9})
    assert all_quorums([three], {1, 2, 8, 9})


def test_all_quorums_wants_one_of_the_old_and_one_of_the_new_configuration() -> None:
    old, new = Majority(frozenset({1, 2, 3})), Majority(frozenset({3, 4, 5}))
    assert not all_quorums([old, new], {1, 2, 3})
    assert not all_quorums([old, new], {3, 4, 5})
    assert not all_quorums([old, new], {1, 3, 9})
    assert all_quorums([old, new], {1, 3, 4})
    assert all_quorums([old], {1, 2})


def test_an_observer_in_a_group_makes_its_quorums_harder() -> None:
    text = "server.1=h:1:2\nserver.2=h:1:3\nserver.3=h:1:4:observer\ngroup.1=1:2:3\nweight.3=4"
    verifier = parse_ensemble(text).verifier
    assert verifier.contains_quorum({3})
    assert not all_quorums([verifier], {1, 2, 3})


@given(voter_sets, st.frozensets(sids))
def test_all_quorums_ignores_whoever_does_not_vote(voters: frozenset[int], acks: frozenset[int]) -> None:
    majority = Majority(voters)
    assert all_quorums([majority], acks) is all_quorums([majority], acks & voters)


@given(voter_sets, st.frozensets(sids, max_size=12))
def test_an_oracle_s_votes_are_those_of_a_majority(voters: frozenset[int], acks: frozenset[int]) -> None:
    with_oracle, without = OracleMajority(voters), Majority(voters)
    assert with_oracle.contains_quorum(acks) == without.contains_quorum(acks)
    assert with_oracle.weight(77) == without.weight(77)
    assert with_oracle.has_weight(77)


@pytest.mark.parametrize(("voters", "consults"), [(0, False), (1, False), (2, True), (3, False)])
def test_an_oracle_is_asked_where_two_vote(voters: int, consults: bool) -> None:
    assert OracleMajority(frozenset(range(voters))).consults is consults
