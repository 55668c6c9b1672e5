"""Values on the command line that a number alone does not say. Each raises ``click.BadParameter``."""

import re
from typing import Final

import click

from trio_fle.sim.conditions import Latency

MOST_MEMBERS: Final = 101
_RANGE: Final = re.compile(r"(\d+)(?:\.\.(\d+))?")


def sizes(value: str) -> tuple[int, ...]:
    """Read ``5``, ``3,5,7`` or ``3..9`` (odd ones only, where both ends are)."""
    found: list[int] = []
    for part in value.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise click.BadParameter(f"{value!r} is no size; write it like 5, 3,5,7 or 3..9")
        low, high = int(match[1]), int(match[2] or match[1])
        found += range(low, high + 1, 2 if low % 2 and high % 2 else 1)
    if not found or min(found) < 2 or max(found) > MOST_MEMBERS:
        raise click.BadParameter(f"{value!r}: an ensemble has 2 to {MOST_MEMBERS} members here")
    return tuple(found)


def latency(value: str) -> Latency:
    """Read ``30ms`` or ``30ms±10ms``."""
    try:
        return Latency.parse(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def part(value: str) -> float:
    """Read ``2%`` or ``0.02``."""
    try:
        found = float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is no part; write it like 2% or 0.02") from error
    if not 0 <= found < 1:
        raise click.BadParameter(
            f"{value!r} is not from 0 to less than 1; for parts of a hundred write it like 2%"
        )
    return found


def sites(value: str) -> tuple[int, ...]:
    """Read ``2+2+1``: how many servers each site has."""
    if not re.fullmatch(r"[1-9]\d*(\+[1-9]\d*)*", value):
        raise click.BadParameter(f"{value!r} are no sites; write them like 2+2+1")
    return tuple(map(int, value.split("+")))


def numbers(value: str) -> frozenset[int]:
    """Read ``0,3,4``: some numbers, or none."""
    if not re.fullmatch(r"(\d+(,\d+)*)?", value):
        raise click.BadParameter(f"{value!r} are no numbers; write them like 0,3,4")
    return frozenset(int(number) for number in value.split(",") if number)
