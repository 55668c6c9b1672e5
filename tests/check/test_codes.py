"""Codes of findings are an interface: each is constant, and README.md lists it."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def codes_in_the_source() -> set[str]:
    found = set()
    for path in (ROOT / "trio_fle" / "check").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in ("error", "warning")
            ):
                code = node.args[0]
                assert isinstance(code, ast.Constant), f"{path.name}:{node.lineno}"
                found.add(code.value)
    return found


def test_every_code_is_listed_and_every_listed_code_exists() -> None:
    section = (ROOT / "README.md").read_text().partition("| code | it is about |")[2].partition("\n\n")[0]
    listed = re.findall(r"`([a-z_]+)`", re.sub(r"`(--live|run|config\.warning)`", "", section))
    assert sorted(listed) == sorted(codes_in_the_source())
