"""An epoch that rides on the votes: who offers it, who may accept it, and what that binds to."""

import attrs
import pytest
from core_driver import Driver, claim, ensemble_of, looking

from trio_fle.election.events import (
    Answered,
    ConfigCommitted,
    Decided,
    Effect,
    Established,
    Freed,
    Gone,
    Leave,
    Look,
    MayAccept,
    OfferAccepted,
    Reserved,
    Send,
    Settled,
    Silence,
)
from trio_fle.election.options import ElectionOptions
from trio_fle.election.round import HOLD_BACK_S
from trio_fle.election.telling import TELL_WITHIN_S
from trio_fle.ensemble import Ensemble
from trio_fle.vote import PeerState
from trio_fle.wire import Acceptance, Notification, Offer

EARLY = ElectionOptions()
OFFER = Offer(6, 3, 2.0)


def lost(me: int, heir: int, voters: int = 3, *, lease_s: float = 2.0) -> Driver:
    """One that followed the highest id, which is gone, and has reserved epoch 6 for ``heir``."""
    one = Driver(me, ensemble_of(voters), EARLY).look()
    for sid in {*range(1, voters + 1)} - {me}:
        one.hear(sid, looking(voters))
    one.wait(1)
    assert one.fle.state is PeerState.FOLLOWING
    one.step(Look(0, 0, lost=voters, reserved=Reserved(6, heir, lease_s, 3)))
    return one


def offering(leader: int = 2, round_: int = 2, *, offer: Offer = OFFER, zxid: int = 0) -> Notification:
    return attrs.evolve(looking(leader, round_, zxid), rider=offer)


def asked(effects: list[Effect]) -> MayAccept:
    (may_accept,) = (each for each in effects if isinstance(each, MayAccept))
    return may_accept


def test_the_heir_offers_the_epoch_with_its_vote_for_itself() -> None:
    heir = lost(2, 2)
    assert heir.last_sent(1).rider == OFFER
    assert heir.last_sent(3).rider == OFFER
    heir.wait(EARLY.resend_min_s)
    assert heir.last_sent(1).rider == OFFER


def test_nobody_else_offers_anything() -> None:
    assert lost(1, 2).wait(1).last_sent(2).rider is None


def test_its_election_ends_once_a_quorum_has_accepted() -> None:
    heir, accepts = lost(3, 3, 5), attrs.evolve(looking(3, 2), rider=Acceptance(6, 3))
    assert OfferAccepted(1) in heir.hear(1, accepts)
    assert heir.fle.state is PeerState.LOOKING
    effects = heir.hear(2, accepts)
    assert OfferAccepted(2) in effects
    (decided,) = (each for each in effects if isinstance(each, Decided))
    assert (decided.state, decided.settled) == (PeerState.LEADING, Settled.ACCEPTED)
    # what comes later counts too
    assert heir.hear(4, attrs.evolve(claim("FOLLOWING", 3, 2), rider=Acceptance(6, 3))) == [OfferAccepted(4)]
    assert heir.hear(4, attrs.evolve(claim("FOLLOWING", 3, 2), rider=Acceptance(6, 3))) == []


def leading() -> Driver:
    heir = lost(3, 3, 5)
    for sid in (1, 2):
        effects = heir.hear(sid, attrs.evolve(looking(3, 2), rider=Acceptance(6, 3)))
    assert heir.fle.state is PeerState.LEADING
    assert to_whom(effects) == [], "they would call before it leads"
    return heir


def to_whom(effects: list[Effect]) -> list[int]:
    return [each.to for each in effects if isinstance(each, Send)]


def test_who_voted_for_the_heir_is_told_once_it_is_established() -> None:
    heir = leading()
    assert to_whom(heir.step(Established(6))) == [1, 2], "they would wait for the one that has not voted"
    assert heir.last_sent(1).state is PeerState.LEADING
    assert heir.last_sent(1).vote.epoch == 0, "as all say until they follow"
    assert to_whom(heir.step(Established(6))) == []
    assert to_whom(heir.wait(1).step(Silence())) == []


