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
    The epoch after the accepted one may be *reserved*, durably, for an heir: this member may accept it of
    that one without a wait for the disk, once its leader is proven to have ended (see ARCHITECTURE.md).
    Raises ``StorageError`` where something can't be made durable; then nothing in memory has changed.
    """

    storage: Storage
    clock: Callable[[], float]
    stored: StoredVote
    promise: Promise | None = attrs.field(default=None, init=False)
    maybe: Promise | None = attrs.field(default=None, init=False)
    """What the process before us may have promised an heir."""
    freed: Callable[[], None] = attrs.field(default=lambda: None, init=False)
    """Is called whenever a promise has ended early."""
    heard_epoch: int = attrs.field(default=-1, init=False)
    """The highest epoch that a voter is known to have accepted: the next one proposed is higher."""
    _accepted_of: tuple[int, int] = attrs.field(default=(-1, -1), init=False)
    """The epoch that was accepted last, and whose it was; a restart forgets that."""
    _by_vote: tuple[int, int] = attrs.field(default=(-1, -1), init=False)
    """The same, if it was accepted as reserved."""
    _maybe_epoch: int = attrs.field(default=-1, init=False)
    """The epoch that the process before us may have accepted of an heir."""
    _ended: int = attrs.field(default=-1, init=False)
    """The epoch whose leader is proven to have ended."""
    _changed: trio.Event = attrs.field(factory=trio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        stored = self.stored
        if (followed := stored.followed) is not None:
            # what the process before us promised it took along: it may have been a moment ago
            until = self.clock() + followed.lease_s
            self.promise = Promise(followed.leader, followed.epoch, until)
            if stored.heir is not None:
                self.maybe = Promise(stored.heir, stored.accepted_epoch + 1, until, but=followed.leader)
        if stored.heir is not None:
            self._maybe_epoch = stored.accepted_epoch + 1

    @property
    def highest_epoch(self) -> int:
        """The highest epoch that this member has accepted, or may have before it was started again."""
        return max(self.stored.accepted_epoch, self._maybe_epoch)

    def told_epoch(self, leader: int) -> int:
        """Return the epoch that a proposal of ``leader`` must exceed: not that accepted of it by vote."""
        if self._by_vote == (self.stored.accepted_epoch, leader):
            return self.stored.accepted_epoch - 1
        return self.highest_epoch

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
        stored, known = self.stored, self.highest_epoch
        if followed is None and self.promise is not None and self.clock() < self.promise.until:
            followed = stored.followed  # an observer promises nothing, but may have promised as a voter
        if epoch > stored.accepted_epoch or followed != stored.followed:
            await self.storage.accept_epoch(epoch, followed)
            self.stored = attrs.evolve(stored, accepted_epoch=epoch, followed=followed, heir=None)
        if epoch > known:
            self._accepted_of = epoch, leader
        return self._accepted_of == (epoch, leader)

    async def reserve(self, heir: int) -> None:
        """Reserve the next epoch for ``heir``, durably: for a member that follows a leader of ours.

        Nothing where it follows none, or where that has changed by the time that it could be written: nobody
        accepts it then, and one who finds it after a restart has no leader who could clear it.
        """
        accepted, followed = self.stored.accepted_epoch, self.stored.followed
        if followed is None:
            return
        self.stored = attrs.evolve(self.stored, heir=None)  # until it is durable, for neither
        written = await self.storage.reserve(heir, accepted + 1, followed)
        if written and (self.stored.accepted_epoch, self.stored.followed) == (accepted, followed):
            self.stored = attrs.evolve(self.stored, heir=heir)

    def accept_reserved(self, heir: int, epoch: int, lease_s: float | None = None) -> bool:
        """Accept the reserved ``epoch`` of ``heir``, and promise it ``lease_s`` from now on.

        Returns whether that could be done; it is nothing where the epoch is another one, or reserved for
        somebody else, where the lease is longer than that on disk, or where the leader that this member
        followed is not proven to have ended: a restarted process may then follow that one again.
        None for ``lease_s``: the heir is this member itself.
        """
        stored = self.stored
        followed = stored.followed
        if (stored.heir, stored.accepted_epoch + 1) != (heir, epoch) or followed is None:
            return False
        if self.promise is not None or self._ended != stored.accepted_epoch or self.binds(heir):
            return False
        if self._maybe_epoch >= epoch or (lease_s is not None and lease_s > followed.lease_s):
            return False
        now_followed = None if lease_s is None else Followed(heir, epoch, lease_s)
        self.storage.accept_reserved(epoch, now_followed)
        self.stored = attrs.evolve(stored, accepted_epoch=epoch, followed=now_followed, heir=None)
        self._accepted_of = self._by_vote = epoch, heir
        if lease_s is not None:
            self.promise = Promise(heir, epoch, self.clock() + lease_s)
        return True

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
            self._ended, self.promise = self.promise.epoch, None
            self._tell()
        if self.maybe is not None and self.maybe.leader == leader:
            self.maybe = None
            self._tell()

    def meet_leader(self, leader: int, epoch: int) -> None:
        """Note that ``leader`` says that its epoch is ``epoch``.

        Where that is the one that the process before us followed, and the epoch the same, it leads still: so
        no heir's was accepted. Else it may have ended, and an heir been promised what must be kept.
        Raises ``PeerError`` for an epoch below one that may have been accepted.
        """
        followed = self.stored.followed
        if followed is not None and (leader, epoch) == (followed.leader, followed.epoch):
            self.maybe, self._maybe_epoch = None, -1
        elif self.maybe is not None:
            self.maybe = attrs.evolve(self.maybe, but=None)
        if epoch < self.highest_epoch:
            raise PeerError(f"it proposes epoch {epoch}, and {self.highest_epoch} may have been accepted")

    async def forget(self) -> None:
        """Forget the promise on disk too: a clean stop, of which the leader knows."""
        if self.stored.followed is not None:
            await self.storage.remember_followed(None)
            self.stored = attrs.evolve(self.stored, followed=None, heir=None)
        self.promise = None
        self._tell()

    def binds(self, towards: int) -> bool:
        """Whether a new epoch of ``towards`` must not be acknowledged yet."""
        return any(each.binds(self.clock(), towards=towards) for each in self.promises)

    @property
    def promises(self) -> tuple[Promise, ...]:
        """What was promised, or may have been."""
        return tuple(each for each in (self.promise, self.maybe) if each is not None)

    async def wait_free(self, towards: int) -> None:
        """Wait until a new epoch of ``towards`` may be acknowledged."""
        while self.binds(towards):
            left_s = max(each.until for each in self.promises) - self.clock()
            with trio.move_on_after(min(max(left_s, 0.001), _RECHECK_S)):
                await self._changed.wait()
        await trio.lowlevel.checkpoint()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
        self.freed()
