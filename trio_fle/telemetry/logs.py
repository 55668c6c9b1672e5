"""The log: structlog bound loggers that write one JSON object a line, or lines for people.

Event names are constants, facts are fields: the table of them is in README.md. Nothing is configured
globally, so several members of one process each have a logger of their own.
"""

import json
import time
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, cast

import structlog
from structlog.typing import FilteringBoundLogger, WrappedLogger

from trio_fle.telemetry.writer import LogWriter
from trio_fle.vote import MIN_LONG

MAX_TEXT: Final = 4096
"""Longest text field; the rest is cut off."""

MAX_LINE: Final = 16 * 1024
"""Longest JSON line; the fields of a longer one are cut as one text."""

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}

_COMMON: Final = ("timestamp", "level", "event", "myid")
_ENCODER: Final = json.JSONEncoder(default=str)
_UNSIGNED: Final = 2**64 - 1

EventDict = MutableMapping[str, Any]


def build_logger(
    myid: int, writer: LogWriter, log_format: str = "auto", level: str = "info"
) -> FilteringBoundLogger:
    """Return a logger with ``myid`` bound. ``log_format``: json, console, or auto (console on a terminal).

    The first logger of a writer also tells, as ``log.dropped``, of the lines that the writer lost.
    """
    console = log_format == "console" or (log_format == "auto" and writer.file.isatty())
    render = _to_console(writer.file.isatty()) if console else _render_json
    logger = structlog.wrap_logger(
        _Lines(writer),
        processors=[partial(_prepare, render)],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        myid=myid,
    )
    bound = cast(FilteringBoundLogger, logger.bind())
    if writer.on_loss is None:
        writer.on_loss = lambda lost: bound.warning("log.dropped", dropped=lost)
    return bound


class _Lines:
    """The end of the chain: one line, whatever its level; the writer has it rendered when it has the time."""

    def __init__(self, writer: LogWriter) -> None:
        self._writer = writer

    def msg(self, line: Callable[[], str]) -> None:
        self._writer.write(line)

    debug = info = warning = error = critical = msg


def _prepare(
    render: Callable[[EventDict], str], logger: WrappedLogger, level: str, event: EventDict
) -> tuple[tuple[Callable[[], str]], dict[str, Any]]:
    """Note what is only known now; the writer's thread does the rest."""
    event["timestamp"], event["level"] = time.time(), level
    if "exc_info" in event:
        event = structlog.processors.format_exc_info(logger, level, event)
    return (partial(_render, render, event),), {}


def _render(render: Callable[[EventDict], str], event: EventDict) -> str:
    """Make the line; where a value can't be written, that must not cost the lines of others."""
    common = {name: event[name] for name in _COMMON if name in event}
    try:
        return render(event)
    except Exception as error:  # noqa: BLE001 -- whatever it was, the line tells of it
        return render(common | {"unwritable": type(error).__name__})


def _shape(event: EventDict) -> EventDict:
    """Put the common fields first, numbers that need not fit a double into hex, and bound every text."""
    at = datetime.fromtimestamp(event["timestamp"], UTC)
    event["timestamp"] = f"{at.isoformat(timespec='microseconds')[:-6]}Z"
    shaped: EventDict = {name: event.pop(name) for name in _COMMON}
    for name, value in event.items():
        if name == "zxid" and isinstance(value, int):
            value = hex(value & _UNSIGNED)
        if name in ("leader", "epoch") and value == MIN_LONG:
            value = None  # what those say who do not vote: no value
        if isinstance(value, str) and len(value) > MAX_TEXT:
            value = value[:MAX_TEXT] + "..."
        shaped[name] = value
    return shaped


def _to_console(colors: bool) -> Callable[[EventDict], str]:
    renderer = structlog.dev.ConsoleRenderer(colors=colors)
    return lambda event: str(renderer(None, "", _shape(event)))


def _render_json(event: EventDict) -> str:
    """Render one line, ``MAX_LINE`` at most: fields that need more become the beginning of their JSON."""
    event = _shape(event)
    line = _ENCODER.encode(event)
    if len(line) <= MAX_LINE:
        return line
    common = {name: event.pop(name) for name in _COMMON}
    # quoting a JSON text once more may double it
    return _ENCODER.encode(common | {"truncated": _ENCODER.encode(event)[: MAX_LINE // 3]})
