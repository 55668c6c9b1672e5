"""Whole members elect, lose each other, and elect again: in virtual time, over memory streams."""

import itertools
import random

import pytest
import trio
from core_driver import looking
from nodes import Caller, address_of, body, hello
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_fle.election.options import ElectionOptions
from trio_fle.errors import ListenError
from trio_fle.member.electing import INBOX_PER_PEER
from trio_fle.sim.members.ensemble import VirtualEnsemble, VirtualMember, ensemble_of
from trio_fle.sim.members.network import VirtualNetwork
from trio_fle.wire import encode_frame, encode_notification

VOTERS = dict.fromkeys((1, 2, 3), "participant")
FIVE = dict.fromkeys((1, 2, 3, 4, 5), "participant")
WITH_OBSERVERS = {1: "participant", 2: "participant", 3: "participant", 4: "observer", 5: "observer"}


@pytest.mark.parametrize("roles", [VOTERS, FIVE, WITH_OBSERVERS], ids=["3", "5", "3 and 2 observers"])
async def test_they_elect_from_cold_in_little_more_than_the_finalize_wait(
    roles: dict[int, str], autojump_clock: MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        ensemble = VirtualEnsemble(nursery, roles)
        await ensemble.start()
        await trio.sleep(0.7)
        assert ensemble.leader() == max(sid for sid, role in roles.items() if role == "participant")
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("order", list(itertools.permutations((1, 2, 3))))
async def test_whoever_starts_first_the_first_quorum_elects_and_the_last_follows(
    order: tuple[int, ...], autojump_clock: MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        ensemble = VirtualEnsemble(nursery, VOTERS)
        await ensemble.start(order[0])
        await trio.sleep(100)
        await ensemble.start(order[1])
        await trio.sleep(1)
        assert ensemble.leader() == max(order[:2])
        await ensemble.start(order[2])
        await trio.sleep(0.5)
        assert ensemble.leader() == max(order[:2])
        nursery.cancel_scope.cancel()


async def test_a_killed_leader_is_replaced_and_follows_when_it_comes_back(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        ensemble = VirtualEnsemble(nursery, FIVE)
        await ensemble.start()
        await trio.sleep(1)
        for _ in range(5):
            leader = ensemble.leader()
            ensemble.kill(leader)
            await trio.sleep(0.3)
            successor = ensemble.leader()
            assert successor != leader
            await ensemble.start(leader)
            await trio.sleep(0.3)
            assert ensemble.leader() == successor
        nursery.cancel_scope.cancel()


async def test_survivors_vote_once_and_for_the_next_leader(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        ensemble = VirtualEnsemble(nursery, FIVE)
        await ensemble.start()
        await trio.sleep(1)
        before = {sid: len(member.named("election.vote")) for sid, member in ensemble.running.items()}
        ensemble.kill(5)
        await trio.sleep(1)
        assert ensemble.leader() == 4
        for sid, member in ensemble.running.items():
            assert member.named("election.started")[-1]["leader"] == 4
            assert len(member.named("election.vote")) == before[sid]
        nursery.cancel_scope.cancel()


async def test_all_restarted_at_once_elect_again(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        ensemble = VirtualEnsemble(nursery, VOTERS)
        await ensemble.start()
        await trio.sleep(1)
        for sid in VOTERS:
            ensemble.kill(sid)
        await ensemble.start()
        await trio.sleep(1)
        assert ensemble.leader() == 3
        nursery.cancel_scope.cancel()


async def test_followers_restarted_at_once_do_not_leave_two_leaders(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        ensemble = VirtualEnsemble(nursery, VOTERS)
        await ensemble.start(1, 3)
        await trio.sleep(1)
        await ensemble.start(2)
        await trio.sleep(1)
        assert ensemble.leader() == 3
        for sid in (1, 2):
            ensemble.kill(sid)
            await ensemble.start(sid)
        await trio.sleep(5)
        ensemble.leader()
        nursery.cancel_scope.cancel()


async def test_a_leader_with_only_an_observer_left_gives_up(autojump_clock: MockClock) -> None:
    """ZOOKEEPER-1294, ObserverLETest."""
    async with trio.open_nursery() as nursery:
        ensemble = VirtualEnsemble(nursery, WITH_OBSERVERS)
        await ensemble.start()
        await trio.sleep(1)
        assert ensemble.leader() == 3
        ensemble.kill(1)
        ensemble.kill(2)
        await trio.sleep(5)
        assert ensemble.running[3].role() == ("LOOKING", None)
        await ensemble.start(1)
        await trio.sleep(2)
        assert ensemble.leader() == 3
        nursery.cancel_scope.cancel()


async def test_an_observer_started_two_minutes_into_a_lost_quorum_joins_within_a_second_of_it(
    autojump_clock: MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        ensemble = VirtualEnsemble(nursery, WITH_OBSERVERS)
        await ensemble.start(1, 4)
        await trio.sleep(120)
        await ensemble.start(5)
        await trio.sleep(120)
        await ensemble.start(2)
        await trio.sleep(0.3)
        assert ensemble.running[2].role() == ("LEADING", 2), "the quorum is back"
        await trio.sleep(1)
        assert ensemble.leader() == 2
        nursery.cancel_scope.cancel()


async def test_a_flood_from_one_voter_changes_nothing(autojump_clock: MockClock) -> None:
    """Decision 2: in ZooKeeper's one queue it would push out what the others say."""
    net = VirtualNetwork()
    async with trio.open_nursery() as nursery:
        ensemble = VirtualEnsemble(nursery, FIVE, net=net)
        await ensemble.start(1, 2, 3)

        async def flood() -> None:
            for target in (1, 2, 3):
                stream = net.call(address_of(target))
                await stream.send_all(hello(5) + encode_frame(body(0, 5)) * 20_000)
                nursery.start_soon(Caller(stream).next)

        nursery.start_soon(flood)
        await trio.sleep(1)
        assert set(ensemble.roles_now().values()) <= {("FOLLOWING", 5), ("LEADING", 3), ("FOLLOWING", 3)}
        for _ in range(INBOX_PER_PEER + 1):  # more at once than it is ever given time to hear
            ensemble.running[1].member.election.deliver(5, looking(5))
        (told,) = (each for each in ensemble.running[1].named("peer.overflow") if each["queue"] == "inbox")
        assert (told["peer"], told["level"]) == (5, "warning")
        nursery.cancel_scope.cancel()


async def test_a_stalled_election_says_why_at_doubling_intervals(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        ensemble = VirtualEnsemble(nursery, FIVE)
        await ensemble.start(2)
        times = []
        for _ in range(700):
            await trio.sleep(0.1)
            times += [trio.current_time()] * (len(ensemble.running[2].named("election.stalled")) - len(times))
        assert times == pytest.approx([2, 6, 14, 30, 62], abs=0.2)
        told = ensemble.running[2].named("election.stalled")[0]
        assert (told["because"], told["missing"], told["round"]) == ("no_quorum_reachable", [1, 3, 4, 5], 1)
        nursery.cancel_scope.cancel()


async def test_a_quick_election_says_nothing_of_being_stalled(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        ensemble = VirtualEnsemble(nursery, VOTERS)
        await ensemble.start()
        await trio.sleep(100)
        for member in ensemble.running.values():
            assert member.named("election.stalled") == []
            assert member.named("election.decided")[0]["settled"] == "unanimous"
            assert member.named("member.started")[0]["servers"][0].startswith("server.1=192.0.2.1:2888:3888")
        nursery.cancel_scope.cancel()


async def test_other_server_lines_are_told_apart(autojump_clock: MockClock) -> None:
    net = VirtualNetwork()
    async with trio.open_nursery() as nursery:
        one = VirtualMember(1, ensemble_of(VOTERS), net)
        two = VirtualMember(2, ensemble_of(FIVE), net)
        await nursery.start(one.run)
        await nursery.start(two.run)
        await trio.sleep(3)
        assert one.role()[0] == "FOLLOWING", "2 of 3 agree with it"
        assert two.named("election.stalled")[0]["because"] == "no_quorum_reachable"
        nursery.cancel_scope.cancel()


async def test_an_unforeseen_error_in_any_task_ends_the_member(autojump_clock: MockClock) -> None:
    """The zombie: process alive, one task dead, health check green."""
    for broken in ("step", "answer"):
        net = VirtualNetwork()
        member = VirtualMember(1, ensemble_of(VOTERS), net)
        with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
            async with trio.open_nursery() as nursery:
                with pytest.MonkeyPatch.context() as patch:
                    target = (
                        "trio_fle.election.fle.FastLeaderElection."
                        + {"step": "step", "answer": "_hear"}[broken]
                    )
                    patch.setattr(target, lambda *_: 1 // 0)
                    nursery.start_soon(member.run)
                    await trio.sleep(1)
                    stream = net.call(address_of(1))
                    await stream.send_all(hello(2) + encode_frame(body(1, 2)))
                    await trio.sleep(1)


async def test_a_port_in_use_is_the_one_error_that_comes_out(autojump_clock: MockClock) -> None:
    net = VirtualNetwork()
    await net.host("other").listen([address_of(1)])
    member = VirtualMember(1, ensemble_of(VOTERS), net)
    with pytest.raises(ListenError):
        await member.run()


async def test_who_is_no_candidate_follows_and_never_leads(autojump_clock: MockClock) -> None:
    net = VirtualNetwork()
    async with trio.open_nursery() as nursery:
        members = [
            VirtualMember(sid, ensemble_of(VOTERS), net, ElectionOptions(candidate=sid != 3))
            for sid in (1, 2, 3)
        ]
        for member in members:
            await nursery.start(member.run)
        await trio.sleep(1)
        assert [member.role() for member in members] == [("FOLLOWING", 2), ("LEADING", 2), ("FOLLOWING", 2)]
        members[1].kill()
        await trio.sleep(1)
        assert members[2].role() == ("FOLLOWING", 1)
        nursery.cancel_scope.cancel()


async def test_a_leader_that_was_convinced_of_another_in_the_same_round_is_left(
    autojump_clock: MockClock,
) -> None:
    """A Java server does so when a third one comes back within its finalize wait, and never says more."""
    net = VirtualNetwork()
    async with trio.open_nursery() as nursery:
        member = VirtualMember(1, ensemble_of(VOTERS), net)
        await nursery.start(member.run)
        stream = net.call(address_of(1))
        await stream.send_all(hello(2) + encode_frame(encode_notification(looking(2))))
        nursery.start_soon(Caller(stream).next)
        await trio.sleep(0.5)
        assert member.role() == ("FOLLOWING", 2)
        await stream.send_all(encode_frame(encode_notification(looking(3))))
        await trio.sleep(1)
        assert member.role() == ("LOOKING", None)
        nursery.cancel_scope.cancel()


async def test_a_cancelled_member_leaves_nothing_running(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        before = trio.lowlevel.current_statistics().tasks_living
        ensemble = VirtualEnsemble(nursery, FIVE)
        await ensemble.start()
        await trio.sleep(5)
        for sid in FIVE:
            ensemble.kill(sid)
        await wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living == before
        assert ensemble.net.listeners == {}


@pytest.mark.parametrize("seed", range(60))
async def test_whatever_is_killed_and_started_they_end_on_one_leader(
    seed: int, autojump_clock: MockClock
) -> None:
    """A story of kills and restarts at awkward moments; fifteen quiet seconds later all agree."""
    rng = random.Random(seed)
    roles = dict.fromkeys(range(1, rng.choice([3, 4, 5]) + 1), "participant")
    if rng.random() < 0.4:
        roles[len(roles) + 1] = "observer"
    async with trio.open_nursery() as nursery:
        ensemble = VirtualEnsemble(nursery, roles)
        for sid in rng.sample(list(roles), len(roles)):
            await ensemble.start(sid)
            await trio.sleep(rng.choice([0, 0.01, 0.1, 0.25, 1]))
        for _ in range(rng.randrange(1, 12)):
            await trio.sleep(rng.choice([0, 0.005, 0.05, 0.1, 0.2, 0.21, 0.3, 0.6, 2]))
            sid = rng.choice(list(roles))
            if sid in ensemble.running:
                ensemble.kill(sid)
            else:
                await ensemble.start(sid)
        for sid in roles.keys() - ensemble.running.keys():
            await ensemble.start(sid)
        await trio.sleep(15)
        ensemble.leader()
        nursery.cancel_scope.cancel()


async def test_an_observer_tells_the_epoch_of_its_leader_which_is_not_its_own(
    autojump_clock: MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        ensemble = VirtualEnsemble(nursery, WITH_OBSERVERS)
        await ensemble.start()
        status = await ensemble.running[4].member.wait_for_leader()
        assert (status.leader, status.epoch, status.synced) == (3, 1, True)
        assert ensemble.storages[4].stored.epoch == 0
        nursery.cancel_scope.cancel()
