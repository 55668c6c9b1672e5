"""The election proper: order, weights, rounds, the finalize wait, candidates, observers."""

import pytest
from core_driver import Driver, claim, ensemble_of, facts, looking

from trio_fle.election.events import ConfigSeen, Look, NewerConfig, Settled
from trio_fle.election.options import ElectionOptions
from trio_fle.vote import MIN_LONG, PeerState, Vote

NO_CANDIDATE = ElectionOptions(candidate=False)


def test_a_quorum_of_equal_votes_waits_for_a_better_one_and_decides() -> None:
    """testLookingNormal."""
    driver = Driver(1, ensemble_of(3)).look()
    driver.hear(3, looking(3))
    assert driver.decided() is None
    driver.wait(0.3)
    decided = driver.decided()
    assert decided is not None
    assert decided.settled is Settled.WAIT
    assert driver.decided_at() == pytest.approx(0.2)
    assert (decided.sent, decided.received) == (4, 1)


def test_votes_of_differing_rounds_do_not_add_up() -> None:
    """testLookingDiffRounds."""
    driver = Driver(1, ensemble_of(5)).look()
    driver.hear(2, looking(5, 1))
    driver.hear(3, looking(5, 2))
    driver.hear(4, looking(5, 3))
    assert driver.wait(0.25).decided() is None


def test_a_resend_doubles_its_wait_up_to_a_minute() -> None:
    driver = Driver(1, ensemble_of(3)).look().wait(400)
    at = [round(when, 3) for when, effect in driver.effects if getattr(effect, "to", None) == 2]
    assert at == [0, 0.2, 0.6, 1.4, 3.0, 6.2, 12.6, 25.4, 51.0, 102.2, 162.2, 222.2, 282.2, 342.2]


def test_an_observer_asks_again_every_second() -> None:
    roles = {1: "participant", 2: "participant", 3: "participant", 4: "observer"}
    driver = Driver(4, ensemble_of(roles)).look().wait(10)
    at = [round(when, 3) for when, effect in driver.effects if getattr(effect, "to", None) == 2]
    assert at[:6] == [0, 0.2, 0.6, 1.4, 2.4, 3.4]
    assert facts(driver.sent(2)[0]) == ["LOOKING", MIN_LONG, MIN_LONG, 1, MIN_LONG]


def test_a_talkative_peer_cannot_hold_an_election_open() -> None:
    """The finalize starvation: open in ZooKeeper, and reproduced by fle.earlyFinalize=false."""

    def chatter(options: ElectionOptions) -> Driver:
        driver = Driver(1, ensemble_of(3), options).look()
        for _ in range(20):
            driver.hear(3, looking(3))
            driver.wait(0.15)
        return driver

    early = chatter(ElectionOptions())
    assert early.decided_at() == pytest.approx(0.2)
    assert chatter(ElectionOptions(early_finalize=False)).decided() is None


def test_a_stale_better_vote_reopens_an_agreement_in_zookeeper_only() -> None:
    def play(options: ElectionOptions) -> float:
        driver = Driver(1, ensemble_of(3), options).look()
        driver.hear(3, looking(3, 2))
        driver.wait(0.1).hear(2, looking(3, 1, zxid=9))
        return driver.wait(3).decided_at()

    assert play(ElectionOptions()) == pytest.approx(0.2)
    assert play(ElectionOptions(early_finalize=False)) > 0.4


def test_a_better_vote_within_the_wait_is_taken() -> None:
    for early in (True, False):
        driver = Driver(1, ensemble_of(3), ElectionOptions(early_finalize=early)).look()
        driver.hear(2, looking(2))
        driver.wait(0.1).hear(3, looking(3))
        driver.wait(0.3)
        decided = driver.decided()
        assert decided is not None
        assert decided.vote.leader == 3
        assert driver.decided_at() == pytest.approx(0.3)


def test_a_server_without_weight_is_not_elected() -> None:
    """ZOOKEEPER-491, FLEZeroWeightTest."""
    groups = ("group.1=1:2:3", "weight.1=1", "weight.2=1", "weight.3=0")
    driver = Driver(1, ensemble_of(3, *groups)).look()
    driver.hear(3, looking(3, zxid=1 << 40, epoch=9))
    assert driver.fle.election is not None
    assert driver.fle.election.proposal.leader == 1
    driver.hear(2, looking(2))
    driver.wait(0.3)
    decided = driver.decided()
    assert decided is not None
    assert decided.vote.leader == 2


@pytest.mark.parametrize("early_finalize", [False, True])
def test_an_id_without_weight_upsets_the_finalize_wait_of_zookeeper_only(early_finalize: bool) -> None:
    """A NullPointerException there: the attempt ends, and the next round begins at once."""
    ensemble = ensemble_of(4, "group.1=1:2", "group.2=3:4")
    driver = Driver(1, ensemble, ElectionOptions(early_finalize=early_finalize)).look()
    for sender in (2, 3, 4):
        driver.hear(sender, looking(3, epoch=1))
    driver.wait(0.1).hear(4, claim("OBSERVING", 99))
    since = driver.now
    decided = driver.wait(0.25).decided()
    if early_finalize:
        assert decided is not None
    else:
        assert decided is None
        again = ["LOOKING", 1, 0, 2, 0]
        assert [facts(sent) for sent in driver.sent(2, since=since)] == [again, again]  # and one resend


