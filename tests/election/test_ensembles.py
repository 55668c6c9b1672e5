"""Whole ensembles of cores over an instant network: everybody settles, on one leader."""

import pytest
from core_driver import Driver, ensemble_of, looking
from core_network import Network
from hypothesis import given
from hypothesis import strategies as st

from trio_fle.election.events import Greet, Send
from trio_fle.election.options import ElectionOptions
from trio_fle.vote import PeerState, Vote
from trio_fle.wire import Notification, encode_notification


def ensemble_up(size: int) -> Network:
    network = Network(ensemble_of(size))
    for sid in network.ensemble.servers:
        network.start(sid)
    return network


@pytest.mark.parametrize("kills", [0, 1, 2, 3])
def test_seven_elect_again_each_time_the_leader_is_killed(kills: int) -> None:
    """FLETest: single, double, triple election."""
    network = ensemble_up(7)
    network.run(2)
    assert network.leader() == 7
    for _ in range(kills):
        dead = network.leader()
        network.kill(dead)
        for sid in list(network.cores):
            network.look(sid)
        network.run(2)
        assert network.leader() == dead - 1


def test_a_late_joiner_follows() -> None:
    """FLETest.testJoin."""
    network = Network(ensemble_of(3))
    network.start(1)
    network.start(2)
    network.run(2)
    assert network.leader() == 2
    network.start(3, zxid=7, epoch=7)
    network.run(1)
    assert network.leader() == 2


@pytest.mark.parametrize("restarted", [1, 3, 5])
def test_who_restarts_within_an_election_ends_on_the_same_leader(restarted: int) -> None:
    """FLERestartTest."""
    network = ensemble_up(5)
    network.run(0.1)
    network.kill(restarted)
    network.run(0.05)
    network.start(restarted)
    network.run(3)
    network.leader()


def test_a_restart_after_the_election_rejoins_at_once() -> None:
    network = ensemble_up(3)
    network.run(1)
    network.kill(1)
    network.run(1)
    network.start(1)
    network.run(0.05)
    assert network.leader() == 3


def test_the_newest_history_wins_over_the_highest_id() -> None:
    network = Network(ensemble_of(3))
    for sid, (zxid, epoch) in {1: (5, 2), 2: (9, 1), 3: (3, 2)}.items():
        network.start(sid, zxid, epoch)
    network.run(1)
    assert network.leader() == 1


def test_observers_find_the_leader() -> None:
    roles = {1: "participant", 2: "participant", 3: "participant", 4: "observer", 5: "observer"}
    network = Network(ensemble_of(roles))
    for sid in roles:
        network.start(sid)
    network.run(2)
    for sid in (4, 5):
        core = network.cores[sid]
        assert core.fle.state is PeerState.OBSERVING
        assert core.fle.current_vote is not None
        assert core.fle.current_vote.leader == 3


def test_who_waited_two_minutes_without_a_quorum_joins_within_a_second_of_it() -> None:
    roles = {1: "participant", 2: "participant", 3: "participant", 4: "observer"}
    network = Network(ensemble_of(roles))
    network.start(1)
    network.start(4)
    network.run(120)
    network.start(2)
    network.run(0.3)
    assert network.cores[1].fle.state is PeerState.FOLLOWING, "the quorum is back"
    network.run(1)
    assert network.cores[4].fle.state is PeerState.OBSERVING


LONGS = st.one_of(st.integers(-3, 9), st.sampled_from([-(2**63), 2**63 - 1, 1 << 32, (1 << 32) + 7]))
MESSAGES = st.builds(
    Notification,
    st.one_of(st.none(), st.sampled_from(PeerState)),
    st.builds(Vote, LONGS, LONGS, LONGS),
    LONGS,
    st.integers(-1, 3),
)


