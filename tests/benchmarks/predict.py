"""What the simulator foretells, beside what real members do: the time to a leader, near and far.

Real members run in network namespaces (``latency.py``; needs root), simulated ones on the same latencies,
with what two cores share (``Host`` of ``trio_fle.sim.measure``). Fails where a measured median is more than
15 % off the simulated one.
"""

import argparse
import itertools
import statistics
import sys

from latency import CASES, measure

from trio_fle.sim.conditions import Conditions, Latency
from trio_fle.sim.measure import Case, Host, Setup, sample

SIMULATED = 31
WIRE_S = 0.00002
"""One way between two namespaces where nothing is added (measured by ``calibration.py``)."""
WITHIN = 0.15


def foretell(size: int, latency_s: float, case: str) -> float:
    """Return the simulated median, in milliseconds."""
    setup = Setup(size, Conditions(Latency(latency_s + WIRE_S)), host=Host(cores=2))
    return statistics.median(1000 * sample(setup, Case(case), seed).seconds for seed in range(SIMULATED))


def main() -> None:
    """Print a table, and fail where the simulator is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[3, 5])
    parser.add_argument("--latencies", type=float, nargs="+", default=[0, 10, 50], metavar="MS")
    parser.add_argument("--cases", choices=CASES, nargs="+", default=CASES[:1])
    parser.add_argument("--rounds", type=int, default=25)
    given = parser.parse_args()
    wrong = 0
    print("| case | n | one way, ms | measured median, ms | simulated | measured / simulated |")
    print("|---|---:|---:|---:|---:|---:|")
    for case, size, latency_ms in itertools.product(given.cases, given.sizes, given.latencies):
        simulated = foretell(size, latency_ms / 1000, case)
        measured = statistics.median(measure(size, latency_ms / 1000, given.rounds, case=case))
        ratio = measured / simulated
        wrong += abs(ratio - 1) > WITHIN
        row = (case, size, f"{latency_ms:g}", f"{measured:.1f}", f"{simulated:.1f}", f"{ratio:.2f}")
        print("| " + " | ".join(map(str, row)) + " |", flush=True)
    if wrong:
        sys.exit(f"{wrong} medians are more than {WITHIN:.0%} off what was simulated")


if __name__ == "__main__":
    main()
