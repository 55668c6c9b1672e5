"""Which voters a role must not count on, by what they say."""

import trio
from trio.testing import MockClock

from trio_fle.election.events import VoterLooking
from trio_fle.member.looking import LookingVoters


async def test_a_voter_that_is_slow_to_decide_is_no_reason_for_doubt(autojump_clock: MockClock) -> None:
    looking = LookingVoters()
    await trio.sleep(10)
    looking.begin(3)
    looking.note(VoterLooking(2, 3), connected_at=9)
    assert looking.within(100) == set()


async def test_who_looks_in_a_later_round_or_has_come_anew_is_doubted_for_a_while(
    autojump_clock: MockClock,
) -> None:
    looking = LookingVoters()
    await trio.sleep(10)
    looking.begin(3)
    looking.note(VoterLooking(1, 4), connected_at=9)
    await trio.sleep(1)
    looking.note(VoterLooking(2, 1), connected_at=10.5)
    assert looking.within(0.5) == {2}
    assert looking.within(1) == {1, 2}
    looking.begin(4)
    assert looking.within(100) == set()


async def test_a_voter_that_was_convinced_by_a_better_vote_in_the_same_round_is_doubted(
    autojump_clock: MockClock,
) -> None:
    looking = LookingVoters()
    await trio.sleep(10)
    looking.begin(3)
    looking.note(VoterLooking(1, 2, convinced=True), connected_at=9)
    assert looking.within(100) == set(), "a vote of a finished round"
    looking.note(VoterLooking(2, 3, convinced=True), connected_at=9)
    assert looking.within(100) == {2}
