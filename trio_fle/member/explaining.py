"""Saying by itself why there is no leader yet."""

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
    nursery: trio.Nursery = attrs.field(init=False)
    stalled: Stalled | None = attrs.field(default=None, init=False)
    """The last verdict, while it holds."""

    async def explain(self, role: Callable[[], Awaitable[T]]) -> T:
        """Do something that may take long, and say meanwhile why it does."""
        scope = trio.CancelScope()
        self.nursery.start_soon(self._watch, scope)
        try:
            return await role()
        finally:
            scope.cancel()
            self.stalled = None

    async def _watch(self, scope: trio.CancelScope) -> None:
        with scope:
            wait_s = STALLED_FIRST_S
            while True:
                await trio.sleep(wait_s)
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
                wait_s *= 2
