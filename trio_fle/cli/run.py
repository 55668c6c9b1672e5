"""``trio-fle run``: the long-running member, and the command that it guards."""

import gc
import math
import os
import signal
import sys
from pathlib import Path
from typing import Final

import attrs
import click
import structlog
import trio

from trio_fle.admin import serve_admin
from trio_fle.cli.child import check_command, run_child
from trio_fle.cli.exits import STOPPED, USAGE, Exit
from trio_fle.cli.hooks import Hooks, parse_hook
from trio_fle.cli.options import config_options, load_chosen
from trio_fle.config import MemberConfig
from trio_fle.errors import ConfigError, MemberStoppedError
from trio_fle.member import Member, open_member
from trio_fle.member.opening import STOP_WITHIN_S
from trio_fle.telemetry import LogWriter, Notifier, build_logger, watch_loop

STOPS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
ECHO_S: Final = 1.0
RESTART_AFTER_S: Final = 1.0
"""Pause before a command that ended by itself is started again."""
_NICE: Final = 19


@attrs.define(eq=False)
class Stop:
    """Whether and why the member is to stop in good order."""

    event: trio.Event = attrs.field(factory=trio.Event)
    reason: str = "an unforeseen error, told on stderr"
    error: MemberStoppedError | None = None
    """Why it had to stop by itself, where it had to."""
    starting: trio.CancelScope | None = attrs.field(factory=trio.CancelScope)
    """What the member starts in; None once it has: the start may wait for ever for the own name."""

    def ask(self, reason: str) -> None:
        """Ask for it; the first reason is kept."""
        if not self.event.is_set():
            self.reason = reason
            self.event.set()
        if self.starting is not None:
            self.starting.cancel()


@attrs.frozen
class Extras:
    """What runs beside the member, as its roles come and go."""

    command: tuple[str, ...]
    on_child_exit: str
    hooks: Hooks


class _Run(click.Command):
    """Refuses a COMMAND that is empty: what it would run if a variable of a script or a unit were set."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line."""
        ends_so = args[-1:] == ["--"]
        rest = super().parse_args(ctx, args)
        if ends_so and not ctx.params["command"] and "--" not in ctx.params.values():
            raise click.UsageError("there is no COMMAND behind --; leave out both, or say what to run", ctx)
        return rest


@click.command(cls=_Run, epilog="Example: trio-fle run zoo.cfg --set tickTime=500 -- ./my-service --port 80")
@config_options
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--on-child-exit",
    type=click.Choice(["resign", "restart", "stop"]),
    default="resign",
    show_default=True,
    help="What to do when COMMAND ends by itself.",
)
@click.option("--on-leader", metavar="CMD", help="Short hook: run when this member begins to lead.")
@click.option("--on-follower", metavar="CMD", help="Short hook: run when it follows a leader.")
@click.option(
    "--log-format",
    type=click.Choice(["auto", "json", "console"]),
    default="auto",
    help="auto: for people on a terminal, else one JSON object a line.",
)
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
def run(
    config: str,
    command: tuple[str, ...],
    settings: tuple[str, ...],
    myid: int | None,
    from_hostname: bool,
    data_dir: str | None,
    on_child_exit: str,
    on_leader: str | None,
    on_follower: str | None,
    log_format: str,
    log_level: str,
) -> None:
    """Be the member of an ensemble that CONFIG (a zoo.cfg) describes, until SIGTERM, SIGINT or SIGHUP.

    With a COMMAND (behind --), run it while this member leads, and only then: it gets TRIO_FLE_EPOCH (the
    fencing token), TRIO_FLE_MYID and TRIO_FLE_LEASE_MS, SIGTERM when the leadership is in doubt, and SIGKILL
    before another member can lead.
    """
    try:
        loaded = load_chosen(config, settings, myid, from_hostname, data_dir)
        if command:
            check_command(command, "COMMAND")
        hook_of = {
            option: () if text is None else parse_hook(text, option)
            for option, text in (("--on-leader", on_leader), ("--on-follower", on_follower))
        }
    except ConfigError as error:
        raise Exit(str(error), USAGE) from error
    # started with stdout closed, it has nobody to tell, and elects all the same
    writer = LogWriter(sys.stdout if sys.stdout is not None else Path(os.devnull).open("w"))  # noqa: SIM115
    log = build_logger(loaded.myid, writer, log_format, log_level)
    hooks = Hooks(loaded.myid, log, on_leader=hook_of["--on-leader"], on_follower=hook_of["--on-follower"])
    try:
        trio.run(_serve, loaded, writer, log, Extras(command, on_child_exit, hooks))
        for number in STOPS:
            signal.signal(number, signal.SIG_IGN)  # an interpreter that ends would end by them
    except MemberStoppedError as error:
        raise Exit(str(error), STOPPED) from error


