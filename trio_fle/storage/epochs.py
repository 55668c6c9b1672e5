"""The epoch files ``acceptedEpoch`` and ``currentEpoch``: ASCII decimals in ``dataDir/version-2``."""

import re
from pathlib import Path
from typing import Final

from trio_fle.errors import StorageError
from trio_fle.storage.files import make_directory, read_small, write_atomically
from trio_fle.vote import MAX_LONG, MIN_LONG

ACCEPTED: Final = "acceptedEpoch"
CURRENT: Final = "currentEpoch"

_LONG: Final = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_LINE_END: Final = re.compile("\r\n?|\n")  # Java's; str.splitlines() knows more
_SHOWN: Final = 40


def read_epoch(version_dir: Path, name: str) -> int | None:
    """Read one epoch file; None where there is none.

    The first line counts, as ``Long.parseLong`` reads it: a sign, digits, no blanks. Raises
    ``StorageError`` for anything else. Source: ``QuorumPeer.readLongFromFile``.
    """
    path = version_dir / name
    data = read_small(path)
    if data is None:
        return None
    text = _LINE_END.split(data.decode("ascii", "replace"), maxsplit=1)[0]
    if not _LONG.fullmatch(text) or not MIN_LONG <= int(text) <= MAX_LONG:
        raise StorageError(
            f"{path}: holds {text[:_SHOWN]!r}, which is no epoch; restore it from a backup, or restore the "
            "whole data directory: an epoch must never go back"
        )
    return int(text)


def write_epoch(version_dir: Path, name: str, epoch: int) -> None:
    """Write one epoch file as ZooKeeper does, a decimal without a newline; durable on return.

    Creates ``version_dir`` where it is missing. Raises ``StorageError`` where the file can't be written, or
    holds a higher epoch: then it is left as it was.
    """
    held = read_epoch(version_dir, name)
    if held is not None and epoch < held:
        raise going_back(version_dir / name, held, epoch)
    make_directory(version_dir)
    write_atomically(version_dir / name, b"%d" % epoch)


def going_back(path: Path, held: int, epoch: int) -> StorageError:
    """Return the error that an epoch would go back."""
    return StorageError(
        f"{path}: holds epoch {held}, and was to be set back to {epoch}; find out which other process writes "
        "there, or restore the whole data directory: an epoch must never go back"
    )