def test_who_votes_too_late_waits_for_that_too_and_is_told_once() -> None:
    heir = leading()
    late = heir.hear(4, attrs.evolve(looking(3, 2), rider=Acceptance(6, 3)))
    assert OfferAccepted(4) in late
    assert to_whom(late) == to_whom(heir.hear(1, looking(3, 2))) == []
    assert to_whom(heir.step(Established(6))) == [1, 2, 4]
    assert to_whom(heir.hear(4, looking(3, 2))) == [4]


def test_all_are_told_the_configuration_of_that_moment() -> None:
    heir = leading()
    newer = attrs.evolve(heir.fle.electorate.current, version=7)
    heir.step(ConfigCommitted(newer))
    heir.step(Established(6))
    assert heir.last_sent(1).config == newer.text.encode()


def test_or_soon_where_that_takes_longer() -> None:
    heir = leading().wait(TELL_WITHIN_S)
    assert [heir.last_sent(sid).state for sid in (1, 2)] == [PeerState.LEADING] * 2
    assert to_whom(heir.step(Established(6))) == []


def test_who_has_given_up_meanwhile_tells_nobody_that_it_leads() -> None:
    heir = leading()
    heir.step(Leave())
    assert to_whom(heir.wait(1).step(Established(6))) == []
    again = leading()
    again.step(Look(0, 0))
    assert PeerState.LEADING not in {each.state for each in again.sent(1)}
    again.wait(1)
    assert PeerState.LEADING not in {each.state for each in again.sent(1)}


@pytest.mark.parametrize("acceptance", [Acceptance(6, 2), Acceptance(7, 3)])
def test_an_acceptance_of_another_offer_does_not_count(acceptance: Acceptance) -> None:
    heir = lost(3, 3, 5)
    assert OfferAccepted(1) not in heir.hear(1, attrs.evolve(looking(3, 2), rider=acceptance))


def test_what_is_offered_is_taken_back_with_the_vote() -> None:
    heir = lost(2, 2, 5)
    heir.hear(4, looking(4, 2))
    assert heir.last_sent(1).rider is None
    assert OfferAccepted(1) not in heir.hear(1, attrs.evolve(looking(2, 2), rider=Acceptance(6, 3)))


def sent(effects: list[Effect]) -> list[Send]:
    return [each for each in effects if isinstance(each, Send)]


def test_it_is_accepted_with_the_vote_for_the_heir_which_nobody_else_is_told() -> None:
    one = lost(1, 4, 5)
    effects = one.hear(4, offering(4))
    assert asked(effects) == MayAccept(4, 6, 2.0)
    assert sent(effects) == []
    (told,) = sent(one.step(Answered(True)))
    assert (told.to, told.notification.rider) == (4, Acceptance(6, 3))
    assert (told.notification.state, told.notification.vote.leader) == (PeerState.LOOKING, 4)


@pytest.mark.parametrize("accepted", [True, False])
def test_the_others_are_told_a_moment_later(accepted: bool) -> None:
    one = lost(1, 4, 5)
    one.hear(4, offering(4))
    one.step(Answered(accepted))
    assert sent(one.hear(2, looking(2, 2))) == []
    before = len(one.effects)
    one.wait(HOLD_BACK_S)
    told = sent([effect for _, effect in one.effects[before:]])
    assert {each.to for each in told} == {2, 3, 4, 5}
    assert {each.to for each in told if each.notification.rider is not None} == ({4} if accepted else set())
    (said,) = {attrs.evolve(each.notification, rider=None) for each in told}
    assert said.vote.leader == 4


