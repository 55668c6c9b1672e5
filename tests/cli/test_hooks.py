"""Hooks: the newest role is told, one hook at a time, and none may run for ever."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from pids import runs

from trio_fle.cli.hooks import Hooks, parse_hook
from trio_fle.errors import ConfigError
from trio_fle.sim.members.ensemble import captured_log

LIMIT_S = 15.0

Events = list[dict[str, Any]]


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[tuple[Hooks, Events]]:
    log, events = captured_log()
    hooks = Hooks(3, log, **options)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hooks.run)
        with trio.fail_after(LIMIT_S):
            yield hooks, events
        nursery.cancel_scope.cancel()


async def until(happened: Callable[[], object]) -> None:
    while not happened():  # noqa: ASYNC110  # another process makes it happen
        await trio.sleep(0.005)


def script(text: str) -> tuple[str, ...]:
    return ("sh", "-c", text)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.interop
async def test_each_role_has_its_hook_with_the_facts_in_its_environment(tmp_path: Path) -> None:
    told = tmp_path / "told"
    say = f'echo "$0 $TRIO_FLE_EPOCH $TRIO_FLE_MYID $TRIO_FLE_LEADER $NOTIFY_SOCKET" >>{told}'
    environ = {**os.environ, "NOTIFY_SOCKET": "/not/for/the/hook"}
    async with running(
        on_leader=(*script(say), "leader"), on_follower=(*script(say), "follower"), environ=environ
    ) as (hooks, events):
        hooks.leads(epoch=5)
        await until(lambda: len(lines(told)) == 1)
        hooks.leads(epoch=5)
        hooks.follows(leader=1, epoch=6)
        await until(lambda: len(lines(told)) == 2)
        hooks.follows(leader=1, epoch=6)
        hooks.leads(epoch=7)
        await until(lambda: len(lines(told)) == 3)
    assert [line.split() for line in lines(told)] == [
        ["leader", "5", "3", "3"],
        ["follower", "6", "3", "1"],
        ["leader", "7", "3", "3"],
    ]
    assert events == []


@pytest.mark.interop
async def test_a_newer_role_ends_the_hook_of_the_older_and_starts_after_it(tmp_path: Path) -> None:
    told = tmp_path / "told"
    slow = (
        f"trap 'echo ended $TRIO_FLE_EPOCH >>{told}; exit 0' TERM;"
        f"sleep 60 & echo began $TRIO_FLE_EPOCH >>{told}; wait"
    )
    async with running(
        on_leader=script(slow), on_follower=script(f"echo follows $TRIO_FLE_EPOCH >>{told}")
    ) as (hooks, events):
        hooks.leads(epoch=1)
        await until(lambda: lines(told))
        hooks.leads(epoch=2)
        await until(lambda: len(lines(told)) == 3)
        hooks.follows(leader=1, epoch=3)
        await until(lambda: len(lines(told)) == 5)
    assert lines(told) == ["began 1", "ended 1", "began 2", "ended 2", "follows 3"]
    assert events == []


@pytest.mark.interop
async def test_a_role_without_a_hook_still_ends_the_hook_of_the_older(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    async with running(on_leader=script(f"echo $$ >{pid_file}; exec sleep 60")) as (hooks, events):
        hooks.leads(epoch=1)
        await until(lambda: lines(pid_file))
        hooks.follows(leader=1, epoch=2)
        pid = int(lines(pid_file)[0])
        await until(lambda: not runs(pid))
    assert events == []


@pytest.mark.interop
async def test_a_hook_that_runs_too_long_is_ended_with_its_group_even_if_it_ignores_sigterm(
    tmp_path: Path,
) -> None:
    pids = tmp_path / "pids"
    deaf = f"trap '' TERM; sleep 60 & echo $$ $! >{pids}; wait; sleep 60"
    async with running(on_leader=script(deaf), limit_s=0.5, grace_s=0.2) as (hooks, events):
        hooks.leads(epoch=4)
        await until(lambda: events)
    assert events == [
        {
            "level": "warning", "event": "hook.failed", "hook": "on-leader", "epoch": 4, "leader": 3,
            "status": None, "reason": "ran longer than 0.5 s",
        }
    ]  # fmt: skip
    left = [int(pid) for pid in pids.read_text().split()]
    with trio.fail_after(LIMIT_S):
        await until(lambda: not any(runs(pid) for pid in left))


@pytest.mark.interop
@pytest.mark.parametrize(
    ("command", "status", "reason"),
    [
        (script("exit 4"), 4, "failed"),
        (script("kill -9 $$"), -9, "failed"),
        (("/nowhere/at-all",), None, "can't be executed: No such file or directory"),
    ],
)
async def test_a_hook_that_fails_is_logged_and_the_next_one_runs(
    command: tuple[str, ...], status: int | None, reason: str, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    async with running(on_follower=command, on_leader=script(f"echo leads >{told}")) as (hooks, events):
        hooks.follows(leader=1, epoch=4)
        await until(lambda: events)
        hooks.leads(epoch=5)
        await until(lambda: lines(told))
    (event,) = events
    assert (event["event"], event["hook"], event["status"], event["reason"]) == (
        "hook.failed", "on-follower", status, reason,
    )  # fmt: skip


@pytest.mark.interop
async def test_the_end_of_the_member_ends_the_hook(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    async with running(on_leader=script(f"echo $$ >{pid_file}; exec sleep 60")) as (hooks, _):
        hooks.leads(epoch=1)
        await until(lambda: lines(pid_file))
    assert not runs(int(lines(pid_file)[0]))


def test_the_words_of_a_hook_are_split_as_a_shell_would_without_a_shell() -> None:
    assert parse_hook("sh -c 'echo $HOME; true'", "--on-leader") == ("sh", "-c", "echo $HOME; true")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sh -c 'x", "--on-leader sh -c 'x: no closing quotation"),
        ("", '--on-leader: there is no command ""'),
        ("no-such-program -x", '--on-leader: there is no command "no-such-program"'),
    ],
)
def test_a_hook_that_cant_be_run_is_one_clear_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_hook(text, "--on-leader")
    assert str(refused.value).startswith(message)
