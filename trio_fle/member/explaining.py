"""Saying by itself why there is no leader yet."""

import math
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import attrs
import structlog
import trio

from trio_fle.election.stalled import Stalled
from trio_fle.member.feeds import Signal

T = TypeVar("T")

STALLED_FIRST_S: Final = 2.0
"""An election that takes longer says why, and again each time this wait has doubled."""


@attrs.define(eq=False)
class Explainer:
    """Watches what may take long, and logs ``election.stalled`` with the verdict of ``diagnose``."""

    diagnose: Callable[[], Stalled | None]
    changed: Signal
    inquire: Callable[[], None]
    """Is called whenever a verdict is said: something may be found out."""
    log: structlog.typing.FilteringBoundLogger
    stalled: Stalled | None = attrs.field(default=None, init=False)
    """The last verdict, while it holds."""
    _wait_s: float = attrs.field(default=STALLED_FIRST_S, init=False)
    _due: float = attrs.field(default=math.inf, init=False)
    _waiting: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)

    async def run(self) -> None:
        """Say why, whenever it is due, for ever."""
        while True:
            with trio.CancelScope(deadline=self._due) as self._waiting:
                await trio.sleep_forever()
            if trio.current_time() >= self._due:
                self._say()
                self._wait_s *= 2
                self._due = trio.current_time() + self._wait_s

    async def explain(self, role: Callable[[], Awaitable[T]]) -> T:
        """Do something that may take long; ``run`` says meanwhile why it does."""
        self._wait_s = STALLED_FIRST_S
        self._due = trio.current_time() + STALLED_FIRST_S
        if self._due < self._waiting.deadline:  # else it wakes too early, once, and waits on: that costs less
            self._waiting.deadline = self._due
        try:
            return await role()
        finally:
            self._due = math.inf
            self.stalled = None

    def _say(self) -> None:
        self.stalled = self.diagnose()
        self.changed.give()
        if self.stalled is not None:
            self.inquire()
            self.log.warning(
                "election.stalled",
                because=self.stalled.because.value,
                missing=list(self.stalled.missing),
                round=self.stalled.round,
            )
