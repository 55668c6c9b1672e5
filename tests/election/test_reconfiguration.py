"""The core under configurations that change: what counts, and when an election begins anew."""

import attrs
import pytest
from core_driver import Driver, claim, ensemble_of, facts, looking

from trio_fle.election.events import Adopted, ConfigCommitted, ConfigSeen, Greet, NewerConfig
from trio_fle.election.options import ElectionOptions
from trio_fle.ensemble import Ensemble
from trio_fle.vote import MIN_LONG, LearnerType, PeerState, Vote
from trio_fle.wire import Notification

ADOPTS = ElectionOptions(reconfig=True)
V1, V2 = 1 << 32, (1 << 32) + 5
THREE = ensemble_of(3)
WIDER = ensemble_of(5, version=V1)


def voter(me: int = 1, ensemble: Ensemble = THREE, **more: int) -> Driver:
    return Driver(me, ensemble, ADOPTS, **more).look()


def test_a_newer_configuration_is_adopted_while_looking_and_the_election_begins_anew_in_the_next_round() -> (
    None
):
    driver = voter(epoch=3)
    effects = driver.hear(2, looking(2, epoch=3), WIDER)
    assert effects[0] == Adopted(2, WIDER)
    assert driver.fle.electorate.current is WIDER
    assert driver.fle.round == 2
    assert facts(driver.last_sent(5)) == ["LOOKING", 1, 0, 2, 3], "all of the new configuration are asked"
    assert driver.last_sent(5).config == WIDER.text.encode()


def test_votes_of_before_do_not_count_and_a_quorum_of_the_new_configuration_is_needed() -> None:
    driver = voter(3)
    driver.hear(1, looking(3))
    driver.hear(2, looking(2), WIDER)
    assert driver.wait(0.15).decided() is None
    driver.hear(1, looking(3, 2))
    assert driver.wait(0.3).decided() is None, "2 of 5"
    driver.hear(4, looking(3, 2))
    decided = driver.wait(0.3).decided()
    assert decided is not None
    assert (decided.vote.leader, decided.round) == (3, 2)


def test_the_message_that_brought_it_counts_if_its_sender_still_votes() -> None:
    driver = voter(1, ensemble_of(3), zxid=0)
    driver.hear(2, claim("LEADING", 2, 7), ensemble_of(2, version=V1))
    driver.hear(1, claim("FOLLOWING", 2, 7))
    assert driver.fle.electorate.voters == {1, 2}
    smaller = ensemble_of({1: "participant", 3: "participant"}, version=V1)
    other = voter(1)
    other.hear(2, looking(2), smaller)
    assert other.fle.electorate.voters == {1, 3}
    assert other.fle.election is not None
    assert 2 not in other.fle.election.votes


def test_the_same_members_under_a_new_version_do_not_disturb_the_election() -> None:
    """The first version, which a leader gives: it must not cost those who hear of it another election."""
    driver = voter(1)
    driver.hear(3, looking(3), ensemble_of(3, version=V1))
    assert driver.fle.round == 1
    driver.hear(2, looking(3))
    decided = driver.wait(0.3).decided()
    assert decided is not None
    assert decided.round == 1
    assert driver.sent(2)[-1].config == ensemble_of(3, version=V1).text.encode()


@pytest.mark.parametrize("version", [0, V1 - 1, V1])
def test_an_older_or_equal_configuration_changes_nothing(version: int) -> None:
    driver = Driver(1, ensemble_of(3, version=V1), ADOPTS).look()
    effects = driver.hear(2, looking(2), ensemble_of(5, version=version))
    assert not [each for each in effects if isinstance(each, Adopted | NewerConfig)]
    assert driver.fle.electorate.current.voters == {1, 2, 3}


def test_versions_are_compared_as_signed_numbers() -> None:
    driver = Driver(1, ensemble_of(3, version=5), ADOPTS).look()
    assert not [
        each for each in driver.hear(2, looking(2), ensemble_of(5, version=-1)) if isinstance(each, Adopted)
    ]


def test_who_has_a_leader_learns_of_configurations_from_it_alone() -> None:
    driver = voter(1)
    for sid in (2, 3):
        driver.hear(sid, claim("LEADING" if sid == 3 else "FOLLOWING", 3, 4))
    assert driver.fle.state is PeerState.FOLLOWING
    effects = driver.hear(2, looking(2, 5), WIDER)
    assert not [each for each in effects if isinstance(each, Adopted | NewerConfig)]
    assert driver.fle.electorate.current is THREE


def test_a_committed_configuration_is_told_to_whoever_connects_or_asks_from_then_on() -> None:
    driver = voter(1)
    for sid in (2, 3):
        driver.hear(sid, claim("LEADING" if sid == 3 else "FOLLOWING", 3, 4))
    (greet,) = driver.step(ConfigCommitted(WIDER))
    assert isinstance(greet, Greet)
    assert greet.notification is not None
    assert greet.notification.config == WIDER.text.encode()
    driver.hear(5, looking(5))
    assert facts(driver.last_sent(5))[:2] == ["FOLLOWING", 3], "it is a voter now"


