"""What is to be said about a configuration: a stable code, how bad it is, and what to do."""

import enum
from collections.abc import Sequence

import attrs


class Severity(enum.Enum):
    """How bad it is."""

    WARNING = "warning"
    """It may work, or work for now."""

    ERROR = "error"
    """It can't be right as it stands: the answer of a check is no."""


@attrs.frozen
class Finding:
    """One thing that is suspicious or wrong. ``code`` never changes; ``message`` says what to do."""

    code: str
    message: str
    servers: tuple[int, ...] = ()
    """Ids of the servers that it is about; none where it is about the whole ensemble."""
    severity: Severity = Severity.WARNING


def error(code: str, message: str, *servers: int) -> Finding:
    """Return a finding of the grade error."""
    return Finding(code, message, servers, Severity.ERROR)


def warning(code: str, message: str, *servers: int) -> Finding:
    """Return a finding of the grade warning."""
    return Finding(code, message, servers)


def listed(numbers: Sequence[int | str]) -> str:
    """Write ids for people: ``1``, ``1 and 2``, ``1, 2 and 3``."""
    *first, last = map(str, numbers)
    return f"{', '.join(first)} and {last}" if first else last


def named(numbers: tuple[int, ...]) -> str:
    """Write ids with what they are: ``server 1``, ``servers 1 and 2``."""
    return f"server{'s' * (len(numbers) > 1)} {listed(numbers)}"
