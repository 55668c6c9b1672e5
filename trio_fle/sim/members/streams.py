"""Streams and listeners of a virtual network: what has arrived, and what happens to a connection."""

import contextlib
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import attrs
import trio
from trio.abc import HalfCloseableStream, Listener, Stream

from trio_fle.ensemble import HostPort

END: Final = None
"""What arrives when the other end has closed."""

Arrive = Callable[[], None]
"""Lets something arrive."""


class Carrier(Protocol):
    """What a stream asks of its network."""

    def knows_at_once(self, source: str, target: str) -> bool:
        """Whether a sender meets the other end's close before it arrives."""

    def sends(self, stream: "VirtualStream", data: bytes) -> None:
        """Note that ``data`` is sent."""

    def carry(self, source: str, target: str, arrive: Arrive, to: "VirtualStream") -> None:
        """Let something arrive at one end, in its time."""

    def unlisten(self, listener: "VirtualListener") -> None:
        """Note that nobody listens there any more."""


@attrs.define(eq=False)
class VirtualStream(HalfCloseableStream):
    """One end of a connection between two hosts.

    ``port`` is where it was dialled, ``address`` that of the other end.
    """

    net: Carrier
    here: str
    there: str
    port: int
    address: HostPort
    other: "VirtualStream" = attrs.field(init=False)
    closed: bool = attrs.field(default=False, init=False)
    broken: bool = attrs.field(default=False, init=False)
    forgotten: bool = attrs.field(default=False, init=False)
    """Whether something on the way knows nothing of it any more: what is sent is lost."""
    orphan: bool = attrs.field(default=False, init=False)
    """Whether the process that held this end is no more: what is left of it must meet no error here."""
    incoming: deque[Arrive] = attrs.field(factory=deque, init=False)
    """What is under way to this end, in order: whatever arrives is the first of it."""
    arrives_at: float = attrs.field(default=0.0, init=False)
    """When the last of it arrives, unless something holds it up."""
    _arrived: deque[bytes | None] = attrs.field(factory=deque, init=False)
    _news: trio.Event = attrs.field(factory=trio.Event, init=False)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send, without ever waiting for the other end to read."""
        await trio.lowlevel.checkpoint()
        await self._check()
        if self.other.closed and self.net.knows_at_once(self.here, self.there):
            raise trio.BrokenResourceError
        self.net.sends(self, bytes(data))
        self._send(bytes(data))

    async def wait_send_all_might_not_block(self) -> None:
        """Return: there is always room."""
        await trio.lowlevel.checkpoint()

    async def send_eof(self) -> None:
        """Say that nothing more is sent."""
        await trio.lowlevel.checkpoint()
        await self._check()
        self._send(END)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive what has arrived; nothing at the end."""
        await trio.lowlevel.checkpoint()
        while not self._arrived:
            await self._check()
            await self._news.wait()
        if self.closed:
            await self._check()
        # what had arrived before a reset is read before it
        chunk = self._arrived[0]
        if chunk is END:
            return b""
        self._arrived.popleft()
        if max_bytes is not None and len(chunk) > max_bytes:
            self._arrived.appendleft(chunk[max_bytes:])
            chunk = chunk[:max_bytes]
        return chunk

    async def aclose(self) -> None:
        """Close this end."""
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Close this end; the other one hears of it, as of a reset where something was left unread."""
        if self.closed:
            return
        unread = any(chunk is not END for chunk in self._arrived)
        self.closed = True
        self._tell()
        # where nothing takes time, nobody can close before he has had the time to read
        if unread and not self.broken and not self.net.knows_at_once(self.here, self.there):
            self.net.carry(self.here, self.there, self.other.reset, self.other)
        else:
            self._send(END)

    def orphan_it(self, *, tell: bool) -> None:
        """End its process; where ``tell``, the kernel closes the connection."""
        self.orphan = True
        if tell:
            self.close()
        self.closed = True

    def reset(self) -> None:
        """Break this end; the other one learns nothing."""
        self.broken = True
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()

    async def _check(self) -> None:
        if self.orphan:
            await trio.sleep_forever()
        if self.closed:
            raise trio.ClosedResourceError
        if self.broken:
            raise trio.BrokenResourceError

    def _send(self, what: bytes | None) -> None:
        other = self.other

        def arrive() -> None:
            if self.forgotten:
                return
            if (other.closed or other.broken) and what is not END and not self.broken:
                self.net.carry(other.here, other.there, self.reset, self)
                return
            other._arrived.append(what)
            other._tell()

        if not self.broken:
            self.net.carry(self.here, self.there, arrive, other)


@attrs.define(eq=False)
class VirtualListener(Listener[Stream]):
    """Callers of one address, in order; ``errors`` are raised first."""

    net: Carrier
    address: HostPort
    errors: list[OSError] = attrs.field(factory=list)
    _callers: trio.MemorySendChannel[VirtualStream] = attrs.field(init=False)
    _accepted: trio.MemoryReceiveChannel[VirtualStream] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._callers, self._accepted = trio.open_memory_channel[VirtualStream](10_000)

    def call(self, stream: VirtualStream) -> None:
        """Take a caller in; it is served once it is accepted."""
        self._callers.send_nowait(stream)

    async def accept(self) -> Stream:
        """Wait for the next caller."""
        await trio.lowlevel.checkpoint()
        if self.errors:
            raise self.errors.pop(0)
        return await self._accepted.receive()

    async def aclose(self) -> None:
        """Listen no more; whoever was not served yet is hung up on."""
        self.close()
        await trio.lowlevel.checkpoint()

        self._callers.close()

    def close(self) -> None:
        """Do so without a checkpoint; whoever waits for a caller goes on waiting."""
        self.net.unlisten(self)
        with contextlib.suppress(trio.EndOfChannel, trio.ClosedResourceError, trio.WouldBlock):
            while True:
                self._accepted.receive_nowait().close()
