"""Asking a server for its state and vote, on its election port, as a stranger that it answers at once."""

from typing import Final

import trio
from trio.abc import Stream

from trio_fle.ensemble import HostPort
from trio_fle.errors import ConnectionLostError
from trio_fle.peers.transport import Transport
from trio_fle.vote import MIN_LONG, PeerState, Vote
from trio_fle.wire import (
    FrameBuffer,
    Hello,
    Layout,
    Notification,
    decode_notification,
    encode_frame,
    encode_hello,
    encode_notification,
)

STRANGER_BASE: Final = 1 << 62
"""First of the ids that askers use: higher than any server's, so that their connections are kept, and not
that of an observer without an id, whom a server would dial back (decision 9)."""

_CHUNK_BYTES: Final = 64 * 1024
_TOGETHER_S: Final = 0.1


async def ask(
    transport: Transport, addresses: tuple[HostPort, ...], asker: int, mine: HostPort
) -> Notification:
    """Return what a server answers: its state, and its last concluded vote.

    ``asker`` is told as our id and must be used by nobody else at the same time; ``mine`` is an address that
    is told and never dialled. Raises ``PeerError`` where no answer comes; put a time-out around it.
    """
    answer, _ = await converse(await transport.dial(addresses), STRANGER_BASE + asker, mine)
    return answer


async def converse(stream: Stream, asker: int, mine: HostPort) -> tuple[Notification, float]:
    """Ask on a new connection, and close it; see ``ask``. Returns the answer, and when it came.

    Raises ``PeerError``.
    """
    async with stream:
        try:
            nothing = Notification(PeerState.LOOKING, Vote(MIN_LONG, MIN_LONG, MIN_LONG), 0)
            question = encode_frame(encode_notification(nothing, Layout.VERSIONED))
            await stream.send_all(encode_hello(Hello(asker, (mine,))) + question)
            frame, came = await _newest_frame(stream)
            return decode_notification(frame), came
        except trio.BrokenResourceError as error:
            raise ConnectionLostError("connection reset before an answer") from error


async def _newest_frame(stream: Stream) -> tuple[bytes, float]:
    """Return the last frame of those that come together, and when it came.

    A Java server that knows the asker's id first repeats what it answered the last time.
    """
    frames: list[tuple[bytes, float]] = []
    buffer = FrameBuffer()
    with trio.CancelScope() as scope:
        while chunk := await stream.receive_some(_CHUNK_BYTES):
            now = trio.current_time()
            frames = [*frames, *((body, now) for body in buffer.feed(chunk))][-1:]
            if frames:
                scope.deadline = min(scope.deadline, trio.current_time() + _TOGETHER_S)
    if not frames:
        raise ConnectionLostError("connection closed before an answer")
    return frames[-1]
