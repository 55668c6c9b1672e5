"""COMMAND of ``trio-fle run CONFIG -- COMMAND``: it runs while this member leads, and never beside another.

It runs under a guard, see ``trio_fle.cli.guard``, which keeps to the lease whatever becomes of this process.
"""

import contextlib
import math
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs
import trio
from structlog.typing import FilteringBoundLogger

from trio_fle.cli import guard
from trio_fle.errors import ConfigError
from trio_fle.member.term import Term
from trio_fle.telemetry.systemd import VARIABLES as SYSTEMD_VARIABLES

GRACE_S: Final = 10.0
"""How long COMMAND has between SIGTERM and SIGKILL, where the lease does not end before."""

DOUBT: Final = 1 / 3
"""What part of a lease is left when COMMAND gets SIGTERM because no quorum has renewed it."""

AHEAD_S: Final = 0.05
"""SIGKILL comes so much before the end of the lease, so that COMMAND is dead by then."""

_STUCK_S: Final = 5.0
_REPORT_S: Final = 1.0
_LOOK_S: Final = 0.01
_ENDLESS_MS: Final = 2**63 - 1
_CANT_START: Final = 126
_MESSAGE_BYTES: Final = 4096


def check_command(command: Sequence[str], what: str) -> None:
    """Raise ``ConfigError`` unless ``command`` can be run here. ``what`` says where it stands."""
    if sys.platform != "linux":
        raise ConfigError(f"{what}: running a command needs Linux")
    if not command or shutil.which(command[0]) is None:
        name = command[0] if command else ""
        raise ConfigError(
            f'{what}: there is no command "{name}" that may be executed; give its full path, and see that it '
            "is executable (chmod +x)"
        )


def environ_with(environ: Mapping[str, str], **variables: int) -> dict[str, str]:
    """Return what a program of the user's is started with: nothing that is meant for this process alone."""
    inherited = {name: value for name, value in environ.items() if name not in SYSTEMD_VARIABLES}
    return inherited | {f"TRIO_FLE_{name.upper()}": str(value) for name, value in variables.items()}


async def run_child(
    term: Term,
    command: Sequence[str],
    log: FilteringBoundLogger,
    *,
    clock: Callable[[], float] = guard.lease_clock,
    grace_s: float = GRACE_S,
    environ: Mapping[str, str] = os.environ,
) -> int | None:
    """Run COMMAND as the body of ``term``: to be called within ``async with term``.

    It has ``TRIO_FLE_EPOCH``, ``TRIO_FLE_MYID`` and ``TRIO_FLE_LEASE_MS`` (2**63 - 1 where the lease has no
    end) in its environment, /dev/null for stdin, and a process group of its own.

    Returns the status (minus the signal's number, if one killed it; 126 or 127 if it can't be executed) of a
    COMMAND that ended by itself, and None for one that we ended: in doubt (``DOUBT``), or at the lease's end.
    When it returns, or raises ``Cancelled``, nothing runs in the process group any more. That takes what is
    left of the lease, ``grace_s`` at most, and 6 s more where COMMAND hangs in the kernel: it has been sent
    SIGKILL then, so that it won't run another instruction, and is logged as stuck.
    """
    left_s = term.lease_end - clock()
    lease_ms = _ENDLESS_MS if math.isinf(left_s) else max(0, int(left_s * 1000))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        ours.setblocking(False)
        with theirs:
            try:
                process = await trio.lowlevel.open_process(
                    [sys.executable, "-I", "-S", str(Path(guard.__file__)), *command],
                    stdin=theirs.fileno(),
                    env=environ_with(environ, epoch=term.epoch, myid=term.myid, lease_ms=lease_ms),
                    start_new_session=True,  # the terminal's signals are the member's affair
                )
            except OSError as error:
                reason = f"can't start its guard: {error.strerror}"
                log.warning("child.exited", pid=None, epoch=term.epoch, status=_CANT_START, reason=reason)
                return _CANT_START
        child = _Child(term, log, clock, process, ours)
        try:
            await child.run()
        finally:
            with trio.CancelScope(shield=True):
                await child.end(grace_s)
            child.log_end()
        return child.status if child.cause == "itself" else None


