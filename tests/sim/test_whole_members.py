"""Whole members under faults: nothing is violated, a planted fault is noticed, and a seed is a story."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import pytest
import trio

from trio_fle.sim.conditions import Conditions, Latency
from trio_fle.sim.invariants import ViolationError
from trio_fle.sim.members import play as playing
from trio_fle.sim.members.disk import VirtualDisk
from trio_fle.sim.members.play import run_members
from trio_fle.sim.members.scheduling import run_virtually
from trio_fle.sim.members.story import Kind, Story, draw
from trio_fle.storage import Followed
from trio_fle.zab import Promise

PRINT_TRACE = """
import sys
from trio_fle.sim.members.play import run_members
run_members(int(sys.argv[1]), trace=lambda line: print(line))
"""


@pytest.mark.parametrize("first", range(0, 100, 10))
def test_stories_violate_nothing(first: int) -> None:
    outcomes = [run_members(seed) for seed in range(first, first + 10)]
    assert sum(outcome.leaderships for outcome in outcomes) > 10


@pytest.mark.parametrize("seed", [12, 238])
def test_a_seed_is_a_story_byte_for_byte(seed: int) -> None:
    """Also in another process, where text and bytes hash to other numbers."""
    here: list[str] = []
    run_members(seed, trace=here.append)
    for hash_seed in ("1", "2"):
        there = subprocess.run(
            [sys.executable, "-c", PRINT_TRACE, str(seed)],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert there.stdout.splitlines() == here
    assert len(here) > 50


def test_a_story_without_some_of_its_faults_is_another_one() -> None:
    whole: list[str] = []
    part: list[str] = []
    run_members(238, trace=whole.append)
    run_members(238, trace=part.append, skip=frozenset({0, 1}))
    assert not any("fault 0:" in line or "fault 1:" in line for line in part)
    assert any("fault 0:" in line for line in whole)
    assert any("fault 2:" in line for line in part)


def test_sigint_ends_a_run_where_its_main_task_waits_and_not_amid_a_task() -> None:
    told: list[str] = []

    async def member() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
            told.append("it goes on to where it waits")
            await trio.sleep_forever()
        finally:
            told.append("it is cancelled")

    async def play() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(member)
            try:
                await trio.sleep_forever()
            except KeyboardInterrupt:
                told.append("the main task is told")
                raise

    with pytest.RaisesGroup(KeyboardInterrupt):
        run_virtually(0, play)
    assert told == ["it goes on to where it waits", "the main task is told", "it is cancelled"]


def test_faults_are_of_many_kinds() -> None:
    stories = [draw(seed) for seed in range(300)]
    kinds = {fault.kind for story in stories for fault in story.faults}
    assert kinds == set(Kind)
    assert {len(story.roles) for story in stories} >= {2, 3, 4, 5, 7}


@contextmanager
def drawn_as(**changes: object) -> Iterator[None]:
    def draw_changed(seed: int) -> Story:
        return attrs.evolve(draw(seed), **changes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(playing, "draw", draw_changed)
        yield


def noticed_in(seeds: range, invariant: str) -> int:
    """The first story that violates an invariant."""
    for seed in seeds:
        try:
            run_members(seed)
        except ViolationError as violation:
            if violation.invariant == invariant:
                return seed
    raise AssertionError("nothing was noticed")


def test_promises_that_bind_nobody_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Promise, "binds", lambda self, now, *, towards: False)
    assert noticed_in(range(10, 200), "one acts")


def test_clocks_beyond_the_margin_are_noticed() -> None:
    rates = dict.fromkeys(range(1, 9), 3.0) | {3: 0.2, 5: 0.2}
    with drawn_as(rates=rates):
        assert noticed_in(range(80, 200), "one acts")


def test_a_follower_that_can_not_come_back_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was reserved after the promise that it rests on was forgotten can't be cleared."""

    async def reserve_anyway(self: VirtualDisk, heir: int, epoch: int, followed: Followed) -> bool:
        return await self._write(heir=heir)

    monkeypatch.setattr(VirtualDisk, "reserve", reserve_anyway)
    assert noticed_in(range(413, 414), "no busy loop") == 413


def test_a_network_that_loses_everything_is_noticed() -> None:
    with drawn_as(conditions=Conditions(Latency(30.0))):
        assert noticed_in(range(1, 5), "a leader within a bound")
