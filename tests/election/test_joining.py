"""Joining an established ensemble, and not believing in one that is none (each bug by its number)."""

import pytest
from core_driver import Driver, claim, ensemble_of, facts, looking

from trio_fle.election.events import Established, Greet, Leave, Settled, VoterLooking
from trio_fle.election.options import ElectionOptions
from trio_fle.vote import MIN_LONG, PeerState, Vote
from trio_fle.wire import Notification

EARLY = ElectionOptions()
JAVA = ElectionOptions(early_finalize=False)


@pytest.fixture(params=[EARLY, JAVA], ids=["early finalize", "as ZooKeeper"])
def options(request: pytest.FixtureRequest) -> ElectionOptions:
    chosen: ElectionOptions = request.param
    return chosen


def voter(me: int, size: int, options: ElectionOptions, *, zxid: int = 0, epoch: int = 0) -> Driver:
    return Driver(me, ensemble_of(size), options, zxid, epoch).look()


def test_a_leader_is_believed_once_it_says_so_itself(options: ElectionOptions) -> None:
    """ZOOKEEPER-480, -569."""
    driver = voter(1, 5, options)
    for follower in (2, 4, 5):
        driver.hear(follower, claim("FOLLOWING", 3, 7))
    assert driver.decided() is None
    driver.hear(3, claim("LEADING", 3, 7))
    decided = driver.decided()
    assert decided is not None
    assert (decided.vote.leader, decided.round, decided.settled) == (3, 7, Settled.JOINED)


def test_the_leader_alone_is_no_quorum(options: ElectionOptions) -> None:
    driver = voter(1, 3, options)
    driver.hear(3, claim("LEADING", 3, 7))
    assert driver.wait(5).decided() is None


def test_a_joiner_with_the_best_history_follows_all_the_same(options: ElectionOptions) -> None:
    """ZOOKEEPER-975: the own vote must not count among the claims of others."""
    driver = voter(5, 5, options, zxid=99, epoch=9)
    for sid, state in ((1, "FOLLOWING"), (2, "FOLLOWING"), (3, "LEADING")):
        driver.hear(sid, claim(state, 3, 1))
    decided = driver.decided()
    assert decided is not None
    assert decided.state is PeerState.FOLLOWING


def test_claims_of_an_older_round_make_nobody_leader(options: ElectionOptions) -> None:
    """ZOOKEEPER-1514 (testBackwardElectionRound): others follow us in a round that is long gone."""
    driver = voter(3, 3, options).look()
    assert driver.fle.round == 2
    for sid in (1, 2):
        driver.hear(sid, claim("FOLLOWING", 3, 1))
    assert driver.wait(1).decided() is None
    for sid in (1, 2):
        driver.hear(sid, claim("FOLLOWING", 3, 2))
    decided = driver.decided()
    assert decided is not None
    assert decided.state is PeerState.LEADING


def test_settled_voters_may_differ_in_zxid_and_round(options: ElectionOptions) -> None:
    """ZOOKEEPER-1732, -1805, -1817 (testIgnoringZxidElectionEpoch, testJoinInconsistentEnsemble)."""
    driver = voter(1, 3, options)
    driver.hear(2, claim("FOLLOWING", 3, 2, zxid=1 << 32, epoch=2))
    driver.hear(3, claim("LEADING", 3, 7, zxid=2 << 32, epoch=2))
    decided = driver.decided()
    assert decided is not None
    assert decided.vote.leader == 3


@pytest.mark.parametrize(
    ("follower_version", "leader_version", "follower_epoch", "joins"),
    [(2, 2, 1, True), (2, 2, 0, False), (0, 2, 0, True), (2, 0, 0, True), (0, 0, 0, False), (0, 0, 1, True)],
)
def test_formats_without_an_epoch_to_compare_agree_on_the_leader(
    follower_version: int, leader_version: int, follower_epoch: int, joins: bool, options: ElectionOptions
) -> None:
    """ZOOKEEPER-1818 (testElectionWIthDifferentVersion): messages of 28, 40 and 44 bytes, mixed."""
    driver = voter(1, 3, options)
    driver.hear(2, claim("FOLLOWING", 3, 4, epoch=follower_epoch, version=follower_version))
    driver.hear(3, claim("LEADING", 3, 4, epoch=1, version=leader_version))
    assert (driver.decided() is not None) is joins


