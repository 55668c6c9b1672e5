"""What a server has promised, as ``member.commitments`` and ``member.gone`` have it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import attrs

from trio_fle.peers.quiet import Backoff
from trio_fle.storage import Followed
from trio_fle.zab import Promise

if TYPE_CHECKING:
    from trio_fle.sim.cores.server import Server

ASK_FIRST_S: Final = 0.005
ASK_MAX_S: Final = 0.2
"""Waits between two dials of a leader that may be gone, as in ``member.gone``."""


@attrs.define(eq=False)
class Promising:
    """The promise of one ``server`` to the leader that it follows, or followed before it was started."""

    server: "Server"
    promise: Promise | None = attrs.field(default=None, init=False)
    _asked: Promise | None = attrs.field(default=None, init=False)
    _waiting: list[Callable[[], None]] = attrs.field(factory=list, init=False)
    """Who waits for the end of a promise."""

    def __attrs_post_init__(self) -> None:
        if (followed := self.server.machine.stored.followed) is not None:
            self.renew(followed, self.server.clock())

    def renew(self, followed: Followed, arrived: float) -> None:
        """Promise to acknowledge no other epoch for the lease, from ``arrived`` on."""
        until, promise = arrived + followed.lease_s, self.promise
        if promise is not None and (promise.leader, promise.epoch) == (followed.leader, followed.epoch):
            self.promise = promise.renewed(until)
        else:
            self.promise = Promise(followed.leader, followed.epoch, until)

    def when_free(self, towards: int, what: Callable[[], None]) -> None:
        """Do something as soon as a new epoch of ``towards`` may be acknowledged."""
        promise, clock = self.promise, self.server.clock
        if promise is None or not promise.binds(clock(), towards=towards):
            what()
            return
        once = _Once(lambda: self.when_free(towards, what))
        self._waiting.append(once)
        self.server.lease_after(max(promise.until - clock(), 0.001), once)

    def find_out(self) -> None:
        """Begin to ask whether the leader that has our promise is gone, unless that was begun before."""
        promise = self.promise
        if promise is not None and promise is not self._asked:
            self._asked = promise
            self._ask(promise, Backoff(ASK_FIRST_S, ASK_MAX_S))

    def _ask(self, promise: Promise, backoff: Backoff) -> None:
        server = self.server

        def dial() -> None:
            left_s = promise.until - server.clock()
            if self.promise is promise and self._asked is promise and left_s > 0:
                server.world.probe(server, promise.leader, answered, quorum=True, patience_s=left_s)

        def answered(refused: bool) -> None:
            if not refused:
                self._ask(promise, backoff)
            elif self.promise is promise:
                self._release(promise)

        if promise.leader != server.sid:
            server.world.after(server, backoff.next(), dial)

    def _release(self, promise: Promise) -> None:
        world, sid = self.server.world, self.server.sid
        if world.trace is not None:
            world.say(sid, f"is free of its promise to {promise.leader}, whose port refuses")
        self.promise = None
        waiting, self._waiting = self._waiting, []
        for what in waiting:
            what()


@attrs.define(eq=False)
class _Once:
    """Calls something the first time that it is called itself."""

    what: Callable[[], None] | None

    def __call__(self) -> None:
        what, self.what = self.what, None
        if what is not None:
            what()
