"""The epoch files ``acceptedEpoch`` and ``currentEpoch``: ASCII decimals in ``dataDir/version-2``."""

import re
from pathlib import Path
from typing import Final

from trio_fle.errors import StorageError
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
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"{path}: can't be read: {error.strerror}") from error
    text = _LINE_END.split(data.decode("ascii", "replace"), maxsplit=1)[0]
    if not _LONG.fullmatch(text) or not MIN_LONG <= int(text) <= MAX_LONG:
        raise StorageError(
            f"{path}: holds {text[:_SHOWN]!r}, which is no epoch; restore it from a backup, or restore the "
            "whole data directory: an epoch must never go back"
        )
    return int(text)
