"""The election port: bound with patience, open to everybody, and read one task per caller."""

import errno
import math
import resource
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import attrs
import structlog
import trio
from trio.abc import Listener, Stream

from trio_fle.config import TransportOptions
from trio_fle.ensemble import HostPort
from trio_fle.errors import ConnectionLostError, ListenError, PeerError
from trio_fle.peers.quiet import Backoff
from trio_fle.peers.streams import close
from trio_fle.peers.transport import Transport
from trio_fle.wire import Hello, decode_hello, hello_size

MAX_HANDSHAKES: Final = 512
"""Callers that may be silent at the same time; one more, and the one that has been longest is closed."""

_BIND_RETRY_S: Final = 1.0
_ACCEPT_RETRY_S: Final = 0.1
_TELL_MAX_S: Final = 60.0
_OWN_SHARE: Final = 4
"""What part of the file descriptors silent callers may hold: one in so many."""


async def read_hello(stream: Stream) -> Hello:
    """Read a handshake, however it is cut, and no byte beyond it.

    Raises ``MalformedMessageError``, or ``ConnectionLostError`` for a caller that hangs up.
    """
    data = b""
    try:
        while (missing := hello_size(data) - len(data)) > 0:
            chunk = await stream.receive_some(missing)
            if not chunk:
                raise ConnectionLostError(f"closed after {len(data)} bytes of a handshake")
            data += chunk
    except trio.BrokenResourceError as error:
        raise ConnectionLostError(f"reset after {len(data)} bytes of a handshake") from error
    return decode_hello(data)


def _descriptors() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft > 0 else 1 << 20


def _advice(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "is another server running here? Stop it, or change the server line"
    return "is the host in this server's line an address of this machine? Change the line, or --myid"


async def accept_all(
    listener: Listener[Stream],
    nursery: trio.Nursery,
    serve: Callable[[Stream], Awaitable[None]],
    failed: Callable[[OSError], None],
) -> None:
    """Serve each caller in a task of its own, until the listener is closed.

    Out of file descriptors, or a caller that was gone at once: neither may end the listener, ``failed`` is
    told and it tries again.
    """
    while True:
        try:
            stream = await listener.accept()
        except trio.ClosedResourceError:
            return  # at the very moment at which somebody called: no cancellation comes before that
        except OSError as error:
            failed(error)
            await trio.sleep(_ACCEPT_RETRY_S)
        else:
            nursery.start_soon(serve, stream)


async def close_all(listeners: Sequence[Listener[Stream]]) -> None:
    """Close listeners at once, each of them, even where the task is cancelled."""
    with trio.CancelScope(shield=True):
        for listener in listeners:
            if isinstance(listener, trio.SocketListener):
                listener.socket.close()
            else:
                await trio.aclose_forcefully(listener)


Handle = Callable[[Stream, Hello, HostPort], Awaitable[None]]
"""Serves a caller that has said who it is, and where it calls from, to its end."""


@attrs.define(eq=False)
class Listening:
    """Binds the own election addresses and hands each caller, once it has said who it is, to ``handle``.

    ``reject`` is told of callers that never did. ``moved``: a configuration has put it there while it ran; it
    then goes on without listening for as long as that is impossible.
    """

    addresses: Sequence[HostPort]
    options: TransportOptions
    transport: Transport
    handle: Handle
    reject: Callable[[HostPort, str], None]
    log: structlog.typing.FilteringBoundLogger
    moved: bool = False
    max_silent: int = attrs.field(factory=lambda: min(MAX_HANDSHAKES, _descriptors() // _OWN_SHARE))
    _silent: dict[Stream, trio.CancelScope] = attrs.field(factory=dict, init=False)

    async def run(
        self, callers: trio.Nursery, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Accept until cancelled; started once bound. Raises ``ListenError`` after too many tries.

        Who has called is served in ``callers``, and stays when listening ends.
        """
        listeners = await self._bind()
        try:
            async with trio.open_nursery() as nursery:
                for listener in listeners:
                    nursery.start_soon(accept_all, listener, callers, self._receive, self._cant_accept)
                task_status.started()
        finally:
            await close_all(listeners)

    async def _bind(self) -> Sequence[Listener[Stream]]:
        tries, tell_at = 0, -math.inf
        telling = Backoff(_BIND_RETRY_S, _TELL_MAX_S)
        where = ", ".join(str(address) for address in self.addresses)
        while True:
            try:
                return await self.transport.listen(self.addresses)
            except socket.gaierror as error:
                # a pod's own name may come to resolve later: not a try (ZOOKEEPER-3320)
                if trio.current_time() >= tell_at:
                    self.log.warning("listen.unresolved", address=where, reason=error.strerror)
                    tell_at = trio.current_time() + telling.next()
            except OSError as error:
                tries += 1
                reason = error.strerror or str(error)
                if not self.moved and self.options.bind_retries and tries >= self.options.bind_retries:
                    raise ListenError(
                        f"can't listen on the election address {where}: {reason} ({tries} tries); "
                        + _advice(error)
                    ) from error
                self.log.warning("listen.retry", address=where, reason=reason, tries=tries)
            await trio.sleep(_BIND_RETRY_S)

    def _cant_accept(self, error: OSError) -> None:
        self.reject(HostPort("accept", 0), error.strerror or str(error))

    async def _receive(self, stream: Stream) -> None:
        """Read who calls, in its own time but not for ever, and hand it on."""
        address = self.transport.remote(stream)
        try:
            hello = await self._read_hello(stream)
        except PeerError as error:
            self.reject(address, str(error))
        else:
            await self.handle(stream, hello, address)
        finally:
            await close(stream)

    async def _read_hello(self, stream: Stream) -> Hello:
        if len(self._silent) >= self.max_silent:
            next(iter(self._silent.values())).cancel()
        with trio.CancelScope(deadline=trio.current_time() + self.options.handshake_timeout_s) as scope:
            self._silent[stream] = scope
            try:
                return await read_hello(stream)
            finally:
                del self._silent[stream]
        raise ConnectionLostError("no handshake in time")
