"""What a server has logged: its transaction logs and snapshots.

Only the names of the files are read so far, and whether a log holds anything. ``log.X`` begins with the
transaction X, and ``snapshot.X`` holds all up to X, so the highest number is a lower bound of the last zxid.
"""

import itertools
import os
import re
from pathlib import Path
from typing import Final

import attrs

from trio_fle.errors import StorageError
from trio_fle.vote import MAX_LONG

_HEX: Final = "0|[1-9a-f][0-9a-f]{0,15}"
_LOG: Final = re.compile(rf"log\.({_HEX})", re.ASCII)
_SNAPSHOT: Final = re.compile(rf"snapshot\.({_HEX})(?:\.gz|\.snappy)?", re.ASCII)

_BEFORE_FIRST_PAYLOAD: Final = 16 + 8 + 4
"""File header, checksum and length of the first record."""


@attrs.frozen
class History:
    """The last zxid; ``exact`` is False where only a lower bound is known."""

    last_zxid: int
    exact: bool


def read_history(version_dir: Path, log_version_dir: Path) -> History:
    """Find the last zxid of a data directory; 0 for one without a history.

    Raises ``StorageError`` where directories can't be read, or logs and snapshots lie in each other's
    place (``dataDir`` and ``dataLogDir`` exchanged).
    """
    logs = _find(log_version_dir, _LOG)
    snapshots = _find(version_dir, _SNAPSHOT)
    if version_dir != log_version_dir:
        if _find(version_dir, _LOG):
            raise StorageError(f"{version_dir}: holds transaction logs, which belong into {log_version_dir}")
        if _find(log_version_dir, _SNAPSHOT):
            raise StorageError(f"{log_version_dir}: holds snapshots, which belong into {version_dir}")
    begun = (zxid for zxid in sorted(logs, reverse=True) if _has_a_record(logs[zxid]))
    found = [*snapshots, *itertools.islice(begun, 1)]
    return History(max(found, default=0), exact=not any(found))


def _find(directory: Path, pattern: re.Pattern[str]) -> dict[int, Path]:
    """Find the files of one kind by the zxid in their names."""
    try:
        paths = list(directory.iterdir())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StorageError(f"{directory}: can't be read: {error.strerror}") from error
    numbers = ((int(match[1], 16), path) for path in paths if (match := pattern.fullmatch(path.name)))
    return {number - 2**64 if number > MAX_LONG else number: path for number, path in numbers}


def _has_a_record(log: Path) -> bool:
    """Whether a log's first record is whole: a crash leaves files with a header and no more."""
    try:
        with log.open("rb") as file:
            head = file.read(_BEFORE_FIRST_PAYLOAD)
            length = int.from_bytes(head[-4:], "big", signed=True)
            if len(head) < _BEFORE_FIRST_PAYLOAD or length <= 0:
                return False
            file.seek(length, os.SEEK_CUR)
            return file.read(1) == b"B"
    except OSError as error:
        raise StorageError(f"{log}: can't be read: {error.strerror}") from error
