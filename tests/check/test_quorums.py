"""What a quorum system means, counted in two ways, and as real servers decide."""

import itertools
import json
from pathlib import Path
from unittest import mock

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_fle.check import quorums
from trio_fle.check.quorums import Quorums, explain
from trio_fle.ensemble import parse_ensemble
from trio_fle.quorum import Hierarchical, Majority

DATA = Path(__file__).parents[1] / "data" / "quorum-configs.json"
CONFIGS = [
    config
    for config in json.loads(DATA.read_text())["configs"]
    if config["ok"]
    and not config.get("throws")
    and "server." in config["toString"]
    and "=-" not in config["toString"]
]
"""Those with servers, and without negative weights, which we refuse."""


def hierarchical(groups: list[list[int]], observers: int = 0) -> Hierarchical:
    """Groups by the weights of their servers; the last ``observers`` ids do not vote."""
    ids = itertools.count(1)
    by_group = [[(next(ids), weight) for weight in weights] for weights in groups]
    weights = [pair for group in by_group for pair in group]
    voters = frozenset(sid for sid, _ in weights[: len(weights) - observers])
    named = tuple((at, tuple(sid for sid, _ in group)) for at, group in enumerate(by_group, 1))
    return Hierarchical(voters, named, tuple(weights))


def test_of_five_equal_voters_any_three_are_enough_and_any_two_may_fail() -> None:
    five = explain(Majority(frozenset({1, 2, 3, 4, 5})))
    assert (five.system, five.rule) == ("majority", "any 3 of 5 voters")
    assert five.minimal == tuple(itertools.combinations((1, 2, 3, 4, 5), 3))
    assert (five.minimal_count, five.tolerates, five.fatal_count) == (10, 2, 10)


@pytest.mark.parametrize(("voters", "tolerates"), [(1, 0), (2, 0), (3, 1), (4, 1), (101, 50)])
def test_an_even_number_of_voters_survives_no_more_than_one_less(voters: int, tolerates: int) -> None:
    assert explain(Majority(frozenset(range(voters)))).tolerates == tolerates


def test_a_heavy_server_is_a_quorum_of_its_group_and_its_failure_is_fatal() -> None:
    heavy = explain(hierarchical([[1, 1, 5]]))
    assert heavy.minimal == ((3,),)
    assert heavy.fatal == ((3,),)
    assert heavy.tolerates == 0
    assert heavy.rule == "any 1 of 1 groups, each by more than half of its weight (4 of 7 in group 1)"


def test_two_groups_are_both_needed() -> None:
    two = explain(hierarchical([[1, 1, 1], [1]]))
    assert two.minimal == ((1, 2, 4), (1, 3, 4), (2, 3, 4))
    assert two.fatal == ((4,), (1, 2), (1, 3), (2, 3))


def test_without_any_weight_there_is_never_a_quorum() -> None:
    for groups in ([[0, 0, 0]], [[0] * 9, [0] * 9]):
        none = explain(hierarchical(groups))
        assert (none.possible, none.minimal_count, none.tolerates, none.fatal_count) == (False, 0, None, 0)


def test_three_groups_of_three_are_more_sets_than_are_listed() -> None:
    nine = explain(hierarchical([[1, 1, 1]] * 3))
    assert (nine.minimal, nine.minimal_count) == (None, 27)
    assert (nine.fatal, nine.fatal_count, nine.tolerates) == (None, 27, 3)


def test_a_large_ensemble_is_counted_by_its_formula() -> None:
    many = explain(hierarchical([[1] * 5, [1] * 5, [1] * 5]))
    assert (many.minimal, many.minimal_count, many.tolerates) == (None, 300, 5)
    assert explain(hierarchical([list(range(1, 14)), [1], [1]])).minimal_count is None


@attrs.frozen
class Everybody:
    """A quorum system that nobody has heard of."""

    voters: frozenset[int]

    def weight(self, sid: int) -> int:
        return 1

    def has_weight(self, sid: int) -> bool:
        return True

    def contains_quorum(self, acks: frozenset[int]) -> bool:
        return acks >= self.voters


def test_an_unknown_system_is_tried_out_where_it_is_small_and_left_alone_where_it_is_not() -> None:
    small = explain(Everybody(frozenset({1, 2, 3})))
    assert (small.system, small.minimal, small.fatal) == ("everybody", ((1, 2, 3),), ((1,), (2,), (3,)))
    large = explain(Everybody(frozenset(range(40))))
    assert large == Quorums("everybody", large.rule, tuple(range(40)), True)


@given(
    st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=4), min_size=1, max_size=3).flatmap(
        lambda groups: st.tuples(st.just(groups), st.integers(0, sum(map(len, groups)) - 1))
    )
)
def test_formula_and_enumeration_agree(case: tuple[list[list[int]], int]) -> None:
    verifier = hierarchical(*case)
    tried = explain(verifier)
    with mock.patch.object(quorums, "MAX_ENUMERATED", 0), mock.patch.object(quorums, "_count_sets", counted):
        counted_ = explain(verifier)
    assert (tried.minimal_count, tried.tolerates, tried.fatal_count) == (
        counted_.minimal_count,
        counted_.tolerates,
        counted_.fatal_count,
    )


def counted(voting: list[int], target: int) -> int | None:
    with mock.patch.object(quorums, "MAX_ENUMERATED", 12):
        return count_sets(voting, target)


count_sets = quorums._count_sets


@pytest.mark.parametrize("config", CONFIGS)
def test_minimal_quorums_are_those_that_a_real_server_accepts(config: dict[str, object]) -> None:
    ensemble = parse_ensemble(str(config["toString"]), several_addresses=True)
    accepted = [frozenset(sids) for sids in config["quorums"] if ensemble.voters >= set(sids)]  # type: ignore[attr-defined]
    smallest = {each for each in accepted if not any(other < each for other in accepted)}
    explained = explain(ensemble.verifier)
    assert explained.minimal_count == len(smallest)
    assert explained.minimal is None or {frozenset(each) for each in explained.minimal} == smallest
