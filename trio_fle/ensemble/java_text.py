"""How Java reads numbers and splits texts, where Python would do it otherwise."""

import re
from typing import Final

from trio_fle.vote import MAX_LONG, MIN_LONG

_DECIMAL: Final = re.compile(r"[+-]?\d{1,1000}")
_DECODED: Final = re.compile(r"([+-]?)(?:(0[xX]|#)([0-9a-fA-F]{1,1000})|0([0-7]{1,1000})|(\d{1,1000}))")
_MAX_CHARACTER: Final = "\uffff"
_INT_BITS: Final = 32

BLANKS: Final = "".join(map(chr, range(0x21)))
"""What ``String.trim`` takes off: less than ``str.strip``, as a no-break space stays."""


def parse_int(text: str) -> int | None:
    """Return what ``Integer.parseInt`` does (signed, 32 bits, no blanks, digits of any script), or None."""
    value = parse_long(text)
    return value if value is not None and fits_int(value) else None


def parse_long(text: str) -> int | None:
    """Return what ``Long.parseLong`` does, or None where it raises an exception."""
    if not _DECIMAL.fullmatch(text) or max(text) > _MAX_CHARACTER:
        return None
    value = int(text)
    return value if MIN_LONG <= value <= MAX_LONG else None


def decode_long(text: str) -> int | None:
    """Return what ``Long.decode`` does, or None: also ``0x1f4``, ``#1f4``, and ``0764`` is octal."""
    if not (match := _DECODED.fullmatch(text)) or max(text) > _MAX_CHARACTER:
        return None
    sign, _, hexadecimal, octal, decimal = match.groups()
    value = int(hexadecimal, 16) if hexadecimal else int(octal, 8) if octal else int(decimal)
    value = -value if sign == "-" else value
    return value if MIN_LONG <= value <= MAX_LONG else None


def fits_int(value: int) -> bool:
    """Whether ``value`` is a Java int."""
    return -(1 << _INT_BITS - 1) <= value < 1 << _INT_BITS - 1


def split(text: str, separator: str) -> list[str]:
    """Return what ``String.split`` does: no empty parts at the end; of an empty text, itself."""
    parts = text.split(separator)
    while len(parts) > 1 and not parts[-1]:
        parts.pop()
    return parts
