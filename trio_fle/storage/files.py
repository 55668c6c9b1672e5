"""Small files. One that is replaced is whole after any crash: the old one, or the new one once written.

A file is replaced in four steps, each durable before the next::

    NAME.tmp    written and fsynced    a power loss here leaves NAME as it was
    NAME        takes its name         rename is atomic: NAME is the old file or the new one
    directory   fsynced                only now the new name outlives a power loss

ZooKeeper (``AtomicFileOutputStream``) leaves out the last step. A ``NAME.tmp`` that a crash left behind is
overwritten by the next write; ``initial_vote`` tells when one is looked at.
"""

import errno
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from trio_fle.errors import StorageError

TEMPORARY: Final = ".tmp"

_SMALL: Final = 4096
_SPACE: Final = "free some space on its file system"
_RIGHTS: Final = "give the user of this process the right to do that"
_IN_ITS_PLACE: Final = "something else lies in its place: move that away"
_TOO_MANY: Final = "raise the limit of open files (ulimit -n)"
_CURES: Final = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EROFS: "mount its file system for writing",
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EIO: "the disk fails: read the kernel's log, and replace it",
    errno.EISDIR: _IN_ITS_PLACE,
    errno.ENOTDIR: _IN_ITS_PLACE,
    errno.EEXIST: _IN_ITS_PLACE,
    errno.EMFILE: _TOO_MANY,
    errno.ENFILE: _TOO_MANY,
}


@contextmanager
def explained(path: Path, done: str) -> Generator[None]:
    """Turn an ``OSError`` into a ``StorageError`` of one line: what can't be ``done``, why, and the cure."""
    try:
        yield
    except OSError as error:
        cure = _CURES.get(error.errno or 0, "check its disk and file system")
        raise StorageError(f"{path}: can't be {done}: {error.strerror or error}; {cure}") from error


def read_small(path: Path, at_most: int = _SMALL) -> bytes | None:
    """Read the beginning of a file; None where there is no file."""
    with explained(path, "read"):
        try:
            with path.open("rb") as file:
                return file.read(at_most)
        except FileNotFoundError:
            return None


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file; durable on return. Raises ``StorageError``, and then the old file is untouched.

    There is one exception: when only the last step fails, the new file is there, and may be lost again by a
    power loss.
    """
    _write_aside_and_rename(path, data, None)


def replace(path: Path, data: bytes, *, like: Path) -> None:
    """Replace a file as ``write_atomically`` does, with owner and mode of ``like``: it may hold secrets."""
    with explained(like, "read"):
        status = like.stat()
    _write_aside_and_rename(path, data, status)


def _write_aside_and_rename(path: Path, data: bytes, status: os.stat_result | None) -> None:
    with explained(path, "written"):
        mode = 0o666 if status is None else 0o600
        descriptor = os.open(_temporary(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        try:
            if status is not None:
                if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(descriptor, status.st_uid, status.st_gid)
                os.fchmod(descriptor, status.st_mode & 0o7777)
            _write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        # all that changes a disk goes through os, so that tests see it
        os.rename(_temporary(path), path)  # noqa: PTH104
        _sync(path.parent)


def overwrite(path: Path, data: bytes, offset: int) -> None:
    """Write into a file that is there, within its size; durable on return. Raises ``StorageError``.

    A power loss may leave any part of it: whoever reads must be able to tell.
    """
    with explained(path, "written"):
        descriptor = os.open(path, os.O_WRONLY)
        try:
            while data:
                written = os.pwrite(descriptor, data, offset)
                data, offset = data[written:], offset + written
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)


def finish_write(path: Path) -> None:
    """Give ``NAME.tmp``, which a crash left behind whole, its name; durable on return."""
    temporary = _temporary(path)
    with explained(path, "written"):
        _sync(temporary)
        os.rename(temporary, path)  # noqa: PTH104
        _sync(path.parent)


def remove(path: Path) -> None:
    """Remove a file that may not be there; durable on return. Raises ``StorageError``."""
    with explained(path, "removed"):
        try:
            os.unlink(path)  # noqa: PTH108
        except FileNotFoundError:
            return
        _sync(path.parent)


def make_directory(path: Path) -> None:
    """Create a directory, and those above it that are missing; durable on return."""
    with explained(path, "created"):
        if path.is_dir():
            return
        make_directory(path.parent)
        try:
            os.mkdir(path)  # noqa: PTH102
        except FileExistsError:
            if not path.is_dir():
                raise
        _sync(path.parent)


def make_durable(path: Path) -> None:
    """Make durable what a file holds, or which names a directory holds."""
    with explained(path, "synced to disk"):
        _sync(path)


def _temporary(path: Path) -> Path:
    return path.with_name(path.name + TEMPORARY)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _sync(path: Path) -> None:
    """Make a file's content, or a directory's names, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