async def _serve(
    config: MemberConfig, writer: LogWriter, log: structlog.typing.FilteringBoundLogger, extras: Extras
) -> None:
    """Run the member and the log's writer; the first SIGTERM, SIGINT or SIGHUP stops in good order."""
    for warning in config.warnings:
        log.warning("config.warning", reason=warning)
    gc.freeze()  # modules and classes live as long as the process: no collection in an election walks them
    stop = Stop()
    async with trio.open_nursery() as service:
        await service.start(writer.run)
        await service.start(_stop_on_signal, stop)
        try:
            await _live(config, log, extras, stop)
        finally:
            os.nice(_NICE)  # whoever takes over on this machine needs the processor more than our exit
            if stop.error is None:
                log.info("member.stopped", reason=stop.reason)
            else:
                log.error("member.stopped", reason=str(stop.error))
        service.cancel_scope.cancel()
    if stop.error is not None:
        raise stop.error


async def _live(
    config: MemberConfig, log: structlog.typing.FilteringBoundLogger, extras: Extras, stop: Stop
) -> None:
    """Be a member, and serve those who ask, until told to stop.

    It stops first, so that its followers know at once; whoever asks meanwhile is told. What is guarded ends
    before it resigns, and before its data directory may be another process's, however long that takes.
    """
    notifier = Notifier.from_environ(os.environ)
    assert stop.starting is not None
    try:
        with stop.starting:
            async with open_member(config, log=log) as member:
                stop.starting = None
                notifier.notify(ready=1)  # it listens, and has its state; a leader may come later
                async with trio.open_nursery() as beside:
                    _begin(beside, member, log, extras, stop, notifier)
                    await stop.event.wait()
                    notifier.notify(stopping=1)
                    with trio.move_on_after(config.sync_s + STOP_WITHIN_S):
                        await member.stop()
                    beside.cancel_scope.cancel()
    except MemberStoppedError as error:
        stop.error = error


def _begin(
    beside: trio.Nursery,
    member: Member,
    log: structlog.typing.FilteringBoundLogger,
    extras: Extras,
    stop: Stop,
    notifier: Notifier,
) -> None:
    """Begin what runs beside the member."""
    config = member.config
    beside.start_soon(_answer, member, log)
    beside.start_soon(watch_loop, config.tick_s / 2, config.lease_margin * config.sync_s, log)
    beside.start_soon(notifier.run_watchdog)
    beside.start_soon(extras.hooks.run)
    if extras.hooks or notifier:
        beside.start_soon(_tell_roles, member, extras.hooks, notifier)
    if extras.command:
        beside.start_soon(_guard, member, extras, log, stop)


async def _answer(member: Member, log: structlog.typing.FilteringBoundLogger) -> None:
    """Answer whoever asks, at the addresses that the configuration of the moment gives."""
    while True:
        options = member.config.admin
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_admin, member.config, lambda: member.status, member.clock, log)
            while member.config.admin == options:
                await member.membership.reconfigured.wait()
            nursery.cancel_scope.cancel()


async def _tell_roles(member: Member, hooks: Hooks, notifier: Notifier) -> None:
    """Tell the hooks and systemd what this member has become."""
    async for status in member.changes():
        notifier.notify(status=f"{status.state.name}, leader {status.leader}, epoch {status.epoch}")
        if status.leads(member.clock()):
            hooks.leads(status.epoch)
        elif status.follows() and status.leader is not None:
            hooks.follows(status.leader, status.epoch)


async def _guard(
    member: Member, extras: Extras, log: structlog.typing.FilteringBoundLogger, stop: Stop
) -> None:
    """Run the command in each term of this member."""
    async for term in member.terms():
        ended_by_itself = False
        async with term:
            while term.live:
                status = await run_child(term, extras.command, log, clock=member.clock)
                ended_by_itself = status is not None and term.live
                if ended_by_itself and extras.on_child_exit != "restart":
                    break
                await trio.sleep(RESTART_AFTER_S)
        if ended_by_itself and extras.on_child_exit == "resign":
            await member.resign()
        elif ended_by_itself and extras.on_child_exit == "stop":
            stop.ask("the command ended")


async def _stop_on_signal(
    stop: Stop, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Ask for a stop at the first SIGTERM, SIGINT or SIGHUP; one that comes later ends the process at once.

    Some senders signal a process and its group, so that it gets two for one: the echo is not counted, nor
    does one that comes when all is over change how this process ends.
    """
    # whoever starts us with SIGHUP ignored (nohup) wants us to outlive the terminal
    stops = [each for each in STOPS if each != signal.SIGHUP or signal.getsignal(each) != signal.SIG_IGN]
    for each in stops:
        signal.signal(each, lambda *_: None)  # what the receiver leaves behind
    with trio.open_signal_receiver(*stops) as signals:
        task_status.started()
        first_at = math.inf
        async for number in signals:
            if trio.current_time() > first_at + ECHO_S:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            first_at = min(first_at, trio.current_time())
            stop.ask("signal")
