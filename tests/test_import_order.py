"""The house rules of ARCHITECTURE.md, read off the source: where imports point, and how long things are."""

import ast
import re
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "trio_fle"
ARCHITECTURE = PACKAGE.parent / "ARCHITECTURE.md"

RANK = [
    "errors",
    "vote",
    "quorum",
    "ensemble",
    "wire",
    "election",
    "zab",
    "config",
    "storage",
    "peers",
    "member",
    "telemetry",
    "admin",
    "check",
    "sim",
    "cli",
]
"""A room imports from rooms before it."""

PURE = set(RANK[: RANK.index("config")])
PURE_IMPORTS = {"attrs", "javaproperties", "trio_fle"} | {
    "collections", "enum", "functools", "ipaddress", "itertools", "math", "re", "struct", "typing"
}  # fmt: skip
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 45


def room_of(path: Path, package: Path) -> str:
    return path.relative_to(package).parts[0].removesuffix(".py")


def imports_of(tree: ast.Module) -> list[str]:
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if node.module == "trio_fle":
                names += [f"trio_fle.{alias.name}" for alias in node.names if alias.name != "__version__"]
            else:
                names.append(node.module or "")
    return names


def breaches(package: Path) -> list[str]:
    """Every import that points the wrong way, and everything too long."""
    found = []
    for path in sorted(package.rglob("*.py")):
        if path.parent == package and path.name in ("__init__.py", "__main__.py"):
            continue
        source = path.read_text()
        tree = ast.parse(source)
        room = room_of(path, package)
        where = str(path.relative_to(package))
        if room not in RANK:
            found.append(f"{where}: the room {room} has no rank")
            continue
        for name in imports_of(tree):
            top, _, rest = name.partition(".")
            other = rest.partition(".")[0]
            if top == "trio_fle" and other not in RANK:
                found.append(f"{where}: imports {name}, which is no room")
            elif top == "trio_fle" and RANK.index(other) > RANK.index(room):
                found.append(f"{where}: imports {name}, which lies below")
            if room in PURE and top not in PURE_IMPORTS:
                found.append(f"{where}: is pure, and imports {name}")
        if (lines := source.count("\n")) > MAX_FILE_LINES:
            found.append(f"{where}: has {lines} lines")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > MAX_FUNCTION_LINES:
                    found.append(f"{where}: {node.name} has {length} lines")
    return found


def test_imports_point_upwards_and_nothing_is_too_long() -> None:
    assert breaches(PACKAGE) == []


def test_the_architecture_lists_the_rooms_in_this_order() -> None:
    block = re.search(r"```rooms\n(.*?)```", ARCHITECTURE.read_text(), re.DOTALL)
    assert block is not None
    listed = re.findall(r"^([a-z_]+)/? ", block[1], re.MULTILINE)
    assert listed == RANK
    assert {room_of(path, PACKAGE) for path in PACKAGE.rglob("*.py")} - {"__init__", "__main__"} == set(RANK)


def test_a_breach_is_found(tmp_path: Path) -> None:
    (tmp_path / "wire").mkdir()
    (tmp_path / "wire" / "bad.py").write_text(
        "import trio\nfrom trio_fle.member import Member\nfrom trio_fle import cli, shed\n"
    )
    (tmp_path / "attic.py").write_text("x = 1\n")
    (tmp_path / "vote.py").write_text("def long():\n" + "    x = 1\n" * 400)
    assert breaches(tmp_path) == [
        "attic.py: the room attic has no rank",
        "vote.py: has 401 lines",
        "vote.py: long has 401 lines",
        "wire/bad.py: is pure, and imports trio",
        "wire/bad.py: imports trio_fle.member, which lies below",
        "wire/bad.py: imports trio_fle.cli, which lies below",
        "wire/bad.py: imports trio_fle.shed, which is no room",
    ]
