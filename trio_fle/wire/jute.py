"""Jute, ZooKeeper's serialization: what the quorum port speaks. Big-endian, signed, nothing between fields.

Readers are generators without any I/O: they yield how many bytes they need next, are sent exactly so many,
and return their value. So the same reader serves a socket, a test, and a file.
"""

import struct
from collections.abc import Generator
from typing import Final, TypeVar

from trio_fle.errors import MalformedMessageError

MAX_BUFFER_BYTES: Final = 2 * 0xFFFFF
"""Longest buffer or string that is accepted: ``jute.maxbuffer`` and the same again as allowance."""

MAX_ELEMENTS: Final = 1_000_000
"""Most elements of a vector that are believed."""

T = TypeVar("T")
Reader = Generator[int, bytes, T]

_INT: Final = struct.Struct(">i")
_LONG: Final = struct.Struct(">q")


def read_int() -> Reader[int]:
    """Read 4 bytes."""
    value: int = _INT.unpack((yield 4))[0]
    return value


def read_long() -> Reader[int]:
    """Read 8 bytes."""
    value: int = _LONG.unpack((yield 8))[0]
    return value


def read_buffer() -> Reader[bytes | None]:
    """Read an int32 length and so many bytes; -1 stands for null.

    Raises ``MalformedMessageError`` for any other negative length, and one beyond ``MAX_BUFFER_BYTES``.
    """
    length = yield from read_int()
    if length == -1:
        return None
    if not 0 <= length <= MAX_BUFFER_BYTES:
        raise MalformedMessageError(f"buffer length {length} is not in -1..{MAX_BUFFER_BYTES}")
    return (yield length) if length else b""


def read_string() -> Reader[str | None]:
    """Read a buffer as UTF-8 text."""
    data = yield from read_buffer()
    return None if data is None else data.decode(errors="replace")


def read_count(most: int = MAX_ELEMENTS) -> Reader[int | None]:
    """Read the number of a vector's elements; -1 stands for null."""
    count = yield from read_int()
    if not -1 <= count <= most:
        raise MalformedMessageError(f"{count} elements are announced, not -1..{most}")
    return None if count == -1 else count


def write_buffer(data: bytes | None) -> bytes:
    """Write a length and the bytes; -1 for null."""
    return _INT.pack(-1) if data is None else _INT.pack(len(data)) + data
