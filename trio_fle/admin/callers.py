"""Callers: room for so many, and an end of a connection that lets the answer arrive."""

import contextlib
from collections.abc import Generator
from typing import Final

import attrs
import trio
from trio.abc import HalfCloseableStream, Stream

MAX_CALLERS: Final = 64

_LINGER_S: Final = 1.0
_LINGER_READS: Final = 16
_READ_BYTES: Final = 4096


@attrs.define(eq=False)
class Callers:
    """Room for ``limit`` callers; for one more, the one that has asked nothing for longest is cancelled."""

    limit: int = MAX_CALLERS
    _scopes: dict[trio.CancelScope, None] = attrs.field(factory=dict, init=False)
    """In the order in which they came, or last asked for something."""

    def __len__(self) -> int:
        return len(self._scopes)

    @contextlib.contextmanager
    def admit(self) -> Generator[trio.CancelScope]:
        """Serve one caller inside; the scope is cancelled where its place is needed."""
        if len(self._scopes) >= self.limit:
            longest = next(iter(self._scopes))
            del self._scopes[longest]
            longest.cancel()
        with trio.CancelScope() as scope:
            self._scopes[scope] = None
            try:
                yield scope
            finally:
                self._scopes.pop(scope, None)

    def asked(self, scope: trio.CancelScope) -> None:
        """Note that the caller of ``scope`` asked for something."""
        if scope in self._scopes:
            del self._scopes[scope]
            self._scopes[scope] = None


async def hang_up(stream: Stream) -> None:
    """Say that nothing more comes, and wait a moment for the caller to close.

    A socket that is closed with bytes unread resets the connection, and the answer may be lost with it:
    ``echo srvr | nc`` sends a newline that nobody reads.
    """
    with trio.move_on_after(_LINGER_S), contextlib.suppress(trio.BrokenResourceError):
        if isinstance(stream, HalfCloseableStream):
            await stream.send_eof()
        for _ in range(_LINGER_READS):
            if not await stream.receive_some(_READ_BYTES):
                return
