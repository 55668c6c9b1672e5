"""Elections of two servers with an oracle (ZOOKEEPER-3922)."""

import pytest
from core_driver import Driver, claim, ensemble_of, looking

from trio_fle.election.events import Back, Gone, Look, OracleSaid, Settled
from trio_fle.election.options import ElectionOptions
from trio_fle.ensemble import Ensemble, build_ensemble
from trio_fle.vote import PeerState

EARLY = ElectionOptions()
JAVA = ElectionOptions(early_finalize=False)


def two(*observers: int) -> Ensemble:
    return with_oracle({1: "participant", 2: "participant"} | dict.fromkeys(observers, "observer"))


def with_oracle(roles: dict[int, str]) -> Ensemble:
    lines = {f"server.{sid}": f"h{sid}:{sid}:{1000 + sid}:{role}" for sid, role in roles.items()}
    return build_ensemble(lines, 0, oracle=True)


@pytest.fixture(params=[EARLY, JAVA], ids=["early finalize", "as ZooKeeper"])
def options(request: pytest.FixtureRequest) -> ElectionOptions:
    chosen: ElectionOptions = request.param
    return chosen


def voter(
    me: int, options: ElectionOptions, says: bool | None, ensemble: Ensemble | None = None, *, zxid: int = 0
) -> Driver:
    driver = Driver(me, ensemble or two(), options, zxid)
    if says is not None:
        driver.step(OracleSaid(says))
    return driver.look()


def test_a_yes_makes_up_for_the_other_once_the_first_wait_is_over(options: ElectionOptions) -> None:
    driver = voter(1, options, True).wait(0.19)
    assert driver.decided() is None
    decided = driver.wait(0.02).decided()
    assert decided is not None
    assert (decided.vote.leader, decided.state, decided.settled) == (1, PeerState.LEADING, Settled.ORACLE)
    assert driver.last_sent(2).vote.leader == 1


@pytest.mark.parametrize("says", [False, None])
def test_nobody_leads_without_a_yes(says: bool | None, options: ElectionOptions) -> None:
    assert voter(1, options, says).wait(300).decided() is None


def test_two_that_hear_each_other_agree_as_ever(options: ElectionOptions) -> None:
    driver = voter(1, options, True)
    driver.hear(2, looking(2))
    decided = driver.wait(0.3).decided()
    assert decided is not None
    assert (decided.vote.leader, decided.state) == (2, PeerState.FOLLOWING)
    assert decided.settled is not Settled.ORACLE


def test_a_yes_does_not_shorten_the_wait_of_two_that_agree() -> None:
    driver = voter(2, EARLY, True)
    driver.hear(1, looking(2))
    decided = driver.decided()
    assert decided is not None
    assert decided.settled is Settled.UNANIMOUS


@pytest.mark.parametrize("gone_first", [True, False])
def test_a_yes_is_enough_at_once_where_the_other_is_known_to_be_gone(gone_first: bool) -> None:
    driver = Driver(1, two(), EARLY)
    driver.step(Gone(2))
    if gone_first:
        driver.look().step(OracleSaid(True))
    else:
        driver.step(OracleSaid(True))
        driver.look()
    decided = driver.decided()
    assert decided is not None
    assert (driver.decided_at(), decided.settled) == (0.0, Settled.ORACLE)


def test_one_that_came_back_is_waited_for() -> None:
    driver = Driver(1, two(), EARLY)
    driver.step(Gone(2))
    driver.step(Back(2))
    driver.step(OracleSaid(True))
    assert driver.look().wait(0.1).decided() is None


def test_a_yes_that_comes_late_is_acted_on_after_the_first_wait_not_after_the_present_one() -> None:
    driver = voter(1, EARLY, False).wait(100)
    driver.step(OracleSaid(True))
    driver.wait(0.21)
    assert driver.decided() is not None


def test_zookeeper_itself_looks_again_when_its_time_out_has_passed() -> None:
    driver = voter(1, JAVA, False).wait(100)
    due = driver.wake_at
    driver.step(OracleSaid(True))
    assert driver.wake_at == due
    driver.wait(61)
    assert driver.decided_at() == due


def test_a_yes_that_was_taken_back_counts_no_more(options: ElectionOptions) -> None:
    driver = voter(1, options, True).wait(0.1)
    driver.step(OracleSaid(False))
    assert driver.wait(300).decided() is None


