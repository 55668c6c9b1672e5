"""A network in memory, for connection managers under virtual time: it refuses, swallows, and keeps count."""

import contextlib
import errno
import os
import socket
from collections.abc import Sequence

import attrs
import trio
from trio.abc import Listener, Stream
from trio.testing import MemoryReceiveStream, MemorySendStream, memory_stream_pair

from trio_fle.ensemble import HostPort
from trio_fle.errors import ConnectionLostError, RefusedError
from trio_fle.peers.transport import Transport

MemoryStream = trio.StapledStream[MemorySendStream, MemoryReceiveStream]


def close_now(stream: Stream) -> None:
    """Close a stream in memory, without a checkpoint."""
    if isinstance(stream, trio.StapledStream):
        stream.send_stream.close()
        stream.receive_stream.close()
    else:
        stream.close()  # type: ignore[attr-defined]


@attrs.define(eq=False)
class MemoryListener(Listener[Stream]):
    """Callers of one address, in order; ``errors`` are raised first."""

    net: "MemoryNet"
    address: HostPort
    errors: list[OSError] = attrs.field(factory=list)
    _callers: trio.MemorySendChannel[Stream] = attrs.field(init=False)
    _accepted: trio.MemoryReceiveChannel[Stream] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._callers, self._accepted = trio.open_memory_channel[Stream](10_000)

    async def accept(self) -> Stream:
        await trio.lowlevel.checkpoint()
        if self.errors:
            raise self.errors.pop(0)
        return await self._accepted.receive()

    async def aclose(self) -> None:
        self.net.listeners.pop(self.address, None)
        self._callers.close()
        with contextlib.suppress(trio.EndOfChannel):
            while True:
                stream = self._accepted.receive_nowait()  # connected, and never served
                close_now(stream)
        await trio.lowlevel.checkpoint()


@attrs.define(eq=False)
class MemoryNet:
    """Who listens where, who dialled what, and what goes wrong."""

    listeners: dict[HostPort, MemoryListener] = attrs.field(factory=dict)
    dialled: list[tuple[str, HostPort]] = attrs.field(factory=list)
    black_holes: set[HostPort] = attrs.field(factory=set)
    """A dial there never returns."""
    moved: dict[HostPort, HostPort] = attrs.field(factory=dict)
    """What a name stands for now, where not for itself."""
    bind_errors: list[OSError] = attrs.field(factory=list)
    """Raised by the next attempts to listen."""
    sources: dict[int, HostPort] = attrs.field(factory=dict)

    def host(self, name: str) -> "MemoryHost":
        """A transport as a host of this name sees it."""
        return MemoryHost(self, name)

    async def reach(self, source: str, target: str) -> None:
        """Return once the path between two hosts is whole: here, it always is."""

    def call(self, address: HostPort, source: str = "198.51.100.7") -> Stream:
        """Connect as a stranger; ``RefusedError`` where nobody listens."""
        listener = self.listeners.get(address)
        if listener is None:
            raise RefusedError(f"{address}: Connection refused")
        near, far = memory_stream_pair()
        self.sources[id(far)] = HostPort(source, 40_000)
        self.sources[id(near)] = address
        listener._callers.send_nowait(far)
        return near


@attrs.frozen(eq=False)
class MemoryHost(Transport):
    net: MemoryNet
    name: str

    async def dial(self, addresses: Sequence[HostPort]) -> Stream:
        await trio.lowlevel.checkpoint()
        for address in addresses:
            self.net.dialled.append((self.name, address))
            if address in self.net.black_holes:
                await trio.sleep_forever()
            await self.net.reach(self.name, address.host)
            return self.net.call(self.net.moved.get(address, address), self.name)
        raise ConnectionLostError("no address is known")

    async def listen(self, addresses: Sequence[HostPort]) -> Sequence[Listener[Stream]]:
        await trio.lowlevel.checkpoint()
        if self.net.bind_errors:
            raise self.net.bind_errors.pop(0)
        found = []
        for address in addresses:
            if address in self.net.listeners:
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
            listener = self.net.listeners[address] = MemoryListener(self.net, address)
            found.append(listener)
        return found

    async def numeric(self, address: HostPort) -> HostPort:
        await trio.lowlevel.checkpoint()
        return address

    def remote(self, stream: Stream) -> HostPort:
        return self.net.sources[id(stream)]


IN_USE = OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
UNRESOLVED = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
