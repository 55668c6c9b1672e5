"""Which task runs when: the same ones for the same seed; and processes that hang, machines that sleep.

Trio chooses among runnable tasks at random, and gives no way to choose for it, nor to hold a task back. So
this module, alone, reaches into ``trio._core``: for the switch that Trio itself gives to Hypothesis, and for
the one function through which every task becomes runnable.
"""

import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import attrs
import trio
from trio._core import _run
from trio.testing import MockClock

T = TypeVar("T")
Held = list[tuple[trio.lowlevel.Task, tuple[Any, ...]]]


def tasks_under(root: trio.lowlevel.Task) -> Iterator[trio.lowlevel.Task]:
    """Return a task and all that it has started."""
    yield root
    for nursery in root.child_nurseries:
        for task in nursery.child_tasks:
            yield from tasks_under(task)


def deadlines_under(root: trio.lowlevel.Task) -> dict[trio.CancelScope, float]:
    """Return all deadlines that end something in this task or below it."""
    assert root.parent_nursery is not None
    found: dict[trio.CancelScope, float] = {}
    for task in tasks_under(root):
        status: Any = task._cancel_status
        while status is not None and status is not root.parent_nursery._cancel_status:
            if status._scope.deadline < float("inf"):
                found[status._scope] = status._scope.deadline
            status = status.parent
    return found


@contextmanager
def deterministic(seed: int) -> Iterator[None]:
    """Let the order of tasks be a function of ``seed``; around ``trio.run``."""
    runs: Any = _run
    before = runs._ALLOW_DETERMINISTIC_SCHEDULING, runs._r
    runs._ALLOW_DETERMINISTIC_SCHEDULING, runs._r = True, random.Random(seed)
    try:
        yield
    finally:
        runs._ALLOW_DETERMINISTIC_SCHEDULING, runs._r = before


def run_virtually(seed: int, play: Callable[[], Awaitable[T]]) -> T:
    """Run in virtual time, the same way for the same seed.

    SIGINT ends it where its main task waits, and nowhere else: a ``KeyboardInterrupt`` amid any of the tasks
    could keep a cancel scope from being closed, and Trio from ever ending.
    """
    clock = MockClock(autojump_threshold=0)
    with deterministic(seed):
        return trio.run(play, clock=clock, restrict_keyboard_interrupt_to_checkpoints=True)


@attrs.define(eq=False)
class Standstill:
    """Holds all tasks of some members back while the others go on.

    What arrives for them meanwhile waits in their sockets, as the kernel keeps it, and dials to them succeed.
    """

    _reschedule: Any = attrs.field(factory=lambda: _run.Runner.reschedule)
    _held: dict[trio.lowlevel.Task, Held] = attrs.field(factory=dict, init=False)
    _timers: dict[trio.lowlevel.Task, tuple[float, dict[trio.CancelScope, float]]] = attrs.field(
        factory=dict, init=False
    )

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Make it possible, as long as the block lasts."""

        def reschedule(runner: Any, task: trio.lowlevel.Task, *next_send: Any) -> None:
            root = self._root_of(task)
            if root is None:
                self._reschedule(runner, task, *next_send)
            else:
                task._abort_func = None
                self._held[root].append((task, next_send))

        runner: Any = _run.Runner
        runner.reschedule = reschedule
        try:
            yield
        finally:
            runner.reschedule = self._reschedule

    def _root_of(self, task: trio.lowlevel.Task) -> trio.lowlevel.Task | None:
        above: trio.lowlevel.Task | None = task if self._held else None
        while above is not None and above not in self._held:
            above = above.parent_nursery.parent_task if above.parent_nursery is not None else None
        return above

    def holds(self, root: trio.lowlevel.Task | None) -> bool:
        """Whether the tasks under ``root`` stand still."""
        return root in self._held

    def hang(self, root: trio.lowlevel.Task) -> None:
        """Stop the process (SIGSTOP): time-outs expire meanwhile, and are noticed once it goes on."""
        self._held.setdefault(root, [])

    def sleep(self, root: trio.lowlevel.Task) -> None:
        """Suspend the machine: Trio's clock stops for it, and the lease clock goes on."""
        deadlines = deadlines_under(root)
        self._timers[root] = (trio.current_time(), deadlines)
        for scope in deadlines:
            scope.deadline = float("inf")
        self.hang(root)

    def go_on(self, root: trio.lowlevel.Task) -> None:
        """Let them run again."""
        began, deadlines = self._timers.pop(root, (0.0, {}))
        for scope, deadline in deadlines.items():
            scope.deadline = deadline + trio.current_time() - began
        for task, next_send in self._held.pop(root):
            self._reschedule(task._runner, task, *next_send)

    def all_go_on(self) -> None:
        """Let all run again."""
        for root in list(self._held):
            self.go_on(root)
