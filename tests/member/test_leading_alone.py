"""Two servers and an oracle: one may lead alone where the oracle says so, and never both."""

import pytest
import trio
from trio.testing import MockClock
from witness import TWO, isolate, watched

from trio_fle.election.stalled import Because
from trio_fle.sim.members.ensemble import VirtualEnsemble
from trio_fle.sim.members.oracle import VirtualOracle

LEASE_S = 2.5
"""syncLimit 5 * tickTime 500 ms."""

USABLE_S = 0.9 * LEASE_S
TICK_S = 0.5


def oracles(yes: int | None) -> dict[int, VirtualOracle]:
    return {sid: VirtualOracle(b"1" if sid == yes else b"0") for sid in TWO}


def turn(towards: int | None, files: dict[int, VirtualOracle]) -> None:
    for sid, file in files.items():
        file.content = b"1" if sid == towards else b"0"


def answers(ensemble: VirtualEnsemble, sid: int) -> list[bool]:
    return [line["yes"] for line in ensemble.running[sid].named("oracle.answered")]


@pytest.mark.parametrize("yes", [None, 1, 2])
async def test_two_that_are_alive_are_a_majority_whatever_the_oracle_says(
    yes: int | None, autojump_clock: MockClock
) -> None:
    async with watched(TWO, oracles=oracles(yes)) as (ensemble, _, witness):
        await ensemble.start()
        await trio.sleep(2)
        assert witness.leader() == 2
        assert ensemble.running[1].role() == ("FOLLOWING", 2)
        assert answers(ensemble, 1) == [yes == 1]
        (established,) = ensemble.running[2].named("leading.established")
        assert established["followers"] == [1]


async def test_without_a_yes_nobody_leads_alone(autojump_clock: MockClock) -> None:
    async with watched(TWO, oracles=oracles(None)) as (ensemble, _, witness):
        await ensemble.start()
        await trio.sleep(2)
        ensemble.kill(witness.leader())
        await trio.sleep(20)
        assert not ensemble.running[1].leads()
        assert witness.epochs == [2 - 1]


async def test_who_has_the_yes_replaces_a_killed_leader_at_once(autojump_clock: MockClock) -> None:
    async with watched(TWO, oracles=oracles(1)) as (ensemble, _, witness):
        await ensemble.start()
        await trio.sleep(4)
        ensemble.kill(2)
        await trio.sleep(0.1)
        assert witness.leader() == 1
        (established,) = ensemble.running[1].named("leading.established")
        assert established["followers"] == []
        (decided,) = (line for line in ensemble.running[1].named("election.decided") if line["leader"] == 1)
        assert decided["settled"] == "oracle"


async def test_a_leader_alone_has_a_lease_that_ends_like_any_other(autojump_clock: MockClock) -> None:
    async with watched(TWO, oracles=oracles(1)) as (ensemble, _, witness):
        await ensemble.start(1)
        await trio.sleep(4)
        for _ in range(100):
            await trio.sleep(0.11)
            left_s = ensemble.running[1].member.status.lease_left_s(ensemble.running[1].clock())
            assert USABLE_S - TICK_S / 2 <= left_s <= USABLE_S
        assert witness.leader() == 1


async def test_a_leader_that_fell_silent_is_replaced_once_its_lease_is_over(
    autojump_clock: MockClock,
) -> None:
    async with watched(TWO, oracles=oracles(1)) as (ensemble, net, witness):
        await ensemble.start()
        await trio.sleep(4)
        isolate(net, 2, TWO)
        cut_at = trio.current_time()
        await trio.sleep(6)
        assert witness.leader() == 1
        assert LEASE_S - 0.25 <= witness.led[-1][0] - cut_at < LEASE_S + 1


async def test_a_yes_that_came_after_the_leader_was_killed_is_acted_on_at_once(
    autojump_clock: MockClock,
) -> None:
    files = oracles(2)
    async with watched(TWO, oracles=files) as (ensemble, _, witness):
        await ensemble.start()
        await trio.sleep(4)
        ensemble.kill(2)
        await trio.sleep(30)
        assert not ensemble.running[1].leads()
        turn(1, files)
        await trio.sleep(TICK_S / 2 + 0.25)  # until it is asked, and the first time-out of an election
        assert witness.leader() == 1


