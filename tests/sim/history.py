"""The bugs of ZooKeeper's history, each as a scenario that its old behaviour fails.

``python tests/sim/history.py [NAME ...]`` plays scenarios (all of them) on whatever package is imported,
prints a line for each, and fails where one objects. Any other error is no verdict: the line is missing then.
``history_old.py`` plays them with the old behaviour.
"""

import sys

import history_disk
import history_members
import history_peers
import history_votes
from scenario import SCENARIOS, verdict

MODULES = (history_votes, history_peers, history_members, history_disk)
"""They register their scenarios."""

PASSES = "passes"
FAILS = "fails"


def play(name: str) -> bool:
    """Play a scenario, and print what came of it; True where it objects to nothing."""
    objection = verdict(name)
    line = f"{PASSES} {name}" if objection is None else f"{FAILS} {name}: {objection}"
    sys.stdout.write(f"{line}\n")  # at once: another process may write to the same place
    sys.stdout.flush()
    return objection is None


def main() -> None:
    passed = [play(name) for name in sys.argv[1:] or SCENARIOS]
    sys.exit(not all(passed))


if __name__ == "__main__":
    main()
