"""Stories of pure cores: nothing that must not happen does, and what is planted is found."""

from collections.abc import Callable

import pytest

from trio_fle.sim.campaign import shrink
from trio_fle.sim.conditions import Conditions, Latency
from trio_fle.sim.cores.run import count_faults, elect, run_cores
from trio_fle.sim.cores.world import Process, World
from trio_fle.sim.invariants import ACCEPTED_ONCE, EPOCHS_GROW, ONE_ACTS, PROMISES_ARE_KEPT, ViolationError
from trio_fle.storage import StoredVote
from trio_fle.zab import Promise
from trio_fle.zab.discovery import Gate

STORIES = 400


def found(seeds: range) -> dict[str, int]:
    """Every invariant that some of these stories violate, with the first that does."""
    violated: dict[str, int] = {}
    for seed in seeds:
        try:
            run_cores(seed)
        except ViolationError as error:
            violated.setdefault(error.invariant, seed)
    return violated


def test_stories_end_well() -> None:
    outcomes = [run_cores(seed) for seed in range(STORIES)]
    assert sum(outcome.leaderships for outcome in outcomes) > 2 * STORIES
    assert sum(outcome.elections for outcome in outcomes) >= sum(outcome.leaderships for outcome in outcomes)


def test_a_story_is_told_again_word_for_word() -> None:
    for seed in (3, 14, 15):
        once: list[str] = []
        again: list[str] = []
        assert run_cores(seed, trace=once.append) == run_cores(seed, trace=again.append)
        assert once == again
        assert run_cores(seed) == run_cores(seed, trace=[].append)


def test_a_fault_that_is_skipped_does_not_strike() -> None:
    lines: list[str] = []
    run_cores(3, trace=lines.append, skip=frozenset({0}))
    assert not any("[fault 0]" in line for line in lines)
    assert any("[fault 1]" in line for line in lines)


def test_a_promise_that_does_not_bind_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Promise, "binds", lambda *_, **__: False)
    assert ONE_ACTS in found(range(60, 80))


def test_a_gate_that_opens_for_anybody_is_found_and_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    def admit(gate: Gate, sid: int) -> bool:
        gate.passed.add(sid)
        opens, gate.open = not gate.open, True
        return opens

    monkeypatch.setattr(Gate, "admit", admit)
    violated = found(range(260, 310))
    assert violated.keys() >= {EPOCHS_GROW, ACCEPTED_ONCE}
    seed = violated[EPOCHS_GROW]
    skip, violation = shrink(run_cores, seed, count_faults(seed))
    assert violation.invariant == EPOCHS_GROW
    assert len(skip) < count_faults(seed)
    with pytest.raises(ViolationError):
        run_cores(seed, skip=skip)


def test_an_answer_before_the_disk_is_done_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    write = World.write

    def too_soon(world: World, process: Process, stored: StoredVote, done: Callable[[], None]) -> None:
        process.machine.writing = None
        write(world, process, stored, lambda: None)
        world.run(process, done)

    monkeypatch.setattr(World, "write", too_soon)
    assert PROMISES_ARE_KEPT in found(range(20, 40))


@pytest.mark.parametrize("size", [3, 5, 9])
def test_an_election_without_faults(size: int) -> None:
    election = elect(size)
    assert election.leader == size
    assert election.decided_s < election.established_s <= election.followed_s < 0.1
    assert 2 * size <= election.messages <= 3 * size * size
    assert election.bytes > 48 * election.messages
    assert elect(size) == election


def test_a_leader_that_is_killed_is_replaced() -> None:
    election = elect(5, Conditions(Latency(0.001)), failover=True)
    assert election.leader == 4
    assert election.established_s < 0.1
