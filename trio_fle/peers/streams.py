"""Sending and closing where the kernel need not be waited for: no turn of the event loop is given up for it.

Trio's own streams let all other tasks run after each write and each close. Between the loss of a leader and
the next one's first answer a member writes and closes a dozen times, and each such turn costs it more than
the system call does.
"""

import os

import trio
from trio.abc import Stream


async def send_all(stream: Stream, data: bytes) -> None:
    """Send all of ``data``; a checkpoint only where the task is cancelled, or the kernel takes not all of it.

    One task at a time may send. Raises ``BrokenResourceError``, and ``ClosedResourceError`` for a stream that
    this side has closed.
    """
    await trio.lowlevel.checkpoint_if_cancelled()
    if isinstance(stream, trio.SocketStream) and stream.socket.fileno() >= 0:
        data = data[_write(stream.socket.fileno(), data) :]
        if not data:
            return
    await stream.send_all(data)


def _write(descriptor: int, data: bytes) -> int:
    try:
        return os.write(descriptor, data)
    except BlockingIOError:
        return 0
    except OSError as error:
        raise trio.BrokenResourceError(f"socket connection broken: {error}") from error


async def close(stream: Stream) -> None:
    """Close a stream, also where the task is cancelled; never fails."""
    if isinstance(stream, trio.SocketStream):
        stream.socket.close()
    else:
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(stream)
