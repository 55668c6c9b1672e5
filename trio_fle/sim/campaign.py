"""Many runs: what they add up to, and the shortest story behind one that violates something."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

import attrs
import trio

from trio_fle.errors import FleError
from trio_fle.sim.invariants import ViolationError
from trio_fle.sim.outcome import Outcome

Trace = Callable[[str], None]

SHARES: Final = 20
"""How many shares each worker process is given, one after the other."""

_LARGEST: Final = 2000
_SMALLEST: Final = 8
"""To start a process takes as long as so many stories."""


class Run(Protocol):
    """Plays the story of a seed."""

    def __call__(
        self, seed: int, *, trace: Trace | None = None, skip: frozenset[int] = frozenset()
    ) -> Outcome:
        """Raises ``ViolationError``."""


@attrs.frozen
class Failure:
    """A run that violated something."""

    seed: int
    invariant: str
    what: str


@attrs.define
class Tally:
    """What runs add up to."""

    runs: int = 0
    elections: int = 0
    leaderships: int = 0
    decisions: int = 0
    messages: int = 0
    virtual_s: float = 0.0
    mended_s: float = 0.0
    """The longest that it took after all faults."""
    failures: list[Failure] = attrs.field(factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count a run that went well."""
        facts = attrs.asdict(outcome)
        del facts["seed"]
        self.merge(Tally(1, **facts))

    def merge(self, other: "Tally") -> None:
        """Count the runs of another."""
        self.runs += other.runs
        self.elections += other.elections
        self.leaderships += other.leaderships
        self.decisions += other.decisions
        self.messages += other.messages
        self.virtual_s += other.virtual_s
        self.mended_s = max(self.mended_s, other.mended_s)
        self.failures += other.failures

    def to_json(self) -> str:
        """Return it in one line."""
        return json.dumps(attrs.asdict(self))

    @classmethod
    def from_json(cls, line: str) -> "Tally":
        """Read what ``to_json`` wrote."""
        facts = json.loads(line)
        failures = [Failure(**failure) for failure in facts.pop("failures")]
        return cls(**facts, failures=failures)


def play_all(run: Run, seeds: Iterable[int], *, stop_at_first: bool = False) -> Tally:
    """Play the stories of all seeds, one after the other."""
    tally = Tally()
    for seed in seeds:
        try:
            tally.add(run(seed))
        except ViolationError as violation:
            tally.runs += 1
            tally.failures.append(Failure(seed, violation.invariant, str(violation)))
            if stop_at_first:
                break
    return tally


def shrink(run: Run, seed: int, faults: int) -> tuple[frozenset[int], ViolationError]:
    """Leave out as many faults of a violating story as can be while the same invariant is violated.

    ``faults`` is their number in the story. Returns those left out, and the violation. Raises ``ValueError``
    where the whole story violates nothing.
    """
    skip: frozenset[int] = frozenset()
    violation = _violation(run, seed, skip)
    if violation is None:
        raise ValueError(f"the story of seed {seed} violates nothing")
    size = max(1, faults // 2)
    while True:
        left = [number for number in range(faults) if number not in skip]
        shorter = False
        for at in range(0, len(left), size):
            attempt = skip | frozenset(left[at : at + size])
            found = _violation(run, seed, attempt)
            if found is not None and found.invariant == violation.invariant:
                skip, violation, shorter = attempt, found, True
        if size == 1 and not shorter:
            return skip, violation
        size = max(1, size // 2)


def _violation(run: Run, seed: int, skip: frozenset[int]) -> ViolationError | None:
    try:
        run(seed, skip=skip)
    except ViolationError as violation:
        return violation
    return None


class WorkerError(FleError):
    """A worker process ended without its result."""


async def share_out(
    arguments: Sequence[str], seeds: range, jobs: int, total: Tally, tell: Callable[[Tally], None]
) -> None:
    """Play the stories of ``seeds`` in ``jobs`` processes, each of which plays one share after the other.

    ``arguments`` are those of this command for a worker, which is given the first seed and the number of runs
    besides, and prints a tally. Each is added to ``total``, and ``tell`` is told of it. Raises
    ``WorkerError``.
    """
    share = min(_LARGEST, max(_SMALLEST, 1 + len(seeds) // (SHARES * jobs)), 1 + len(seeds) // jobs)
    shares = iter(range(seeds.start, seeds.stop, share))

    async def work() -> None:
        for first in shares:
            last = min(first + share, seeds.stop)
            tally = await _work_off(arguments, first, last - first)
            total.merge(tally)
            tell(tally)

    async with trio.open_nursery() as nursery:
        for _ in range(jobs):
            nursery.start_soon(work)
    total.failures.sort(key=lambda failure: failure.seed)


async def _work_off(arguments: Sequence[str], first: int, runs: int) -> Tally:
    command = [sys.executable, "-m", "trio_fle", *arguments, f"--seed={first}", f"--runs={runs}"]
    done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
    lines = done.stdout.decode().splitlines()
    if not lines:
        why = done.stderr.decode().strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        raise WorkerError(f"runs {first} to {first + runs - 1}: {why[0]}")
    return Tally.from_json(lines[-1])
