"""What a yes of the oracle grants, and that it never grants it to both."""

import heapq
import itertools
import math
import random
from collections.abc import Callable
from functools import partial

import attrs
import pytest

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


class Story:
    """Two servers that can't hear each other, drawn from a seed.

    Both ask every half tick, are held up now and then, listen for a while and then do not, and dial each
    other where that could prove anything. The oracle stays with an answer for a tick at least (on any
    clock), with one of them or with nobody.
    """

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.sides = [Side(self.rng.choice([0.95, 1.0, 1.05]), self.rng.uniform(0, 1e6)) for _ in range(2)]
        self.turns: list[tuple[float, int | None]] = []
        self.led_s = 0.0
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._numbers = itertools.count()
        self._turns_per_s = self.rng.choice([2, 0.25])
        self._slow = self.rng.choice([0.1, 0.6])
        self._held_up = self.rng.choice([0.05, 0.2])

    def play(self, until: float = 40.0) -> float:
        """Play it; return how long anybody led. Objects where both did."""
        self._turn(0.0)
        for side in self.sides:
            self._at(self.rng.random(), partial(self._ask, side))
            self._at(self.rng.random(), partial(self._begin_or_end, side))
        before = 0.0
        while self._events[0][0] < until:
            now, _, happen = heapq.heappop(self._events)
            self._look(before, now)
            happen(now)
            before = now
        return self.led_s

    def _at(self, at: float, happen: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (at, next(self._numbers), happen))

    def _look(self, since: float, now: float) -> None:
        # between two events a lease can only end
        leads = [side.leads(since) for side in self.sides]
        assert not all(leads), f"both lead at {since}"
        self.led_s += (now - since) * any(leads)

    def _turn(self, now: float) -> None:
        shortest = 1.01 * TICK_S / 0.95
        stays_s = shortest + self.rng.expovariate(self._turns_per_s)
        self.turns.append((now, self.rng.choice([0, 1, 0, 1, None])))
        self._at(now + stays_s, self._turn)

    def _ask(self, side: Side, now: float) -> None:
        slow_s = 0.4 if self.rng.random() < self._slow else 0.02
        looked_at = now + self.rng.uniform(0, slow_s)
        self._at(looked_at, partial(self._read, side, now, looked_at + self.rng.uniform(0, slow_s)))

    def _read(self, side: Side, asked_at: float, answered_at: float, now: float) -> None:
        yes = self.turns[-1][1] == self.sides.index(side)
        answer = None if self.rng.random() < 0.05 else yes
        self._at(answered_at, partial(self._hear, side, answer, asked_at))

    def _hear(self, side: Side, answer: bool | None, asked_at: float, now: float) -> None:
        side.consent.heard(answer, side.clock(asked_at), side.clock(now))
        pause_s = TICK_S / 2
        if side.consent.is_doubtful and side.consent.yes_since is not None:
            sure_at = side.consent.yes_since + LENGTH_S
            pause_s = min(pause_s, max(sure_at - side.clock(now), 0.001) / side.rate)
        if self.rng.random() < self._held_up:
            pause_s += self.rng.uniform(0, 2 * LENGTH_S)
        self._at(now + pause_s, partial(self._ask, side))
        if side.consent.is_doubtful and self.rng.random() < 0.5:
            self._dial(side, now)

    def _dial(self, side: Side, now: float) -> None:
        other, asked_at = self.sides[1 - self.sides.index(side)], side.clock(now)

        def refuse(now: float) -> None:
            if not other.listens:
                self._at(now + self.rng.uniform(0, 0.3), lambda _: side.consent.other_was_absent(asked_at))

        self._at(now + self.rng.uniform(0, 0.3), refuse)

    def _begin_or_end(self, side: Side, now: float) -> None:
        side.listens = not side.listens
        if side.listens:
            side.consent.listen(side.clock(now))
        else:
            side.consent.stop_listening()
        stays_s = self.rng.expovariate(1 / (6 if side.listens else 0.5))
        self._at(now + stays_s, partial(self._begin_or_end, side))


def stories(seeds: range) -> float:
    return sum(Story(seed).play() for seed in seeds)


@pytest.mark.parametrize("first", range(0, 1000, 200))
def test_two_servers_never_lead_at_the_same_time(first: int) -> None:
    assert stories(range(first, first + 200)) > 200, "seconds that somebody led"


def _gap_however_it_came(self: Consent) -> float:
    return self.usable_s


def _sure_at_once(self: Consent) -> bool:
    return self.yes_since is not None


def _listen_as_if_always(self: Consent, at: float) -> None:
    self._listens_since = NO_END


def _absent_for_ever(self: Consent, at: float) -> None:
    self._absent_at = math.inf


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("is_sure", property(_sure_at_once), id="a yes is acted on at once"),
        pytest.param("_gap_s", property(_gap_however_it_came), id="yeses far apart are one"),
        pytest.param("listen", _listen_as_if_always, id="a yes from before it listened counts"),
        pytest.param("other_was_absent", _absent_for_ever, id="absent once for all"),
    ],
)
def test_each_of_its_rules_is_needed(name: str, value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Consent, name, value)
    with pytest.raises(AssertionError, match="both lead"):
        stories(range(3000))
