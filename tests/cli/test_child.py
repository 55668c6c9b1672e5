"""COMMAND of ``run -- COMMAND`` in real processes: it runs while the term lasts, and is dead in time."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from pids import runs, watched

from trio_fle.cli.child import check_command, environ_with, run_child
from trio_fle.cli.guard import lease_clock
from trio_fle.errors import ConfigError
from trio_fle.member.term import Leadership, Term
from trio_fle.sim.members.ensemble import captured_log

LIMIT_S = 15.0
STUBBORN = ["sh", "-c", "trap '' TERM; touch ready; while :; do sleep 0.05; done"]
POLITE = ["sh", "-c", "trap 'touch asked; exit 5' TERM; touch ready; while :; do sleep 0.02; done"]

BEATING = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
beats = os.open("beats", os.O_CREAT | os.O_WRONLY)
while True:
    os.pwrite(beats, b"%20.6f" % time.clock_gettime(time.CLOCK_BOOTTIME), 0)
    if not os.path.exists("ready"):
        open("ready", "w").close()
    time.sleep(0.001)
"""
RESTLESS = [sys.executable, "-I", "-S", "-c", BEATING]
"""Ignores SIGTERM, and notes the time as long as it runs."""


def last_beat(directory: Path) -> float:
    return float((directory / "beats").read_text())


@attrs.define
class Story:
    """One leadership, and what the log says of it."""

    directory: Path
    leadership: Leadership
    events: list[dict[str, Any]]
    run: Callable[..., Any]

    def event(self, name: str) -> dict[str, Any]:
        (found,) = [event for event in self.events if event["event"] == name]
        return found

    async def until(self, happened: Callable[[], bool]) -> None:
        with trio.fail_after(LIMIT_S):
            while not happened():  # noqa: ASYNC110  # another process makes it happen
                await trio.sleep(0.005)

    async def ready(self) -> int:
        """Wait until COMMAND has set its traps; return its process id."""
        await self.until(lambda: bool(self.events) and (self.directory / "ready").exists())
        pid = self.event("child.started")["pid"]
        assert isinstance(pid, int)
        return pid

    def guard(self) -> int:
        """The process id of the guard: the parent of COMMAND."""
        pid = self.event("child.started")["pid"]
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.fixture
def story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Story:
    monkeypatch.chdir(tmp_path)
    log, events = captured_log()
    leadership = Leadership(myid=2, epoch=7, clock=lease_clock, lease_end=lease_clock() + LIMIT_S)

    async def run(command: list[str], **options: Any) -> int | None:
        with trio.fail_after(3 * LIMIT_S):
            async with Term(leadership) as term:
                return await run_child(term, command, log, **options)
        return None

    return Story(tmp_path, leadership, events, run)


@pytest.mark.interop
async def test_a_child_that_ends_by_itself_returns_its_status_and_both_are_logged(story: Story) -> None:
    assert await story.run(["sh", "-c", "exit 3"]) == 3
    started, exited = story.events
    assert started == {"level": "info", "event": "child.started", "pid": started["pid"], "epoch": 7}
    assert exited == {
        "level": "warning", "event": "child.exited", "pid": started["pid"], "epoch": 7, "status": 3,
        "reason": "by itself",
    }  # fmt: skip
    assert not runs(started["pid"])


@pytest.mark.interop
async def test_the_child_knows_the_epoch_the_member_and_the_lease(story: Story) -> None:
    show = 'echo "$TRIO_FLE_EPOCH $TRIO_FLE_MYID $TRIO_FLE_LEASE_MS $OURS $NOTIFY_SOCKET" >told'
    environ = {**os.environ, "OURS": "kept", "NOTIFY_SOCKET": "/not/for/the/child"}
    assert await story.run(["sh", "-c", show], environ=environ) == 0
    epoch, myid, lease_ms, ours = (story.directory / "told").read_text().split()
    assert (epoch, myid, ours) == ("7", "2", "kept")
    assert 0 < int(lease_ms) <= LIMIT_S * 1000


@pytest.mark.interop
async def test_a_lease_without_an_end_is_told_as_the_greatest_number(story: Story) -> None:
    story.leadership.lease_end = math.inf
    assert await story.run(["sh", "-c", "echo $TRIO_FLE_LEASE_MS >told"]) == 0
    assert int((story.directory / "told").read_text()) == 2**63 - 1


