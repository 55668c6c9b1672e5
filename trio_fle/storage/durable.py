"""The data directory on disk, from a Trio task: blocking work goes to a thread, one call after the other."""

from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar, cast

import attrs
import trio

from trio_fle.config.belonging import belonging_path
from trio_fle.storage.epochs import ACCEPTED, CURRENT, going_back, read_epoch, write_epoch
from trio_fle.storage.files import finish_write, make_directory, make_durable, write_atomically
from trio_fle.storage.initial_vote import StoredVote, load_stored_vote
from trio_fle.storage.lock import DirectoryLock
from trio_fle.storage.record import Followed, Record, prepare_record, read_record, write_record

FOLLOW_AFTER_S: Final = 0.05
"""How long the current epoch of a leader of ours, and the epoch files, wait: an election has better to do."""

T = TypeVar("T")


@attrs.define(eq=False)
class _OneByOne:
    """Lets one thread work at a time; where none does, no turn of the event loop is given up first."""

    _limiter: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(1), init=False)

    async def acquire_on_behalf_of(self, borrower: object) -> None:
        try:
            self._limiter.acquire_on_behalf_of_nowait(borrower)
        except trio.WouldBlock:
            await self._limiter.acquire_on_behalf_of(borrower)

    def release_on_behalf_of(self, borrower: object) -> None:
        self._limiter.release_on_behalf_of(borrower)


