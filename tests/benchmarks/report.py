"""Tables in Markdown, between two markers of README.md."""

import math
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from cases import TITLES
from figures import percentile
from micro import Speeds
from store import Run, Series, Weighed

BEGIN = "<!-- written by bench.py: from here -->"
END = "<!-- written by bench.py: to here -->"
RIVALS = ("zookeeper", "etcd-tuned")
"""Everybody's median and 95th percentile are divided by theirs."""


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table, its numbers to the right."""
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]


def milliseconds(value: float | None) -> str:
    """Write a time as it is read: tenths only where they matter."""
    if value is None or math.isnan(value):
        return "–"
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"


def ratio(value: float, other: float | None) -> str:
    """Write one value as a multiple of another."""
    return "–" if not other else f"{value / other:.2f}"


def case_table(case: str, series: Sequence[Series]) -> list[str]:
    """Return the table of one case: all sizes, all contestants."""
    heads = ["", "n", "rounds", "median ms", "p95 ms", "worst ms", "median by its log"]
    heads += [f"× {rival} (median, p95)" for rival in RIVALS]
    rows = []
    for each in sorted(series, key=lambda one: one.size):
        if not each.seen:
            rows.append([each.contestant, str(each.size), f"0 of {len(each.rounds)}", *["–"] * 6])
            continue
        numbers = (statistics.median(each.seen), percentile(each.seen, 0.95), max(each.seen))
        logged = statistics.median(each.logged) if each.logged else None
        rows.append(
            [
                each.contestant,
                str(each.size),
                _rounds(each),
                *map(milliseconds, numbers),
                milliseconds(logged),
                *(_ratios(each, rival, series) for rival in RIVALS),
            ]
        )
    return [f"### {TITLES[case]}", "", *table(heads, rows)]


def _rounds(each: Series) -> str:
    """Say how many rounds were seen, and how many of those begun were not."""
    text = str(len(each.seen))
    if len(each.seen) < len(each.rounds):
        text += f" of {len(each.rounds)}"
    return text + (f" (+{each.disturbed})" if each.disturbed else "")


def _ratios(each: Series, rival: str, series: Sequence[Series]) -> str:
    others = next((one.seen for one in series if one.contestant == rival and one.size == each.size), [])
    if not others:
        return "–"
    return ", ".join(ratio(percentile(each.seen, share), percentile(others, share)) for share in (0.5, 0.95))


def weight_table(weights: Sequence[Weighed]) -> list[str]:
    """Return what members cost at rest: the mean of an ensemble, and its greatest."""
    heads = ["", "n", "RSS MiB", "PSS MiB", "CPU % of a core", "CPU %, greatest"]
    rows = [
        [
            each.contestant,
            str(each.size),
            f"{statistics.mean(each.weight.rss_mib):.0f}",
            f"{statistics.mean(each.weight.pss_mib):.0f}",
            f"{statistics.mean(each.weight.cpu_percent):.2f}",
            f"{max(each.weight.cpu_percent):.2f}",
        ]
        for each in weights
    ]
    return ["### A member at rest", "", *table(heads, rows)] if rows else []


def speed_tables(speeds: Speeds) -> list[str]:
    """Return how fast the parts are."""
    rows = [
        ["notifications a second into a core that elects", f"{speeds.looking_per_s:,.0f}"],
        ["notifications a second into a core that follows, and answers", f"{speeds.settled_per_s:,.0f}"],
        ["encoding, MB a second", f"{speeds.encode_bytes_per_s / 1e6:,.0f}"],
        ["decoding, MB a second", f"{speeds.decode_bytes_per_s / 1e6:,.0f}"],
        *(
            [f"simulated elections of {size} a second", f"{many:,.0f}"]
            for size, many in speeds.elections_per_s.items()
        ),
        ["one simulated election of 101, seconds", f"{speeds.large_election_s:.2f}"],
    ]
    sizes = list(speeds.messages)
    return [
        f"### The parts of trio-fle by themselves (a notification has {speeds.notification_bytes} bytes)",
        "",
        *table(["", ""], rows),
        "Messages of one simulated election in which all begin at once:",
        "",
        *table(
            ["n", *map(str, sizes)],
            [
                ["messages", *(f"{speeds.messages[size]:,}" for size in sizes)],
                ["messages / n²", *(f"{speeds.messages[size] / size**2:.2f}" for size in sizes)],
            ],
        ),
    ]


def resolution(run: Run) -> str:
    """Say how exactly the rounds were seen."""
    uncertain = [each.uncertain_ms for one in run.series for each in one.rounds if each.seen_ms is not None]
    if not uncertain:
        return ""
    median, most = statistics.median(uncertain), percentile(uncertain, 0.95)
    return (
        f"Each member was asked every {run.interval_ms:g} ms. Between its last answer that said otherwise "
        f"and the one that was waited for lay {median:.1f} ms (median; 95 % of them: {most:.1f} ms or less). "
        "A time may be too long by so much."
    )


def render(run: Run) -> str:
    """Return all that was found, in Markdown."""
    lines = [f"`{run.command}`", ""]
    lines += ["; ".join(f"{name}: {value}" for name, value in run.facts.items()), ""]
    lines += [*(f"- `{name}`: {label}" for name, label in run.labels.items()), ""]
    lines += [resolution(run), ""]
    for case in TITLES:
        series = [each for each in run.series if each.case == case]
        lines += case_table(case, series) if series else []
    lines += weight_table(run.weights)
    lines += speed_tables(run.speeds) if run.speeds else []
    return "\n".join(lines).rstrip() + "\n"


def write_between_markers(path: Path, text: str) -> None:
    """Replace what a file has between the markers."""
    before, _, rest = path.read_text().partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"{path} has no markers {BEGIN!r} and {END!r}")
    path.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")
