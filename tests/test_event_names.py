"""The log is an interface: README.md lists every event, and no other."""

import ast
import re
from pathlib import Path

from trio_fle.election.stalled import Because

ROOT = Path(__file__).parents[1]
EVENT = re.compile(
    r"(member|election|peer|config|listen|log|leading|following|promise|child|hook|loop|admin|oracle)\.[a-z_]+"
)


def events_in_source() -> set[str]:
    names: set[str] = set()
    for path in (ROOT / "trio_fle").rglob("*.py"):
        if path.name in ("show.py", "ensemble_processes.py"):
            continue  # they read the log
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                value = node.args[0].value
                if isinstance(value, str) and EVENT.fullmatch(value):
                    names.add(value)
    return names


def events_in_readme() -> set[str]:
    table = (ROOT / "README.md").read_text().split("| event | says |")[1].split("\n\n")[0]
    rows = (line.split("|")[1] for line in table.splitlines() if line.startswith("| `"))
    return {match[0] for row in rows for match in EVENT.finditer(row)}


def test_the_readme_lists_the_events() -> None:
    assert events_in_readme() == events_in_source()


def test_every_verdict_on_a_stalled_election_is_explained() -> None:
    table = (ROOT / "README.md").read_text().split("`election.stalled` because")[1].split("\n\n")[0]
    assert set(re.findall(r"^\| `([a-z_]+)`", table, re.MULTILINE)) == {because.value for because in Because}
