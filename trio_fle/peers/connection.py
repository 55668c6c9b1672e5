"""One election connection: a nursery with a sender and a receiver, which end together."""

import enum
from collections.abc import Awaitable, Callable
from typing import Final

import attrs
import structlog
import trio
from trio.abc import Stream

from trio_fle.ensemble import HostPort
from trio_fle.errors import ConnectionLostError, MalformedMessageError, PeerError
from trio_fle.peers.mailbox import Outbox
from trio_fle.peers.quiet import TokenBucket
from trio_fle.peers.streams import Arrivals, close, send_all
from trio_fle.wire import FrameBuffer, Notification, decode_notification

MALFORMED_PER_MINUTE: Final = 8
"""So many notifications that make no sense, within a minute, cost the connection (decision 6)."""

_MINUTE_S: Final = 60.0
_CHUNK_BYTES: Final = 4 * 1024
"""Read at a time: some 80 notifications of the shortest kind, then it is another task's turn."""

STRANGER_PER_S: Final = 20
"""Notifications a second that are taken from a server that no configuration names; it may send faster, and
waits then."""


class Direction(enum.Enum):
    """Who opened a connection; it changes nothing once both have agreed to keep it."""

    DIALLED = "out"
    ACCEPTED = "in"


@attrs.define(eq=False)
class Connection:
    """An open stream to one peer.

    It is *promoted* once it is the peer's only connection: from then on it is fed from the outbox and
    delivers. Before, where another connection of the peer still lives, it is told the last frame and must
    prove itself with a notification of its own. ``ended`` is set when both its tasks are over and the
    stream is closed; nothing is delivered afterwards.
    """

    peer: int
    stream: Stream
    address: HostPort
    direction: Direction
    number: int = 0
    """Which connection of this peer it is, counted as they came."""
    known: bool = True
    """Whether a configuration names the peer."""
    told: bool = True
    """Whether the log tells of it; otherwise only the debug log does."""
    linger: Callable[[int], Awaitable[None]] | None = None
    """Returns when the end of a connection with that server is to be dealt with; None: at once."""
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    promoted: trio.Event = attrs.field(factory=trio.Event, init=False)
    promoted_at: float = attrs.field(default=0.0, init=False)
    ended: trio.Event = attrs.field(factory=trio.Event, init=False)
    heard: bool = attrs.field(default=False, init=False)
    """Whether it ever brought a notification."""
    reason: str = attrs.field(default="", init=False)

    def close(self, reason: str) -> None:
        """Ask the connection to end; ``ended`` tells when it has. The first reason is kept."""
        self.reason = self.reason or reason
        self.scope.cancel()


Promote = Callable[[Connection], Awaitable[None]]
"""Makes a connection its peer's only one; returns when the one before it, if any, has ended."""

Deliver = Callable[[int, Notification], None]
"""Takes one notification of a server; never waits."""

Malformed = Callable[[int, MalformedMessageError], None]
"""Is told of a notification of a server that was skipped."""


async def run_connection(
    connection: Connection,
    outbox: Outbox,
    promote: Promote,
    deliver: Deliver,
    malformed: Malformed,
    log: structlog.typing.FilteringBoundLogger,
) -> None:
    """Serve ``connection`` until either direction ends; on return both have, and the stream is closed."""
    log = log.bind(peer=connection.peer)
    tell = log.info if connection.told else log.debug
    try:
        with connection.scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_send_frames, connection, outbox)
                nursery.start_soon(_receive_frames, connection, promote, deliver, malformed)
                await connection.promoted.wait()
                tell(
                    "peer.connected",
                    address=str(connection.address),
                    direction=connection.direction.value,
                )
    except* PeerError as group:
        connection.reason = connection.reason or "; ".join(str(error) for error in _leaves(group))
    finally:
        await close(connection.stream)
        connection.ended.set()
        connection.reason = connection.reason or "stopped"
        if connection.promoted.is_set():
            tell("peer.disconnected", reason=connection.reason)


def _leaves(group: BaseExceptionGroup[PeerError]) -> list[BaseException]:
    leaves: list[BaseException] = []
    for error in group.exceptions:
        leaves += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return leaves


async def _send_frames(connection: Connection, outbox: Outbox) -> None:
    try:
        if (again := outbox.first()) is not None:
            await send_all(connection.stream, again)
        await connection.promoted.wait()
        while True:
            await send_all(connection.stream, await outbox.get())
    except trio.BrokenResourceError as error:
        raise ConnectionLostError(_cause(error, "connection reset")) from error


async def _receive_frames(
    connection: Connection, promote: Promote, deliver: Deliver, malformed: Malformed
) -> None:
    arrivals, frames = Arrivals(connection.stream), FrameBuffer()
    allowance = TokenBucket(burst=STRANGER_PER_S, per_s=STRANGER_PER_S, clock=trio.current_time)
    bad_at: list[float] = []
    end = ConnectionLostError("closed by peer")
    try:
        while chunk := await arrivals.receive_some(_CHUNK_BYTES):
            for body in frames.feed(chunk):
                try:
                    notification = decode_notification(body)
                except MalformedMessageError as error:
                    malformed(connection.peer, error)
                    _tolerate(bad_at)
                    continue
                if not connection.promoted.is_set():
                    await promote(connection)
                if not connection.known and not allowance.take():
                    await trio.sleep(1 / STRANGER_PER_S)
                connection.heard = True
                deliver(connection.peer, notification)
    except trio.BrokenResourceError as error:
        end = ConnectionLostError(_cause(error, "connection reset"))
    if connection.linger is not None:
        await connection.linger(connection.peer)
    raise end


def _tolerate(bad_at: list[float]) -> None:
    """Note one more malformed notification; ``MalformedMessageError`` where it is one too many."""
    now = trio.current_time()
    bad_at[:] = [at for at in bad_at if now - at < _MINUTE_S] + [now]
    if len(bad_at) >= MALFORMED_PER_MINUTE:
        raise MalformedMessageError(f"{len(bad_at)} malformed notifications within a minute")


def _cause(error: trio.BrokenResourceError, otherwise: str) -> str:
    """Say what the socket said; a memory stream says nothing."""
    cause = error.__cause__
    return (cause.strerror or otherwise).lower() if isinstance(cause, OSError) else otherwise
