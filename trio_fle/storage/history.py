"""What a server has logged: its transaction logs and snapshots.

Only the names of the files are read so far. ``log.X`` begins with the transaction X, and ``snapshot.X``
holds all up to X, so the highest number is a lower bound of the last zxid.
"""

import re
from pathlib import Path
from typing import Final

import attrs

from trio_fle.errors import StorageError
from trio_fle.vote import MAX_LONG

_LOG: Final = re.compile(r"log\.([0-9a-f]{1,16})", re.ASCII)
_SNAPSHOT: Final = re.compile(r"snapshot\.([0-9a-f]{1,16})(?:\.gz|\.snappy)?", re.ASCII)


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
    logs = _numbers(log_version_dir, _LOG)
    snapshots = _numbers(version_dir, _SNAPSHOT)
    if version_dir != log_version_dir:
        if _numbers(version_dir, _LOG):
            raise StorageError(f"{version_dir}: holds transaction logs, which belong into {log_version_dir}")
        if _numbers(log_version_dir, _SNAPSHOT):
            raise StorageError(f"{log_version_dir}: holds snapshots, which belong into {version_dir}")
    found = logs + snapshots
    return History(max(found, default=0), exact=not any(found))


def _numbers(directory: Path, pattern: re.Pattern[str]) -> list[int]:
    try:
        names = [path.name for path in directory.iterdir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError(f"{directory}: can't be read: {error.strerror}") from error
    numbers = (int(match[1], 16) for name in names if (match := pattern.fullmatch(name)))
    return [number - 2**64 if number > MAX_LONG else number for number in numbers]
