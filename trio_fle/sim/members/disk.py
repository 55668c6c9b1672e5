"""A member's data directory in memory: what a crash leaves of it is what a real disk would.

It holds the bytes of ``fle.record`` (``storage.record``), so a write that was torn is found by the same code
that reads a real one.
"""

import random
from collections.abc import Callable
from typing import Any, Final

import attrs
import trio

from trio_fle.ensemble import Ensemble
from trio_fle.errors import StorageError
from trio_fle.sim.conditions import Latency
from trio_fle.storage import Followed, StoredVote
from trio_fle.storage.durable import FOLLOW_AFTER_S
from trio_fle.storage.record import RECORD, RECORD_BYTES, Record, encode_record, newest_record, place_of

AT_ONCE: Final = Latency(0.0)


@attrs.define(eq=False)
class VirtualConfigFiles:
    """``ConfigFiles`` in memory; they outlive the member that uses them. A write is durable at once."""

    committed: Ensemble | None = None
    pending: Ensemble | None = None
    fails: StorageError | None = None

    async def check(self) -> None:
        """Do nothing: it can always be written."""
        await trio.lowlevel.checkpoint()

    async def keep_pending(self, ensemble: Ensemble) -> None:
        """Keep what a leader proposed."""
        await trio.lowlevel.checkpoint()
        if self.fails is not None:
            raise self.fails
        self.pending = ensemble

    async def commit(self, ensemble: Ensemble, *, own_client: bool, drop_pending: bool) -> None:
        """Keep the configuration of the next start."""
        await trio.lowlevel.checkpoint()
        if self.fails is not None:
            raise self.fails
        self.committed = ensemble
        if drop_pending:
            self.pending = None


