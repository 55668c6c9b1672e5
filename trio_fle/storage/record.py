"""The record: what a member has promised, kept by one small write in place.

``version-2/fle.record`` is two slots of 4,096 bytes, each a line of ASCII that NULs fill up::

    "fle1", number, accepted epoch, current epoch, leader, its epoch, lease in ms, CRC-32 in hex, newline
    "fle2", the same up to the lease, heir, CRC-32 in hex, newline

with a blank between any two, and ``-`` for each of the three facts about a leader where no promise binds.
The second form reserves an epoch: the process may accept the one after the accepted one of the heir, with the
same lease, and need not write that down.
The checksum is of what stands before it. Each record has the next number, and goes to the slot of the one
before the last: a power loss while it is written harms that slot alone, which its checksum tells, and leaves
the last record as it was. The file keeps its size and its blocks, so the disk is waited for once; a file that
is replaced takes it three times (its content, its name, its directory).

ZooKeeper does not look at this file: ``acceptedEpoch`` and ``currentEpoch`` follow it.
"""

import math
import re
import zlib
from pathlib import Path
from typing import Final

import attrs

from trio_fle.errors import StorageError
from trio_fle.storage.files import overwrite, read_small, write_atomically

RECORD: Final = "fle.record"
SLOT_BYTES: Final = 4096
"""A power loss is taken to harm no more than the block of this size that is being written."""

RECORD_BYTES: Final = 2 * SLOT_BYTES

_LINE: Final = re.compile(
    rb"((?:fle1|(fle2)) (\d{1,19}) (-?\d{1,19}) (-?\d{1,19}) "
    rb"(?:- - -|(-?\d{1,19}) (-?\d{1,19}) (\d{1,15}))"
    rb"(?(2) (-?\d{1,19}))) "
    rb"([0-9a-f]{8})\n"
)


@attrs.frozen
class Followed:
    """A leader that was followed, in which epoch, and how long a lease it was promised to respect."""

    leader: int
    epoch: int
    lease_s: float


@attrs.frozen
class Record:
    """What a member has promised: two epochs, and whom it follows; the ``number`` grows with every change.

    ``heir`` is the server of which the epoch after the accepted one may have been accepted, None for nobody.
    """

    number: int
    accepted_epoch: int
    epoch: int
    followed: Followed | None = None
    heir: int | None = None


def encode_record(record: Record) -> bytes:
    """Return one slot. A lease is rounded up to milliseconds: a promise gets no shorter."""
    promise = "- - -"
    if (followed := record.followed) is not None:
        lease_ms = math.ceil(round(followed.lease_s * 1000, 3))  # 1.1 s are 1100.0000000000002 ms
        promise = f"{followed.leader} {followed.epoch} {lease_ms}"
    form, heir = ("fle1", "") if record.heir is None else ("fle2", f" {record.heir}")
    facts = f"{form} {record.number} {record.accepted_epoch} {record.epoch} {promise}{heir}".encode()
    return b"%b %08x\n" % (facts, zlib.crc32(facts)) + bytes(SLOT_BYTES)[: -len(facts) - 10]


def decode_slot(slot: bytes) -> Record | None:
    """Read one slot; None where it is not whole."""
    match = _LINE.fullmatch(slot.rstrip(b"\0"))
    if match is None or zlib.crc32(match[1]) != int(match[10], 16):
        return None
    number, accepted, current = (int(match[group]) for group in (3, 4, 5))
    followed = None
    if match[6] is not None:
        followed = Followed(int(match[6]), int(match[7]), int(match[8]) / 1000)
    return Record(number, accepted, current, followed, None if match[9] is None else int(match[9]))


def read_record(version_dir: Path) -> Record | None:
    """Read the newest record; None where there is none yet. Raises ``StorageError`` where none is whole."""
    path = version_dir / RECORD
    data = read_small(path, RECORD_BYTES)
    return None if data is None else newest_record(data, path)


def newest_record(data: bytes, path: Path | str) -> Record | None:
    """Return the newest record in the file's bytes; None where there is none yet.

    Raises ``StorageError``, which names ``path``, where none is whole.
    """
    slots = [data[at : at + SLOT_BYTES] for at in range(0, RECORD_BYTES, SLOT_BYTES)]
    records = [record for record in map(decode_slot, slots) if record is not None]
    # the very first record, in slot 1, may be torn: nobody was told of it
    if len(data) != RECORD_BYTES or (not records and any(slots[0])):
        raise StorageError(
            f"{path}: is damaged, and nothing else knows what this member promised last; give the server an "
            "empty dataDir and a new id, in every server's configuration"
        )
    return max(records, key=lambda record: record.number, default=None)


def prepare_record(version_dir: Path) -> None:
    """Make the file anew, with what it holds, so that every later write finds its blocks; durable on return.

    A process that was killed, or whose write failed, may have left a record that only memory knows; after a
    failed write the kernel would not even try again to bring it to the disk.
    """
    path = version_dir / RECORD
    held = read_small(path, RECORD_BYTES)
    write_atomically(path, bytes(RECORD_BYTES) if held is None else held)


def write_record(version_dir: Path, record: Record) -> None:
    """Write a record, whose number follows that of the newest one; durable on return.

    Raises ``StorageError`` where it can't be written; whether it was, the next ``read_record`` tells.
    """
    overwrite(version_dir / RECORD, encode_record(record), place_of(record))


def place_of(record: Record) -> int:
    """Return where in the file a record goes: to the slot of the one before the last."""
    return SLOT_BYTES * (record.number % 2)
