"""The picture of a measurement: which part of all elections was over after which time."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

import pygal
from pygal.style import Style

STEPS: Final = 100
_SHADES: Final = Style(
    background="#ffffff",
    plot_background="#ffffff",
    foreground="#000000",
    foreground_strong="#000000",
    foreground_subtle="#bbbbbb",
    colors=("#1b6ca8", "#d1495b", "#2e8b57", "#8d6a9f", "#c98b2b", "#444444", "#00798c", "#9e2a2b"),
    font_family="sans-serif",
    label_font_size=13,
    major_label_font_size=13,
    title_font_size=15,
    legend_font_size=13,
)


def draw(title: str, rows: Mapping[str, Sequence[float]], path: Path) -> None:
    """Draw one curve for each row of milliseconds. Raises ``OSError`` where the file can't be written."""
    chart = pygal.XY(
        style=_SHADES,
        title=title,
        x_title="milliseconds without an established leader",
        y_title="part of all elections, in percent",
        range=(0, 100),
        dots_size=0,
        stroke_style={"width": 2},
        legend_at_bottom=True,
        legend_at_bottom_columns=2,
        truncate_legend=-1,
        width=900,
        height=520,
        js=(),
        disable_xml_declaration=True,
    )
    for name, values in rows.items():
        chart.add(name, curve(values))
    chart.uuid = "trio-fle"  # else a random one: the same figures give the same picture
    picture = chart.render_tree()
    for parent in picture.findall(".//{*}script/.."):
        for script in parent.findall("{*}script"):
            parent.remove(script)
    path.write_bytes(ElementTree.tostring(picture, encoding="utf-8") + b"\n")


def curve(values: Sequence[float]) -> list[tuple[float, float]]:
    """Return points (time, percent that was over by then), at most ``STEPS`` and the two ends."""
    ordered = sorted(values)
    step = max(1, len(ordered) // STEPS)
    points = [(ordered[at], 100 * (at + 1) / len(ordered)) for at in range(0, len(ordered), step)]
    return [(ordered[0], 0.0), *points, (ordered[-1], 100.0)]
