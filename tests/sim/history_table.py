"""The table of ``history.toml``. Nothing of our package is imported here."""

import tomllib
from pathlib import Path
from typing import Any

import attrs
from mutants import Change

HERE = Path(__file__).parent


@attrs.frozen
class Bug:
    """Entries of an issue tracker that are the same bug, and how our package is made to have it as well."""

    ids: tuple[str, ...]
    """Numbers are ZOOKEEPER's."""
    scenario: str
    fixed: str
    """The first releases without it; none for an accident elsewhere."""
    says: str
    """Part of what the scenario objects to under the old behaviour."""
    changes: tuple[Change, ...]


def _table() -> dict[str, Any]:
    return tomllib.loads((HERE / "history.toml").read_text())


def load_bugs() -> list[Bug]:
    """All that have a scenario."""
    return [
        Bug(
            tuple(each["ids"]),
            each["scenario"],
            each["fixed"],
            each["says"],
            tuple(Change(**change) for change in each["change"]),
        )
        for each in _table()["bug"]
    ]


def load_known() -> list[int]:
    """All numbers that there are, in order."""
    known: list[int] = _table()["known"]
    return known


def load_others() -> dict[str, str]:
    """Those that can't be ours, and why."""
    others: dict[str, str] = {}
    for each in _table()["not_ours"]:
        others |= dict.fromkeys(each["ids"], each["reason"])
    return others
