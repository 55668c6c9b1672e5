"""Giving up what has waited for too long: one task for all that wait.

A cancel scope around each read costs more than the read: between the loss of a leader and the next one's
first answer a leader of four would enter and leave thirty.
"""

import math

import attrs
import trio


@attrs.define(eq=False)
class Waiter:
    """One task's work within ``scope``, which is cancelled once it has waited for too long (``overdue``)."""

    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    due: float = attrs.field(default=math.inf, init=False)
    """When its present wait has lasted too long."""
    overdue: bool = attrs.field(default=False, init=False)


@attrs.define(eq=False)
class Patience:
    """Ends waits that last too long, while ``run`` runs."""

    _waiting: set[Waiter] = attrs.field(factory=set, init=False)
    _sleep: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)

    def begin(self, waiter: Waiter, patience_s: float) -> None:
        """Note that ``waiter`` begins to wait; ``end`` must be told when that is over."""
        waiter.due = trio.current_time() + patience_s
        self._waiting.add(waiter)
        if waiter.due < self._sleep.deadline:
            self._sleep.deadline = waiter.due

    def end(self, waiter: Waiter) -> None:
        """Note that the wait is over, whatever it brought."""
        self._waiting.discard(waiter)

    async def run(self) -> None:
        """End what is due, for ever."""
        while True:
            due = min((each.due for each in self._waiting), default=math.inf)
            with trio.CancelScope(deadline=due) as self._sleep:
                await trio.sleep_forever()
            # after a process has stood still: whatever arrived meanwhile was no silence, and is taken first
            await trio.lowlevel.checkpoint()
            now = trio.current_time()
            for waiter in [each for each in self._waiting if each.due <= now]:
                self._waiting.discard(waiter)
                waiter.overdue = True
                waiter.scope.cancel()
