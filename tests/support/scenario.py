"""Scenarios by name: short stories under virtual time that object, by an ``AssertionError``, to a bug."""

import inspect
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

import trio

from trio_fle.sim.members.scheduling import run_virtually

Scenario = Callable[[], Awaitable[None] | None]

SCENARIOS: Final[dict[str, Scenario]] = {}


def scenario(function: Scenario) -> Scenario:
    """Register a scenario under the name of its function."""
    SCENARIOS[function.__name__] = function
    return function


def verdict(name: str, seed: int = 0) -> str | None:
    """Play a scenario; return what it objects to, None where all is well. Tasks run in the order of ``seed``.

    Whatever else is raised (an import that fails, a name that does not exist) is no verdict, and comes out.
    """
    objections: list[str] = []
    try:
        play = SCENARIOS[name]
        if inspect.iscoroutinefunction(play):
            run_virtually(seed, play)
        else:
            play()
    except* AssertionError as group:
        objections += _leaves(group)
    return " ".join("; ".join(objections).split()) if objections else None


def _leaves(error: BaseException) -> list[str]:
    if isinstance(error, BaseExceptionGroup):
        return [each for inner in error.exceptions for each in _leaves(inner)]
    return [str(error)]


@contextmanager
def within(seconds: float, what: str) -> Iterator[None]:
    """Object where the block takes longer (virtual seconds)."""
    with trio.move_on_after(seconds) as scope:
        yield
    assert not scope.cancelled_caught, f"{what}: not within {seconds:g} s"


@contextmanager
def survives(what: str, *errors: type[Exception]) -> Iterator[None]:
    """Object where one of these errors ends the block: ``what`` died of it."""
    died: list[str] = []
    try:
        yield
    except* errors as group:
        died += _leaves(group)
    assert not died, f"{what} died: {'; '.join(died)}"
