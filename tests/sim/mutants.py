"""Plants the faults of ``mutants.toml``, one at a time, in a copy of the package, and lets simulators hunt.

``python tests/sim/mutants.py [--jobs 2] [--runs 400] [NAME ...]`` prints who caught what, and fails where a
fault was not caught.
"""

import argparse
import compileall
import os
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import trio

HERE = Path(__file__).parent
PACKAGE = HERE.parents[1] / "trio_fle"

HUNT = """
import attrs
import sys
from trio_fle.sim.campaign import play_all
from trio_fle.sim.cores.run import run_cores
from trio_fle.sim.explore.bounds import HEIRS, Bounds
from trio_fle.sim.explore.breadth_first import explore
from trio_fle.sim.invariants import ViolationError
from trio_fle.sim.members.play import run_members

def story(run, first, runs):
    seeds = [first, *(seed for seed in range(runs) if seed != first)]
    for failure in play_all(run, seeds, stop_at_first=True).failures:
        return f"{failure.seed}: {failure.what}"

def exploration(first, runs):
    within = [
        Bounds(elections=1, crashes=0, settled=False),
        Bounds(elections=2, crashes=1),
        Bounds(elections=2, crashes=0, losses=1),
        *HEIRS,
    ]
    for number, bounds in enumerate(within[first:] + within[:first]):
        try:
            explore(attrs.evolve(bounds, states=max(200 * runs, 0 if number else 20_000)))
        except ViolationError as violation:
            return f"{bounds}: {violation.invariant}: {violation.what.splitlines()[0]}"

by, first, runs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
if by == "explorer":
    said = exploration(first, runs)
else:
    said = story(run_cores if by == "cores" else run_members, first, runs)
print("caught" if said else "missed", said or "")
"""

SIMULATORS = ("explorer", "cores", "members")
SHARE = {"explorer": 1.0, "cores": 2.0, "members": 1.0}
"""How many stories (or hundreds of states) each plays, as parts of ``--runs``."""


@attrs.frozen
class Change:
    """Some text of a file of the package, and what stands there instead."""

    file: str
    old: str
    new: str

    def apply(self, package: Path, name: str) -> None:
        """Change a copy of the package. ``ValueError`` where the old text is not there exactly once."""
        path = package / self.file
        source = path.read_text()
        if source.count(self.old) != 1:
            raise ValueError(f"{name}: {self.file} has {source.count(self.old)} times: {self.old}")
        path.unlink()  # it is the file of all other copies as well
        path.write_text(source.replace(self.old, self.new))


@contextmanager
def compiled_copy() -> Iterator[Path]:
    """A copy of the package with the bytecode of all of it, for many copies of which little is changed."""
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / "trio_fle"
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        compileall.compile_dir(copy, quiet=1)
        yield copy


@contextmanager
def planted(origin: Path, name: str, changes: Sequence[Change]) -> Iterator[Path]:
    """A directory with a copy of ``origin``, the package, in which all of that is changed."""
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / "trio_fle"
        shutil.copytree(origin, copy, copy_function=os.link)
        for change in changes:
            change.apply(copy, name)
        yield Path(directory)


@attrs.frozen
class Mutant:
    """One planted fault: a line of a file, and what stands there instead."""

    name: str
    file: str
    old: str
    new: str
    breaks: str
    by: str
    """The simulator that caught it when it was written."""
    seed: int = 0
    """The first story that is tried; of the explorer, the number of the first bounds."""

    @property
    def simulators(self) -> list[str]:
        """Who can catch it: only whole members have connections, disks and roles of the package itself."""
        whole = self.file.split("/")[0] in ("peers", "member", "storage")
        return ["members"] if whole else sorted(SIMULATORS, key=lambda each: each != self.by)

    @contextmanager
    def planted(self, origin: Path) -> Iterator[Path]:
        """A directory with a copy of ``origin``, the package, in which the fault is."""
        with planted(origin, self.name, [Change(self.file, self.old, self.new)]) as directory:
            yield directory


@attrs.frozen
class Hunted:
    """What came of the hunt for a mutant: who caught it first, and what that said."""

    mutant: Mutant
    by: str = ""
    said: str = ""

    def __str__(self) -> str:
        return f"{self.by or 'MISSED':9} {self.mutant.name:32} {self.said[:160]}"


def load_mutants() -> list[Mutant]:
    """All that are kept."""
    table: dict[str, list[dict[str, Any]]] = tomllib.loads((HERE / "mutants.toml").read_text())
    return [Mutant(**facts) for facts in table["mutant"]]


async def hunt(mutant: Mutant, origin: Path, runs: int) -> Hunted:
    """Let simulators play until one catches the mutant; first the one that did when it was written."""
    with mutant.planted(origin) as directory:
        for by in mutant.simulators:
            arguments = [by, str(mutant.seed if by == mutant.by else 0), str(round(runs * SHARE[by]))]
            done = await trio.run_process(
                [sys.executable, "-c", HUNT, *arguments],
                env={**os.environ, "PYTHONPATH": str(directory), "PYTHONDONTWRITEBYTECODE": "1"},
                cwd=directory,
                capture_stdout=True,
                capture_stderr=True,
                check=False,
            )
            if done.returncode != 0:
                raise RuntimeError(f"{mutant.name}: {by} broke:\n{done.stderr.decode()}")
            verdict, _, said = done.stdout.decode().strip().rpartition("\n")[2].partition(" ")
            if verdict == "caught":
                return Hunted(mutant, by, said)
    return Hunted(mutant)


async def hunt_all(mutants: list[Mutant], runs: int, jobs: int) -> list[Hunted]:
    """Hunt for all, some at the same time; print each as it is caught."""
    found: list[Hunted] = []
    waiting = iter(mutants)

    async def work(origin: Path) -> None:
        for mutant in waiting:
            found.append(await hunt(mutant, origin, runs))
            print(found[-1], flush=True)

    with compiled_copy() as origin:
        async with trio.open_nursery() as nursery:
            for _ in range(jobs):
                nursery.start_soon(work, origin)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--runs", type=int, default=400)
    options = parser.parse_args()
    mutants = [each for each in load_mutants() if not options.names or each.name in options.names]
    found = trio.run(hunt_all, mutants, options.runs, options.jobs)
    missed = [hunted.mutant.name for hunted in found if not hunted.by]
    print(f"{len(found) - len(missed)} of {len(found)} mutants are caught")
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
