"""Plants the faults of ``mutants.toml``, one at a time, in a copy of the package, and lets simulators hunt.

``python tests/sim/mutants.py [--jobs 2] [--runs 1000] [NAME ...]`` prints who caught what, and fails where a
fault was not caught.
"""

import argparse
import os
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import trio

HERE = Path(__file__).parent
PACKAGE = HERE.parents[1] / "trio_fle"
LIMIT_S = 900

HUNT = """
import sys
from trio_fle.sim.campaign import play_all
from trio_fle.sim.playing import run_members
first, runs = int(sys.argv[1]), int(sys.argv[2])
seeds = [first, *(seed for seed in range(runs) if seed != first)]
tally = play_all(run_members, seeds, stop_at_first=True)
for failure in tally.failures:
    print(failure.seed, failure.what)
"""


@attrs.frozen
class Mutant:
    """One planted fault: a line of a file, and what stands there instead."""

    name: str
    file: str
    old: str
    new: str
    breaks: str
    by: str = "members"
    seed: int = 0
    """The first story that is tried."""

    @contextmanager
    def planted(self) -> Iterator[Path]:
        """A directory with a copy of the package in which the fault is."""
        with tempfile.TemporaryDirectory() as directory:
            copy = Path(directory) / "trio_fle"
            shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
            path = copy / self.file
            source = path.read_text()
            if source.count(self.old) != 1:
                raise ValueError(f"{self.name}: {self.file} has {source.count(self.old)} times: {self.old}")
            path.write_text(source.replace(self.old, self.new))
            yield Path(directory)


@attrs.frozen
class Caught:
    """What came of the hunt for a mutant: the first words of the violation, or nothing."""

    mutant: Mutant
    said: str

    def __str__(self) -> str:
        return f"{'caught' if self.said else 'MISSED':7} {self.mutant.name:32} {self.said[:200]}"


def load_mutants() -> list[Mutant]:
    """All that are kept."""
    table: dict[str, list[dict[str, Any]]] = tomllib.loads((HERE / "mutants.toml").read_text())
    return [Mutant(**facts) for facts in table["mutant"]]


async def hunt(mutant: Mutant, runs: int) -> Caught:
    """Let a simulator play stories until one catches the mutant."""
    with mutant.planted() as directory:
        command = [sys.executable, "-c", HUNT, str(mutant.seed), str(runs)]
        with trio.move_on_after(LIMIT_S):
            done = await trio.run_process(
                command,
                env={**os.environ, "PYTHONPATH": str(directory), "PYTHONDONTWRITEBYTECODE": "1"},
                cwd=directory,
                capture_stdout=True,
                capture_stderr=True,
                check=False,
            )
            lines = (done.stdout or done.stderr).decode().strip().splitlines()
            return Caught(mutant, lines[-1] if lines else "")
    return Caught(mutant, f"no end within {LIMIT_S} s")


async def hunt_all(mutants: list[Mutant], runs: int, jobs: int) -> list[Caught]:
    """Hunt for all, some at the same time; print each as it is caught."""
    found: list[Caught] = []
    waiting = iter(mutants)

    async def work() -> None:
        for mutant in waiting:
            found.append(await hunt(mutant, runs))
            print(found[-1], flush=True)

    async with trio.open_nursery() as nursery:
        for _ in range(jobs):
            nursery.start_soon(work)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--runs", type=int, default=1000)
    options = parser.parse_args()
    mutants = [each for each in load_mutants() if not options.names or each.name in options.names]
    found = trio.run(hunt_all, mutants, options.runs, options.jobs)
    missed = [caught.mutant.name for caught in found if not caught.said]
    print(f"{len(found) - len(missed)} of {len(found)} mutants are caught")
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