def test_a_pending_configuration_is_needed_too_until_it_is_committed_or_overtaken() -> None:
    driver = Driver(1, THREE, ADOPTS)
    driver.step(ConfigSeen(WIDER))
    assert driver.fle.electorate.voters == {1, 2, 3, 4, 5}
    assert not driver.fle.electorate.is_quorum({1, 2})
    driver.step(ConfigCommitted(ensemble_of(3, version=V2)))
    assert driver.fle.electorate.voters == {1, 2, 3}, "what was proposed before is overtaken"
    driver.step(ConfigSeen(WIDER))
    assert driver.fle.electorate.is_quorum({1, 2}), "and an older proposal pends no more"


def test_a_pending_configuration_that_adds_voters_begins_a_running_election_anew() -> None:
    driver = voter(1)
    driver.step(ConfigSeen(WIDER))
    assert driver.fle.round == 2
    assert driver.sent(4), "they are asked"


@pytest.mark.parametrize(
    ("role", "learner_type", "leader", "zxid"),
    [
        ("participant", LearnerType.PARTICIPANT, 1, 9),
        ("observer", LearnerType.OBSERVER, MIN_LONG, MIN_LONG),
        (None, LearnerType.PARTICIPANT, MIN_LONG, 9),
    ],
)
def test_what_a_new_configuration_makes_of_this_member(
    role: str | None, learner_type: LearnerType, leader: int, zxid: int
) -> None:
    roles = {2: "participant", 3: "participant"} | ({1: role} if role else {})
    driver = voter(1, zxid=9, epoch=2)
    driver.hear(2, looking(2, epoch=2), ensemble_of(roles, version=V1))
    assert driver.fle.electorate.learner_type is learner_type
    sent = driver.last_sent(3)
    assert (sent.vote.leader, sent.vote.zxid) == (leader, zxid)


def test_an_observer_becomes_a_voter_in_the_middle_of_an_election() -> None:
    """ReconfigRecoveryTest.testObserverConvertedToParticipantDuringFLE."""
    before = ensemble_of({1: "observer", 2: "participant", 3: "participant"})
    driver = Driver(1, before, ADOPTS).look()
    driver.hear(2, looking(2), ensemble_of(3, version=V1))
    driver.hear(2, looking(2, 2))
    decided = driver.wait(0.3).decided()
    assert decided is not None
    assert (decided.state, decided.vote) == (PeerState.FOLLOWING, Vote(2, 0, 0))


def test_a_quorum_system_changes() -> None:
    """ReconfigTest.testQuorumSystemChange."""
    driver = voter(1)
    groups = ensemble_of(3, "group.1=1", "group.2=2:3", "weight.1=1", "weight.2=1", "weight.3=0", version=V1)
    driver.hear(3, looking(3), groups)
    driver.hear(2, looking(2, 2))
    decided = driver.wait(0.3).decided()
    assert decided is not None
    assert decided.vote.leader == 2, "3 has no weight"


def test_the_same_servers_elsewhere_begin_the_election_anew() -> None:
    moved = ensemble_of(3, version=V1)
    servers = dict(moved.servers)
    servers[2] = attrs.evolve(servers[2], addresses=THREE.servers[3].addresses)
    driver = voter(1)
    driver.hear(2, looking(2), attrs.evolve(moved, servers=servers))
    assert driver.fle.round == 2


def test_who_looks_under_an_older_configuration_is_answered() -> None:
    """It may be an observer there, whose words count for nothing, and our next resend may be far off."""
    driver = Driver(1, ensemble_of(3, version=V1), ADOPTS).look()
    observer = Notification(PeerState.LOOKING, Vote(MIN_LONG, MIN_LONG, MIN_LONG), 9)
    before = len(driver.sent(2))
    driver.hear(2, observer, ensemble_of({1: "participant", 2: "observer", 3: "participant"}))
    (answer,) = driver.sent(2)[before:]
    assert answer.config == ensemble_of(3, version=V1).text.encode()
    driver.hear(2, observer, ensemble_of(3, version=V1))
    assert len(driver.sent(2)) == before + 1, "once it knows, no more"


@pytest.mark.parametrize("early", [True, False])
def test_who_can_not_adopt_our_configuration_is_told_of_it_once_for_each_thing_it_says(early: bool) -> None:
    """Each is behind the other: we in the round, it in the configuration."""
    ours = Driver(2, ensemble_of(3, version=V2), attrs.evolve(ADOPTS, early_finalize=early)).look()
    ours.hear(3, looking(3))
    before = len(ours.sent(1))
    for _ in range(50):
        ours.hear(1, looking(3, 2), ensemble_of(3, version=V1))
    assert len(ours.sent(1)) == before + 1
    ours.hear(1, looking(3, 3), ensemble_of(3, version=V1))
    assert len(ours.sent(1)) == before + 2
