"""Every planted fault is caught, by the simulator and in the story that caught it when it was written."""

import trio
from mutants import hunt_all, load_mutants

NO_MORE = 0
"""Stories beside that one: ``make mutants`` hunts further."""


def test_every_planted_fault_is_caught() -> None:
    mutants = load_mutants()
    assert len({mutant.name for mutant in mutants}) == len(mutants) >= 25
    found = trio.run(hunt_all, mutants, NO_MORE, 2)
    assert [hunted.mutant.name for hunted in found if not hunted.by] == []
