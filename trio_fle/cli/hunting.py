"""Playing stories with faults, in several processes, and telling the shortest one that violates something."""

import signal
from collections.abc import Callable
from typing import Final

import attrs
import click
import trio

from trio_fle.cli.exits import NO, STOPPED, Exit
from trio_fle.sim.campaign import Failure, Run, Tally, WorkerError, play_all, share_out, shrink
from trio_fle.sim.cores.run import count_faults, run_cores
from trio_fle.sim.explore.bounds import STANDARD
from trio_fle.sim.explore.breadth_first import explore
from trio_fle.sim.invariants import ViolationError
from trio_fle.sim.members.play import run_members
from trio_fle.sim.members.story import draw


@attrs.frozen
class Model:
    """One way to simulate: how a story is played, and how many faults it has."""

    name: str
    run: Run
    count_faults: Callable[[int], int]


MODELS: Final = {
    "cores": Model("cores", run_cores, count_faults),
    "members": Model("members", run_members, lambda seed: len(draw(seed).faults)),
}


def tell_story(model: Model, seed: int, skip: frozenset[int]) -> None:
    """Play the story of a seed, print it line by line, and end with the status of what came of it."""
    lines: list[str] = []
    try:
        outcome = model.run(seed, trace=lines.append, skip=skip)
    except ViolationError as violation:
        click.echo("\n".join(lines))
        raise Exit(str(violation), NO) from violation
    lines.append(f"{outcome.leaderships} leaderships in {outcome.virtual_s:.3f} s, nothing violated")
    click.echo("\n".join(lines))


def hunt(model: Model, seeds: range, jobs: int, *, as_json: bool) -> None:
    """Play the stories of all seeds; tell what they add up to, and the shortest one of a failure."""
    total = Tally()
    if jobs == 1:  # as each worker process does
        total = play_all(model.run, seeds)
    else:
        trio.run(_share_out, model, seeds, jobs, total)
    click.echo(total.to_json() if as_json else summary(total, model, seeds))
    if total.failures and not as_json:
        _tell_shortest(model, total.failures[0])
    if total.failures:
        raise Exit(f"{len(total.failures)} of {total.runs} stories violate something", NO)
    if total.runs < len(seeds):
        raise Exit(f"ended after {total.runs} of {len(seeds)} stories", STOPPED)


async def _share_out(model: Model, seeds: range, jobs: int, total: Tally) -> None:
    """Let workers play, until done or told to end: SIGINT and SIGTERM end them, and keep what was found."""

    def tell(tally: Tally) -> None:
        for failure in tally.failures:
            click.echo(f"seed {failure.seed}: {failure.what}", err=True)
        click.echo(f"{total.runs} of {len(seeds)}, {total.leaderships} leaderships", err=True)

    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(end_on_signal, nursery.cancel_scope)
            await share_out(["simulate", f"--faults={model.name}", "--json"], seeds, jobs, total, tell)
            nursery.cancel_scope.cancel()
    except* WorkerError as group:
        raise Exit("; ".join(str(error) for error in group.exceptions), STOPPED) from group


async def end_on_signal(
    scope: trio.CancelScope, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Cancel ``scope`` at SIGINT or SIGTERM."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel()


def summary(tally: Tally, model: Model, seeds: range) -> str:
    """Return what the runs add up to, in one line."""
    return (
        f"{model.name}: seeds {seeds.start} to {seeds.stop - 1}: {tally.runs} stories, "
        f"{tally.elections} elections, {tally.leaderships} leaderships, {tally.messages} messages, "
        f"{tally.virtual_s / 3600:.1f} h of virtual time, all had a leader {tally.mended_s:.1f} s after the "
        f"faults or sooner, {len(tally.failures)} violations"
    )


def _tell_shortest(model: Model, failure: Failure) -> None:
    skip, violation = shrink(model.run, failure.seed, model.count_faults(failure.seed))
    numbers = ",".join(map(str, sorted(skip)))
    click.echo(f"the shortest story of seed {failure.seed}:")
    lines: list[str] = []
    try:
        model.run(failure.seed, trace=lines.append, skip=skip)
    except ViolationError:
        click.echo("\n".join(lines))
    click.echo(f"violated: {violation}")
    option = f" --skip {numbers}" if numbers else ""
    click.echo(f"replay: trio-fle simulate --faults {model.name} --replay {failure.seed}{option}")


def explore_all(states: int) -> None:
    """Explore three servers within each of the standard bounds, ``states`` at most; tell what was found."""
    for bounds in STANDARD:
        try:
            report = explore(attrs.evolve(bounds, states=states))
        except ViolationError as violation:
            raise Exit(str(violation), NO) from violation
        begins = "settled" if bounds.settled else "starting"
        begins += f", with an heir, {len(bounds.first)} steps on" if bounds.heirs else ""
        whole = "all" if not report.frontier else f"{report.frontier} of them left unexpanded"
        click.echo(
            f"3 servers {begins}, each begins up to {bounds.elections} elections, {bounds.crashes} crashes, "
            f"{bounds.losses} connections lost, {bounds.hasty} roles given up early, early finalize "
            f"{'on' if bounds.early_finalize else 'off'}: {report.states} states ({whole}), "
            f"{report.transitions} transitions, {report.depth} deep, nothing violated"
        )
