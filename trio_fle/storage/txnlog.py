"""Transaction logs: which zxids they hold. Their transactions are not looked into.

A file ``log.X`` begins with the transaction X; all numbers are big-endian::

    int32 magic "ZKLG", int32 version 2, int64 dbid
    { int64 Adler32 of the payload, int32 length, payload, byte 'B' } ...
    zeros, from preallocation

    payload: int64 session, int32 cxid, int64 zxid, int64 time, int32 type; then the transaction

A crash leaves the last record torn: it ends too early, or is zeros from some byte on, so that its 'B' is
missing. Such a record was never acknowledged and does not count. Damage of any other kind is refused.
Source: ``FileTxnLog.FileTxnIterator``.
"""

import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Final

from trio_fle.errors import StorageError
from trio_fle.storage.files import explained

_MAGIC: Final = b"ZKLG"
_HEADER_BYTES: Final = 4 + 4 + 8
_RECORD: Final = struct.Struct(">qi")
_TXN_HEADER: Final = struct.Struct(">qiqqi")
_END: Final = b"B"
_REASONABLE: Final = 2 * 0xFFFFF
"""Longest payload that a server with the default ``jute.maxbuffer`` reads."""
_CHUNK: Final = 1 << 16

_RESTORE: Final = "restore the whole data directory"


def last_logged(logs: Iterable[tuple[int, Path]], base: int) -> int:
    """Return the highest zxid in the logs, given by the zxid in their names; at least ``base``.

    ``base`` is the zxid of the snapshot. What lies before it is not read, but for the newest log that begins
    at or before ``base``: it may reach beyond. Raises ``StorageError`` for damage other than a torn tail.
    A newest log of 0 bytes holds nothing, as ZooKeeper 3.9.3 has it; 3.8 refuses to start on one.
    """
    oldest_first = sorted(logs)
    if oldest_first and _is_empty(oldest_first[-1][1]):
        oldest_first.pop()
    begin = max((zxid for zxid, _ in oldest_first if zxid <= base), default=base)
    last = base
    for zxid, log in oldest_first:
        if zxid >= begin:
            last = _last_of(log, last)
    return last


def _is_empty(log: Path) -> bool:
    with explained(log, "read"):
        return log.stat().st_size == 0


def _last_of(log: Path, least: int) -> int:
    """Return the highest zxid in one log, or ``least``."""
    with explained(log, "read"), log.open("rb") as file:
        head = file.read(_HEADER_BYTES)
        if len(head) < _HEADER_BYTES or not head.startswith(_MAGIC):
            raise StorageError(f"{log}: does not begin as a transaction log does; {_RESTORE}")
        while (zxid := _read_record(log, file)) is not None:
            least = max(least, zxid)
    return least


def _read_record(log: Path, file: BinaryIO) -> int | None:
    """Read one record for its zxid; None at the end, or at a torn record."""
    at = file.tell()
    head = file.read(_RECORD.size)
    if len(head) < _RECORD.size:
        return None
    checksum, length = _RECORD.unpack(head)
    if length == 0:
        return None
    begin = file.read(min(length, _CHUNK)) if length > 0 else b""
    found = _checksum_to_end(file, begin, length)
    if found is None and 0 < length <= _REASONABLE:
        return None
    if found != checksum or length < _TXN_HEADER.size:
        # a longer record that is whole comes from a server with a larger jute.maxbuffer
        what = f"length {length}" if not _TXN_HEADER.size <= length <= _REASONABLE else "checksum"
        raise StorageError(f"{log}: the record at byte {at} is damaged (its {what} is wrong); {_RESTORE}")
    zxid: int = _TXN_HEADER.unpack_from(begin)[2]
    return zxid


def _checksum_to_end(file: BinaryIO, begin: bytes, length: int) -> int | None:
    """Return a payload's checksum, None where it or its end byte is missing; one chunk in memory."""
    checksum, left = zlib.adler32(begin), length - len(begin)
    while left > 0 and (chunk := file.read(min(left, _CHUNK))):
        checksum, left = zlib.adler32(chunk, checksum), left - len(chunk)
    return checksum if left == 0 and file.read(1) == _END else None