def test_a_vote_for_a_stranger_counts_for_nothing(options: ElectionOptions) -> None:
    """ZOOKEEPER-2988: and its round is not adopted."""
    driver = voter(1, 3, options)
    effects = driver.hear(2, looking(99, 50, zxid=1 << 40))
    assert "99" in str(effects)
    driver.hear(3, looking(99, 50, zxid=1 << 40))
    assert driver.wait(1).decided() is None
    assert driver.fle.round == 1


def test_a_voter_that_looks_again_no_longer_claims(options: ElectionOptions) -> None:
    """ZOOKEEPER-3537: the set of votes knows each voter's latest state."""
    driver = voter(1, 3, options)
    driver.hear(3, claim("LEADING", 3, 1))
    driver.hear(3, looking(3, 1, zxid=5))
    assert driver.fle.election is not None
    assert driver.fle.election.votes[3].state is PeerState.LOOKING
    driver.hear(2, claim("FOLLOWING", 3, 1))
    assert driver.decided() is None


def test_a_lost_database_neither_votes_nor_is_voted_for(options: ElectionOptions) -> None:
    """ZOOKEEPER-261, -3644, -3056."""
    driver = voter(1, 3, options)
    driver.hear(2, looking(3, 1, zxid=-1))
    driver.hear(3, looking(3, 1, zxid=-1))
    assert driver.wait(1).decided() is None
    lost = voter(1, 3, options, zxid=-1)
    lost.hear(2, looking(2))
    lost.hear(3, looking(2))
    assert lost.wait(1).decided() is None


def test_a_lost_first_message_is_made_up_for_by_the_claim(options: ElectionOptions) -> None:
    """FLELostMessageTest: the peer's vote never came, only what it claims later."""
    driver = voter(1, 3, options).wait(3)
    driver.hear(2, claim("LEADING", 2, 1))
    driver.hear(3, claim("FOLLOWING", 2, 1))
    decided = driver.decided()
    assert decided is not None
    assert decided.vote.leader == 2


def test_who_was_left_behind_catches_up_with_the_round(options: ElectionOptions) -> None:
    """FLENewEpochTest."""
    driver = voter(2, 3, options)
    driver.hear(1, looking(1, 4))
    driver.hear(3, looking(3, 4))
    driver.wait(0.3)
    decided = driver.decided()
    assert decided is not None
    assert (decided.vote.leader, decided.round) == (3, 4)


def test_a_settled_voter_answers_those_that_look(options: ElectionOptions) -> None:
    driver = voter(1, 3, options)
    driver.hear(3, looking(3))
    driver.wait(0.3)
    assert driver.fle.state is PeerState.FOLLOWING
    effects = driver.hear(2, looking(2))
    assert VoterLooking(2, 1) in effects
    told = Notification(PeerState.FOLLOWING, Vote(3, 0, 0), 1, config=driver.ensemble.text.encode())
    assert driver.last_sent(2) == told
    assert driver.hear(2, claim("FOLLOWING", 3)) == []


def test_a_leader_that_a_better_vote_convinced_after_our_decision_is_told_of(
    options: ElectionOptions,
) -> None:
    """What a restarted third server does to a Java leader-to-be within its finalize wait: it says so once."""
    driver = voter(1, 3, options)
    driver.hear(2, looking(2))
    driver.wait(0.3)
    assert driver.fle.state is PeerState.FOLLOWING
    assert VoterLooking(2, 1, convinced=True) in driver.hear(2, looking(3))
    assert VoterLooking(2, 1, convinced=False) in driver.hear(2, looking(2))


