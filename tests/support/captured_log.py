"""A logger that keeps its events in a list."""

from typing import Any

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger


def captured_log() -> tuple[FilteringBoundLogger, list[dict[str, Any]]]:
    """Return a logger for all levels and the list that its events go to."""
    events: list[dict[str, Any]] = []

    def keep(_logger: WrappedLogger, level: str, event: EventDict) -> EventDict:
        events.append({"level": level, **event})
        raise structlog.DropEvent

    logger: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(),
        processors=[keep],
        wrapper_class=structlog.make_filtering_bound_logger(0),
    ).bind()
    return logger, events