async def test_a_yes_that_came_after_the_leader_fell_silent_is_acted_on_after_a_whole_lease(
    autojump_clock: MockClock,
) -> None:
    """The other may have seen its last yes just before."""
    files = oracles(2)
    async with watched(TWO, oracles=files) as (ensemble, net, witness):
        await ensemble.start()
        await trio.sleep(4)
        isolate(net, 2, TWO)
        await trio.sleep(30)
        assert witness.leader() == 2, "the oracle says yes to it: nothing was lost"
        assert len(ensemble.running[2].named("leading.established")) == 1
        turn(1, files)
        turned_at = trio.current_time()
        await trio.sleep(LEASE_S - 0.1)
        assert not ensemble.running[2].leads()
        assert not ensemble.running[1].leads()
        stalled = ensemble.running[1].member.status.stalled
        assert stalled is not None
        assert (stalled.because, stalled.missing) == (Because.WAITING_LEASE, (2,))
        await trio.sleep(TICK_S + 0.3)
        assert witness.leader() == 1
        assert witness.led[-1][0] - turned_at >= LEASE_S


async def test_a_leader_with_a_yes_goes_on_without_its_follower_and_without_a_gap(
    autojump_clock: MockClock,
) -> None:
    async with watched(TWO, oracles=oracles(2)) as (ensemble, _, witness):
        await ensemble.start()
        await trio.sleep(4)
        ensemble.kill(1)
        for _ in range(200):
            await trio.sleep(0.05)
            assert ensemble.running[2].leads()
        assert witness.epochs == [1]
        assert ensemble.running[2].named("leading.lost") == []


@pytest.mark.parametrize("since_s", [0.3, 5])
async def test_a_leader_with_a_yes_goes_on_without_a_follower_that_fell_silent(
    since_s: float, autojump_clock: MockClock
) -> None:
    """Also where it had its yes for less than a lease: its follower followed it under this yes."""
    files = oracles(None)
    async with watched(TWO, oracles=files) as (ensemble, net, _):
        await ensemble.start()
        await trio.sleep(4)
        turn(2, files)
        await trio.sleep(since_s)
        await trio.sleep(TICK_S)
        isolate(net, 1, TWO)
        for _ in range(200):
            await trio.sleep(0.05)
            assert ensemble.running[2].leads()
        assert ensemble.running[2].named("leading.lost") == []
        assert len(ensemble.running[2].named("leading.learner_lost")) == 1


async def test_a_leader_without_a_yes_does_not_go_on(autojump_clock: MockClock) -> None:
    async with watched(TWO, oracles=oracles(None)) as (ensemble, _, _):
        await ensemble.start()
        await trio.sleep(4)
        ensemble.kill(1)
        await trio.sleep(0.1)
        assert not ensemble.running[2].leads()


async def test_a_leader_alone_ends_with_the_first_no(autojump_clock: MockClock) -> None:
    files = oracles(1)
    async with watched(TWO, oracles=files) as (ensemble, _, _):
        await ensemble.start(1)
        await trio.sleep(4)
        assert ensemble.running[1].leads()
        turn(None, files)
        await trio.sleep(TICK_S / 2 + 0.01)
        assert not ensemble.running[1].leads()


async def test_who_comes_back_follows_the_one_that_leads_alone_and_there_are_two_again(
    autojump_clock: MockClock,
) -> None:
    files = oracles(1)
    async with watched(TWO, oracles=files) as (ensemble, _, witness):
        await ensemble.start()
        await trio.sleep(4)
        ensemble.kill(2)
        await trio.sleep(4)
        assert witness.leader() == 1
        await ensemble.start(2)
        await trio.sleep(1)
        assert witness.leader() == 1
        assert ensemble.running[2].role() == ("FOLLOWING", 1)
        assert ensemble.running[2].member.status.synced
        turn(None, files)
        await trio.sleep(5)
        assert witness.leader() == 1, "its follower makes up a majority"
        assert len(ensemble.running[1].named("leading.established")) == 1
        ensemble.kill(2)
        await trio.sleep(0.1)
        assert not ensemble.running[1].leads()


async def test_a_yes_that_turns_from_one_to_the_other_is_no_moment_of_two_leaders(
    autojump_clock: MockClock,
) -> None:
    """Cut off from each other, the clocks of both as far apart as the margin allows."""
    files = oracles(2)
    async with watched(TWO, {1: 1.05, 2: 0.96}, oracles=files) as (ensemble, net, witness):
        await ensemble.start()
        await trio.sleep(4)
        isolate(net, 2, TWO)
        for towards in (1, 2, 1, 2):
            turn(towards, files)
            await trio.sleep(8)
            assert witness.leader() == towards


async def test_an_oracle_that_turns_faster_than_a_lease_makes_nobody_leader(
    autojump_clock: MockClock,
) -> None:
    files = oracles(None)
    async with watched(TWO, oracles=files) as (ensemble, net, _):
        isolate(net, 1, TWO)
        await ensemble.start()
        for round_ in range(20):
            turn(1 + round_ % 2, files)
            await trio.sleep(LEASE_S - 0.1)
            assert not ensemble.running[1].leads()
            assert not ensemble.running[2].leads()


