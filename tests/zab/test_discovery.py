"""The two gates between an election and a leadership: who opens them, with which epoch."""

from collections.abc import Callable, Mapping

import pytest
from core_driver import ensemble_of

from trio_fle.election.electorate import Electorate
from trio_fle.ensemble import build_ensemble
from trio_fle.vote import UNTRUSTED_ZXID, LearnerType, StateSummary, make_zxid
from trio_fle.zab import AheadError, Discovery

THREE = dict.fromkeys((1, 2, 3), "participant")
FIVE = dict.fromkeys((1, 2, 3, 4, 5), "participant")
OBSERVED = {**THREE, 4: "observer", 5: "observer"}

Pass = Callable[[Discovery, int], bool]
"""Takes one server through one gate; True where that opened it."""


def discovery(
    roles: Mapping[int, str], *groups: str, me: int = 3, zxid: int = 0, epoch: int = 0, accepted: int = 0
) -> Discovery:
    """A leader's view at its start; it has proposed nothing yet."""
    ensemble = ensemble_of(roles, *groups)
    electorate = Electorate(me, LearnerType.PARTICIPANT, True, ensemble, ensemble)
    made = Discovery(electorate, StateSummary(epoch, zxid))
    assert made.new_epoch == -1
    return made


def propose(at: Discovery, sid: int, accepted: int = 0) -> bool:
    return at.propose(sid, accepted, at.summary)


def synchronize(at: Discovery, sid: int) -> bool:
    return at.synchronize(sid, make_zxid(at.new_epoch, 0), first=True)


GATES = [pytest.param(propose, id="propose"), pytest.param(synchronize, id="synchronize")]


@pytest.mark.parametrize("enter", GATES)
def test_a_gate_opens_with_the_leader_and_one_more_of_three(enter: Pass) -> None:
    at = discovery(THREE)
    assert not enter(at, 3)
    assert enter(at, 1)


@pytest.mark.parametrize("enter", GATES)
def test_a_quorum_without_the_leader_itself_opens_no_gate(enter: Pass) -> None:
    at = discovery(FIVE)
    assert not any(enter(at, sid) for sid in (1, 2, 4, 5))
    assert enter(at, 3)


@pytest.mark.parametrize("enter", GATES)
def test_the_same_server_twice_is_no_quorum(enter: Pass) -> None:
    at = discovery(FIVE)
    assert not any(enter(at, sid) for sid in (3, 1, 1, 1, 3))
    assert enter(at, 2)


@pytest.mark.parametrize("enter", GATES)
@pytest.mark.parametrize("stranger", [4, 5, 77, -1])
def test_who_is_no_voter_counts_at_no_gate(stranger: int, enter: Pass) -> None:
    """ZOOKEEPER-2959, LeaderWithObserverTest: an observer, or a server that no configuration names."""
    at = discovery(OBSERVED)
    assert not enter(at, 3)
    assert not enter(at, stranger)
    assert enter(at, 1)


@pytest.mark.parametrize("enter", GATES)
def test_a_gate_opens_once(enter: Pass) -> None:
    at = discovery(THREE)
    assert [enter(at, sid) for sid in (3, 1, 2, 1)] == [False, True, False, False]


@pytest.mark.parametrize("enter", GATES)
def test_who_goes_away_before_a_gate_opened_is_not_counted(enter: Pass) -> None:
    at = discovery(THREE)
    enter(at, 1)
    at.lose(1)
    assert not enter(at, 3)
    assert enter(at, 2)


@pytest.mark.parametrize("enter", GATES)
def test_a_gate_that_is_open_stays_open_whoever_goes_away(enter: Pass) -> None:
    at = discovery(THREE)
    enter(at, 3)
    assert enter(at, 1)
    at.lose(1)
    assert [at.proposed.open, at.synchronized.open].count(True) == 1


@pytest.mark.parametrize("enter", GATES)
def test_a_voter_of_weight_nought_does_not_count(enter: Pass) -> None:
    at = discovery(THREE, "group.1=1:2:3", "weight.1=0")
    assert not enter(at, 3)
    assert not enter(at, 1)
    assert enter(at, 2)


@pytest.mark.parametrize("enter", GATES)
def test_a_hierarchy_wants_most_of_most_groups(enter: Pass) -> None:
    roles = dict.fromkeys(range(1, 10), "participant")
    at = discovery(roles, "group.1=1:2:3", "group.2=4:5:6", "group.3=7:8:9")
    assert not any(enter(at, sid) for sid in (3, 1, 2, 4, 7)), "five of nine, and one group"
    assert enter(at, 5)


