"""One process to a data directory."""

import fcntl
import os
from pathlib import Path

import attrs

from trio_fle.errors import StorageError
from trio_fle.storage.files import explained


@attrs.define(eq=False)
class DirectoryLock:
    """A lock on the directory itself, with no file of its own; it ends with the process, however that ends.

    A command that the process starts does not inherit it. ZooKeeper knows no such lock: it neither heeds
    this one nor takes one that would be heeded here.
    """

    _descriptor: int

    @classmethod
    def take(cls, directory: Path) -> "DirectoryLock":
        """Lock a directory. Raises ``StorageError`` where another holds it, in this process or elsewhere."""
        with explained(directory, "locked"):
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                os.close(descriptor)
                raise StorageError(
                    f"{directory}: in use by another trio-fle process; "
                    "stop it or give this one its own dataDir"
                ) from error
            except OSError:
                os.close(descriptor)
                raise
        return cls(descriptor)

    def release(self) -> None:
        """Give the directory up, even while a command that is being started has the descriptor too."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        finally:
            os.close(self._descriptor)
