"""What this member has committed itself to: its epochs, on disk, and its promise to a leader."""

from collections.abc import Callable
from typing import Final

import attrs
import trio

from trio_fle.ensemble import HostPort
from trio_fle.errors import PeerError
from trio_fle.storage import Followed, Storage, StoredVote
from trio_fle.zab import Promise

_RECHECK_S: Final = 1.0


@attrs.define(eq=False)
class Commitments:
    """The two epochs, durable before anybody is told of them, and the promise that the lease rests on.

    ``clock`` is the lease clock: it counts on while the machine sleeps. Raises ``StorageError`` where
    something can't be made durable; then nothing in memory has changed.
    """

    storage: Storage
    clock: Callable[[], float]
    stored: StoredVote
    promise: Promise | None = attrs.field(default=None, init=False)
    heard_epoch: int = attrs.field(default=-1, init=False)
    """The highest epoch that a voter is known to have accepted: the next one proposed is higher."""
    _changed: trio.Event = attrs.field(factory=trio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        if (followed := self.stored.followed) is not None:
            # what the process before us promised it took along: it may have been a moment ago
            until = self.clock() + followed.lease_s
            self.promise = Promise(followed.leader, followed.epoch, until)

    async def accept(self, epoch: int) -> bool:
        """Promise ``epoch`` to its leader; False where that had been done before.

        Raises ``PeerError`` for an epoch that is older than one accepted.
        """
        accepted = self.stored.accepted_epoch
        if epoch < accepted:
            raise PeerError(f"it proposes epoch {epoch}, and {accepted} has been accepted")
        if epoch == accepted:
            return False
        await self.storage.accept_epoch(epoch)
        self.stored = attrs.evolve(self.stored, accepted_epoch=epoch)
        return True

    async def begin(self, epoch: int, followed: Followed | None) -> None:
        """Make ``epoch`` the current one: everything that its leader holds is held here."""
        await self.storage.begin_epoch(epoch, followed)
        self.stored = attrs.evolve(self.stored, epoch=epoch, followed=followed)

    def renew(
        self, leader: int, epoch: int, lease_s: float, arrived: float, where: HostPort | None = None
    ) -> None:
        """Promise ``leader``, followed at ``where``, to acknowledge no other epoch for ``lease_s``.

        It counts from ``arrived`` on.
        """
        until = arrived + lease_s
        if self.promise is not None and (self.promise.leader, self.promise.epoch) == (leader, epoch):
            self.promise = attrs.evolve(self.promise.renewed(until), where=where)
        else:
            self.promise = Promise(leader, epoch, until, where)

    def release(self, leader: int) -> None:
        """Forget the promise made to ``leader``: it is known to lead no more."""
        if self.promise is not None and self.promise.leader == leader:
            self.promise = None
            self._tell()

    async def forget(self) -> None:
        """Forget the promise on disk too: a clean stop, of which the leader knows."""
        if self.stored.followed is not None:
            await self.storage.remember_followed(None)
            self.stored = attrs.evolve(self.stored, followed=None)
        self.promise = None
        self._tell()

    def binds(self, towards: int) -> bool:
        """Whether a new epoch of ``towards`` must not be acknowledged yet."""
        return self.promise is not None and self.promise.binds(self.clock(), towards=towards)

    async def wait_free(self, towards: int) -> None:
        """Wait until a new epoch of ``towards`` may be acknowledged."""
        while self.promise is not None and self.binds(towards):
            left_s = self.promise.until - self.clock()
            with trio.move_on_after(min(max(left_s, 0.001), _RECHECK_S)):
                await self._changed.wait()
        await trio.lowlevel.checkpoint()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