@pytest.mark.parametrize(
    ("accepted", "new_epoch"),
    [
        pytest.param({3: 0, 1: 0}, 1, id="a fresh ensemble"),
        pytest.param({3: 0, 1: 6}, 7, id="a follower at 6 already (testLastAcceptedEpoch)"),
        pytest.param({1: 6, 3: 0}, 7, id="the order does not matter"),
        pytest.param({3: 9, 1: 6}, 10, id="the leader has the highest"),
        pytest.param({3: 0, 4: 20, 1: 0}, 21, id="an observer raises it"),
        pytest.param({4: 20, 3: 0, 1: 5}, 21, id="an observer first"),
        pytest.param({3: 4, 77: 8, 1: 4}, 9, id="a server that no configuration names raises it"),
    ],
)
def test_the_new_epoch_is_higher_than_each_that_was_told(accepted: dict[int, int], new_epoch: int) -> None:
    at = discovery(OBSERVED)
    opened = [propose(at, sid, epoch) for sid, epoch in accepted.items()]
    assert opened == [False] * (len(accepted) - 1) + [True]
    assert at.new_epoch == new_epoch


def test_an_epoch_that_is_told_once_the_new_one_is_settled_changes_nothing() -> None:
    at = discovery(THREE)
    propose(at, 3, 0)
    propose(at, 1, 0)
    assert not propose(at, 2, 100)
    assert at.new_epoch == 1


def test_a_learner_that_left_before_the_gate_opened_still_raises_the_epoch() -> None:
    """It may have accepted that epoch: none that is as low may be proposed."""
    at = discovery(THREE)
    propose(at, 1, 6)
    at.lose(1)
    propose(at, 3, 0)
    assert propose(at, 2, 0)
    assert at.new_epoch == 7


def test_who_had_accepted_the_epoch_of_another_leader_does_not_count() -> None:
    """Else a quorum could accept the same epoch of two leaders."""
    at = discovery(THREE, zxid=make_zxid(1, 5), epoch=1)
    new = make_zxid(at.new_epoch, 0)
    at.synchronize(3, new, first=True)
    assert not at.synchronize(1, new, first=False)
    assert not at.synchronized.open
    assert at.synchronize(2, new, first=True)


def test_a_history_that_is_not_to_be_trusted_does_not_count() -> None:
    at = discovery(THREE)
    propose(at, 3)
    assert not at.propose(1, 0, StateSummary(0, UNTRUSTED_ZXID))
    assert propose(at, 2)


@pytest.mark.parametrize(
    ("epoch", "zxid", "ahead"),
    [
        (2, make_zxid(2, 5), False),
        (2, make_zxid(2, 4), False),
        (1, make_zxid(1, 9), False),
        (1, make_zxid(3, 0), False),
        (2, make_zxid(2, 6), True),
        (3, make_zxid(2, 5), False),
        (3, 0, True),
    ],
)
def test_a_learner_that_has_seen_more_than_its_leader_is_refused(epoch: int, zxid: int, ahead: bool) -> None:
    """Zab1_0Test.testLeaderBehind; current epochs are compared before zxids, unless those are the same."""
    at = discovery(THREE, zxid=make_zxid(2, 5), epoch=2)
    propose(at, 3)
    if ahead:
        with pytest.raises(AheadError, match="ahead"):
            at.propose(1, 2, StateSummary(epoch, zxid))
        assert not at.proposed.open
    else:
        assert at.propose(1, 2, StateSummary(epoch, zxid))


@pytest.mark.parametrize("observer", [4, 77])
def test_an_observer_that_is_ahead_is_refused_as_well(observer: int) -> None:
    at = discovery(OBSERVED)
    with pytest.raises(AheadError):
        at.propose(observer, 0, StateSummary(0, 1))


def test_a_refused_learner_does_not_hold_up_the_others_and_its_epoch_is_not_used_again() -> None:
    at = discovery(THREE)
    propose(at, 3)
    with pytest.raises(AheadError):
        at.propose(1, 6, StateSummary(0, 5))
    assert propose(at, 2)
    assert at.new_epoch == 7


def test_a_learner_that_comes_after_a_quorum_is_not_checked() -> None:
    at = discovery(THREE)
    propose(at, 3)
    propose(at, 1)
    assert not at.propose(2, 0, StateSummary(5, make_zxid(5, 5)))


