"""``trio-fle demo``: a real ensemble of processes on loopback, shown live while its leaders are killed."""

import signal
import tempfile
from pathlib import Path

import click
import trio

from trio_fle.cli.ensemble_processes import DemoFailedError, Ensemble, open_ensemble
from trio_fle.cli.exits import NO, Exit
from trio_fle.cli.show import Show, open_show

ELECT_WITHIN_S = 20.0


@click.command(epilog="Example: trio-fle demo --members 5 --rounds 3")
@click.option("--members", type=click.IntRange(2, 15), default=3, show_default=True, help="Ensemble size.")
@click.option("--rounds", type=click.IntRange(1), default=1, show_default=True, help="Leaders to kill.")
def demo(members: int, rounds: int) -> None:
    """Start an ensemble on loopback, kill its leaders, and show each failover.

    Every member is a process of its own (trio-fle run), with its data in a temporary directory. Exit
    status 0: each time the survivors agreed on a new leader; 1: they did not, or you ended it.
    """
    if members < 3:
        raise click.UsageError("with 2 members nobody can be elected once one is killed; take 3 or more")
    with tempfile.TemporaryDirectory(prefix="trio-fle-demo-") as directory:
        try:
            trio.run(_demo, members, rounds, Path(directory))
        except BaseExceptionGroup as group:
            foreseen, others = group.split((DemoFailedError, OSError, SystemExit))
            if foreseen is None or others is not None:
                raise
            raise _cause(foreseen) from group


def _cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return what the demo ends with: of several things that ended it at once, one is to be told."""
    if (failed := group.subgroup(DemoFailedError)) is not None:
        return Exit(str(_leaf(failed)), NO)
    if (unwritten := group.subgroup(OSError)) is not None:
        return _leaf(unwritten)  # as of any command whose output can't be written
    return SystemExit(NO)  # rich's word for a reader that has gone


def _leaf(error: BaseException) -> BaseException:
    return _leaf(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


async def _demo(members: int, rounds: int, directory: Path) -> None:
    """Show it all; SIGINT or SIGTERM ends the demo, and with it every member."""
    async with trio.open_nursery() as nursery:
        await nursery.start(_end_on_signal)
        await _show_failovers(members, rounds, directory)
        nursery.cancel_scope.cancel()


async def _end_on_signal(*, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for number in signals:
            raise DemoFailedError(f"ended by {signal.Signals(number).name}; all members are stopped")


async def _show_failovers(members: int, rounds: int, directory: Path) -> None:
    with open_show(members) as show:
        async with open_ensemble(directory, members, show.event) as ensemble:
            show.say(f"{members} members started on loopback, waiting for a leader")
            leader = await ensemble.wait_agreed(within_s=ELECT_WITHIN_S)
            show.say(f"member {leader} leads")
            for number in range(1, rounds + 1):
                leader = await _fail_over(ensemble, leader, number, show)
            show.say("done: stopping all members")


async def _fail_over(ensemble: Ensemble, leader: int, number: int, show: Show) -> int:
    """Kill the leader, wait for the next one, and bring the killed one back. Returns the new leader."""
    show.say(f"round {number}: killing the leader, member {leader} (SIGKILL)")
    began = trio.current_time()
    await ensemble.kill(leader)
    successor = await ensemble.wait_agreed(within_s=ELECT_WITHIN_S)
    took_ms = 1000 * (trio.current_time() - began)
    show.say(f"round {number}: member {successor} leads, {took_ms:.0f} ms after the kill")
    await ensemble.start(leader)
    again = await ensemble.wait_agreed(within_s=ELECT_WITHIN_S)
    show.say(f"round {number}: member {leader} is back and follows member {again}")
    return again
