"""Plays scenarios of ``history.toml`` on copies of our package in which the old behaviour is planted.

``python tests/sim/history_old.py [NAME ...]`` prints a line for each, and fails where one passes. Each is
played in a process of its own, forked from one that has imported what does not change: all but our package.
``PYTHONPATH`` has to name ``tests/support``.
"""

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import attrs
from history_table import Bug, load_bugs
from mutants import compiled_copy, planted

JOBS = 2
OURS = "trio_fle"
UNCHANGED = ("trio", "trio.testing", "structlog", "javaproperties", "h11")


@attrs.define
class Players:
    """Processes that play, a few at a time; each has its own copy of ``origin``, the package."""

    origin: Path
    failed: list[str] = attrs.field(factory=list)
    """Whoever played to an end other than an objection."""
    _running: dict[int, tuple[str, ExitStack]] = attrs.field(factory=dict)

    def start(self, bug: Bug) -> None:
        """Start one, once there is room."""
        while len(self._running) >= JOBS:
            self.wait()
        leave = ExitStack()
        directory = leave.enter_context(planted(self.origin, bug.scenario, bug.changes))
        sys.stdout.flush()
        if (pid := os.fork()) == 0:
            os._exit(_status(lambda: _objects(directory, bug.scenario)))
        self._running[pid] = bug.scenario, leave

    def wait(self) -> None:
        """Wait for one."""
        pid, status = os.wait()
        name, leave = self._running.pop(pid)
        leave.close()
        if status != 0:
            self.failed.append(name)

    def finish(self) -> None:
        """Wait for all."""
        while self._running:
            self.wait()


def _status(objects: Callable[[], bool]) -> int:
    try:
        return 0 if objects() else 1
    except BaseException:  # noqa: BLE001 (whatever it was, this process must not go on as its parent)
        traceback.print_exc()
        return 2


def _objects(directory: Path, name: str) -> bool:
    """Whether a scenario objects to the package in ``directory``."""
    sys.path.insert(0, str(directory))
    history = importlib.import_module("history")
    found = Path(str(sys.modules[OURS].__file__))
    if directory not in found.parents:
        raise ImportError(f"{OURS} comes from {found}")
    return not history.play(name)


def play_all(names: Sequence[str]) -> list[str]:
    """Play scenarios, all where none is named; return those that did not object."""
    for module in UNCHANGED:
        importlib.import_module(module)
    if OURS in sys.modules:
        raise ImportError(f"{OURS} was imported before anything was planted into it")
    with compiled_copy() as origin:
        players = Players(origin)
        for bug in load_bugs():
            if not names or bug.scenario in names:
                players.start(bug)
        players.finish()
    return players.failed


if __name__ == "__main__":
    sys.exit(bool(play_all(sys.argv[1:])))
