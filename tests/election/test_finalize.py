"""When an agreement need not wait for a better vote."""

import pytest
from core_driver import Driver, claim, ensemble_of, looking

from trio_fle.election.electorate import Electorate
from trio_fle.election.events import Agreed, Back, Decided, Gone, Look, Settled
from trio_fle.election.finalize import settled_early
from trio_fle.election.options import ElectionOptions
from trio_fle.vote import CastVote, LearnerType, PeerState, Vote

EARLY = ElectionOptions()
WAIT_S = EARLY.finalize_wait_s
ON = CastVote(Vote(3, 0, 0), 1)


def settled(votes: dict[int, CastVote], gone: set[int], *, seen: int = 3) -> Settled | None:
    pending = ensemble_of(seen, version=1 if seen != 3 else 0)
    electorate = Electorate(1, LearnerType.PARTICIPANT, True, ensemble_of(3), pending)
    return settled_early(electorate, votes, ON, gone)


def test_all_voters_of_one_mind_have_nothing_to_wait_for() -> None:
    assert settled(dict.fromkeys((1, 2, 3), ON), set()) is Settled.UNANIMOUS


def test_one_that_has_not_spoken_may_bring_a_better_vote_unless_it_is_gone() -> None:
    assert settled(dict.fromkeys((1, 3), ON), set()) is None
    assert settled(dict.fromkeys((1, 3), ON), {2}) is Settled.UNREACHABLE
    assert settled({3: ON}, {2}) is None


@pytest.mark.parametrize(
    "other",
    [CastVote(Vote(2, 0, 0), 1), CastVote(Vote(3, 0, 0), 2), CastVote(Vote(3, 1, 0), 1)],
    ids=["another leader", "another round", "another zxid"],
)
def test_one_that_voted_otherwise_has_not_voted_for_this(other: CastVote) -> None:
    assert settled({1: ON, 3: ON, 2: other}, set()) is None
    assert settled({1: ON, 3: ON, 2: other}, {2}) is Settled.UNREACHABLE


def test_voters_of_a_pending_configuration_count_too() -> None:
    assert settled(dict.fromkeys((1, 2, 3), ON), set(), seen=4) is None
    assert settled(dict.fromkeys((1, 2, 3, 4), ON), set(), seen=4) is Settled.UNANIMOUS


def member(me: int, voters: int = 3, options: ElectionOptions = EARLY) -> Driver:
    return Driver(me, ensemble_of(voters), options)


def decided(driver: Driver) -> list[tuple[float, Settled]]:
    return [(at, effect.settled) for at, effect in driver.effects if isinstance(effect, Decided)]


def test_the_last_vote_decides_at_once() -> None:
    one = member(3)
    one.step(Look(0, 0))
    one.hear(1, looking(3))
    assert decided(one) == []
    assert [effect for _, effect in one.effects if isinstance(effect, Agreed)]
    one.hear(2, looking(3))
    assert decided(one) == [(one.now, Settled.UNANIMOUS)]


def test_that_the_last_one_is_gone_decides_at_once() -> None:
    one = member(3)
    one.step(Look(0, 0))
    one.hear(1, looking(3))
    one.step(Gone(2))
    assert decided(one) == [(one.now, Settled.UNREACHABLE)]


def test_what_is_known_from_before_the_election_counts() -> None:
    one = member(3)
    one.step(Gone(2))
    one.step(Look(0, 0))
    one.hear(1, looking(3))
    assert decided(one) == [(one.now, Settled.UNREACHABLE)]


@pytest.mark.parametrize("how", ["connected", "heard"])
def test_one_that_came_back_is_waited_for(how: str) -> None:
    one = member(3)
    one.step(Gone(2))
    if how == "connected":
        one.step(Back(2))
    else:
        one.hear(2, claim("FOLLOWING", 1))
    one.step(Look(0, 0))
    one.hear(1, looking(3))
    assert decided(one) == []
    one.wait(WAIT_S)
    assert [settled for _, settled in decided(one)] == [Settled.WAIT]


def test_a_leader_that_was_given_up_for_its_silence_is_not_waited_for() -> None:
    one = member(1)
    one.step(Look(0, 0, lost=3))
    one.hear(2, looking(2))
    assert decided(one) == [(one.now, Settled.UNREACHABLE)]


def test_being_gone_makes_no_quorum() -> None:
    one = member(5, 5)
    for gone in (1, 2, 3):
        one.step(Gone(gone))
    one.step(Look(0, 0))
    one.hear(4, looking(5))
    assert decided(one) == []


def test_zookeepers_exact_behaviour_waits_always() -> None:
    one = member(3, options=ElectionOptions(early_finalize=False))
    one.step(Look(0, 0))
    one.hear(1, looking(3))
    one.hear(2, looking(3))
    assert decided(one) == []


def led_by_3(me: int) -> Driver:
    one = member(me)
    one.step(Look(0, 0))
    for sid in {1, 2, 3} - {me}:
        one.hear(sid, looking(3))
    assert one.fle.state is PeerState.FOLLOWING
    return one


def test_a_vote_that_came_before_we_lost_the_leader_too_is_counted_then() -> None:
    """It is not repeated before the next resend."""
    one = led_by_3(1)
    one.hear(2, looking(2, round_=2))
    one.step(Gone(3))
    one.step(Look(0, 0))
    assert [settled for _, settled in decided(one)] == [Settled.UNANIMOUS, Settled.UNREACHABLE]
    assert one.fle.current_vote == Vote(2, 0, 0)


@pytest.mark.parametrize("why", ["it has settled since", "it is gone", "it is long ago"])
def test_such_a_vote_does_not_count_once(why: str) -> None:
    one = led_by_3(1)
    one.hear(2, looking(2, round_=2))
    if why == "it has settled since":
        one.hear(2, claim("FOLLOWING", 3))
    elif why == "it is gone":
        one.step(Gone(2))
    else:
        one.now += 10
    one.step(Look(0, 0))
    assert one.fle.election is not None
    assert one.fle.election.proposal == Vote(1, 0, 0)
