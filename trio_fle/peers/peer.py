"""What is known of one other server, whether connected or not."""

import math
from typing import Final

import attrs
import trio

from trio_fle.ensemble import HostPort
from trio_fle.peers.connection import Connection
from trio_fle.peers.mailbox import Outbox
from trio_fle.peers.quiet import Backoff

REDIAL_FIRST_S: Final = 0.1
PROBES_S: Final = (0.0, 0.0, 0.002, 0.01, 0.02, 0.05)
"""Waits before the first dials after a connection has ended: a process that was killed may take a moment to
end, and to refuse."""
REDIAL_MAX_S: Final = 5.0
STABLE_S: Final = 1.0
"""A connection that lived so long was a good one: when it breaks, the peer is dialled at once."""
HUNG_S: Final = 1.0


@attrs.define(eq=False)
class Peer:
    """One other server: what it is to be told, and the connection that tells it."""

    sid: int
    redial_max_s: float = REDIAL_MAX_S
    claimed: tuple[HostPort, ...] = ()
    """Where it says it can be dialled; used only for a server that no configuration names."""
    asked_by: HostPort | None = None
    """Where such a server called from."""
    outbox: Outbox = attrs.field(factory=Outbox, init=False)
    connection: Connection | None = attrs.field(default=None, init=False)
    _challenger: Connection | None = attrs.field(default=None, init=False)
    connections: int = attrs.field(default=0, init=False)
    """How many there have been."""
    met: bool = attrs.field(default=False, init=False)
    """Whether it was ever connected."""
    served: int = attrs.field(default=0, init=False)
    """Streams to it that are open: the connection, and those that wait to replace it."""
    dialling: bool = attrs.field(default=False, init=False)
    dial: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    """The dial under way, or the last one."""
    dial_began: float = attrs.field(default=0.0, init=False)
    backoff: Backoff = attrs.field(init=False)
    unreachable: bool = attrs.field(default=False, init=False)
    """Whether the last dial failed: then the next failure is no news."""
    probes: list[float] = attrs.field(factory=list, init=False)
    """Waits before the next few dials, which find out whether it is gone."""
    _probed_at: float = attrs.field(default=-math.inf, init=False)
    _nudge: trio.Event = attrs.field(factory=trio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self.backoff = Backoff(REDIAL_FIRST_S, self.redial_max_s)

    async def promote(self, connection: Connection) -> None:
        """Make ``connection`` the only one; the one before it has fully ended when this returns.

        A connection that came before the present one has missed its turn, and ends instead.
        """
        while (before := self.connection) is not None and before is not connection:
            if before.number > connection.number:
                connection.close("replaced by a newer connection")
                await trio.sleep_forever()
            before.close("replaced by a newer connection")
            await before.ended.wait()
        if before is None:
            if self._challenger is connection:
                self._challenger = None
            self.connection, connection.promoted_at, self.met = connection, trio.current_time(), True
            connection.promoted.set()
            self.nudge()

    def challenge(self, connection: Connection) -> None:
        """Let ``connection`` wait to replace the present one; only the newest does."""
        if self._challenger is not None:
            self._challenger.close("replaced by a newer connection")
        self._challenger = connection

    def release(self, connection: Connection) -> None:
        """Note that ``connection`` has ended."""
        if self._challenger is connection:
            self._challenger = None
        if self.connection is not connection:
            return
        self.connection = None
        now = trio.current_time()
        if stable := now - connection.promoted_at >= STABLE_S:
            self.backoff.reset()
        # one that flaps, or says nothing, is not dialled more often for it
        if (stable or connection.heard) and now - self._probed_at >= STABLE_S:
            self._probed_at, self.probes = now, list(PROBES_S)
        if self._nudge.is_set():  # told of this connection; whoever waits from now on waits for the next
            self._nudge = trio.Event()

    def redial_in_s(self) -> float:
        """Return the wait before the next dial."""
        return self.probes.pop(0) if self.probes else self.backoff.next()

    def nudge(self) -> None:
        """End the wait before the next dial: the peer was heard of."""
        self._nudge.set()

    def knocked(self) -> None:
        """Dial now: the peer is there. A dial that hangs was sent when it was not, and is given up."""
        if self.dialling and trio.current_time() - self.dial_began > HUNG_S:
            self.dial.cancel()
        self.nudge()

    def moved(self) -> None:
        """Dial anew: the peer is somewhere else now."""
        self.dial.cancel()
        self.backoff.reset()
        self.nudge()

    async def wait_nudged(self, seconds: float) -> None:
        """Wait until the peer was heard of, or ``seconds`` have passed."""
        if math.isinf(seconds):
            await self._nudge.wait()
        elif seconds > 0:
            with trio.move_on_after(seconds):
                await self._nudge.wait()
        self._nudge = trio.Event()