@attrs.define(eq=False)
class VirtualDisk:
    """A ``Storage`` in memory; it outlives the member that uses it, and its crashes.

    ``history`` is what it holds at first; ``write_s`` how long a write takes until it is durable. Every
    coroutine is a checkpoint first. While ``fails`` is set, each raises it and changes nothing.
    """

    history: StoredVote = attrs.field(factory=lambda: StoredVote(0, 0, 0))
    write_s: Latency = AT_ONCE
    rng: random.Random = attrs.field(factory=lambda: random.Random(0))
    fails: StorageError | None = None
    loads: int = attrs.field(default=0, init=False)
    writes: int = attrs.field(default=0, init=False)
    ensemble: str = attrs.field(default="", init=False)
    """The configuration that its member lived under last."""
    closed: bool = attrs.field(default=False, init=False)
    _durable: bytearray = attrs.field(factory=lambda: bytearray(RECORD_BYTES), init=False)
    _record: Record = attrs.field(init=False)
    """The newest one, durable or not."""
    _pending: Record | None = attrs.field(default=None, init=False)
    """What is being written."""
    _crashes: int = attrs.field(default=0, init=False)
    _soon: int = attrs.field(default=-1, init=False)
    """The current epoch that is to be recorded."""
    _succeeded: tuple[int, Followed | None] = attrs.field(default=(-1, None), init=False)
    """The epoch that was accepted as reserved, and whom the member follows then: to be recorded."""
    _changed: trio.Event = attrs.field(factory=trio.Event, init=False)
    _writing: trio.Lock = attrs.field(factory=trio.Lock, init=False)

    def __attrs_post_init__(self) -> None:
        self._record = self._read()

    @property
    def stored(self) -> StoredVote:
        """What it holds, as its process knows it."""
        record = self._record
        return attrs.evolve(
            self.history,
            accepted_epoch=record.accepted_epoch,
            epoch=record.epoch,
            followed=record.followed,
            heir=record.heir,
        )

    async def load(self) -> StoredVote:
        """Read what is durable."""
        await self._checkpoint()
        self.loads += 1
        self.closed = False
        self._record = self._read()
        return self.stored

    async def accept_epoch(self, epoch: int, followed: Followed | None = None) -> None:
        """Record the accepted epoch."""
        await self._checkpoint()
        self._refuse_to_go_back("acceptedEpoch", self._record.accepted_epoch, epoch)
        await self._write(accepted_epoch=epoch, followed=followed, heir=None)

    async def reserve(self, heir: int, epoch: int, followed: Followed) -> bool:
        """Record for whom the next epoch is reserved, unless what that rests on has changed."""
        await self._checkpoint()

        def rests(newest: Record) -> bool:
            return (newest.accepted_epoch + 1, newest.followed) == (epoch, followed)

        return await self._write(rests, heir=heir)

    def accept_reserved(self, epoch: int, followed: Followed | None) -> None:
        """Have it recorded by ``tend`` or ``settle``, or with whatever is next."""
        self._succeeded = epoch, followed
        self._changed.set()

    async def begin_epoch(self, epoch: int) -> None:
        """Record the current epoch."""
        await self._checkpoint()
        self._refuse_to_go_back("currentEpoch", self._record.epoch, epoch)
        await self._write(accepted_epoch=max(self._record.accepted_epoch, epoch), epoch=epoch)

    def begin_epoch_soon(self, epoch: int) -> None:
        """Have the current epoch recorded by ``tend`` or ``settle``."""
        self._soon = max(self._soon, epoch)
        self._changed.set()

    async def remember_followed(self, followed: Followed | None) -> None:
        """Record whom the member follows."""
        await self._checkpoint()
        await self._write(followed=followed, heir=None)

    async def remember_ensemble(self, text: str) -> None:
        """Keep the configuration of the ensemble."""
        await self._checkpoint()
        self.ensemble = text

    async def tend(self) -> None:
        """Record, now and then, the current epoch: there are no files that follow the record."""
        while True:
            await self._changed.wait()
            self._changed = trio.Event()
            await trio.sleep(FOLLOW_AFTER_S)
            await self.settle()

    async def settle(self) -> None:
        """Record the current epoch."""
        await self._checkpoint()
        if self._newest() != self._record:
            await self._write()

    def close(self) -> None:
        """Note that nobody uses it now."""
        self.closed = True

    def crash(self, *, power: bool) -> None:
        """End the process that uses it in the middle of whatever it does; with ``power``, its machine too.

        What was being written is there after the end of a process, mostly: its kernel goes on. A power loss
        leaves any part of it, its block at worst: bytes that make no sense.
        """
        pending, self._pending = self._pending, None
        self._crashes += 1
        self._soon, self._succeeded, self._writing = -1, (-1, None), trio.Lock()
        if pending is None:
            return
        data, at = encode_record(pending), place_of(pending)
        if power:
            torn = self.rng.randrange(len(data.rstrip(b"\0")) + 1)
            rubbish = self.rng.randbytes(len(data) - torn) if self.rng.random() < 0.5 else b""
            data = data[:torn] + rubbish
        elif self.rng.random() < 0.2:
            return
        self._durable[at : at + len(data)] = data

    async def _checkpoint(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.fails is not None:
            raise self.fails

    def _refuse_to_go_back(self, name: str, held: int, epoch: int) -> None:
        if epoch < held:
            raise StorageError(f"{name}: holds epoch {held}, and was to be set back to {epoch}")

    async def _write(self, given: Callable[[Record], bool] = lambda _: True, **changes: Any) -> bool:
        """Write the record with ``changes``, once no other one is being written; whether cancelled or not.

        Returns whether it was written: it is not where the newest one then is not as ``given``.
        """
        crashes = self._crashes
        async with self._writing:
            newest = attrs.evolve(self._newest(), number=self._record.number + 1)
            if not given(newest):
                return False
            self._pending = record = attrs.evolve(newest, **changes)
            if self.write_s.mean_s:
                with trio.CancelScope(shield=True):
                    await trio.sleep(self.write_s.sample(self.rng))
            if self._crashes > crashes:
                return False  # the process that wrote is no more
            self._pending, self._record = None, record
            at = place_of(record)
            self._durable[at : at + len(encode_record(record))] = encode_record(record)
            self.writes += 1
            return True

    def _newest(self) -> Record:
        """Return the record with what is to be recorded soon."""
        record = self._record
        if (epoch := self._succeeded[0]) > record.accepted_epoch:
            record = attrs.evolve(record, accepted_epoch=epoch, followed=self._succeeded[1], heir=None)
        return attrs.evolve(record, epoch=max(record.epoch, self._soon))

    def _read(self) -> Record:
        record = newest_record(bytes(self._durable), RECORD)
        history = self.history
        if record is None:
            return Record(0, history.accepted_epoch, history.epoch, history.followed, history.heir)
        return record
