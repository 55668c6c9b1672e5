"""``--on-leader CMD`` and ``--on-follower CMD``: short programs that are told of a new role."""

import contextlib
import os
import shlex
import signal
import subprocess
from collections.abc import Mapping
from typing import Final

import attrs
import trio
from structlog.typing import FilteringBoundLogger

from trio_fle.cli.child import check_command, environ_with
from trio_fle.errors import ConfigError

LIMIT_S: Final = 30.0
"""How long a hook may run."""

GRACE_S: Final = 5.0
"""How long it has between SIGTERM and SIGKILL, when it ran too long or a newer one takes its place."""

_STDERR: Final = 2


def parse_hook(text: str, option: str) -> tuple[str, ...]:
    """Split the value of an option as a shell would, without a shell; raises ``ConfigError``."""
    try:
        command = tuple(shlex.split(text))
    except ValueError as error:
        raise ConfigError(f"{option} {text}: {str(error).lower()}") from error
    check_command(command, option)
    return command


@attrs.frozen
class _Call:
    """One hook to run."""

    hook: str
    command: tuple[str, ...]
    epoch: int
    leader: int


@attrs.define(eq=False)
class Hooks:
    """Runs the hook of the newest role, one at a time.

    A newer hook ends an older one that still runs, of whichever role, before it starts: so the hook that ran
    last speaks of the role that came last, and one that came and went while another was being ended is left
    out. A hook is not guarded as COMMAND is: it may still run when this member leads no more.
    """

    myid: int
    log: FilteringBoundLogger
    on_leader: tuple[str, ...] = ()
    """Command words; empty where nothing is to be run."""
    on_follower: tuple[str, ...] = ()
    limit_s: float = LIMIT_S
    grace_s: float = GRACE_S
    environ: Mapping[str, str] = attrs.field(factory=lambda: os.environ)
    _newest: _Call | None = attrs.field(default=None, init=False)
    _news: trio.Event = attrs.field(factory=trio.Event, init=False)
    _running: trio.CancelScope | None = attrs.field(default=None, init=False)

    def __bool__(self) -> bool:
        """Whether there is anything to run."""
        return bool(self.on_leader or self.on_follower)

    def leads(self, epoch: int) -> None:
        """Note that this member leads in ``epoch``. Never waits; the same role is told once."""
        self._take(_Call("on-leader", self.on_leader, epoch, self.myid))

    def follows(self, leader: int, epoch: int) -> None:
        """Note that this member follows ``leader`` in ``epoch``."""
        self._take(_Call("on-follower", self.on_follower, epoch, leader))

    def _take(self, call: _Call) -> None:
        if call == self._newest:
            return
        self._newest = call
        self._news.set()
        if self._running is not None:
            self._running.cancel()

    async def run(self) -> None:
        """Run hooks until cancelled; the one that runs then is ended."""
        while True:
            await self._news.wait()
            self._news = trio.Event()
            call = self._newest
            if call is not None and call.command:
                with trio.CancelScope() as self._running:
                    await self._run_one(call)
                self._running = None

    async def _run_one(self, call: _Call) -> None:
        environ = environ_with(self.environ, epoch=call.epoch, myid=self.myid, leader=call.leader)
        with trio.move_on_after(self.limit_s) as limit:
            try:
                done = await trio.run_process(
                    call.command,
                    stdin=subprocess.DEVNULL,
                    stdout=_STDERR,  # stdout is the log's
                    env=environ,
                    check=False,
                    start_new_session=True,
                    deliver_cancel=self._end,
                )
            except OSError as error:
                self._fail(call, reason=f"can't be executed: {error.strerror}")
                return
        if limit.cancelled_caught:
            self._fail(call, reason=f"ran longer than {self.limit_s:g} s")
        elif done.returncode != 0:
            self._fail(call, reason="failed", status=done.returncode)

    def _fail(self, call: _Call, *, reason: str, status: int | None = None) -> None:
        self.log.warning(
            "hook.failed", hook=call.hook, epoch=call.epoch, leader=call.leader, status=status, reason=reason
        )

    async def _end(self, process: trio.Process) -> None:
        """Ask the hook's process group to end; kill it after a while, or what is left of it."""
        with contextlib.suppress(ProcessLookupError):  # it ended while we decided to end it
            try:
                os.killpg(process.pid, signal.SIGTERM)
                await trio.sleep(self.grace_s)
            finally:
                os.killpg(process.pid, signal.SIGKILL)
