"""Side by side: how long trio-fle, ZooKeeper, etcd and PySyncObj are without a leader, and what they cost.

See README.md beside this file. Run by ``make bench``; everything happens in real processes on loopback.
"""

import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click
import trio
from cases import CASES, Settings
from contestants import CONTESTANTS, installed
from machine import command_line, facts
from micro import measure
from plot import draw
from report import render, write_between_markers
from rounds import Plan, Results, play_all, say
from store import Run, load, series_of, weights_of

HERE = Path(__file__).parent
SHARES = {"cold-start": 5, "sigkill": 1, "sigterm": 2, "sigstop": 5, "rejoin": 5}
"""A case is played the full number of rounds divided by this."""
QUICK = ("trio-fle", "zookeeper", "etcd-tuned")


@click.command()
@click.option("--quick", is_flag=True, help="A look within 3 minutes: SIGKILL, n=3, nothing written.")
@click.option("--contestant", "contestants", multiple=True, type=click.Choice(list(CONTESTANTS)))
@click.option("--case", "cases", multiple=True, type=click.Choice(list(CASES)))
@click.option("--size", "sizes", multiple=True, type=click.IntRange(min=2), help="3, 5 and 9 unless given.")
@click.option("--rounds", type=click.IntRange(min=1), help="Blows of SIGKILL; others get fewer.")
@click.option(
    "--turns", type=click.IntRange(min=1), default=2, show_default=True, help="Parts, taken in turns."
)
@click.option(
    "--interval", "interval_ms", default=5.0, show_default=True, help="Each member is asked so often, in ms."
)
@click.option("--idle", "idle_s", type=float, help="Seconds that an ensemble at rest is weighed; 0: not.")
@click.option("--seed", default=1, show_default=True)
@click.option("--directory", type=click.Path(path_type=Path, exists=True), help="For the contestants' files.")
@click.option(
    "--write/--no-write", default=None, help="README.md, failover.svg and results.json; not when --quick."
)
@click.option("--only-report", is_flag=True, help="Play nothing; write again what results.json says.")
def main(
    quick: bool,
    contestants: tuple[str, ...],
    cases: tuple[str, ...],
    sizes: tuple[int, ...],
    rounds: int | None,
    turns: int,
    interval_ms: float,
    idle_s: float | None,
    seed: int,
    directory: Path | None,
    write: bool | None,
    only_report: bool,
) -> None:
    """Measure leader failover side by side, with ratios.

    Example: bench.py --contestant trio-fle --contestant etcd-tuned --case sigkill --size 3 --rounds 10
    """
    if only_report:
        publish(load(HERE / "results.json"))
        return
    names = contestants or (QUICK if quick else tuple(CONTESTANTS))
    versions, missing = installed(names)
    for name in missing:
        say(f"{name} is not installed, and left out: tests/benchmarks/install.sh installs it")
    plan = Plan(
        tuple(name for name in names if name not in missing),
        sizes or ((3,) if quick else (3, 5, 9)),
        rounds_of(cases or (("sigkill",) if quick else tuple(CASES)), rounds or (8 if quick else 20)),
        1 if quick else turns,
        Settings(interval_s=interval_ms / 1000, seed=seed),
        idle_s if idle_s is not None else (0 if quick else 20.0),
    )
    run = execute(plan, versions, directory or Path(tempfile.gettempdir()), quick=quick)
    click.echo(render(run))
    if write or (write is None and not quick):
        run.save(HERE / "results.json")
        publish(run)


def rounds_of(cases: Sequence[str], full: int) -> dict[str, int]:
    """Return how many rounds of each case are played."""
    return {case: -(-full // SHARES[case]) for case in cases}


def execute(plan: Plan, versions: dict[str, str], directory: Path, *, quick: bool) -> Run:
    """Play a plan, and measure the parts."""
    machine = facts(directory)
    results = trio.run(play, plan, directory)
    return Run(
        command_line(),
        machine | versions,
        {name: CONTESTANTS[name].label for name in plan.contestants},
        plan.settings.interval_s * 1000,
        series_of(results),
        weights_of(results),
        measure(quick=quick),
    )


def publish(run: Run) -> None:
    """Write what people read."""
    write_between_markers(HERE / "README.md", render(run))
    draw(run, HERE / "failover.svg")


async def play(plan: Plan, directory: Path) -> Results:
    """Play a plan; SIGTERM ends it, and every process that it started."""
    async with trio.open_nursery() as nursery:
        await nursery.start(_cancel_on_sigterm, nursery.cancel_scope)
        results = await play_all(plan, directory)
        nursery.cancel_scope.cancel()
        return results
    raise SystemExit("ended by SIGTERM")


async def _cancel_on_sigterm(scope: trio.CancelScope, *, task_status: trio.TaskStatus[None]) -> None:
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel()


if __name__ == "__main__":
    main()
