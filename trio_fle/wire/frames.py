"""Frames: a 4-byte big-endian length, then that many bytes, one notification each."""

from collections.abc import Iterator
from typing import Final

import attrs

from trio_fle.errors import MalformedMessageError

MAX_FRAME_BYTES: Final = 512 * 1024
"""Longest body that is accepted (``QuorumCnxManager.PACKETMAXSIZE``)."""

_LENGTH_BYTES: Final = 4


def encode_frame(body: bytes) -> bytes:
    """Put the length before ``body``; a ``ValueError`` for one that no server would accept."""
    if not 0 < len(body) <= MAX_FRAME_BYTES:
        raise ValueError(f"a frame holds 1 to {MAX_FRAME_BYTES} bytes, not {len(body)}")
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


@attrs.define
class FrameBuffer:
    """Cuts a byte stream, in whatever pieces it arrives, into frame bodies.

    Holds at most one incomplete frame; no byte of a body is waited for before its length was checked.
    """

    max_bytes: int = MAX_FRAME_BYTES
    _buffer: bytearray = attrs.field(factory=bytearray, init=False)

    def feed(self, chunk: bytes | bytearray) -> Iterator[bytes]:
        """Yield every body that ``chunk`` completes.

        Raises ``MalformedMessageError`` at a length below 1 or above ``max_bytes``: the stream can't be
        read on from there. Source: ``QuorumCnxManager.RecvWorker``.
        """
        buffer = self._buffer
        buffer += chunk
        at = 0
        try:
            while len(buffer) - at >= _LENGTH_BYTES:
                start = at + _LENGTH_BYTES
                length = int.from_bytes(buffer[at:start], "big", signed=True)
                if not 0 < length <= self.max_bytes:
                    raise MalformedMessageError(f"frame length {length} is not in 1..{self.max_bytes}")
                if len(buffer) - start < length:
                    break
                at = start + length
                yield bytes(buffer[start:at])
        finally:
            del buffer[:at]