async def test_a_file_that_is_written_anew_is_empty_for_a_moment_and_takes_nothing_away(
    autojump_clock: MockClock,
) -> None:
    files = oracles(1)
    async with watched(TWO, oracles=files) as (ensemble, _, _):
        await ensemble.start(1)
        await trio.sleep(4)
        for _ in range(40):
            await trio.sleep(0.23)
            files[1].content = b""
            await trio.sleep(0.06)
            files[1].content = b"1"
            assert ensemble.running[1].leads()
        assert len(ensemble.running[1].named("leading.established")) == 1
        assert answers(ensemble, 1) == [True]


@pytest.mark.parametrize("content", [None, b""])
async def test_a_file_that_stays_empty_or_unreadable_is_a_no(
    content: bytes | None, autojump_clock: MockClock
) -> None:
    files = oracles(1)
    async with watched(TWO, oracles=files) as (ensemble, _, _):
        await ensemble.start(1)
        await trio.sleep(4)
        files[1].content = content
        await trio.sleep(USABLE_S)
        assert not ensemble.running[1].leads()
        await trio.sleep(10)
        assert answers(ensemble, 1) == [True, False]
        unreadable = ensemble.running[1].named("oracle.unreadable")
        assert len(unreadable) == (content is None)
        files[1].content = b"1"
        await trio.sleep(10)
        assert ensemble.running[1].leads()


async def test_an_oracle_that_does_not_answer_holds_up_nobody_and_is_a_no(
    autojump_clock: MockClock,
) -> None:
    class Hanging(VirtualOracle):
        async def read(self) -> bytes:
            await trio.sleep_forever()
            raise AssertionError

    async with watched(TWO, oracles={1: Hanging(), 2: VirtualOracle(b"0")}) as (ensemble, _, witness):
        await ensemble.start()
        await trio.sleep(4)
        assert witness.leader() == 2
        ensemble.kill(2)
        await trio.sleep(10)
        assert not ensemble.running[1].leads()
        assert answers(ensemble, 1) == [False]
        (unreadable,) = ensemble.running[1].named("oracle.unreadable")
        assert unreadable["reason"] == "no answer within 0.5 s"


async def test_with_three_voters_nobody_asks_the_oracle(autojump_clock: MockClock) -> None:
    three = dict.fromkeys((1, 2, 3), "participant")
    files = {sid: VirtualOracle(b"1" if sid == 3 else b"0") for sid in three}
    async with watched(three, oracles=files) as (ensemble, _, witness):
        await ensemble.start()
        await trio.sleep(4)
        ensemble.kill(1)
        ensemble.kill(2)
        await trio.sleep(10)
        assert not ensemble.running[3].leads()
        assert [file.reads for file in files.values()] == [0, 0, 0]
        assert witness.epochs == [1]


async def test_an_observer_observes_the_one_that_leads_alone(autojump_clock: MockClock) -> None:
    roles = {**TWO, 3: "observer"}
    files = {**oracles(1), 3: VirtualOracle(b"0")}
    async with watched(roles, oracles=files) as (ensemble, _, witness):
        await ensemble.start(1, 3)
        await trio.sleep(5)
        assert witness.leader() == 1
        assert ensemble.running[3].role() == ("OBSERVING", 1)
        assert ensemble.running[3].member.status.synced


async def test_a_voter_that_is_no_candidate_does_not_lead_alone(autojump_clock: MockClock) -> None:
    from trio_fle.election.options import ElectionOptions

    async with watched(TWO, oracles=oracles(1)) as (ensemble, _, _):
        ensemble.own_options = {1: ElectionOptions(candidate=False)}
        await ensemble.start(1)
        await trio.sleep(10)
        assert ensemble.running[1].role() == ("LOOKING", None)


async def test_epochs_that_are_led_alone_are_never_those_of_the_other(autojump_clock: MockClock) -> None:
    """Even where neither ever met the other, and the oracle turned from one to the other."""
    files = oracles(1)
    epochs: dict[int, set[int]] = {1: set(), 2: set()}
    async with watched(TWO, oracles=files) as (ensemble, net, witness):
        isolate(net, 1, TWO)
        for round_ in range(6):
            sid = 1 + round_ % 2
            witness.epochs.clear()  # they do not grow then: nobody could know of the other's
            turn(sid, files)
            await ensemble.start(sid)
            await trio.sleep(4)
            assert witness.leader() == sid
            epochs[sid] |= {each["epoch"] for each in ensemble.running[sid].named("leading.established")}
            ensemble.kill(sid)
            await trio.sleep(1)
    assert not epochs[1] & epochs[2]
    assert all(len(each) == 3 for each in epochs.values())
