"""What a yes of the oracle grants, and that it never grants it to both."""

import math

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trio_fle.zab import Consent

LENGTH_S = 2.5
MARGIN = 0.1
TICK_S = 0.5
USABLE_S = LENGTH_S * (1 - MARGIN)
NO_END = -math.inf


def consent(*, listens_since: float | None = 0.0) -> Consent:
    made = Consent(LENGTH_S, MARGIN, TICK_S)
    if listens_since is not None:
        made.listen(listens_since)
    return made


def ask(of: Consent, *times: float, answer: bool | None = True, takes_s: float = 0.0) -> None:
    for at in times:
        of.heard(answer, at, at + takes_s)


def half_ticks(since: float, until: float) -> list[float]:
    return [since + TICK_S / 2 * step for step in range(int((until - since) / (TICK_S / 2)) + 1)]


def test_nothing_is_granted_before_anything_is_said() -> None:
    assert consent().end() == NO_END


def test_a_yes_counts_once_it_has_stood_for_a_lease_from_the_moment_before_it_was_asked_for() -> None:
    at = consent()
    ask(at, *half_ticks(10.0, 12.25), takes_s=0.1)
    assert at.is_doubtful
    assert at.end() == NO_END
    ask(at, 12.5, takes_s=0.09)
    assert at.end() == NO_END, "it has stood since 10.1, when the first answer was there"
    ask(at, 12.55, takes_s=0.1)
    assert at.end() == 12.55 + USABLE_S


def test_a_no_ends_it_and_the_next_yes_begins_anew() -> None:
    at = consent()
    ask(at, *half_ticks(10.0, 14.0))
    assert at.end() > 14
    ask(at, 14.25, answer=False)
    assert at.end() == NO_END
    assert not at.is_doubtful
    ask(at, 14.5)
    assert at.end() == NO_END
    assert at.yes_since == 14.5


@pytest.mark.parametrize("apart_s", [0.5, 0.51])
def test_yeses_that_are_more_than_a_tick_apart_are_two(apart_s: float) -> None:
    """Somebody else may have had one in between."""
    at = consent()
    ask(at, 10.0, 10.0 + apart_s)
    assert at.yes_since == (10.0 if apart_s <= TICK_S else 10.0 + apart_s)


def test_the_tick_counts_from_before_the_question_to_after_the_answer() -> None:
    at = consent()
    ask(at, 10.0)
    ask(at, 10.4, takes_s=0.2)
    assert at.yes_since == pytest.approx(10.6)


def test_no_answer_is_no_break_if_a_yes_follows_within_the_tick() -> None:
    at = consent()
    ask(at, 10.0)
    ask(at, 10.2, answer=None)
    ask(at, 10.4)
    assert at.yes_since == 10.0


def test_who_acts_on_a_yes_may_be_held_up_as_long_as_its_lease_lasts() -> None:
    at = consent()
    ask(at, *half_ticks(10.0, 13.0))
    ask(at, 13.0 + USABLE_S)
    assert at.end() == 13.0 + 2 * USABLE_S
    ask(at, 13.0 + 2 * USABLE_S + 0.01)
    assert at.end() == NO_END


def test_who_does_not_listen_may_not_be_held_up_for_longer_than_a_tick() -> None:
    at = consent(listens_since=None)
    ask(at, *half_ticks(10.0, 13.0))
    assert at.is_sure
    assert at.end() == NO_END
    ask(at, 14.0)
    assert not at.is_sure


def test_a_yes_counts_only_if_it_was_asked_for_while_listening() -> None:
    """Else "nobody listens there" would prove nothing to the other."""
    at = consent(listens_since=None)
    ask(at, *half_ticks(10.0, 13.0))
    at.listen(13.1)
    assert at.end() == NO_END
    ask(at, 13.2)
    assert at.end() == 13.2 + USABLE_S
    at.stop_listening()
    assert at.end() == NO_END


@pytest.mark.parametrize(("absent_at", "sure"), [(9.99, False), (10.0, True), (11.0, True)])
def test_the_other_s_absence_counts_if_the_yes_had_begun(absent_at: float, sure: bool) -> None:
    at = consent()
    at.other_was_absent(absent_at)
    ask(at, 10.0)
    assert at.is_sure is sure
    assert at.end() == (10.0 + USABLE_S if sure else NO_END)


def test_an_absence_proves_nothing_about_a_later_yes() -> None:
    at = consent()
    ask(at, 10.0)
    at.other_was_absent(10.1)
    ask(at, 10.2, answer=False)
    ask(at, 10.3)
    assert at.end() == NO_END


# Two servers, and an oracle that never says yes to both


@attrs.define
class Side:
    """One server: its clock (of any rate and offset) and what the oracle said to it."""

    rate: float
    offset: float
    consent: Consent = attrs.field(factory=lambda: Consent(LENGTH_S, MARGIN, TICK_S))
    listens: bool = False

    def clock(self, true_time: float) -> float:
        return true_time * self.rate + self.offset

    def leads(self, true_time: float) -> bool:
        return self.listens and self.clock(true_time) < self.consent.end()