def test_whoever_told_the_heir_alone_goes_with_its_word() -> None:
    one = lost(1, 4, 5)
    one.hear(4, offering(4))
    one.step(Answered(True))
    one.hear(2, looking(2, 2))
    effects = one.hear(4, claim("LEADING", 4, 2))
    (decided,) = (each for each in effects if isinstance(each, Decided))
    assert (decided.vote.leader, decided.settled) == (4, Settled.JOINED)
    assert [each.to for each in sent(effects)] == [2], "nobody else has to be told anything"


def test_also_in_a_round_to_which_another_voter_has_brought_the_heir() -> None:
    one = bound()
    one.hear(3, offering(3, 7))
    assert one.fle.round == 7
    assert one.last_sent(3).rider == Acceptance(6, 3), "it holds still"
    one.hear(3, claim("LEADING", 3, 8))
    assert (one.fle.state, one.fle.round, one.fle.voted_in) == (PeerState.FOLLOWING, 8, 8)


def test_not_where_it_does_not_lead() -> None:
    one = bound()
    one.hear(3, claim("FOLLOWING", 3, 2))
    assert one.fle.state is PeerState.LOOKING


def test_who_was_heard_before_tells_all_that_it_has_joined() -> None:
    one = lost(1, 4, 5).wait(2 * HOLD_BACK_S)
    assert one.last_sent(2).vote.leader == 1
    one.hear(4, offering(4))
    one.step(Answered(True))
    assert [each.to for each in sent(one.hear(4, claim("LEADING", 4, 2)))] == [2, 3, 4, 5]


def test_votes_that_came_early_decide_nothing_before_the_answer() -> None:
    one = Driver(1, ensemble_of(5), EARLY).look()
    for sid in (2, 3, 4, 5):
        one.hear(sid, looking(5))
    one.wait(1)
    one.hear(4, offering(4))
    for sid in (2, 3):
        one.hear(sid, looking(4, 2))
    effects = one.step(Look(0, 0, lost=5, reserved=Reserved(6, 4, 2.0)))
    assert asked(effects)
    assert one.fle.state is PeerState.LOOKING
    told = sent(one.step(Answered(True)))
    assert one.fle.state is PeerState.FOLLOWING
    assert [each.notification.rider for each in told if each.to == 4] == [Acceptance(6, 3)]


def test_the_word_of_an_heir_is_no_quorum_for_one_that_accepted_nothing() -> None:
    one = lost(1, 4, 5)
    one.hear(4, offering(4))
    one.step(Answered(False))
    one.hear(4, claim("LEADING", 4, 2))
    assert one.fle.state is PeerState.LOOKING


def test_it_is_asked_once_and_again_when_a_promise_has_ended() -> None:
    one = lost(1, 4, 5)
    assert asked(one.hear(4, offering(4)))
    one.step(Answered(False))
    assert not [each for each in one.hear(3, looking(3, 2)) if isinstance(each, MayAccept)]
    assert asked(one.step(Freed()))


def test_it_may_be_accepted_after_the_election_has_ended() -> None:
    one = lost(1, 2)
    asked(one.hear(2, offering()))
    told = sent(one.step(Answered(False)))
    assert one.fle.state is PeerState.FOLLOWING
    assert [each.to for each in told] == [2], "it was told nothing yet"
    assert asked(one.step(Freed())) == MayAccept(2, 6, 2.0)
    (late,) = sent(one.step(Answered(True)))
    assert late.notification.state is PeerState.FOLLOWING
    assert late.notification.rider == Acceptance(6, 3)
    assert one.step(Freed()) == []


def test_an_election_goes_on_only_once_it_is_known_whether_it_was_accepted() -> None:
    one = lost(1, 2)
    one.hear(2, offering())
    assert one.fle.state is PeerState.LOOKING
    effects = one.step(Answered(True))
    assert one.fle.state is PeerState.FOLLOWING
    assert [each.to for each in sent(effects)] == [2], "once"