@pytest.mark.interop
async def test_a_command_that_cant_be_executed_has_a_shells_status_and_a_reason(story: Story) -> None:
    assert await story.run(["/nowhere/at-all"]) == 127
    assert story.event("child.exited")["reason"] == "No such file or directory"


@pytest.mark.interop
async def test_the_end_of_the_term_asks_the_child_to_end_and_waits_for_it(story: Story) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(story.run, POLITE)
        pid = await story.ready()
        story.leadership.end("quorum lost")
        with trio.fail_after(LIMIT_S):
            await story.leadership.wait_vacated()
        assert not runs(pid)
    assert (story.directory / "asked").exists()
    assert story.event("child.exited")["status"] == 5
    assert story.event("child.exited")["reason"] == "quorum lost"


@pytest.mark.interop
async def test_a_cancellation_from_outside_does_the_same(story: Story) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(story.run, POLITE)
        pid = await story.ready()
        nursery.cancel_scope.cancel()
    assert not runs(pid)
    assert (story.event("child.exited")["status"], story.event("child.exited")["reason"]) == (
        5,
        "the member stops",
    )


@pytest.mark.interop
async def test_a_cancellation_at_any_moment_of_the_start_leaves_nothing_running(story: Story) -> None:
    for delay_ms in range(0, 60, 3):
        story.events.clear()
        with trio.move_on_after(delay_ms / 1000):
            await story.run(["sleep", "60"])
        kinds = [event["event"] for event in story.events]
        assert kinds in ([], ["child.started", "child.exited"])
        assert not [event for event in story.events if event.get("pid") and runs(event["pid"])]


@pytest.mark.interop
async def test_a_child_that_ignores_sigterm_is_killed_by_the_end_of_the_lease(story: Story) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(story.run, RESTLESS)
        await story.ready()
        story.leadership.lease_end = lease_clock() + 0.5  # the lease that was last granted
        story.leadership.end("quorum lost")
        with trio.fail_after(LIMIT_S):
            await story.leadership.wait_vacated()
    assert story.event("child.exited")["status"] == -9
    assert story.leadership.lease_end - 0.2 < last_beat(story.directory) < story.leadership.lease_end


@pytest.mark.interop
async def test_where_the_lease_has_no_end_the_grace_has(story: Story) -> None:
    story.leadership.lease_end = math.inf
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: story.run(STUBBORN, grace_s=0.2))
        await story.ready()
        story.leadership.end("resigned")
    assert story.event("child.exited")["status"] == -9


@pytest.mark.interop
async def test_renewals_keep_the_child_alive_beyond_its_first_lease_and_their_want_ends_it(
    story: Story,
) -> None:
    story.leadership.lease_end = lease_clock() + 1.5
    statuses = []

    async def run() -> None:
        statuses.append(await story.run(POLITE))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await story.ready()
        end = lease_clock() + 2.0
        while lease_clock() < end:
            story.leadership.renew(lease_clock() + 1.5)
            await trio.sleep(0.05)
        assert not statuses
    assert statuses == [None]
    assert story.event("child.exited")["status"] == 5, "in doubt it is asked, before the lease is over"
    assert story.event("child.exited")["reason"] == "the lease was not renewed"


@pytest.mark.interop
async def test_a_lease_that_runs_out_unnoticed_kills_a_stubborn_child_in_time(story: Story) -> None:
    story.leadership.lease_end = lease_clock() + 0.8
    assert await story.run(RESTLESS) is None
    assert last_beat(story.directory) < story.leadership.lease_end
    assert story.event("child.exited")["status"] == -9
    assert story.leadership.ended_by is None


@pytest.mark.interop
async def test_a_child_whose_guard_is_killed_dies_with_its_group_and_counts_as_ended_by_itself(
    story: Story,
) -> None:
    statuses = []
    brood = ["sh", "-c", "sleep 60 & echo $! >brood; touch ready; wait"]

    async def run() -> None:
        statuses.append(await story.run(brood))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        pid = await story.ready()
        os.kill(story.guard(), signal.SIGKILL)
    assert statuses == [-9]
    assert not runs(pid)
    assert not runs(int((story.directory / "brood").read_text()))
    assert story.event("child.exited")["reason"] == "its guard died, or hung"
    assert [event["event"] for event in story.events] == ["child.started", "child.exited"]