@attrs.frozen
class Step:
    """After ``gap_s`` one of them asks, begins or ends to listen, or dials the other."""

    gap_s: float
    who: int
    what: str
    before_s: float
    """How long the question takes to be answered, and the answer to arrive."""
    after_s: float


steps = st.lists(
    st.builds(
        Step,
        gap_s=st.one_of(st.floats(0.001, 0.3), st.sampled_from([0.6, 1.3, 2.2])),
        who=st.integers(0, 1),
        what=st.sampled_from(["ask", "ask", "ask", "ask", "listen", "stop", "dial"]),
        before_s=st.floats(0, 0.05),
        after_s=st.floats(0, 0.05),
    ),
    max_size=80,
)
turns = st.lists(
    st.tuples(st.floats(1.01 * TICK_S / 0.95, 6.0), st.sampled_from([0, 1, None])), min_size=1, max_size=20
)
"""How long the oracle stays with an answer (a tick at least, on any clock), and with whom: or with nobody."""

rates = st.tuples(st.floats(0.95, 1.05), st.floats(0.95, 1.05))


def oracle_at(true_time: float, turned: list[tuple[float, int | None]]) -> int | None:
    for stays_s, towards in turned:
        if true_time < stays_s:
            return towards
        true_time -= stays_s
    return turned[-1][1]


def play(turned: list[tuple[float, int | None]], played: list[Step], sides: list[Side]) -> float:
    """Play a story; return for how long (true seconds) both led at the same time, and fail at once if so."""
    now, led = 0.0, 0.0
    for step in played:
        side, other = sides[step.who], sides[1 - step.who]
        now += step.gap_s
        match step.what:
            case "listen" if not side.listens:
                side.listens = True
                side.consent.listen(side.clock(now))
            case "stop":
                side.listens = False
                side.consent.stop_listening()
            case "dial":
                asked_at = side.clock(now)
                now += step.before_s
                if not other.listens:
                    side.consent.other_was_absent(asked_at)
            case "ask":
                asked_at = side.clock(now)
                now += step.before_s
                answer = oracle_at(now, turned) == step.who
                now += step.after_s
                side.consent.heard(answer, asked_at, side.clock(now))
        assert not (sides[0].leads(now) and sides[1].leads(now)), f"both lead at {now}"
        led += any(side.leads(now) for side in sides)
    return led


regular = [
    Step(0.12, number % 2, "listen" if number in (0, 1) else "ask", 0.01, 0.01) for number in range(80)
]


@given(turned=turns, played=steps, rate=rates, offset=st.floats(0, 1e6))
@example(turned=[(6.0, 0), (6.0, 1), (6.0, 0)], played=regular, rate=(0.95, 1.05), offset=0.0)
@example(turned=[(3.0, 0), (0.6, 1), (6.0, 0)], played=regular, rate=(1.05, 0.95), offset=5.0)
def test_two_servers_never_lead_at_the_same_time(
    turned: list[tuple[float, int | None]], played: list[Step], rate: tuple[float, float], offset: float
) -> None:
    play(turned, played, [Side(rate[0], 0.0), Side(rate[1], offset)])


def test_stories_like_these_have_leaders() -> None:
    assert play([(6.0, 0), (60.0, 1)], regular * 2, [Side(0.95, 0.0), Side(1.05, 7.0)]) > 20


def test_without_the_wait_both_would_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test of the property above."""
    monkeypatch.setattr(Consent, "is_sure", property(lambda self: self.yes_since is not None))
    with pytest.raises(AssertionError, match="both lead"):
        play([(3.0, 0), (60.0, 1)], regular, [Side(1.0, 0.0), Side(1.0, 7.0)])


def test_without_listening_while_asking_both_would_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    """One has its old yes, and begins to listen; the other dialled a moment before."""
    ways = [Step(0.2, 0, "ask", 0.0, 0.0)] * 14 + [
        Step(0.3, 1, "ask", 0.0, 0.0),
        Step(0.0, 1, "dial", 0.0, 0.0),
        Step(0.001, 1, "listen", 0.0, 0.0),
        Step(0.001, 1, "ask", 0.0, 0.0),
        Step(0.001, 0, "listen", 0.0, 0.0),
    ]
    turned: list[tuple[float, int | None]] = [(3.0, 0), (60.0, 1)]
    assert play(turned, ways, [Side(1.0, 0.0), Side(1.0, 0.0)]) == 2
    monkeypatch.setattr(Consent, "listen", lambda self, at: setattr(self, "_listens_since", -math.inf))
    with pytest.raises(AssertionError, match="both lead"):
        play(turned, ways, [Side(1.0, 0.0), Side(1.0, 0.0)])