@given(
    st.lists(st.tuples(st.integers(1, 6), MESSAGES, st.floats(0, 0.3)), max_size=30),
    st.sampled_from([1, 3, 5]),
)
def test_whatever_is_heard_leads_to_a_state_or_to_looking_on(
    story: list[tuple[int, Notification, float]], me: int
) -> None:
    driver = Driver(me, ensemble_of(5)).look()
    for sender, message, pause in story:
        if sender != me:
            driver.hear(sender, message)
        driver.wait(pause)
    decided = driver.decided()
    driver.look()  # the next election must be one that can be told
    driver.wait(1)
    for _, effect in driver.effects:
        if isinstance(effect, Send | Greet):
            encode_notification(effect.notification)
    if decided is not None:
        assert decided.vote.leader in driver.ensemble.voters
        assert (decided.state is PeerState.LEADING) is (decided.vote.leader == me)


def test_an_observer_and_a_voter_do_not_answer_each_other_for_ever() -> None:
    """ZOOKEEPER-693: each answers the other, settled or not, and in rounds that differ."""
    roles = {1: "participant", 2: "participant", 3: "participant", 4: "observer"}
    network = Network(ensemble_of(roles))
    for sid in roles:
        network.start(sid)
    network.run(1)
    for sid in (2, 3):
        network.kill(sid)
    network.look(1)
    network.look(4)
    network.look(4)
    network.run(5)
    exchanged = len(network.cores[1].sent(4)) + len(network.cores[4].sent(1))
    assert exchanged < 60


@pytest.mark.parametrize("one_way_s", [0.001, 0.049, 0.051, 0.1, 0.5])
def test_two_observers_that_know_each_other_do_not_answer_each_other_for_ever(one_way_s: float) -> None:
    """Voters that a configuration made observers keep their connection; each is a non-voter to the other."""
    roles = {1: "participant", 2: "participant", 3: "participant", 4: "observer", 5: "observer"}
    network = Network(ensemble_of(roles), one_way_s)
    for sid in roles:
        network.start(sid)
    network.run(10)
    before = len(network.cores[4].sent(5)) + len(network.cores[5].sent(4))
    assert network.cores[4].fle.current_vote is not None
    network.hear(4, 5, looking(5, 1))
    network.run(60)
    exchanged = len(network.cores[4].sent(5)) + len(network.cores[5].sent(4)) - before
    assert 1 <= exchanged <= 4


def test_a_stranger_that_asks_again_and_again_is_answered_again_and_again() -> None:
    """An answer may be lost with its connection; who asks sooner than any member would waits a moment."""
    driver = Driver(1, ensemble_of(3)).look()
    driver.hear(2, looking(3))
    driver.hear(3, looking(3))
    driver.wait(1)
    assert driver.fle.election is None
    asked = {}
    for pause_s in (0.09, 0.11, 0.2):
        before = len(driver.sent(99))
        for _ in range(100):
            driver.hear(99, looking(99, 1))
            driver.wait(pause_s)
        asked[pause_s] = len(driver.sent(99)) - before
    assert asked == {0.09: 50, 0.11: 100, 0.2: 100}


@pytest.mark.parametrize("forged", [2**62 - 1, 2**62, 2**63 - 2, 2**63 - 1])
@pytest.mark.parametrize("early", [True, False])
def test_after_a_forged_round_the_next_elections_end_as_ever(forged: int, early: bool) -> None:
    """Whatever was adopted, the rounds after it fit the wire, and all who adopted it meet in them."""
    network = Network(ensemble_of(3), options=ElectionOptions(early_finalize=early))
    for sid in (1, 2, 3):
        network.start(sid)
    for sid in (1, 2, 3):
        network.cores[sid].hear(1 if sid != 1 else 2, looking(1, forged))
    for _ in range(3):
        network.run(3)
        states = [network.cores[sid].fle.state for sid in (1, 2, 3)]
        assert states == [PeerState.FOLLOWING, PeerState.FOLLOWING, PeerState.LEADING]
        for core in network.cores.values():
            for _, effect in core.effects:
                if isinstance(effect, Send):
                    encode_notification(effect.notification)
        for sid in (1, 2, 3):
            network.look(sid)