@pytest.mark.parametrize("zxid", [0, make_zxid(1, 1), make_zxid(2, 0), make_zxid(0, 1), -1])
def test_only_the_zxid_of_newleader_counts_at_the_second_gate(zxid: int) -> None:
    at = discovery(THREE)
    propose(at, 3, 0)
    propose(at, 1, 0)
    at.synchronize(3, make_zxid(1, 0), first=True)
    assert not at.synchronize(1, zxid, first=True)
    assert not at.synchronized.open
    assert at.synchronize(1, make_zxid(1, 0), first=True)


def test_a_single_voter_passes_every_gate_alone() -> None:
    at = discovery({3: "participant", 4: "observer"})
    assert [propose(at, 3), synchronize(at, 3)] == [True] * 2


def test_while_a_configuration_is_pending_a_quorum_of_both_is_wanted() -> None:
    current, seen = ensemble_of(THREE), ensemble_of(FIVE, version=5)
    at = Discovery(Electorate(3, LearnerType.PARTICIPANT, True, current, seen), StateSummary(0, 0))
    assert not propose(at, 3, 0)
    assert not propose(at, 1, 0)
    assert propose(at, 5, 0)


TWO = dict.fromkeys((1, 2), "participant")


def alone(me: int, roles: Mapping[int, str] = TWO) -> Discovery:
    """A leader's view where there is an oracle."""
    lines = {f"server.{sid}": f"h:{sid}:{1000 + sid}:{role}" for sid, role in roles.items()}
    ensemble = build_ensemble(lines, 0, oracle=True)
    return Discovery(Electorate(me, LearnerType.PARTICIPANT, True, ensemble, ensemble), StateSummary(0, 0))


@pytest.mark.parametrize("gate", ["proposed", "synchronized"])
def test_a_gate_opens_for_the_leader_alone_once_that_has_passed(gate: str) -> None:
    at = alone(1)
    assert not getattr(at, gate).open_alone()
    propose(at, 1)
    synchronize(at, 1)
    assert not getattr(at, gate).open
    assert getattr(at, gate).open_alone()
    assert getattr(at, gate).open


@pytest.mark.parametrize(
    ("me", "accepted", "epoch"), [(1, 0, 2), (1, 1, 2), (1, 2, 4), (2, 0, 1), (2, 1, 3), (2, 2, 3)]
)
def test_each_of_two_with_an_oracle_has_every_other_epoch(me: int, accepted: int, epoch: int) -> None:
    """Neither knows what the other used while it led alone."""
    at = alone(me)
    propose(at, me, accepted)
    assert at.new_epoch == epoch


@pytest.mark.parametrize("me", [1, 2])
def test_the_epoch_is_of_the_leader_s_own_whoever_raised_it(me: int) -> None:
    at = alone(me)
    propose(at, me, 3)
    propose(at, 3 - me, 8)
    assert at.proposed.open
    assert at.new_epoch > 8
    assert at.new_epoch % 2 == me - 1


def test_of_three_with_an_oracle_each_has_the_next_epoch() -> None:
    for me in (1, 2, 3):
        at = alone(me, THREE)
        propose(at, me, 4)
        assert at.new_epoch == 5


# What rides on the votes


def offered(*, epoch: int = 5) -> Discovery:
    """That of one of five, which has accepted what it offered, and told its own epoch."""
    at = discovery(FIVE, accepted=epoch - 1)
    at.offer(epoch)
    at.propose(3, epoch - 1, at.summary)
    return at


def test_those_who_accept_an_offer_pass_both_gates() -> None:
    at = offered()
    assert at.accept_offer(1)
    assert not at.proposed.open
    assert not at.synchronized.open
    assert at.accept_offer(5)
    assert (at.proposed.open, at.synchronized.open, at.new_epoch) == (True, True, 5)


def test_one_may_accept_it_and_another_come_through_the_gates() -> None:
    at = offered()
    at.accept_offer(1)
    propose(at, 2, 4)
    assert (at.proposed.open, at.new_epoch) == (True, 5)
    assert synchronize(at, 2)


def test_a_learner_that_knows_a_higher_epoch_makes_the_offer_void() -> None:
    at = offered()
    at.accept_offer(1)
    propose(at, 2, 7)
    assert (at.new_epoch, at.synchronized.passed) == (8, set())
    assert not at.accept_offer(5)
    assert not synchronize(at, 2), "who accepted the offer has not accepted this one"


def test_no_stranger_accepts_an_offer() -> None:
    at = offered()
    assert not at.accept_offer(6)
    assert not discovery(FIVE).accept_offer(1), "nothing is offered"
