"""``trio-fle simulate``: elections in virtual time, to choose time-outs by and to look for faults with."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs
import click
from click.core import ParameterSource
from rich.console import Console
from rich.table import Table

from trio_fle.check.finding import listed
from trio_fle.cli import params
from trio_fle.cli.exits import NO, STOPPED, Exit, told_of_sigint
from trio_fle.cli.hunting import MODELS, explore_all, hunt, tell_story
from trio_fle.election.options import ElectionOptions
from trio_fle.sim.conditions import Conditions, Latency
from trio_fle.sim.invariants import ENDS, ViolationError
from trio_fle.sim.measure import (
    CORES_PLAY,
    STEADY_S,
    Case,
    Host,
    Sample,
    Setup,
    quantile,
    sample,
    sample_cores,
)
from trio_fle.sim.plot import draw as draw_plot


@attrs.frozen
class Row:
    """One line of the answer: what was measured, and how it came out."""

    setup: Setup
    case: Case
    samples: tuple[Sample, ...]

    @property
    def name(self) -> str:
        """What is special about this one."""
        conditions = self.setup.conditions
        path = f"{_ms(conditions.latency.mean_s)}±{_ms(conditions.latency.spread_s)} ms"
        loss = f", {100 * conditions.loss:g} % lost" if conditions.loss else ""
        return f"{self.setup.members} members, {path}{loss}, tickTime {self.setup.tick_ms}"

    @property
    def milliseconds(self) -> list[float]:
        """How long each was without a leader."""
        return [1000 * each.seconds for each in self.samples]

    @property
    def model(self) -> str:
        """What was simulated: whole members, or their cores alone."""
        return "members" if self.setup.members <= WHOLE_MEMBERS else "cores"

    def facts(self) -> dict[str, object]:
        """Return the row for a program."""
        times = self.milliseconds
        return {
            "case": self.case.value,
            "simulated": self.model,
            "members": self.setup.members,
            "latency_ms": 1000 * self.setup.conditions.latency.mean_s,
            "spread_ms": 1000 * self.setup.conditions.latency.spread_s,
            "sites": list(self.setup.conditions.sites),
            "loss": self.setup.conditions.loss,
            "tick_ms": self.setup.tick_ms,
            "sync_limit": self.setup.sync_limit,
            "elections": len(times),
            **{f"p{part}_ms": round(quantile(times, part / 100), 3) for part in (10, 50, 90, 99)},
            "max_ms": round(max(times), 3),
            "messages": quantile([each.messages for each in self.samples], 0.5),
            "bytes": quantile([each.sent_bytes for each in self.samples], 0.5),
        }


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.4g}"


WHOLE_MEMBERS: Final = 15
"""Of larger ensembles only the cores are simulated: whole members have a connection for each pair."""

WIDTH: Final = 120

COLUMNS: Final = (
    "members", "latency", "loss", "tickTime", "p10", "median", "p90", "p99", "worst", "messages", "bytes",
)  # fmt: skip


def show(case: Case, rows: list[Row], console: Console) -> None:
    """Print the rows as a table."""
    within = f", within {STEADY_S:g} s" if case is Case.STEADY else ""
    console.print(f"Milliseconds without an established leader ({case.value}{within}):")
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in COLUMNS:
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        facts, conditions = row.facts(), row.setup.conditions
        spread = f"±{_ms(conditions.latency.spread_s)}" if conditions.latency.spread_s else ""
        times = (f"{facts[key]:.1f}" for key in ("p10_ms", "p50_ms", "p90_ms", "p99_ms", "max_ms"))
        costs = (f"{facts[key]:,.0f}" for key in ("messages", "bytes"))
        table.add_row(
            str(row.setup.members),
            f"{_ms(conditions.latency.mean_s)}{spread} ms",
            f"{100 * conditions.loss:g} %",
            str(row.setup.tick_ms),
            *times,
            *costs,
        )
    console.print(table)
    if any(row.model == "cores" for row in rows):
        console.print(f"Of more than {WHOLE_MEMBERS} members the cores alone are simulated.")


@click.command(
    epilog="Examples: trio-fle simulate --members 3,5,7 --latency 30ms±10ms --plot wan.svg; "
    "trio-fle simulate --faults members --runs 500"
)
@click.option("--members", type=params.sizes, default="3", show_default=True, help="Sizes: 5, 3,5,7 or 3..9.")
@click.option(
    "--latency",
    "latencies",
    type=params.latency,
    multiple=True,
    default=["50us"],
    help="One way between two members (of different sites): 30ms or 30ms±10ms. May be given several times.",
)
@click.option("--sites", type=params.sites, help="Members in each site, like 2+2+1; within one: --local.")
@click.option(
    "--local", type=params.latency, default="0.3ms", show_default=True, help="Latency within a site."
)
@click.option(
    "--loss", type=params.part, default="0%", show_default=True, help="Segments lost, and sent again."
)
@click.option(
    "--case",
    type=click.Choice([case.value for case in Case]),
    default=Case.FAILOVER.value,
    show_default=True,
    help="What they are without a leader for.",
)
@click.option(
    "--tick-time", "ticks", type=click.IntRange(10), multiple=True, default=[2000], help="Milliseconds."
)
@click.option("--init-limit", type=click.IntRange(1), default=10, show_default=True, help="Ticks.")
@click.option("--sync-limit", type=click.IntRange(1), default=5, show_default=True, help="Ticks.")
@click.option(
    "--cores", type=click.IntRange(0), default=0, help="Cores that serve all members; 0: a machine for each."
)
@click.option("--exact", is_flag=True, help="As fle.earlyFinalize=false: wait like ZooKeeper.")
@click.option("--elections", type=click.IntRange(1), default=100, show_default=True, help="For each row.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="The first one.")
@click.option("--json", "as_json", is_flag=True, help="One object a line.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw the distributions (SVG).")
@click.option("--faults", type=click.Choice(list(MODELS)), help="Play stories with faults instead.")
@click.option("--runs", type=click.IntRange(1), default=100, show_default=True, help="Stories to play.")
@click.option(
    "--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that play them."
)
@click.option(
    "--explore", type=click.IntRange(1000), help="Explore every order of events, up to so many states."
)
@click.option("--replay", type=click.IntRange(0), help="Play the story of one seed, and tell it all.")
@click.option("--skip", type=params.numbers, default="", help="Faults to leave out of it, like 0,3,4.")
def simulate(
    members: tuple[int, ...],
    latencies: tuple[Latency, ...],
    sites: tuple[int, ...] | None,
    local: Latency,
    loss: float,
    case: str,
    ticks: tuple[int, ...],
    init_limit: int,
    sync_limit: int,
    cores: int,
    exact: bool,
    elections: int,
    seed: int,
    as_json: bool,
    plot: Path | None,
    faults: str | None,
    runs: int,
    jobs: int,
    explore: int | None,
    replay: int | None,
    skip: frozenset[int],
) -> None:
    """Let ensembles elect in virtual time: how long they are without a leader, or what breaks them.

    Members are the real ones, on a network, disks and a clock that are simulated. With --faults they live
    through stories that are drawn from seeds (crashes, partitions, lost and torn writes, hung processes,
    drifting clocks), and everything that must hold is checked at every step. Exit status 0: all went well;
    1: something was violated, and the shortest story of it is told; 3: it was ended before it was done.
    """
    _check_options(skip, explore, faults, replay)
    _check_mode(explore, faults, replay)
    with told_of_sigint():
        if replay is not None:
            tell_story(MODELS[faults or "members"], replay, skip)
        elif explore is not None:
            explore_all(explore)
        elif faults is not None:
            hunt(MODELS[faults], range(seed, seed + runs), jobs, as_json=as_json)
        else:
            networks = [Conditions(latency, loss, sites or (), local) for latency in latencies]
            options = ElectionOptions(early_finalize=not exact)
            like = Setup(0, Conditions(), 0, init_limit, sync_limit, options, Host(cores=cores))
            setups = _setups(like, members, networks, ticks)
            measure(setups, Case(case), range(seed, seed + elections), as_json=as_json, plot=plot)


def _setups(
    like: Setup, members: Sequence[int], networks: Sequence[Conditions], ticks: Sequence[int]
) -> list[Setup]:
    """Return one setup for each combination, each once."""
    combined = itertools.product(members, networks, ticks)
    found = [
        attrs.evolve(like, members=size, conditions=network, tick_ms=tick) for size, network, tick in combined
    ]
    return [setup for at, setup in enumerate(found) if setup not in found[:at]]


def _check_options(skip: frozenset[int], explore: int | None, faults: str | None, replay: int | None) -> None:
    if skip and replay is None:
        raise click.UsageError("--skip leaves faults out of the story that --replay names: give both")
    if explore is not None and (faults is not None or replay is not None):
        raise click.UsageError("--explore plays no stories: give it without --faults and --replay")


OF_MEASURING: Final = (
    "members", "latencies", "sites", "local", "loss", "case", "ticks", "init_limit", "sync_limit", "cores",
    "exact", "elections", "plot",
)  # fmt: skip
"""Parameters that say nothing to stories and explorations."""

OF_HUNTING: Final = ("runs", "jobs")

UNREAD: Final = {
    "--explore": ("has bounds of its own", (*OF_MEASURING, *OF_HUNTING, "seed", "as_json")),
    "--replay": ("tells the story of one seed", (*OF_MEASURING, *OF_HUNTING, "seed", "as_json")),
    "--faults": ("plays stories of its own", OF_MEASURING),
}
"""What each of these does, and the parameters that it does not read."""


def _check_mode(explore: int | None, faults: str | None, replay: int | None) -> None:
    """Refuse what would be left unread: whoever gives it believes that it was simulated."""
    context = click.get_current_context()
    given = {
        each.name: each.opts[0]
        for each in context.command.params
        if each.name is not None and context.get_parameter_source(each.name) is ParameterSource.COMMANDLINE
    }
    modes = {"--explore": explore, "--replay": replay, "--faults": faults}
    mode = next((name for name, value in modes.items() if value is not None), None)
    if mode is not None:
        does, unread = UNREAD[mode]
        if needless := [option for name, option in given.items() if name in unread]:
            raise click.UsageError(f"{mode} {does}: leave out {listed(needless)}")
    elif given.keys() & {*OF_HUNTING}:
        raise click.UsageError("--runs and --jobs are of --faults: for more elections give --elections")


def measure(setups: list[Setup], case: Case, seeds: range, *, as_json: bool, plot: Path | None) -> None:
    """Let every ensemble elect, and show how it came out."""
    for setup in setups:
        if setup.conditions.sites and sum(setup.conditions.sites) != setup.members:
            raise click.UsageError(
                f"the sites have {sum(setup.conditions.sites)} members together, not {setup.members}"
            )
        if setup.members > WHOLE_MEMBERS and case not in CORES_PLAY:
            raise click.UsageError(
                f"of more than {WHOLE_MEMBERS} members only these cases can be simulated: "
                f"{', '.join(each.value for each in CORES_PLAY)}"
            )
    rows: list[Row] = []
    without: list[str] = []
    for setup in setups:
        take = sample if setup.members <= WHOLE_MEMBERS else sample_cores
        try:
            rows.append(Row(setup, case, tuple(take(setup, case, seed) for seed in seeds)))
        except ViolationError as violation:
            if violation.invariant != ENDS:
                raise Exit(f"{setup.members} members: {violation}", NO) from violation
            without.append(f"{Row(setup, case, ()).name}: {violation.what}")
            continue
        if as_json:
            click.echo(json.dumps(rows[-1].facts()))
    if rows and not as_json:
        show(case, rows, Console(highlight=False, width=WIDTH))
    if rows and plot is not None:
        try:
            draw_plot(f"{case.value}: time to a leader", {row.name: row.milliseconds for row in rows}, plot)
        except OSError as error:
            raise Exit(f"{plot}: {error.strerror}; choose another file", STOPPED) from error
    if without:
        why = "no quorum is left, or the time-outs are too short for this network: try a longer --tick-time"
        raise Exit(f"{'; '.join(without)} ({why})", NO)