def test_without_a_vote_that_counts_a_yes_is_not_enough(options: ElectionOptions) -> None:
    """A lost database (zxid -1) does not vote."""
    assert voter(1, options, True, zxid=-1).wait(300).decided() is None


def test_who_is_no_candidate_does_not_lead_on_a_yes() -> None:
    options = ElectionOptions(candidate=False)
    driver = Driver(1, two(), options)
    driver.step(OracleSaid(True))
    driver.step(Gone(2))
    assert driver.look().wait(300).decided() is None


def test_a_leader_is_followed_on_its_own_word_where_the_oracle_says_no(options: ElectionOptions) -> None:
    driver = voter(2, options, False, zxid=9)
    driver.hear(1, claim("LEADING", 1, 7, epoch=3))
    decided = driver.decided()
    assert decided is not None
    assert (decided.vote.leader, decided.round, decided.state) == (1, 7, PeerState.FOLLOWING)
    assert decided.settled is Settled.JOINED


@pytest.mark.parametrize("says", [True, None])
def test_a_leader_is_not_followed_on_its_own_word_without_a_no(
    says: bool | None, options: ElectionOptions
) -> None:
    driver = voter(2, options, says)
    driver.hear(1, claim("LEADING", 1, 7))
    assert driver.decided() is None


def test_a_no_that_comes_after_the_leader_spoke_is_soon_enough() -> None:
    driver = voter(2, EARLY, None)
    driver.hear(1, claim("LEADING", 1, 7))
    driver.step(OracleSaid(False))
    decided = driver.decided()
    assert decided is not None
    assert decided.vote.leader == 1


@pytest.mark.parametrize("said", [claim("FOLLOWING", 1), claim("LEADING", 2), looking(1)])
def test_nobody_is_followed_who_does_not_say_itself_that_it_leads(
    said: object, options: ElectionOptions
) -> None:
    driver = voter(2, options, False, zxid=9)
    driver.hear(1, said)  # type: ignore[arg-type]
    assert driver.wait(0.15).decided() is None


def test_an_observer_follows_the_one_that_leads_alone_too(options: ElectionOptions) -> None:
    driver = voter(3, options, False, two(3))
    driver.hear(1, claim("LEADING", 1, 7))
    decided = driver.decided()
    assert decided is not None
    assert decided.state is PeerState.OBSERVING


@pytest.mark.parametrize("says", [True, False])
def test_an_observer_never_leads(says: bool, options: ElectionOptions) -> None:
    assert voter(3, options, says, two(3)).wait(300).decided() is None


@pytest.mark.parametrize("size", [1, 3, 4])
def test_with_others_than_two_voters_an_oracle_says_nothing(size: int, options: ElectionOptions) -> None:
    roles = dict.fromkeys(range(1, size + 1), "participant")
    with_one = Driver(size, with_oracle(roles), options)
    without = Driver(size, ensemble_of(size), options)
    for driver in (with_one, without):
        driver.step(OracleSaid(True))
        driver.look().wait(5)
    assert with_one.effects == without.effects
    if size > 1:
        assert with_one.decided() is None


def test_without_an_oracle_path_two_are_needed(options: ElectionOptions) -> None:
    driver = Driver(1, ensemble_of(2), options)
    driver.step(OracleSaid(True))
    driver.look().hear(2, claim("LEADING", 2, 7))
    assert driver.wait(300).decided() is None


def test_a_pending_configuration_with_another_voter_needs_its_own_majority(options: ElectionOptions) -> None:
    from trio_fle.election.events import ConfigSeen

    driver = Driver(1, two(), options)
    lines = {f"server.{sid}": f"h{sid}:{sid}:{1000 + sid}:participant" for sid in (1, 2, 3)}
    driver.step(ConfigSeen(build_ensemble(lines, 7, oracle=True)))
    driver.step(OracleSaid(True))
    assert driver.look().wait(300).decided() is None


def test_who_looks_again_asks_nobody_for_what_was_said_before(options: ElectionOptions) -> None:
    driver = voter(1, options, True).wait(1)
    driver.effects.clear()
    driver.step(Look(0, 0))
    decided = driver.wait(0.3).decided()
    assert decided is not None
    assert decided.settled is Settled.ORACLE
