"""Real members are killed, asked to go and suspended, fifty times: one leader at a time, always another."""

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from chaos import History, Leadership, faults
from processes import Plan, Server, open_servers, story
from test_ensembles_of_ours import agreed

from trio_fle.sim.invariants import (
    LEADERSHIP,
    ONE_ACTS,
    PROMISES_ARE_KEPT,
    VOTE_HAS_QUORUM,
    ViolationError,
)

pytestmark = pytest.mark.interop

TICK_MS = 100
LEASE_S = 0.5


async def strike(rng: random.Random, server: Server, history: History) -> str:
    """Let something happen to one member, and undo it."""
    assert server.process is not None
    blow = rng.choice(["SIGKILL", "SIGTERM", "SIGSTOP"])
    if blow == "SIGSTOP":
        server.process.send_signal(signal.SIGSTOP)
        await trio.sleep(rng.choice([0.1, 1.2, 1.2]))
        server.process.send_signal(signal.SIGCONT)
        return blow
    with trio.fail_after(10):
        code = await server.end(signal.Signals[blow])
    assert code == (0 if blow == "SIGTERM" else -signal.SIGKILL)
    history.keep(server)
    await trio.sleep(rng.choice([0, 0.3, 0.8]))
    await server.start()
    return blow


@pytest.mark.beside
@pytest.mark.parametrize(("size", "rounds"), [(3, 50), (5, 30)])
async def test_blow_after_blow_there_is_one_leader_at_a_time_and_always_another(
    size: int, rounds: int, tmp_path: Path
) -> None:
    rng = random.Random(size)
    with trio.fail_after(240):
        async with open_servers() as (nursery, servers):
            plan = Plan(tmp_path, dict.fromkeys(range(1, size + 1), "participant"), tick_ms=TICK_MS)
            servers += [plan.ours(sid, nursery) for sid in plan.roles]
            history = History(servers)
            with story(servers):
                for server in servers:
                    await server.start()
                blows: list[str] = []
                for _ in range(rounds):
                    with trio.fail_after(30):
                        leader = await agreed(servers)
                    followers = [server for server in servers if server is not leader]
                    struck = leader if rng.random() < 0.6 else rng.choice(followers)
                    blows.append(await strike(rng, struck, history))
                await agreed(servers)
                assert history.faults() == []
    led = history.leaderships()
    assert len(led) > rounds / 4, "most blows hit the leader"
    assert {"SIGKILL", "SIGTERM", "SIGSTOP"} == set(blows)


async def test_a_lost_quorum_ends_the_leader_and_its_command_and_comes_back_with_a_higher_epoch(
    tmp_path: Path,
) -> None:
    command = ("--", "sh", "-c", f"echo $$ > {tmp_path}/child.$TRIO_FLE_MYID; exec sleep 1000")
    with trio.fail_after(90):
        async with open_servers() as (nursery, servers):
            plan = Plan(tmp_path, dict.fromkeys((1, 2, 3), "participant"), tick_ms=TICK_MS)
            servers += [plan.ours(sid, nursery, options=command) for sid in plan.roles]
            with story(servers):
                for server in servers:
                    await server.start()
                leader = await agreed(servers)
                (first,) = leader.events("leading.established")
                child = await started_child(tmp_path, leader)
                for server in servers:
                    if server is not leader:
                        assert server.process is not None
                        server.process.send_signal(signal.SIGSTOP)
                silent_at = time.time()
                await until(lambda: not child.exists())
                assert time.time() - silent_at < LEASE_S + 0.1
                await leader.wait_role(("LOOKING", None))
                for server in servers:
                    if server is not leader:
                        await server.kill()
                await trio.sleep(1)
                assert leader.established() is None
                for server in servers:
                    if server.process is None:
                        await server.start()
                again = await agreed(servers)
                assert again.events("leading.established")[-1]["epoch"] > first["epoch"]


async def test_a_suspended_leader_has_lost_its_command_before_another_begins(tmp_path: Path) -> None:
    command = ("--", "sh", "-c", f"echo $$ > {tmp_path}/child.$TRIO_FLE_MYID; exec sleep 1000")
    with trio.fail_after(60):
        async with open_servers() as (nursery, servers):
            plan = Plan(tmp_path, dict.fromkeys((1, 2, 3), "participant"), tick_ms=TICK_MS)
            servers += [plan.ours(sid, nursery, options=command) for sid in plan.roles]
            with story(servers):
                for server in servers:
                    await server.start()
                leader = await agreed(servers)
                child = await started_child(tmp_path, leader)
                assert leader.process is not None
                leader.process.send_signal(signal.SIGSTOP)
                others = [server for server in servers if server is not leader]
                await until(lambda: any(server.events("leading.established") for server in others))
                assert not child.exists()
                successor = await agreed(others)
                leader.process.send_signal(signal.SIGCONT)
                await leader.wait_role(("FOLLOWING", successor.sid))
                assert leader.events("leading.lost")[-1]["overdue_ms"] > 0


async def until(true: Callable[[], bool]) -> None:
    """Look every few milliseconds whether something has come true."""
    while not true():  # noqa: ASYNC110 (processes outside tell nobody)
        await trio.sleep(0.003)


async def started_child(directory: Path, leader: Server) -> Path:
    """The directory in /proc of the command that runs under ``leader``."""
    file = directory / f"child.{leader.sid}"
    await until(lambda: file.exists() and bool(file.read_text().strip()))
    return Path("/proc") / file.read_text().strip()


def test_the_checker_sees_overlaps_and_epochs_that_repeat() -> None:
    one, two = Leadership(1, 5, began=10, ended=12), Leadership(2, 6, began=11.9, ended=13)
    assert len(faults([one, two])) == 1
    assert len(faults([one, Leadership(2, 5, began=12.1, ended=13)])) == 1
    assert faults([one, Leadership(2, 6, began=12.1, ended=13)]) == []


def test_the_simulators_checker_sees_in_logs_what_must_not_be() -> None:
    def event(second: float, name: str, **more: object) -> dict[str, object]:
        return {"timestamp": f"2026-01-01T00:00:{second:09.6f}Z", "event": name, **more}

    vote = {"round": 1, "leader": 2, "epoch": 0, "zxid": "0x0"}
    one = [
        event(1, "member.started", accepted_epoch=0),
        event(1.1, "election.started", **vote),
        event(1.3, "election.decided", **vote, settled="unanimous"),
        event(1.5, "following.synced", leader=2, epoch=1),
    ]
    two = [
        event(1.2, "election.started", **vote),
        event(1.3, "election.decided", **vote, settled="unanimous"),
        event(1.4, "leading.established", epoch=1),
    ]
    ends = {1: [2e9], 2: [2e9]}

    def check(*more_of_one: dict[str, object]) -> str:
        try:
            History([], {1: [*one, *more_of_one], 2: two}, ends).check(lambda sids: len(sids) > 1)
        except ViolationError as error:
            return error.invariant
        return ""

    assert check() == ""
    assert check(event(3, "leading.established", epoch=2)) == ONE_ACTS
    assert check(event(3, "leading.established", epoch=1)) == LEADERSHIP
    assert check(event(3, "member.started", accepted_epoch=0)) == PROMISES_ARE_KEPT
    later = {**vote, "leader": 1}
    assert check(event(3, "election.decided", **later, settled="wait")) == VOTE_HAS_QUORUM
