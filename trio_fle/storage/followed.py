"""Whom a member last followed, so that it keeps after a restart what it promised before.

``version-2/fle.followed`` is one line of ASCII; ZooKeeper does not look at it::

    leader, blank, epoch, blank, lease in ms, newline
"""

import math
import re
from pathlib import Path
from typing import Final

import attrs

from trio_fle.errors import StorageError
from trio_fle.storage.files import make_directory, read_small, remove, write_atomically
from trio_fle.vote import MAX_LONG

FOLLOWED: Final = "fle.followed"

_LINE: Final = re.compile(r"(-?[0-9]{1,19}) ([0-9]{1,19}) ([0-9]{1,15})\n", re.ASCII)
_SHOWN: Final = 40


@attrs.frozen
class Followed:
    """A leader that was followed, in which epoch, and how long a lease it was promised to respect."""

    leader: int
    epoch: int
    lease_s: float


def read_followed(version_dir: Path) -> Followed | None:
    """Read whom this member last followed; None where it promised nothing.

    Raises ``StorageError`` for a file that holds anything else than its one line.
    """
    path = version_dir / FOLLOWED
    data = read_small(path)
    if data is None:
        return None
    text = data.decode("ascii", "replace")
    match = _LINE.fullmatch(text)
    if match is None or max(int(match[1]), int(match[2])) > MAX_LONG:
        raise StorageError(
            f"{path}: holds {text[:_SHOWN]!r}, not 'leader epoch lease_ms'; it keeps a promise of this "
            "member: wait for syncLimit ticks from when the member last ran, then remove the file"
        )
    return Followed(int(match[1]), int(match[2]), int(match[3]) / 1000)


def write_followed(version_dir: Path, followed: Followed | None) -> None:
    """Write whom this member follows, or remove what was written; durable on return."""
    path = version_dir / FOLLOWED
    if followed is None:
        remove(path)
        return
    make_directory(version_dir)
    write_atomically(path, encode_followed(followed))


def encode_followed(followed: Followed) -> bytes:
    """Return the one line; its lease is rounded up to milliseconds: a promise gets no shorter."""
    lease_ms = math.ceil(round(followed.lease_s * 1000, 3))  # 1.1 s are 1100.0000000000002 ms
    return b"%d %d %d\n" % (followed.leader, followed.epoch, lease_ms)
