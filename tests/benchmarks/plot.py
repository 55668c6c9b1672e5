"""The picture: how long without a leader, on a logarithmic scale, in shades that need no colours."""

import math
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pygal
from pygal.style import Style
from report import milliseconds
from store import Run, Series

SHOWN: Final = {"sigkill": "killed", "sigterm": "asked to go", "sigstop": "silent"}
SHADES: Final = Style(
    background="#ffffff",
    plot_background="#ffffff",
    foreground="#000000",
    foreground_strong="#000000",
    foreground_subtle="#777777",
    colors=("#222222", "#bbbbbb"),
    value_colors=("#000000", "#000000"),
    font_family="sans-serif",
    label_font_size=13,
    major_label_font_size=13,
    value_font_size=12,
    title_font_size=16,
    legend_font_size=13,
    opacity="1",
)
BESIDE_ITS_BAR: Final = (
    "inline:.text-overlay text.value{text-anchor:start!important;transform:translate(4px)}"
)


def draw(run: Run, path: Path) -> None:
    """Draw the smallest ensembles that were played: a row for each contestant and blow."""
    size = min((each.size for each in run.series), default=0)
    shown = [
        each
        for case in reversed(SHOWN)
        for each in reversed(run.series)
        if each.case == case and each.size == size and each.seen
    ]
    if not shown:
        return
    low, high = limits(shown)
    chart = pygal.HorizontalBar(
        style=SHADES,
        title=f"Milliseconds from the blow to another leader, n = {size}",
        logarithmic=True,
        range=(10.0**low, 10.0**high),
        zero=10.0**low,
        print_values=True,
        print_values_position="top",
        formatter=milliseconds,
        legend_at_bottom=True,
        truncate_label=-1,
        width=900,
        height=120 + 36 * len(shown),
        margin_right=40,
        js=(),
        css=("file://style.css", "file://graph.css", BESIDE_ITS_BAR),
        disable_xml_declaration=True,
    )
    chart.x_labels = [f"{each.contestant}, leader {SHOWN[each.case]}" for each in shown]
    chart.add("median (dark)", [statistics.median(each.seen) for each in shown])
    chart.add("worst (light)", [max(each.seen) for each in shown])
    chart.uuid = "failover"
    chart.y_labels = [10.0**power for power in range(low, high + 1)]
    text = re.sub(r"<script.*?</script>|<!--.*?-->", "", chart.render(is_unicode=True), flags=re.DOTALL)
    path.write_text(text + "\n")


def limits(shown: Sequence[Series]) -> tuple[int, int]:
    """Return the powers of ten around all that is shown: every bar begins at the lower one."""
    least = min(min(each.seen) for each in shown)
    most = max(max(each.seen) for each in shown)
    return math.floor(math.log10(least)), math.ceil(math.log10(most))