@pytest.mark.interop
async def test_a_stopped_guard_does_not_save_the_child_at_the_end_of_the_lease(story: Story) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(story.run, RESTLESS)
        pid = await story.ready()
        guard = story.guard()
        os.kill(guard, signal.SIGSTOP)
        story.leadership.lease_end = lease_clock() + 0.3
        story.leadership.end("quorum lost")
    late_s = last_beat(story.directory) - story.leadership.lease_end
    assert late_s < 1.0, "here the event loop must do it, and may be held up as no guard is"
    assert not runs(guard)
    assert not runs(pid)


@pytest.mark.interop
async def test_an_environment_that_no_process_can_have_ends_the_child_not_the_member(story: Story) -> None:
    environ = {**os.environ, "HUGE": "x" * 200_000}
    assert await story.run(["true"], environ=environ) == 126
    assert story.event("child.exited")["reason"].startswith("can't start its guard: ")


MEMBER = """
import sys, trio
from trio_fle.cli.child import run_child
from trio_fle.cli.guard import lease_clock
from trio_fle.member.term import Leadership, Term
from trio_fle.telemetry import LogWriter, build_logger

LEASE_S = float(sys.argv[1])

async def renew(leadership):
    while True:
        leadership.renew(lease_clock() + LEASE_S)
        await trio.sleep(0.05)

async def main():
    log = build_logger(1, LogWriter(sys.stdout), "json")
    leadership = Leadership(myid=1, epoch=1, clock=lease_clock, lease_end=lease_clock() + LEASE_S)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(renew, leadership)
        async with Term(leadership) as term:
            await run_child(term, sys.argv[2:], log)

trio.run(main)
"""


@contextmanager
def member(directory: Path, lease_s: float, *command: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run a process that leads for ever and runs COMMAND; give it, and the child's id once it is ready."""
    with subprocess.Popen(
        [sys.executable, "-c", MEMBER, str(lease_s), *command],
        stdout=subprocess.PIPE, text=True, cwd=directory,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            pid = json.loads(process.stdout.readline())["pid"]
            while not (directory / "ready").exists():
                assert runs(pid)
                time.sleep(0.01)
            yield process, pid
        finally:
            process.kill()


@pytest.mark.interop
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_member_that_dies_of_anything_takes_the_child_and_its_group_with_it_at_once(
    number: signal.Signals, tmp_path: Path
) -> None:
    brood = "trap '' TERM; sleep 600 & echo $! >brood; touch ready; wait; sleep 600"
    with (
        member(tmp_path, 600, "sh", "-c", brood) as (process, pid),
        watched(pid) as child,
        watched(int((tmp_path / "brood").read_text())) as grandchild,
    ):
        process.send_signal(number)
        assert child.dies_within(LIMIT_S)
        assert grandchild.dies_within(LIMIT_S)


@pytest.mark.interop
def test_a_member_that_is_stopped_has_no_child_at_the_end_of_its_lease(tmp_path: Path) -> None:
    lease_s = 1.5
    with member(tmp_path, lease_s, *RESTLESS) as (process, pid):
        with watched(pid) as child:
            assert not child.dies_within(2 * lease_s)
            process.send_signal(signal.SIGSTOP)
            stopped_at = lease_clock()
            assert child.dies_within(LIMIT_S)
        assert stopped_at < last_beat(tmp_path) < stopped_at + lease_s
        process.send_signal(signal.SIGCONT)
        assert process.stdout is not None
        exited = json.loads(process.stdout.readline())
        assert (exited["event"], exited["status"]) == ("child.exited", -9)
        assert exited["reason"] == "the lease was not renewed"


def test_a_command_that_is_not_there_is_refused_before_anything_starts() -> None:
    check_command(["sh"], "--")
    check_command(["/bin/sh", "-c", "true"], "--")
    with pytest.raises(ConfigError, match='COMMAND: there is no command "no-such-program"'):
        check_command(["no-such-program"], "COMMAND")
    with pytest.raises(ConfigError, match='COMMAND: there is no command ""'):
        check_command([], "COMMAND")


def test_what_systemd_says_to_the_member_is_not_handed_on() -> None:
    environ = {"PATH": "/bin", "NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "2"}
    assert environ_with(environ, epoch=3) == {"PATH": "/bin", "TRIO_FLE_EPOCH": "3"}
