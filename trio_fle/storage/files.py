"""Small files that are whole after any crash: the old one or the new one, and the new one once written.

A file is written in four steps, each durable before the next::

    NAME.tmp    written and fsynced    a power loss here leaves NAME as it was
    NAME        takes its name         rename is atomic: NAME is the old file or the new one
    directory   fsynced                only now the new name outlives a power loss

ZooKeeper (``AtomicFileOutputStream``) leaves out the last step. A ``NAME.tmp`` that a crash left behind is
overwritten by the next write; ``initial_vote`` tells when one is looked at.
"""

import errno
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
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


def read_small(path: Path) -> bytes | None:
    """Read the beginning of a file, 4 KiB at most; None where there is no file."""
    with explained(path, "read"):
        try:
            with path.open("rb") as file:
                return file.read(_SMALL)
        except FileNotFoundError:
            return None


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file; durable on return. Raises ``StorageError``, and then the old file is untouched.

    There is one exception: when only the last step fails, the new file is there, and may be lost again by a
    power loss.
    """
    write_together({path: data})


def write_together(files: Mapping[Path, bytes], *, without: Path | None = None) -> None:
    """Replace files of one directory, and remove ``without``; all of it is durable on return.

    Each file is the old or the new one after a power loss, in any combination: the disk is waited for less
    often than where each is written by itself. Raises ``StorageError`` as ``write_atomically`` does.
    """
    for path, data in files.items():
        with explained(path, "written"):
            descriptor = os.open(_temporary(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            try:
                _write_all(descriptor, data)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    # all that changes a disk goes through os, so that tests see it
    if without is not None:
        with explained(without, "removed"), suppress(FileNotFoundError):
            os.unlink(without)  # noqa: PTH108
    for path in files:
        with explained(path, "written"):
            os.rename(_temporary(path), path)  # noqa: PTH104
    with explained(path, "written"):
        _sync(path.parent)


def finish_write(path: Path) -> None:
    """Give ``NAME.tmp``, which a crash left behind whole, its name; durable on return."""
    temporary = _temporary(path)
    with explained(path, "written"):
        _sync(temporary)
        os.rename(temporary, path)  # noqa: PTH104
        _sync(path.parent)


def remove(path: Path) -> None:
    """Remove a file, or find that there is none; durable on return."""
    with explained(path, "removed"):
        if not path.parent.is_dir():
            return
        with suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108
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


def sync_directory(path: Path) -> None:
    """Make durable which names a directory holds."""
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