@pytest.mark.parametrize(
    "heard",
    [
        pytest.param(looking(2, 2), id="nothing is offered"),
        pytest.param(offering(offer=Offer(7, 3, 2.0)), id="another epoch"),
        pytest.param(offering(offer=Offer(6, 3, 2.1)), id="a longer lease than what is on disk"),
        pytest.param(offering(zxid=5), id="another history"),
    ],
)
def test_what_else_is_offered_is_not_accepted(heard: Notification) -> None:
    one = lost(1, 2)
    assert not [each for each in one.hear(2, heard) if isinstance(each, MayAccept)]


def test_nobody_but_the_heir_is_listened_to() -> None:
    one = lost(1, 3, 5)
    one.hear(4, offering(4))
    assert not [each for each in one.hear(2, looking(4, 2)) if isinstance(each, MayAccept)]


def test_an_epoch_is_led_under_one_configuration() -> None:
    one, other = lost(1, 2), ensemble_of({1: "participant", 2: "participant", 3: "observer"}, version=0)
    assert isinstance(other, Ensemble)
    assert not [each for each in one.hear(2, offering(), other) if isinstance(each, MayAccept)]


def test_an_offer_that_came_before_this_member_lost_its_leader_counts() -> None:
    one = Driver(1, ensemble_of(3), EARLY).look()
    for sid in (2, 3):
        one.hear(sid, looking(3))
    one.wait(1)
    one.hear(2, offering())
    assert asked(one.step(Look(0, 0, lost=3, reserved=Reserved(6, 2, 2.0))))


def bound() -> Driver:
    """One of five that has accepted the offer of 3, which may lead already."""
    one = lost(1, 3, 5)
    asked(one.hear(3, offering(3)))
    one.step(Answered(True))
    return one


def test_whoever_has_accepted_keeps_its_vote() -> None:
    one = bound()
    one.hear(4, looking(4, 2))
    one.hear(4, looking(4, 7))
    assert one.fle.election is not None
    assert (one.fle.election.proposal.leader, one.fle.round) == (3, 2)
    one.hear(3, claim("LEADING", 3, 2))
    assert one.fle.current_vote is not None
    assert (one.fle.state, one.fle.current_vote.leader) == (PeerState.FOLLOWING, 3)


def test_but_not_for_one_that_votes_for_another() -> None:
    one = bound()
    one.hear(4, looking(4, 2))
    one.hear(3, looking(4, 2))
    one.hear(4, looking(4, 2))
    assert one.fle.election is not None
    assert one.fle.election.proposal.leader == 4
    assert one.last_sent(3).rider is None


def test_nor_for_one_that_has_led_and_looks_again_without_an_offer() -> None:
    one = bound()
    one.hear(3, looking(3, 3))
    one.hear(4, looking(4, 3))
    assert one.fle.election is not None
    assert (one.fle.election.proposal.leader, one.fle.round) == (4, 3)


def test_nor_for_longer_than_a_lease_for_one_that_is_silent() -> None:
    one = bound().wait(OFFER.lease_s - 0.01)
    one.hear(4, looking(4, 3))
    assert one.fle.round == 2
    before = len(one.effects)
    one.wait(0.01)
    told = sent([effect for _, effect in one.effects[before:]])
    assert {each.to for each in told} == {2, 3, 4, 5}, "whoever has moved on answers"
    assert {each.notification.rider for each in told} == {None}
    one.hear(4, looking(4, 3))
    assert one.fle.election is not None
    assert (one.fle.election.proposal.leader, one.fle.round) == (4, 3)


def test_nor_for_one_that_is_gone() -> None:
    one = bound()
    one.step(Gone(3))
    one.hear(4, looking(4, 2))
    assert one.fle.election is not None
    assert one.fle.election.proposal.leader == 4


def test_who_has_not_lost_a_leader_reserves_in_vain() -> None:
    one = Driver(2, ensemble_of(3), EARLY)
    one.step(Look(0, 0, reserved=Reserved(6, 2, 2.0)))
    assert one.last_sent(1).rider is None
