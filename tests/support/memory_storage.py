"""A member's storage that stays in memory, without threads: for tests in virtual time."""

import attrs
import trio

from trio_fle.errors import StorageError
from trio_fle.storage import Followed, StoredVote


@attrs.define(eq=False)
class MemoryStorage:
    """A ``Storage`` in memory: a member that restarts gets the same one again.

    Every coroutine is a checkpoint first, and done at once after it. While ``fails`` is set, each raises it
    and changes nothing.
    """

    stored: StoredVote = attrs.field(factory=lambda: StoredVote(0, 0, 0))
    fails: StorageError | None = None
    loads: int = attrs.field(default=0, init=False)
    writes: int = attrs.field(default=0, init=False)
    closed: bool = attrs.field(default=False, init=False)

    async def load(self) -> StoredVote:
        await self._checkpoint()
        self.loads += 1
        self.closed = False
        return self.stored

    async def accept_epoch(self, epoch: int) -> None:
        await self._checkpoint()
        self._refuse_to_go_back("acceptedEpoch", self.stored.accepted_epoch, epoch)
        self._write(attrs.evolve(self.stored, accepted_epoch=epoch))

    async def begin_epoch(self, epoch: int, followed: Followed | None) -> None:
        await self._checkpoint()
        self._refuse_to_go_back("currentEpoch", self.stored.epoch, epoch)
        accepted = max(self.stored.accepted_epoch, epoch)
        self._write(attrs.evolve(self.stored, accepted_epoch=accepted, epoch=epoch, followed=followed))

    async def remember_followed(self, followed: Followed | None) -> None:
        await self._checkpoint()
        self._write(attrs.evolve(self.stored, followed=followed))

    async def tend(self) -> None:
        await trio.sleep_forever()

    async def settle(self) -> None:
        await self._checkpoint()

    def close(self) -> None:
        self.closed = True

    async def _checkpoint(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.fails is not None:
            raise self.fails

    def _refuse_to_go_back(self, name: str, held: int, epoch: int) -> None:
        if epoch < held:
            raise StorageError(f"{name}: holds epoch {held}, and was to be set back to {epoch}")

    def _write(self, stored: StoredVote) -> None:
        self.stored = stored
        self.writes += 1
