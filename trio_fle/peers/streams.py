"""Reading, sending and closing that give up no turn of the event loop where nothing has to be waited for.

Trio's own streams let all other tasks run after each read, each write and each close. Between the loss of a
leader and the next one's first answer a member does so some fifty times, and each such turn costs it more
than the system call does.
"""

import os
from typing import Final

import attrs
import trio
from trio.abc import Stream

IN_A_ROW_BYTES: Final = 4 * 1024
"""So much may be read that has arrived already; then it is the others' turn, whatever a peer sends."""

_LEAST_BYTES: Final = 512
"""What any read counts for at least."""


@attrs.define(eq=False)
class Arrivals:
    """What arrives on ``stream``. One task at a time may receive."""

    stream: Stream
    _in_a_row: int = attrs.field(default=0, init=False)
    """Bytes that were found without waiting."""

    async def receive_some(self, max_bytes: int) -> bytes:
        """Return what has arrived, or wait for something; nothing at the end of the stream.

        A checkpoint where the task is cancelled, where nothing has arrived, and after ``IN_A_ROW_BYTES``
        that had. Raises ``BrokenResourceError``, and ``ClosedResourceError`` for a stream
        that this side has closed.
        """
        if not isinstance(self.stream, trio.SocketStream):
            return bytes(await self.stream.receive_some(max_bytes))
        if self._in_a_row < IN_A_ROW_BYTES:
            await trio.lowlevel.checkpoint_if_cancelled()
        else:
            self._in_a_row = 0
            await trio.lowlevel.checkpoint()
        while (data := _read(self.stream, max_bytes)) is None:
            self._in_a_row = 0
            await trio.lowlevel.wait_readable(self.stream.socket)
        self._in_a_row += max(len(data), _LEAST_BYTES)
        return data


def _read(stream: trio.SocketStream, max_bytes: int) -> bytes | None:
    try:
        return os.read(_descriptor(stream), max_bytes)
    except BlockingIOError:
        return None
    except OSError as error:
        raise trio.BrokenResourceError(f"socket connection broken: {error}") from error


def _descriptor(stream: trio.SocketStream) -> int:
    descriptor = stream.socket.fileno()
    if descriptor < 0:
        raise trio.ClosedResourceError("this side has closed the stream")
    return descriptor


async def send_all(stream: Stream, data: bytes) -> None:
    """Send all of ``data``; a checkpoint only where the task is cancelled, or the kernel takes not all of it.

    Only one task may send on a stream at any time: unlike trio's own method, this does not notice two. Raises
    ``BrokenResourceError``, and ``ClosedResourceError`` for a stream that this side has closed.
    """
    if rest := await send_some(stream, data):
        await stream.send_all(rest)


async def send_some(stream: Stream, data: bytes) -> bytes:
    """Send what the kernel takes at once, and return the rest; like ``send_all``, which is to send that."""
    await trio.lowlevel.checkpoint_if_cancelled()
    if not isinstance(stream, trio.SocketStream):
        return data
    try:
        return data[os.write(_descriptor(stream), data) :]
    except BlockingIOError:
        return data
    except OSError as error:
        raise trio.BrokenResourceError(f"socket connection broken: {error}") from error


async def until_ended(stream: Stream, until: float) -> None:
    """Wait until a connection ends that nobody may have accepted, or something comes, or ``until``; close it.

    A process that ends resets such connections when it closes what it listens on: whoever waits for that
    knows of it at once.
    """
    try:
        with trio.move_on_at(until):
            await stream.receive_some(1)
    except trio.BrokenResourceError:
        pass
    finally:
        await close(stream)


async def close(stream: Stream) -> None:
    """Close a stream, also where the task is cancelled; never fails."""
    if isinstance(stream, trio.SocketStream):
        stream.socket.close()
    else:
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(stream)
