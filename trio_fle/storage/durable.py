"""The data directory on disk, from a Trio task: blocking work goes to a thread, one call after the other."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import attrs
import trio

from trio_fle.storage.epochs import ACCEPTED, CURRENT, check_epoch, encode_epoch, read_epoch, write_epoch
from trio_fle.storage.files import finish_write, make_directory, sync_directory, write_together
from trio_fle.storage.followed import FOLLOWED, Followed, encode_followed, write_followed
from trio_fle.storage.initial_vote import StoredVote, load_stored_vote
from trio_fle.storage.lock import DirectoryLock

T = TypeVar("T")


@attrs.define(eq=False)
class DurableStorage:
    """A ``Storage`` on disk. Every coroutine is a checkpoint, and cancelled only before its work has begun.

    ``trust_empty`` and ``autocreate`` are the keys ``snapshot.trust.empty`` and ``db.autocreate``.
    """

    data_dir: Path
    data_log_dir: Path
    trust_empty: bool = attrs.field(default=False, kw_only=True)
    autocreate: bool = attrs.field(default=True, kw_only=True)
    _lock: DirectoryLock | None = attrs.field(default=None, init=False)
    _limiter: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(1), init=False)

    async def load(self) -> StoredVote:
        """Lock the directory, made where it is missing, and read it. What was read is durable on return.

        Raises ``StorageError`` where another process holds the directory, or it can't be used; once locked,
        it stays so until ``close``.
        """
        return await self._in_thread(self._load)

    async def accept_epoch(self, epoch: int) -> None:
        """Write ``acceptedEpoch``."""
        await self._in_thread(lambda: write_epoch(self._version_dir, ACCEPTED, epoch), locked=True)

    async def begin_epoch(self, epoch: int, followed: Followed | None) -> None:
        """Write whom this member follows, and ``currentEpoch``.

        To begin an epoch is to have accepted it: an ``acceptedEpoch`` that is missing or older comes first,
        for no server starts on an accepted epoch below the current one.
        """
        await self._in_thread(lambda: self._begin(epoch, followed), locked=True)

    async def remember_followed(self, followed: Followed | None) -> None:
        """Write or remove ``fle.followed``."""
        await self._in_thread(lambda: write_followed(self._version_dir, followed), locked=True)

    def close(self) -> None:
        """Unlock the directory; does nothing where it is not locked."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()

    @property
    def _version_dir(self) -> Path:
        return self.data_dir / "version-2"

    async def _in_thread(self, work: Callable[[], T], *, locked: bool = False) -> T:
        if locked and self._lock is None:
            raise RuntimeError(f"{self.data_dir}: not loaded, or closed")
        return await trio.to_thread.run_sync(work, abandon_on_cancel=False, limiter=self._limiter)

    def _load(self) -> StoredVote:
        if self._lock is None:
            make_directory(self.data_dir)
            self._lock = DirectoryLock.take(self.data_dir)
        stored = load_stored_vote(
            self.data_dir, self.data_log_dir, trust_empty=self.trust_empty, autocreate=self.autocreate
        )
        if self._version_dir.is_dir():
            named = read_epoch(self._version_dir, CURRENT)
            if named is not None and named < stored.epoch:
                finish_write(self._version_dir / CURRENT)
            # a process that was killed, or a Java server, leaves new names that only memory knows
            sync_directory(self._version_dir)
            sync_directory(self.data_dir)
        return stored

    def _begin(self, epoch: int, followed: Followed | None) -> None:
        accepted = read_epoch(self._version_dir, ACCEPTED)
        if accepted is None or accepted < epoch:
            write_epoch(self._version_dir, ACCEPTED, epoch)
        # no order between the two: nothing is acknowledged, so nothing promised, before both are durable
        promise = self._version_dir / FOLLOWED
        current = {self._version_dir / CURRENT: encode_epoch(epoch)}
        check_epoch(self._version_dir, CURRENT, epoch)
        if followed is None:
            write_together(current, without=promise)
        else:
            write_together({promise: encode_followed(followed), **current})