@attrs.define(eq=False)
class DurableStorage:
    """A ``Storage`` on disk. Every coroutine is a checkpoint, and cancelled only before its work has begun.

    What is promised is durable in the record (``storage.record``). The epoch files, which a Java server
    reads, follow it while ``tend`` runs, and at last by ``settle``; ``load`` brings up what a crash left
    behind. ``trust_empty`` and ``autocreate`` are the keys ``snapshot.trust.empty`` and ``db.autocreate``.
    """

    data_dir: Path
    data_log_dir: Path
    trust_empty: bool = attrs.field(default=False, kw_only=True)
    autocreate: bool = attrs.field(default=True, kw_only=True)
    _lock: DirectoryLock | None = attrs.field(default=None, init=False)
    _record: Record = attrs.field(factory=lambda: Record(0, 0, 0), init=False)
    """The newest one; the first is what the directory held, and never written."""
    _followed: int = attrs.field(default=0, init=False)
    """Number of the record that the epoch files agree with."""
    _soon: int = attrs.field(default=-1, init=False)
    """The current epoch that is to be recorded."""
    _succeeded: tuple[int, Followed | None] = attrs.field(default=(-1, None), init=False)
    """The epoch that was accepted as reserved, and whom this member follows then: to be recorded."""
    _unsure: bool = attrs.field(default=False, init=False)
    """Whether the process before may have accepted what was reserved, and nothing was recorded since."""
    _changed: trio.Event = attrs.field(factory=trio.Event, init=False)
    _limiter: _OneByOne = attrs.field(factory=_OneByOne, init=False)
    _files_limiter: _OneByOne = attrs.field(factory=_OneByOne, init=False)

    async def load(self) -> StoredVote:
        """Lock the directory, made where it is missing, and read it. What was read is durable on return.

        Raises ``StorageError`` where another process holds the directory, or it can't be used; once locked,
        it stays so until ``close``.
        """
        return await self._in_thread(self._load, self._limiter)

    async def accept_epoch(self, epoch: int, followed: Followed | None = None) -> None:
        """Record the accepted epoch, and whom this member follows."""
        await self._write(lambda: self._accept(epoch, followed))

    async def begin_epoch(self, epoch: int) -> None:
        """Record the current epoch.

        To begin an epoch is to have accepted it: no server starts on an accepted epoch below the current one.
        """
        await self._write(lambda: self._begin(epoch))

    async def reserve(self, heir: int, epoch: int, followed: Followed) -> bool:
        """Record for whom the next epoch is reserved, unless what that rests on has changed."""
        return await self._write(lambda: self._reserve(heir, epoch, followed))

    def accept_reserved(self, epoch: int, followed: Followed | None) -> None:
        """Have it recorded with whatever is next, or before the epoch files follow."""
        self._succeeded = epoch, followed
        self._changed.set()

    def begin_epoch_soon(self, epoch: int) -> None:
        """Have the current epoch recorded with whatever is next, or before the epoch files follow."""
        self._soon = max(self._soon, epoch)
        self._changed.set()

    async def remember_followed(self, followed: Followed | None) -> None:
        """Record whom this member follows."""
        await self._write(lambda: self._put(attrs.evolve(self._newest(), followed=followed, heir=None)))

    async def remember_ensemble(self, text: str) -> None:
        """Replace ``fle.ensemble``."""
        path = belonging_path(self.data_dir)
        await self._in_thread(lambda: write_atomically(path, text.encode()), self._files_limiter)

    async def tend(self) -> None:
        """Let the record have the current epoch, and the epoch files follow it."""
        while True:
            await self._changed.wait()
            self._changed = trio.Event()
            await trio.sleep(FOLLOW_AFTER_S)
            await self._bring_on()

    async def settle(self) -> None:
        """Do so for the last time; whoever reads the files next is to know no less than the record says."""
        if self._lock is not None:
            accepted = self._record.accepted_epoch
            if self._unsure and self._newest().accepted_epoch == accepted:
                await self.accept_epoch(accepted + 1, self._record.followed)
            await self._bring_on()

    async def _bring_on(self) -> None:
        if self._newest() != self._record:
            await self._in_thread(self._record_at_last, self._limiter)
        await self._in_thread(self._follow, self._files_limiter)

    def close(self) -> None:
        """Unlock the directory; does nothing where it is not locked."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()

    @property
    def _version_dir(self) -> Path:
        return self.data_dir / "version-2"

    async def _write(self, work: Callable[[], T]) -> T:
        if self._lock is None:
            raise RuntimeError(f"{self.data_dir}: not loaded, or closed")
        written = await self._in_thread(work, self._limiter)
        self._changed.set()
        return written

    async def _in_thread(self, work: Callable[[], T], limiter: _OneByOne) -> T:
        # typed as trio's own limiter; documented as anything that acquires and releases like it
        waits = cast(trio.CapacityLimiter, limiter)
        return await trio.to_thread.run_sync(work, abandon_on_cancel=False, limiter=waits)

    # In a thread

    def _load(self) -> StoredVote:
        if self._lock is None:
            make_directory(self.data_dir)
            self._lock = DirectoryLock.take(self.data_dir)
        stored = load_stored_vote(
            self.data_dir, self.data_log_dir, trust_empty=self.trust_empty, autocreate=self.autocreate
        )
        make_directory(self._version_dir)
        record = read_record(self._version_dir)
        self._bring_up(stored, record)
        prepare_record(self._version_dir)
        # a process that was killed, or a Java server, leaves new names that only memory knows
        make_durable(self._version_dir)
        make_durable(self.data_dir)
        number = 0 if record is None else record.number
        self._record = Record(number, stored.accepted_epoch, stored.epoch, stored.followed, stored.heir)
        self._followed, self._unsure = number, stored.heir is not None
        return stored

    def _bring_up(self, stored: StoredVote, record: Record | None) -> None:
        """Write into the epoch files what a crash kept from them."""
        accepted, named = (read_epoch(self._version_dir, name) for name in (ACCEPTED, CURRENT))
        if record is not None and (accepted or 0) < stored.accepted_epoch:
            write_epoch(self._version_dir, ACCEPTED, stored.accepted_epoch)
        if record is not None and (named or 0) < stored.epoch == record.epoch:
            write_epoch(self._version_dir, CURRENT, stored.epoch)
        elif named is not None and named < stored.epoch:
            finish_write(self._version_dir / CURRENT)

    def _accept(self, epoch: int, followed: Followed | None) -> None:
        if epoch < self._record.accepted_epoch:
            raise going_back(self._version_dir / ACCEPTED, self._record.accepted_epoch, epoch)
        self._put(attrs.evolve(self._newest(), accepted_epoch=epoch, followed=followed, heir=None))

    def _reserve(self, heir: int, epoch: int, followed: Followed) -> bool:
        record = self._newest()
        rests = (record.accepted_epoch + 1, record.followed) == (epoch, followed)
        if rests:
            self._put(attrs.evolve(record, heir=heir))
        return rests

    def _begin(self, epoch: int) -> None:
        if epoch < self._record.epoch:
            raise going_back(self._version_dir / CURRENT, self._record.epoch, epoch)
        accepted = max(self._record.accepted_epoch, epoch)
        self._put(attrs.evolve(self._newest(), accepted_epoch=accepted, epoch=epoch))

    def _record_at_last(self) -> None:
        if (newest := self._newest()) != self._record:
            self._put(newest)

    def _newest(self) -> Record:
        """Return the record with what is to be recorded soon."""
        record = self._record
        if (epoch := self._succeeded[0]) > record.accepted_epoch:
            record = attrs.evolve(record, accepted_epoch=epoch, followed=self._succeeded[1], heir=None)
        return attrs.evolve(record, epoch=max(record.epoch, self._soon))

    def _put(self, record: Record) -> None:
        record = attrs.evolve(record, number=self._record.number + 1)
        write_record(self._version_dir, record)
        self._record, self._unsure = record, False

    def _follow(self) -> None:
        record = self._record
        if record.number == self._followed:
            return
        # accepted first: no server starts on a lower one than the current one
        for name, epoch in ((ACCEPTED, record.accepted_epoch), (CURRENT, record.epoch)):
            if epoch != (read_epoch(self._version_dir, name) or 0):
                write_epoch(self._version_dir, name, epoch)
        self._followed = record.number
