"""Snapshots: which of them is the newest that a server would load. Their trees are not looked into.

A file ``snapshot.X`` holds all transactions up to X, as far as the logs go on from there::

    int32 magic "ZKSN", int32 version, int64 dbid; sessions, ACLs, nodes
    seal: int64 Adler32 of all bytes before it, ustring "/"        00 00 00 01 2f
    digest of 20 bytes, seal                                       3.6 and later
    last zxid of 8 bytes, seal                                     3.9 and later

The last seal vouches for every byte before it. A ``.gz`` holds the same, compressed. A ``.snappy`` is
framed, and would need a library to look inside::

    82 "SNAPPY" 00, int32 version, int32 oldest compatible one; { int32 length, bytes } ...

Source: ``FileSnap.deserialize``, ``SnapStream.isValidSnapshot``; there the zxid is the one of the name, in
3.9 too, which reads the one inside and then overwrites it.
"""

import gzip
import os
import zlib
from collections.abc import Iterable
from io import BufferedIOBase
from pathlib import Path
from typing import Final

from trio_fle.errors import StorageError
from trio_fle.storage.files import explained

MOST_CANDIDATES: Final = 100

_MAGIC: Final = b"ZKSN"
_PATH: Final = b"\0\0\0\1/"
_SEAL_BYTES: Final = 8 + len(_PATH)
_SHORTEST: Final = 10
_GZIP_MAGIC: Final = b"\x1f\x8b"
_SNAPPY_MAGIC: Final = b"\x82SNAPPY\0"
_SNAPPY_HEADER_BYTES: Final = len(_SNAPPY_MAGIC) + 4 + 4
_CHUNK: Final = 1 << 16


def newest_snapshot(snapshots: Iterable[tuple[int, Path]]) -> int | None:
    """Return the zxid of the newest sound snapshot, given by the zxid in their names; None without any.

    One that is cut short is left out, as if it were not there: a crash while it was written left it. Raises
    ``StorageError`` where there are others, and all of them are damaged.
    """
    damaged: list[Path] = []
    for zxid, path in sorted(snapshots, reverse=True):
        with explained(path, "read"):
            if not _is_candidate(path):
                continue
            if _is_sound(path):
                return zxid
        damaged.append(path)
        if len(damaged) == MOST_CANDIDATES:
            break
    if damaged:
        raise StorageError(
            f"{damaged[0]}: is damaged, and so is every other snapshot; restore the whole data directory"
        )
    return None


def _is_candidate(path: Path) -> bool:
    """Whether a snapshot looks whole from its ends: ZooKeeper's cheap check."""
    with path.open("rb") as file:
        if path.suffix == ".gz":
            return file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        if path.suffix == ".snappy":
            return file.read(len(_SNAPPY_MAGIC)) == _SNAPPY_MAGIC
        if file.seek(0, os.SEEK_END) < _SHORTEST:
            return False
        file.seek(-len(_PATH), os.SEEK_END)
        return file.read() == _PATH


def _is_sound(path: Path) -> bool:
    """Whether a snapshot is whole: by its last seal, or by its framing where it is ``.snappy``."""
    if path.suffix == ".snappy":
        return _is_framed(path)
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        return _is_sealed(file)


def _is_sealed(file: BufferedIOBase) -> bool:
    """Whether the last seal fits all that comes before it; keeps one chunk in memory.

    Where the compression is broken, or what follows it, the seal tells whether all had been read by then.
    """
    tail, checksum = b"", zlib.adler32(b"")
    try:
        if (tail := file.read1(len(_MAGIC))) != _MAGIC:
            return False
        while chunk := file.read1(_CHUNK):
            tail += chunk
            checksum = zlib.adler32(tail[:-_SEAL_BYTES], checksum)
            tail = tail[-_SEAL_BYTES:]
    except (EOFError, gzip.BadGzipFile, zlib.error):
        pass
    return tail == checksum.to_bytes(8, "big") + _PATH


def _is_framed(path: Path) -> bool:
    """Whether the compressed blocks end exactly where the file does."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        at = file.seek(_SNAPPY_HEADER_BYTES)
        while at < size:
            length = int.from_bytes(file.read(4), "big", signed=True)
            if length <= 0:
                return False
            at = file.seek(at + 4 + length)
        return at == size > _SNAPPY_HEADER_BYTES
