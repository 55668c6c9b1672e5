"""The guard with the member's end of its connection in the test's hands: COMMAND never outlives its time."""

import ctypes
import math
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest
from pids import runs, watched

from trio_fle.cli import guard
from trio_fle.cli.guard import lease_clock

pytestmark = pytest.mark.interop

LIMIT_S = 15.0
"""Nothing here takes so long; a deadline that is missed by less is told apart by other means."""

SCRIPT = [sys.executable, "-I", "-S", guard.__file__]
BLIND = """
import sys
from trio_fle.cli import guard
guard.Timer.__init__ = lambda self, libc: setattr(self, "descriptor", None)
guard.main(sys.argv[1:])
"""
WITHOUT_TIMER = [sys.executable, "-c", BLIND]
STUBBORN = ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"]
POLITE = ["sh", "-c", "trap 'echo asked; exit 5' TERM; echo ready; while :; do sleep 0.02; done"]


@attrs.define
class Guarded:
    """A guard, and what it tells."""

    process: subprocess.Popen[str]
    link: socket.socket

    def tell(self, message: str) -> None:
        self.link.send(message.encode())

    def lease(self, seconds: float, *, doubt: float | None = None) -> float:
        """Grant a lease from now on; return when it ends."""
        end = lease_clock() + seconds
        self.tell(f"lease {end if doubt is None else end - seconds + doubt} {end}")
        return end

    def report(self) -> str:
        return self.link.recv(4096).decode()

    def started(self) -> int:
        kind, pid = self.report().split()
        assert kind == "started"
        return int(pid)

    def line(self) -> str:
        """The next line that COMMAND wrote to the stdout it shares with us."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@contextmanager
def guarded(*command: str, script: list[str] = SCRIPT) -> Iterator[Guarded]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(LIMIT_S)
    with (
        ours,
        subprocess.Popen(
            [*script, *command], stdin=theirs, stdout=subprocess.PIPE, text=True, start_new_session=True
        ) as process,
    ):
        theirs.close()
        try:
            yield Guarded(process, ours)
            ours.close()
            process.wait(LIMIT_S)  # it ends what runs, and then itself
        finally:
            process.kill()


@pytest.mark.parametrize(("script", "status"), [("exit 7", 7), ("kill -TERM $$", -15), ("exit 0", 0)])
def test_a_command_that_ends_by_itself_has_its_status_told(script: str, status: int) -> None:
    with guarded("sh", "-c", script) as it:
        it.lease(LIMIT_S)
        pid = it.started()
        assert it.report() == f"exited {status} itself"
        assert it.report() == ""
        assert it.process.wait(LIMIT_S) == 0
        assert not runs(pid)


@pytest.mark.parametrize(
    ("command", "reason", "status"),
    [("/nowhere/at-all", "No such file or directory", 127), ("/etc/passwd", "Permission denied", 126)],
)
def test_a_command_that_cant_be_executed_is_told_with_the_reason(
    command: str, reason: str, status: int
) -> None:
    with guarded(command) as it:
        it.lease(LIMIT_S)
        told = {it.report() for _ in range(3)}
        assert {f"failed {reason}", f"exited {status} itself"} < told


def test_nothing_starts_without_a_lease_or_in_one_that_is_over() -> None:
    with guarded("echo", "started") as it:
        it.link.close()
        assert it.process.wait(LIMIT_S) == 0
        assert it.line() == ""
    with guarded("echo", "started") as it:
        it.lease(-0.01)
        assert it.report() == ""
        assert it.process.wait(LIMIT_S) == 0
        assert it.line() == ""


@pytest.mark.parametrize("script", [SCRIPT, WITHOUT_TIMER], ids=["timer", "without timer"])
def test_a_command_that_ignores_sigterm_is_killed_when_the_time_is_up(script: list[str]) -> None:
    with guarded(*STUBBORN, script=script) as it:
        it.lease(LIMIT_S)
        pid = it.started()
        assert it.line() == "ready"
        end = it.lease(0.4, doubt=0.1)
        assert it.report() == "exited -9 lease"
        assert 0 <= lease_clock() - end < 2
        assert not runs(pid)


def test_in_doubt_the_command_gets_sigterm_before_its_time_is_up() -> None:
    with guarded(*POLITE) as it:
        it.lease(LIMIT_S)
        it.started()
        assert it.line() == "ready"
        it.lease(LIMIT_S, doubt=0.1)
        assert it.line() == "asked"
        assert it.report() == "exited 5 lease"


def test_a_renewed_lease_puts_both_off_and_a_stubborn_command_is_asked_again_in_the_next_doubt() -> None:
    counting = "trap 'echo asked' TERM; echo ready; while :; do sleep 0.02; done"
    with guarded("sh", "-c", counting) as it:
        it.lease(LIMIT_S)
        it.started()
        assert it.line() == "ready"
        for _ in range(30):
            it.lease(LIMIT_S, doubt=1.0)
            time.sleep(0.05)
        for _ in range(2):
            begin = lease_clock()
            it.lease(LIMIT_S, doubt=0.3)
            assert it.line() == "asked"
            assert lease_clock() - begin >= 0.3


def test_the_newest_time_counts_also_where_it_is_earlier() -> None:
    with guarded("sleep", "60") as it:
        it.lease(math.inf)
        it.started()
        it.lease(0.2)
        assert it.report() == "exited -9 lease"


def test_an_order_to_terminate_reaches_the_command_and_the_time_still_counts() -> None:
    with guarded(*POLITE) as it:
        it.lease(math.inf)
        it.started()
        assert it.line() == "ready"
        it.tell(f"terminate {lease_clock() + LIMIT_S}")
        assert it.report() == "exited 5 terminate"
    with guarded(*STUBBORN) as it:
        it.lease(math.inf)
        it.started()
        assert it.line() == "ready"
        it.tell(f"terminate {lease_clock() + 0.2}")
        assert it.report() == "exited -9 terminate"


def test_an_order_that_comes_at_once_is_not_lost_on_a_command_that_is_just_starting() -> None:
    for _ in range(20):
        with guarded("sleep", "60") as it:
            it.lease(math.inf)
            it.tell(f"terminate {lease_clock() + LIMIT_S}")
            it.started()
            assert it.report() == "exited -15 terminate"


def test_the_end_of_the_connection_kills_at_once() -> None:
    with guarded(*STUBBORN) as it:
        it.lease(math.inf)
        with watched(it.started()) as child:
            assert it.line() == "ready"
            it.link.close()
            assert child.dies_within(LIMIT_S)
        assert it.process.wait(LIMIT_S) == 0


def test_a_guard_that_is_killed_takes_the_command_with_it() -> None:
    with guarded(*STUBBORN) as it:
        it.lease(math.inf)
        with watched(it.started()) as child:
            assert it.line() == "ready"
            it.process.kill()
            assert child.dies_within(LIMIT_S)


def test_what_the_command_leaves_behind_dies_with_it_in_its_group_or_out_of_it() -> None:
    leaving = "sleep 60 & echo $!; setsid sh -c 'sleep 60 & echo $!; wait' & sleep 60 & echo $!; wait"
    with guarded("sh", "-c", leaving) as it:
        it.lease(math.inf)
        it.started()
        left = [int(it.line()) for _ in range(3)]
        assert all(runs(pid) for pid in left)
        it.tell(f"terminate {lease_clock() + LIMIT_S}")
        assert it.report() == "exited -15 terminate"
        assert not any(runs(pid) for pid in left)


def test_orphans_that_end_while_the_command_runs_are_reaped() -> None:
    with guarded("sh", "-c", "(sh -c 'echo $$; exec sleep 0.1' &); sleep 60") as it:
        it.lease(math.inf)
        it.started()
        orphan, end = int(it.line()), time.monotonic() + LIMIT_S
        while Path(f"/proc/{orphan}").exists():
            assert time.monotonic() < end
            time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_signals_that_stop_a_service_do_not_stop_its_guard(number: signal.Signals) -> None:
    with guarded(*POLITE) as it:
        it.lease(math.inf)
        it.started()
        assert it.line() == "ready"
        it.process.send_signal(number)
        it.tell(f"terminate {lease_clock() + LIMIT_S}")
        assert it.line() == "asked"


def test_the_command_has_a_group_of_its_own_and_nothing_of_the_guards() -> None:
    with guarded("ls", "/proc/self/fd") as it:
        it.lease(math.inf)
        assert it.process.stdout is not None
        assert it.process.stdout.read().split() == ["0", "1", "2", "3"]  # and 3 is the directory
    with guarded("readlink", "/proc/self/fd/0") as it:
        it.lease(math.inf)
        assert it.line() == "/dev/null"
    with guarded("grep", "-E", "Sig(Ign|Blk)", "/proc/self/status") as it:
        it.lease(math.inf)
        classic = 2**31 - 1  # beyond them are the C library's own, as whoever started us left them
        assert [int(it.line().split()[1], 16) & classic for _ in range(2)] == [0, 0]
    with guarded("sleep", "60") as it:
        it.lease(math.inf)
        pid = it.started()
        assert os.getpgid(pid) == pid
        assert os.getsid(pid) == it.process.pid


def test_the_guard_loads_nothing_but_the_standard_library() -> None:
    with guarded("sleep", "60") as it:
        it.lease(math.inf)
        it.started()
        maps = Path(f"/proc/{it.process.pid}/maps").read_text()
        assert "site-packages" not in maps
        status = Path(f"/proc/{it.process.pid}/status").read_text()
        resident_kib = int(status.split("VmRSS:")[1].split()[0])
        assert resident_kib < 20_000


def test_the_timer_wakes_at_a_time_of_the_lease_clock_and_forgets_it_when_set_anew() -> None:
    timer = guard.Timer(ctypes.CDLL(None))
    assert timer.descriptor is not None
    poll = select.poll()
    poll.register(timer.descriptor, select.POLLIN)
    try:
        at = lease_clock() + 0.1
        timer.set(at)
        assert poll.poll(LIMIT_S * 1000)
        assert lease_clock() >= at
        timer.set(math.inf)
        assert not poll.poll(0)
        timer.set(-1.0)
        assert poll.poll(LIMIT_S * 1000)
    finally:
        os.close(timer.descriptor)
