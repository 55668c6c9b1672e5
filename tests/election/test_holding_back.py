"""Who has lost its leader, and knows who is likely to win, waits a moment for that one's vote."""

import attrs
import pytest
from core_driver import Driver, ensemble_of, looking

from trio_fle.election.events import Back, Gone, Greet, Look
from trio_fle.election.options import ElectionOptions
from trio_fle.election.round import HOLD_BACK_S
from trio_fle.vote import PeerState
from trio_fle.wire import Notification

EARLY = ElectionOptions()


def follower(me: int, voters: int = 3, *, extra: tuple[str, ...] = ()) -> Driver:
    """One that follows the highest id, elected in round 1."""
    one = Driver(me, ensemble_of(voters, *extra), EARLY).look()
    for sid in {*range(1, voters + 1)} - {me}:
        one.hear(sid, looking(voters))
    one.wait(1)
    assert one.fle.state is PeerState.FOLLOWING
    return one


def said(driver: Driver) -> list[int]:
    """Each vote that it told server 2 or 1 since it lost its leader, and that alone."""
    to = 1 if driver.me != 1 else 2
    told = driver.sent(to)
    return [each.vote.leader for each in told if each.state is PeerState.LOOKING and each.round > 1]


def lost(driver: Driver) -> Driver:
    driver.step(Look(0, 0, lost=len(driver.ensemble.voters)))
    return driver


def test_it_votes_once_and_for_the_one_that_wins() -> None:
    one = lost(follower(1))
    assert said(one) == []
    one.hear(2, looking(2, 2))
    assert said(one) == [2]
    assert one.fle.current_vote is not None
    assert (one.fle.state, one.fle.current_vote.leader) == (PeerState.FOLLOWING, 2)


def test_it_votes_for_itself_once_it_has_waited_long_enough() -> None:
    one = lost(follower(1)).wait(HOLD_BACK_S / 2)
    assert said(one) == []
    one.wait(HOLD_BACK_S / 2 + 0.001)
    assert said(one) == [1]
    one.wait(EARLY.resend_min_s)  # and repeats it, as ever
    assert said(one) == [1, 1]


def test_the_one_that_is_likely_to_win_votes_at_once() -> None:
    assert said(lost(follower(2))) == [2]


def test_a_lower_vote_changes_nothing_but_counts() -> None:
    one = lost(follower(3, 5))
    one.hear(2, looking(2, 2))
    assert said(one) == []
    one.hear(4, looking(4, 2))
    assert said(one) == [4]
    assert one.fle.election is not None
    assert set(one.fle.election.votes) == {2, 3, 4}


def test_it_waits_for_nobody_that_is_gone_or_goes() -> None:
    one = follower(1)
    one.step(Gone(2))
    assert said(lost(one)) == [1]
    other = lost(follower(1))
    other.step(Gone(2))
    assert said(other) == [1]


def test_nor_for_the_leader_that_it_lost_nor_for_one_it_never_met() -> None:
    one = follower(4, 5)
    assert said(lost(one)) == [4]
    alone = Driver(1, ensemble_of(3), EARLY).look()
    alone.hear(3, looking(3))
    alone.wait(1)
    assert alone.fle.state is PeerState.FOLLOWING
    assert said(lost(alone)) == [1]


def test_one_with_a_longer_history_than_the_one_it_waited_for_votes_as_soon_as_it_knows() -> None:
    one = follower(1)
    one.step(Look(7, 0, lost=3))
    assert said(one) == []
    one.hear(2, looking(2, 2, zxid=5))
    assert said(one) == [1]


def test_a_higher_round_is_joined_at_once() -> None:
    one = lost(follower(3, 5))
    one.hear(1, looking(1, 9))
    assert said(one) == [3]
    assert one.last_sent(1).round == 9


def test_who_holds_its_vote_back_tells_it_to_nobody() -> None:
    """It tells all once it votes; till then somebody might count what was never cast."""
    one = lost(follower(1, 5))
    one.hear(2, looking(2, 1))  # behind: it would be answered
    assert said(one) == []
    assert one.sent(2, since=one.now) == []
    one.wait(HOLD_BACK_S)
    assert [(each.vote.leader, each.round) for each in one.sent(2, since=one.now)] == [(1, 2)]


def test_that_somebody_leads_needs_no_vote() -> None:
    one = lost(follower(1, 5))
    leads = Notification(PeerState.LEADING, looking(4).vote, 2)
    for sid in (2, 3):
        one.hear(sid, attrs.evolve(leads, state=PeerState.FOLLOWING))
    one.hear(4, leads)
    assert one.fle.state is PeerState.FOLLOWING
    assert said(one) == []


def test_a_talkative_voter_holds_nothing_up() -> None:
    one = lost(follower(3, 5))
    for _ in range(20):
        one.hear(1, looking(1, 2))
        one.now += HOLD_BACK_S / 10
    assert said(one) == [3]


def test_a_worse_vote_for_a_higher_id_tells_that_histories_differ() -> None:
    one = follower(1, 5)
    one.step(Look(7, 0, lost=5))
    one.hear(4, looking(4, 2))
    assert said(one) == [1]


def test_one_that_led_does_not_let_those_wait_that_followed_it() -> None:
    one = Driver(1, ensemble_of(3), EARLY, zxid=5).look()
    for sid in (2, 3):
        one.hear(sid, looking(1, zxid=5))
    assert one.fle.state is PeerState.LEADING
    one.step(Look(5, 0))
    assert [each.vote.leader for each in one.sent(3) if each.round == 2] == [1]


def test_a_higher_id_in_an_older_round_has_spoken_and_is_told() -> None:
    one = lost(follower(1))
    one.hear(2, looking(2, 1))
    assert [(each.vote.leader, each.round) for each in one.sent(2, since=one.now)][-1:] == [(1, 2)]


def test_one_that_looks_again_as_a_candidate_votes_at_once() -> None:
    one = lost(follower(1)).wait(1)
    before = len(said(one))
    one.step(Look(0, 0, again=True))
    assert len(said(one)) == before + 1


def test_who_connects_meanwhile_is_not_told_of_the_lost_leader() -> None:
    one = follower(1)
    effects = one.step(Look(0, 0, lost=3))
    assert Greet(None) in effects


def test_a_server_without_weight_is_not_waited_for() -> None:
    one = follower(1, 3, extra=("group.1=1:2:3", "weight.2=0"))
    assert said(lost(one)) == [1]


def test_nor_is_the_leader_that_it_lost_where_nobody_knows_it_gone() -> None:
    one = follower(2)
    one.step(Look(0, 0))
    assert [each.vote.leader for each in one.sent(1) if each.round == 2] == [2]


@pytest.mark.parametrize("me", [1, 2])
def test_who_starts_votes_at_once(me: int) -> None:
    one = Driver(me, ensemble_of(3), EARLY)
    one.step(Back(3))
    one.look()
    assert [each.vote.leader for each in one.sent(3)] == [me]


def test_without_early_finalize_it_votes_at_once() -> None:
    one = Driver(1, ensemble_of(3)).look()
    for sid in (2, 3):
        one.hear(sid, looking(3))
    one.wait(1)
    assert said(lost(one)) == [1]
