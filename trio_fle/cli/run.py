"""``trio-fle run``: the long-running member."""

import math
import os
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Final

import click
import structlog
import trio

from trio_fle.cli.exits import STOPPED, USAGE, Exit
from trio_fle.config import MemberConfig, load_config, myid_from_hostname
from trio_fle.errors import ConfigError, MemberStoppedError
from trio_fle.member import open_member
from trio_fle.telemetry import LogWriter, build_logger

ECHO_S: Final = 1.0


@click.command(epilog="Example: trio-fle run zoo.cfg --set tickTime=500 --log-level debug")
@click.argument("config", type=click.Path())
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override a key of the file.")
@click.option("--myid", type=int, help="Server id, instead of the one in dataDir/myid.")
@click.option(
    "--myid-from-hostname", "from_hostname", is_flag=True, help="Pod ordinal plus one as server id."
)
@click.option("--data-dir", type=click.Path(), help="Data directory, instead of dataDir.")
@click.option(
    "--log-format",
    type=click.Choice(["auto", "json", "console"]),
    default="auto",
    help="auto: for people on a terminal, else one JSON object a line.",
)
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
def run(
    config: str,
    settings: tuple[str, ...],
    myid: int | None,
    from_hostname: bool,
    data_dir: str | None,
    log_format: str,
    log_level: str,
) -> None:
    """Be the member of an ensemble that CONFIG (a zoo.cfg) describes, until SIGTERM."""
    try:
        if from_hostname:
            if myid is not None:
                raise ConfigError("--myid and --myid-from-hostname: give one of them")
            myid = myid_from_hostname(socket.gethostname())
        loaded = load_config(config, overrides=_parse_settings(settings), myid=myid, data_dir=data_dir)
    except ConfigError as error:
        raise Exit(str(error), USAGE) from error
    writer = LogWriter(sys.stdout)
    log = build_logger(loaded.myid, writer, log_format, log_level)
    try:
        trio.run(_serve, loaded, writer, log)
    except MemberStoppedError as error:
        raise Exit(str(error), STOPPED) from error


def _parse_settings(settings: Sequence[str]) -> dict[str, str]:
    parsed = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not key.strip() or not equals:
            raise ConfigError(f"--set {setting}: expected KEY=VALUE, such as --set tickTime=500")
        parsed[key.strip()] = value.strip()
    return parsed


async def _serve(config: MemberConfig, writer: LogWriter, log: structlog.typing.FilteringBoundLogger) -> None:
    """Run the member and the log's writer; the first SIGTERM or SIGINT stops in good order."""
    for warning in config.warnings:
        log.warning("config.warning", reason=warning)
    stopped: list[MemberStoppedError] = []
    stop = trio.Event()

    async def member() -> None:
        try:
            async with open_member(config, log=log):
                await stop.wait()
        except MemberStoppedError as error:
            stopped.append(error)
        finally:
            unforeseen = "signal" if stop.is_set() else "an unforeseen error, told on stderr"
            log.info("member.stopped", reason=str(stopped[0]) if stopped else unforeseen)

    async with trio.open_nursery() as service:
        await service.start(writer.run)
        await service.start(_stop_on_signal, stop)
        await member()
        service.cancel_scope.cancel()
    if stopped:
        raise stopped[0]


async def _stop_on_signal(
    stop: trio.Event, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Set ``stop`` at the first SIGTERM or SIGINT; one that comes later ends the process at once.

    Some senders signal a process and its group, so that it gets two for one: the echo is not counted.
    """
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        first_at = math.inf
        async for number in signals:
            if trio.current_time() > first_at + ECHO_S:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            first_at = min(first_at, trio.current_time())
            stop.set()
