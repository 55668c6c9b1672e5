"""What elections come to, for the member to act on, and its quorum port, bound when it is likely to win."""

import errno
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import attrs
import structlog
import trio
from trio.abc import Listener, Stream

from trio_fle.election.events import Decided
from trio_fle.ensemble import HostPort
from trio_fle.peers import Transport
from trio_fle.peers.listening import close_all

HOLD_S: Final = 0.25
"""How long, beyond the finalize wait, the port is held for a victory that does not come.

Meanwhile nobody is released from a promise.
"""

STAND_BACK_S: Final = 2.0
"""How long one whose port is taken is no candidate: others are elected meanwhile, if they can be."""


@attrs.define(eq=False)
class QuorumPort:
    """Where learners call: those who vote for this member know that it wins before it does, and call."""

    transport: Transport
    addresses: Callable[[], Sequence[HostPort]]
    log: structlog.typing.FilteringBoundLogger
    opened: int = attrs.field(default=0, init=False)
    """How often it was bound: as long as this does not change, it has refused nobody."""
    _bound: Sequence[HostPort] = attrs.field(default=(), init=False)
    _listeners: Sequence[Listener[Stream]] = attrs.field(default=(), init=False)

    async def open(self) -> bool:
        """Listen already, if that is possible, and say whether it is."""
        if self._listeners:
            return True
        addresses = self.addresses()
        try:
            self._listeners = await self.transport.listen(addresses)
        except OSError:
            return False  # whoever takes it tries again, and tells
        self._bound = addresses
        self.opened += 1
        return True

    async def take(self) -> Sequence[Listener[Stream]]:
        """Return listeners, which are the caller's from now on. Raises ``OSError``."""
        if self._listeners and self._bound != self.addresses():
            await self.close()
        taken, self._listeners = self._listeners, ()
        if not taken:
            taken = await self.transport.listen(self.addresses())
            self.opened += 1
        return taken

    def tell_refused(self, error: OSError, retire: Callable[[float], None]) -> str:
        """Tell why nobody can reach this member there; return that as a reason to give up.

        Where the port is another one's, it is left to others to lead; whatever else it is may be over soon.
        """
        reason = error.strerror or str(error)
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            retire(STAND_BACK_S)
            self.log.error(
                "leading.cant_listen",
                address=", ".join(map(str, self.addresses())),
                reason=reason,
                hint="nobody can follow this member: free that port (or let this user have it), or give its "
                "server line another quorum port, in all configurations; "
                f"for {STAND_BACK_S:g} s it is no candidate",
            )
        return f"can't listen on the quorum port: {reason}"

    async def close(self) -> None:
        """Listen no more, unless somebody has taken it; also where the task is cancelled."""
        if self._listeners:
            listeners, self._listeners = self._listeners, ()
            await close_all(listeners)


@attrs.define(eq=False)
class Decisions:
    """Takes what the election task tells; ``port`` is bound meanwhile where this member is likely to win."""

    port: QuorumPort
    finalize_wait_s: float
    _outcomes: deque[Decided] = attrs.field(factory=deque, init=False)
    _favoured: bool = attrs.field(default=False, init=False)
    _news: trio.Event = attrs.field(factory=trio.Event, init=False)

    def decided(self, decided: Decided) -> None:
        """Take an outcome."""
        self._outcomes.append(decided)
        self._tell()

    def favoured(self, favoured: bool) -> None:
        """Take note that this member is likely to win, or is not after all."""
        self._favoured = favoured
        self._tell()

    def expect(self) -> None:
        """Hold the port from now on: what is said next relies on it, and the election will find it likely."""
        self._favoured = True

    async def next(self) -> Decided:
        """Wait for the next outcome; the port stays bound where this member has won."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self._outcomes:
            news = self._news
            if not self._favoured:
                await self.port.close()
                await news.wait()
                continue
            with trio.move_on_after(self.finalize_wait_s + HOLD_S) as held:
                await self.port.open()
                await news.wait()
            if held.cancelled_caught:
                self._favoured = False
        return self._outcomes.popleft()

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()
