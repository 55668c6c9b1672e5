"""The leader's lease, and that no promise under it ends before it."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_fle.quorum import Hierarchical, Majority, all_quorums
from trio_fle.zab import Lease, Promise

LENGTH_S = 2.5
MARGIN = 0.1
USABLE_S = LENGTH_S * (1 - MARGIN)

THREE = Majority(frozenset({1, 2, 3}))
SYSTEMS = [
    pytest.param(Majority(frozenset({1})), id="one"),
    pytest.param(Majority(frozenset({1, 2})), id="two"),
    pytest.param(THREE, id="three"),
    pytest.param(Majority(frozenset(range(1, 6))), id="five"),
    pytest.param(
        Hierarchical(
            frozenset(range(1, 8)),
            ((1, (1, 2, 3)), (2, (4, 5)), (3, (6, 7))),
            tuple({1: 1, 2: 2, 3: 1, 4: 1, 5: 3, 6: 0, 7: 1}.items()),
        ),
        id="weighed groups",
    ),
]
System = Majority | Hierarchical


def lease(system: System, me: int = 1) -> Lease:
    return Lease(me, lambda sids: all_quorums([system], sids), LENGTH_S, MARGIN)


def test_without_an_answer_there_is_no_lease() -> None:
    assert lease(THREE).end() == -math.inf


def test_the_lease_counts_from_the_ping_that_was_sent_and_takes_the_margin_off() -> None:
    held = lease(THREE)
    held.answered(2, 100.0)
    assert held.end() == pytest.approx(102.25)


def test_the_newest_ping_that_a_quorum_has_answered_counts() -> None:
    held = lease(Majority(frozenset(range(1, 6))))
    held.answered(2, 10.0)
    assert held.end() == -math.inf, "two of five"
    held.answered(3, 20.0)
    assert held.end() == 10.0 + USABLE_S
    held.answered(4, 15.0)
    assert held.end() == 15.0 + USABLE_S


def test_an_answer_that_comes_late_does_not_take_back_a_newer_one() -> None:
    held = lease(THREE)
    held.answered(2, 20.0)
    held.answered(2, 10.0)
    assert held.end() == 20.0 + USABLE_S


def test_answers_of_those_who_are_no_voters_hold_no_lease() -> None:
    held = lease(THREE)
    held.answered(4, 10.0)
    held.answered(77, 20.0)
    assert held.end() == -math.inf


def test_a_follower_whose_connection_broke_holds_no_lease() -> None:
    held = lease(THREE)
    held.answered(2, 20.0)
    held.answered(3, 10.0)
    held.lost(2)
    assert held.end() == 10.0 + USABLE_S
    held.lost(3)
    held.lost(3)
    assert held.end() == -math.inf


def test_who_is_a_quorum_alone_has_no_end() -> None:
    assert lease(Majority(frozenset({1}))).end() == math.inf


MOMENTS = st.floats(0, 1000, allow_nan=False)
STEPS = st.lists(st.tuples(st.integers(1, 9), st.one_of(st.none(), MOMENTS)), max_size=20)
"""Server, and the moment of the ping that it answers; None: its connection breaks."""


Steps = list[tuple[int, float | None]]


def by_brute_force(system: System, me: int, answers: dict[int, float]) -> float:
    """Of all sets that are a quorum with the leader, the one whose oldest answer is newest."""
    best = -math.inf
    for size in range(len(answers) + 1):
        for sids in itertools.combinations(answers, size):
            if all_quorums([system], {me, *sids}):
                best = max(best, min((answers[sid] for sid in sids), default=math.inf))
    return best + USABLE_S


@pytest.mark.parametrize("system", SYSTEMS)
@given(steps=STEPS)
def test_the_lease_ends_where_trying_every_quorum_says(
    system: System, steps: list[tuple[int, float]]
) -> None:
    held, answers = lease(system), dict[int, float]()
    for sid, sent_at in steps:
        if sent_at is None:
            held.lost(sid)
            answers.pop(sid, None)
        else:
            held.answered(sid, sent_at)
            answers[sid] = max(sent_at, answers.get(sid, sent_at))
        others = {sid: at for sid, at in answers.items() if sid != 1}
        assert held.end() == pytest.approx(by_brute_force(system, 1, others))


@st.composite
def rounds(draw: st.DrawFn) -> list[tuple[int, float, float]]:
    """Who answered, when the ping was sent, and when it arrived: moments of a true clock."""
    sent = st.tuples(st.integers(2, 5), st.floats(0, 50), st.floats(0, 5))
    return [(sid, at, at + delay) for sid, at, delay in draw(st.lists(sent, max_size=12))]


def true_end(at: float, rate: float, offset: float) -> float:
    """The true moment at which a clock of this rate and offset shows ``at``."""
    return (at - offset) / rate


@st.composite
def rates_within(draw: st.DrawFn, margin: float) -> list[float]:
    """How fast five clocks go: the fastest is ahead of the first by no more than the margin."""
    leader = draw(st.floats(0.5, 2))
    return [leader] + [draw(st.floats(0.3 * leader, leader / (1 - margin))) for _ in range(4)]


@given(answers=rounds(), rates=rates_within(MARGIN), offset=st.floats(0, 500))
def test_a_promise_of_every_quorum_outlasts_the_lease(
    answers: list[tuple[int, float, float]], rates: list[float], offset: float
) -> None:
    """Another leader needs a quorum; in each there is a voter that is still bound when the lease ends."""
    system = Majority(frozenset(range(1, 6)))
    held, promises = lease(system), dict[int, Promise]()
    clocks = dict(enumerate(rates, 1))
    for sid, sent, arrived in answers:
        held.answered(sid, sent * clocks[1] + offset)
        until = arrived * clocks[sid] + LENGTH_S
        promise = promises.get(sid, Promise(1, 1, until))
        promises[sid] = promise.renewed(until)
    if (ends := held.end()) == -math.inf:
        return
    ends_at = true_end(ends, clocks[1], offset)
    for others in itertools.combinations((2, 3, 4, 5), 3):
        just_before = ends_at - 1e-6
        bound = [
            sid
            for sid in others
            if sid in promises and promises[sid].binds(just_before * clocks[sid], towards=sid)
        ]
        assert bound, f"{others} could elect another at {ends_at}"


def test_a_clock_that_is_faster_than_the_margin_allows_does_break_it() -> None:
    """The test of the property above: the margin is what it rests on."""
    held, rate = lease(THREE), 1 / (1 - MARGIN) + 0.01
    held.answered(2, 10.0)
    promise = Promise(1, 1, 10.0 * rate + LENGTH_S)
    just_before = held.end() - 1e-6
    assert not promise.binds(just_before * rate, towards=2)


def test_a_promise_never_gets_shorter() -> None:
    promise = Promise(1, 1, 20.0)
    assert promise.renewed(10.0) == promise
    assert promise.renewed(30.0) == Promise(1, 1, 30.0)


@pytest.mark.parametrize(
    ("now", "towards", "binds"), [(19.9, 2, True), (20.0, 2, False), (0.0, 1, False), (25.0, 2, False)]
)
def test_a_promise_binds_until_its_end_and_towards_all_others(now: float, towards: int, binds: bool) -> None:
    assert Promise(1, 1, 20.0).binds(now, towards=towards) is binds


def test_what_an_oracle_grants_counts_where_no_follower_makes_up_a_quorum() -> None:
    system = Majority(frozenset({1, 2}))
    held = Lease(1, lambda sids: all_quorums([system], sids), LENGTH_S, MARGIN, lambda: 33.0)
    assert held.end() == 33.0
    held.answered(2, 10.0)
    assert held.end() == 10.0 + USABLE_S, "two are needed as usual, while there are two"
    held.answered(77, 20.0)
    held.lost(2)
    assert held.end() == 33.0