def test_a_non_voter_is_answered_at_once_in_any_state(options: ElectionOptions) -> None:
    driver = voter(1, 3, options)
    for state in ("LOOKING", "FOLLOWING", "LEADING", "OBSERVING"):
        driver.hear(77, claim(state, 5))
    answers = driver.sent(77)
    assert [(answer.state, answer.vote.leader, answer.round) for answer in answers] == [
        (PeerState.LOOKING, 1, 1)
    ] * 4


def test_who_asked_during_an_election_is_told_its_end(options: ElectionOptions) -> None:
    """An observer need not wait for its own resend, which backs off to a minute in ZooKeeper."""
    driver = voter(1, 3, options)
    driver.hear(77, claim("LOOKING", MIN_LONG, zxid=MIN_LONG, epoch=MIN_LONG))
    driver.hear(3, looking(3))
    driver.wait(0.3)
    told = driver.last_sent(77)
    assert (told.state, told.vote.leader) == (PeerState.FOLLOWING, 3)


def test_claims_within_the_finalize_wait_are_believed() -> None:
    """A restarted voter agreed with stale LOOKING votes; the settled servers then tell it better."""
    driver = voter(1, 3, EARLY)
    driver.hear(3, looking(3, 2))
    driver.hear(3, claim("FOLLOWING", 2, 2))
    driver.hear(2, claim("LEADING", 2, 2))
    decided = driver.decided()
    assert decided is not None
    assert (decided.vote.leader, decided.settled) == (2, Settled.JOINED)


def test_once_settled_whoever_connects_is_told_the_leader_and_no_stale_vote(options: ElectionOptions) -> None:
    driver = voter(1, 3, options)
    driver.hear(3, looking(3))
    driver.wait(0.3)
    (greeting,) = (effect.notification for _, effect in driver.effects if isinstance(effect, Greet))
    assert (greeting.state, greeting.vote.leader) == (PeerState.FOLLOWING, 3)


def test_whoever_connects_is_told_the_established_epoch_and_nothing_by_a_leader_that_ends() -> None:
    driver = voter(3, 3, EARLY)
    driver.hear(1, looking(3))
    driver.hear(2, looking(3))
    driver.step(Established(7))
    driver.step(Leave())
    *_, established, left = (effect.notification for _, effect in driver.effects if isinstance(effect, Greet))
    assert established is not None
    assert (established.state, established.vote.leader, established.vote.epoch) == (PeerState.LEADING, 3, 7)
    assert left is None


def test_who_joins_again_tells_those_who_remember_its_vote() -> None:
    driver = voter(1, 3, EARLY)
    driver.hear(2, claim("FOLLOWING", 3, 2))
    driver.hear(3, claim("LEADING", 3, 2))
    assert driver.decided() is not None
    assert {facts(driver.last_sent(sid))[0] for sid in (2, 3)} == {"FOLLOWING"}


def test_a_settled_voter_says_nothing_unasked(options: ElectionOptions) -> None:
    driver = voter(1, 3, options)
    driver.hear(3, looking(3))
    driver.wait(0.3)
    assert [facts(notification)[0] for notification in driver.sent(3)] == ["LOOKING", "LOOKING"]
    assert driver.hear(3, claim("LEADING", 3)) == []


@pytest.mark.parametrize("round_", [3, 1])
def test_who_still_looks_for_a_leader_when_an_election_ends_is_told_its_end(round_: int) -> None:
    """Its vote was no better, so nothing answered it, and its next resend may be a minute away."""
    driver = voter(1, 4, EARLY, epoch=1)
    for sid in (2, 3):
        driver.hear(sid, looking(3, epoch=1))
    driver.hear(4, looking(2, round_))
    assert driver.decided() is None
    before = len(driver.sent(4))
    assert driver.wait(0.3).decided() is not None
    assert [facts(each) for each in driver.sent(4)[before:]] == [["FOLLOWING", 3, 0, 1, 1]]
    assert driver.sent(2, since=0.1) == [], "it voted for this leader, and will know"