def test_minimum_is_a_number_like_any_other_for_zookeeper() -> None:
    driver = Driver(1, ensemble_of(3)).look()
    driver.hear(2, claim("FOLLOWING", 3, 7, epoch=MIN_LONG))
    driver.hear(3, claim("LEADING", 3, 7, epoch=MIN_LONG))
    assert driver.fle.state is PeerState.FOLLOWING


def test_who_is_no_candidate_never_names_itself() -> None:
    driver = Driver(3, ensemble_of(3), NO_CANDIDATE, zxid=1 << 40, epoch=9).look()
    driver.hear(9, looking(1))
    assert driver.wait(3).decided() is None
    assert {sent.vote.leader for sent in driver.sent()} == {1}
    driver.hear(2, looking(2, zxid=1 << 40, epoch=9))
    assert facts(driver.last_sent(1)) == ["LOOKING", 2, 1 << 40, 1, 9]
    driver.wait(0.3)
    decided = driver.decided()
    assert decided is not None
    assert (decided.vote.leader, decided.state) == (2, PeerState.FOLLOWING)


def test_two_that_are_no_candidates_elect_nobody() -> None:
    ensemble = ensemble_of(3)
    one, two = (Driver(sid, ensemble, NO_CANDIDATE).look() for sid in (1, 2))
    for _ in range(5):
        one.hear(2, two.last_sent(1))
        two.hear(1, one.last_sent(2))
        one.wait(1)
        two.wait(1)
    assert one.decided() is two.decided() is None


def test_who_is_no_candidate_does_not_lead_even_when_told_so() -> None:
    driver = Driver(1, ensemble_of(3), NO_CANDIDATE).look()
    for sid in (2, 3):
        driver.hear(sid, claim("FOLLOWING", 1, 1))
        driver.hear(sid, looking(1, 1))
    assert driver.wait(2).decided() is None


@pytest.mark.parametrize(
    ("epoch", "zxid", "supported"), [(1, 9, True), (2, 0, True), (1, 8, False), (0, 9, False)]
)
def test_who_is_no_candidate_supports_none_that_is_behind_it(epoch: int, zxid: int, supported: bool) -> None:
    """It could not follow that one; two such candidates took turns with it, and never met."""
    driver = Driver(1, ensemble_of(3), NO_CANDIDATE, zxid=9, epoch=1).look()
    driver.hear(2, looking(2, zxid=zxid, epoch=epoch))
    assert (driver.last_sent(3).vote == Vote(2, zxid, epoch)) is supported
    assert (driver.wait(1).decided() is not None) is supported


@pytest.mark.parametrize(("leader", "zxid", "supported"), [(2, 9, True), (2, 8, False), (3, 9, False)])
def test_but_it_supports_the_leader_it_had_that_forgot_its_epoch_and_nothing_else(
    leader: int, zxid: int, supported: bool
) -> None:
    driver = Driver(1, ensemble_of(3), NO_CANDIDATE, zxid=9, epoch=2).look()
    driver.hear(2, looking(2, zxid=9, epoch=2))
    driver.wait(1)
    assert driver.fle.state is PeerState.FOLLOWING
    driver.step(Look(9, 3))
    driver.hear(leader, looking(leader, 2, zxid=zxid, epoch=2))
    assert (driver.last_sent(3).vote == Vote(leader, zxid, 2)) is supported


def test_a_thousand_newer_configurations_disturb_nothing() -> None:
    """The tear-down loop with reconfig off: open in ZooKeeper."""
    driver = Driver(1, ensemble_of(3)).look()
    other = ensemble_of(4, version=1 << 32)
    for _ in range(1000):
        effects = driver.hear(2, looking(2), other)
        assert any(isinstance(effect, NewerConfig) for effect in effects)
        driver.wait(0.0001)
    assert (driver.fle.round, driver.fle.state) == (1, PeerState.LOOKING)
    assert driver.wait(0.3).decided() is not None


def test_a_vote_is_decided_by_both_configurations_while_one_is_pending() -> None:
    driver = Driver(1, ensemble_of(3))
    driver.step(ConfigSeen(ensemble_of(5, version=1 << 32)))
    driver.look()
    driver.hear(3, looking(3))
    assert driver.wait(0.3).decided() is None, "2 of 3, but not 3 of 5"
    driver.hear(5, looking(5))
    driver.hear(3, looking(5))
    assert driver.wait(0.3).decided() is not None


def test_a_single_voter_elects_itself() -> None:
    driver = Driver(1, ensemble_of(1)).look().wait(0.3)
    decided = driver.decided()
    assert decided is not None
    assert decided.state is PeerState.LEADING


def test_the_measured_duration_is_that_of_the_election() -> None:
    """ZOOKEEPER-3479."""
    driver = Driver(1, ensemble_of(3)).wait(100).look().wait(7)
    driver.hear(3, looking(3))
    driver.wait(1)
    decided = driver.decided()
    assert decided is not None
    assert decided.duration_s == pytest.approx(7.2)