@attrs.define(eq=False)
class _Child:
    """COMMAND and its guard."""

    term: Term
    log: FilteringBoundLogger
    clock: Callable[[], float]
    guard: trio.Process
    link: socket.socket
    pid: int | None = None
    status: int | None = None
    cause: str = "itself"
    failure: str | None = None

    async def run(self) -> None:
        """Keep the guard told of the lease, until COMMAND or the term has ended."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tell_of_lease, nursery.cancel_scope)
            await self._listen()
            nursery.cancel_scope.cancel()

    async def _tell_of_lease(self, scope: trio.CancelScope) -> None:
        while self.term.live:
            end, left_s = self.term.lease_end, self.term.lease_left_s
            doubt_at = end if math.isinf(end) else end - max(AHEAD_S, left_s * DOUBT)
            self._tell(f"lease {doubt_at} {end - AHEAD_S}")
            with trio.move_on_after(left_s):
                await self.term.wait_renewed()
        scope.cancel()

    def _tell(self, message: str) -> None:
        with contextlib.suppress(OSError):  # a guard that reads nothing, or is no more, is ended by ``end``
            self.link.send(message.encode())

    async def _listen(self) -> None:
        """Take in what the guard says; returns when it has ended."""
        while True:
            try:
                message = self.link.recv(_MESSAGE_BYTES).decode()
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self.link)
                continue
            except OSError:
                return
            kind, _, rest = message.partition(" ")
            match kind:
                case "started":
                    self.pid = int(rest)
                    self.log.info("child.started", pid=self.pid, epoch=self.term.epoch)
                case "failed":
                    self.failure = rest
                case "exited":
                    status, self.cause = rest.split()
                    self.status = int(status)
                case _:
                    return

    async def end(self, grace_s: float) -> None:
        """See to it that COMMAND has ended: SIGTERM, and SIGKILL at the end of the lease or of the grace."""
        end = min(self.term.lease_end, self.clock() + grace_s)
        self._tell(f"terminate {end - AHEAD_S}")
        with trio.move_on_after(max(0.0, end - AHEAD_S / 2 - self.clock())):
            await self._listen()
        if self.status is None:  # the guard is late, stopped, or dead
            self._signal_group(signal.SIGKILL)
            with trio.move_on_after(_REPORT_S):
                await self._listen()
            self.guard.kill()
        with trio.move_on_after(_STUCK_S) as patience:
            await self.guard.wait()
            while self.status is None and self._signal_group(0):  # noqa: ASYNC110  # nobody tells us
                await trio.sleep(_LOOK_S)
        if patience.cancelled_caught:
            self.log.error("child.stuck", pid=self.pid, epoch=self.term.epoch)

    def _signal_group(self, number: int) -> bool:
        """Signal the process group; return whether there is one."""
        if self.pid is None:
            return False
        with contextlib.suppress(ChildProcessError):  # as process 1 we inherit what the guard leaves
            os.waitpid(-self.pid, os.WNOHANG)
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    def log_end(self) -> None:
        """Log how it ended; settle the status of one whose guard did not say it."""
        reasons = {
            "itself": self.failure or "by itself",
            "terminate": self.term.ended_by or "the member stops",
            "lease": "the lease was not renewed",
        }
        reason = reasons.get(self.cause, self.cause)
        failed = self.cause == "lease" or (self.cause == "itself" and self.status != 0)
        report = self.log.warning if failed else self.log.info
        if self.status is None and self.pid is not None:
            self.status, reason = -signal.SIGKILL, "its guard died, or hung"
            report = self.log.warning
        elif self.status is None and self.guard.returncode:
            self.status, reason = self.guard.returncode, "its guard could not start it"
            report = self.log.warning
        elif self.status is None:
            return  # too late for this lease
        report("child.exited", pid=self.pid, epoch=self.term.epoch, status=self.status, reason=reason)
