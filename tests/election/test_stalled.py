"""Why an election takes long, told by what one member can see."""

import pytest
from core_driver import Driver, claim, ensemble_of, looking

from trio_fle.election.options import ElectionOptions
from trio_fle.election.stalled import Because, diagnose


def voter(size: int = 3, *, zxid: int = 0, candidate: bool = True) -> Driver:
    return Driver(1, ensemble_of(size), ElectionOptions(candidate=candidate), zxid=zxid).look()


def verdict(driver: Driver, connected: set[int]) -> tuple[Because, tuple[int, ...]]:
    stalled = diagnose(driver.fle, connected)
    assert stalled is not None
    assert stalled.round == driver.fle.round
    return stalled.because, stalled.missing


def test_nobody_connected() -> None:
    assert verdict(voter(5), {4}) == (Because.NO_QUORUM_REACHABLE, (2, 3, 5))


def test_connected_and_silent() -> None:
    assert verdict(voter(), {2, 3}) == (Because.SILENT_VOTERS, (2, 3))


def test_another_member_list() -> None:
    driver = voter()
    driver.hear(2, looking(2), ensemble_of(5))
    assert verdict(driver, {2, 3}) == (Because.CONFIG_MISMATCH, (2,))
    driver.hear(2, looking(2), ensemble_of(3))
    assert verdict(driver, {2, 3})[0] is not Because.CONFIG_MISMATCH


def test_an_own_database_that_is_lost() -> None:
    assert verdict(voter(zxid=-1), {2, 3}) == (Because.UNTRUSTED_HISTORY, (1,))


def test_the_best_vote_is_for_one_out_of_reach() -> None:
    driver = voter()
    driver.hear(2, looking(3, 2))
    assert verdict(driver, {2}) == (Because.AHEAD_UNREACHABLE, (3,))


def test_the_leader_of_the_others_is_out_of_reach() -> None:
    driver = voter()
    driver.hear(2, claim("FOLLOWING", 3))
    assert verdict(driver, {2}) == (Because.AHEAD_UNREACHABLE, (3,))


def test_nobody_is_a_candidate() -> None:
    driver = voter(candidate=False)
    other = Driver(2, ensemble_of(3), ElectionOptions(candidate=False)).look()
    driver.hear(2, other.last_sent(1))
    assert verdict(driver, {2}) == (Because.NO_CANDIDATE, (3,))


def test_votes_that_differ() -> None:
    driver = voter(5)
    for sid in (2, 3):
        driver.hear(sid, looking(sid, zxid=-sid))
    assert verdict(driver, {2, 3}) == (Because.SPLIT_VOTES, (2, 3))


@pytest.mark.parametrize("connected", [set(), {2, 3}])
def test_nothing_to_say_once_it_is_over(connected: set[int]) -> None:
    driver = voter()
    driver.hear(3, looking(3))
    driver.wait(0.3)
    assert diagnose(driver.fle, connected) is None
