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
    """Two epochs, of which the accepted one is durable before it is acknowledged; and a leader's promise.

    The lease rests on that promise. ``clock`` is the lease clock: it counts on while the machine sleeps.
    Raises ``StorageError`` where something can't be made durable; then nothing in memory has changed.
    """

    storage: Storage
    clock: Callable[[], float]
    stored: StoredVote
    promise: Promise | None = attrs.field(default=None, init=False)
    heard_epoch: int = attrs.field(default=-1, init=False)
    """The highest epoch that a voter is known to have accepted: the next one proposed is higher."""
    _accepted_of: tuple[int, int] = attrs.field(default=(-1, -1), init=False)
    """The epoch that was accepted last, and whose it was; a restart forgets that."""
    _changed: trio.Event = attrs.field(factory=trio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        if (followed := self.stored.followed) is not None:
            # what the process before us promised it took along: it may have been a moment ago
            until = self.clock() + followed.lease_s
            self.promise = Promise(followed.leader, followed.epoch, until)

    def refuse_older(self, epoch: int) -> None:
        """Raise ``PeerError`` for an epoch that is older than one accepted."""
        if epoch < (accepted := self.stored.accepted_epoch):
            raise PeerError(f"it proposes epoch {epoch}, and {accepted} has been accepted")

    async def accept(self, leader: int, epoch: int, followed: Followed | None = None) -> bool:
        """Accept ``epoch``, of ``leader``, and remember the promise that goes with it, in one write.

        Returns whether ``leader`` is the first whose epoch of that number was accepted: of all that propose
        the same, a quorum does so for one at most. Raises ``PeerError`` for one older than that accepted.
        """
        self.refuse_older(epoch)
        stored = self.stored
        if followed is None and self.promise is not None and self.clock() < self.promise.until:
            followed = stored.followed  # an observer promises nothing, but may have promised as a voter
        if epoch > stored.accepted_epoch or followed != stored.followed:
            await self.storage.accept_epoch(epoch, followed)
            self.stored = attrs.evolve(stored, accepted_epoch=epoch, followed=followed)
        if epoch > stored.accepted_epoch:
            self._accepted_of = epoch, leader
        return self._accepted_of == (epoch, leader)

    async def begin(self, epoch: int) -> None:
        """Make ``epoch`` the current one, durably: everything that its leader holds is held here."""
        await self.storage.begin_epoch(epoch)
        self.stored = attrs.evolve(self.stored, epoch=epoch)

    def begin_soon(self, epoch: int) -> None:
        """Make ``epoch``, whose leader is established, the current one; durable soon.

        That is enough for an epoch without transactions, one of a leader of ours.
        """
        self.storage.begin_epoch_soon(epoch)
        self.stored = attrs.evolve(self.stored, epoch=epoch)

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
