"""What the simulator foretells, beside what real members do: the time to a leader, near and far.

Real members run in network namespaces (``latency.py``; needs root), simulated ones on the same latencies,
with what two cores share (``Host`` of ``trio_fle.sim.measure``). How fast this machine computes changes from
hour to hour, with what its neighbours do. So failovers of three members without added latency gauge it: the
processor time that the kernel counts for a survivor that follows, beside that where ``Host`` was fitted. What
this can't tell from a slow machine is a member that computes more; that is what the benchmarks are for.

Fails where a measured median is more than 15 % off the simulated one.
"""

import argparse
import itertools
import statistics
import sys

from figures import percentile
from latency import CASES, measure_case

from trio_fle.sim.conditions import Conditions, Latency
from trio_fle.sim.measure import Case, Host, Setup, sample

SIMULATED = 31
WIRE_S = 0.00002
"""One way between two namespaces where nothing is added (measured by ``calibration.py``)."""
WITHIN = 0.15
CPU_MS = 5.6
"""Processor time of a survivor that follows, in a failover, where ``Host`` was fitted."""


def foretell(size: int, latency_s: float, case: str, host: Host) -> float:
    """Return the simulated median, in milliseconds."""
    setup = Setup(size, Conditions(Latency(latency_s + WIRE_S)), host=host)
    return statistics.median(1000 * sample(setup, Case(case), seed).seconds for seed in range(SIMULATED))


def gauge(rounds: int) -> Host:
    """Return this machine as it is now."""
    found = measure_case(3, 0, rounds, "failover")
    cpu_ms = percentile([each.cpu_ms for each in found.spent if not each.leads], 0.5)
    print(f"A follower computes {cpu_ms:.1f} ms in a failover of three; Host was fitted at {CPU_MS} ms.\n")
    return Host(cores=2).slower(cpu_ms / CPU_MS)


def main() -> None:
    """Print a table, and fail where the simulator is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[3, 5])
    parser.add_argument("--latencies", type=float, nargs="+", default=[0, 10, 50], metavar="MS")
    parser.add_argument("--cases", choices=CASES, nargs="+", default=CASES[:1])
    parser.add_argument("--rounds", type=int, default=25)
    given = parser.parse_args()
    host, wrong = gauge(given.rounds), 0
    print("| case | n | one way, ms | measured median, ms | simulated | measured / simulated |")
    print("|---|---:|---:|---:|---:|---:|", flush=True)
    for case, size, latency_ms in itertools.product(given.cases, given.sizes, given.latencies):
        simulated = foretell(size, latency_ms / 1000, case, host)
        measured = statistics.median(measure_case(size, latency_ms / 1000, given.rounds, case).times_ms)
        ratio = measured / simulated
        wrong += abs(ratio - 1) > WITHIN
        row = (case, size, f"{latency_ms:g}", f"{measured:.1f}", f"{simulated:.1f}", f"{ratio:.2f}")
        print("| " + " | ".join(map(str, row)) + " |", flush=True)
    if wrong:
        sys.exit(f"{wrong} medians are more than {WITHIN:.0%} off what was simulated")


if __name__ == "__main__":
    main()
