"""Noticing that the event loop was held up: nothing in Trio tells."""

from typing import Final

import structlog
import trio

LAG_S: Final = 0.1
LEAST_S: Final = 0.02
"""Less than that is what any scheduler may take."""


async def watch_loop(every_s: float, at_most_s: float, log: structlog.typing.FilteringBoundLogger) -> None:
    """Log ``loop.lagged`` whenever this task got its turn too late, by ``LAG_S`` or by ``at_most_s`` if less.

    Looks every ``every_s``. A member that was held up for longer than its lease's margin does not count on
    it: whatever claims leadership compares the clock itself.
    """
    threshold_s = min(LAG_S, max(at_most_s, LEAST_S))
    while True:
        due = trio.current_time() + every_s
        await trio.sleep_until(due)
        if (lag_s := trio.current_time() - due) > threshold_s:
            log.warning("loop.lagged", lag_ms=round(1000 * lag_s, 3))
