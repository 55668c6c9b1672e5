"""A network in memory whose paths can be cut, in one direction or both, and whose connections can half break.

What is sent over a cut path waits there, as TCP would send it again, and arrives in order once the path is
mended; so does the news that a connection was closed.
"""

from collections import deque
from collections.abc import Callable

import attrs
import trio
from memory_net import MemoryListener, MemoryNet
from trio.abc import HalfCloseableStream, Stream

from trio_fle.ensemble import HostPort
from trio_fle.errors import ConnectionLostError, RefusedError

END = None
UNREACHABLE_S = 1.0


@attrs.define(eq=False)
class FaultyStream(HalfCloseableStream):
    """One end of a connection between two hosts."""

    net: "FaultyNet"
    here: str
    there: str
    other: "FaultyStream" = attrs.field(init=False)
    _arrived: deque[bytes | None] = attrs.field(factory=deque, init=False)
    _news: trio.Event = attrs.field(factory=trio.Event, init=False)
    _broken: bool = attrs.field(default=False, init=False)
    _closed: bool = attrs.field(default=False, init=False)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        self._check()
        if self.other._closed and not self.net.is_cut(self.here, self.there):
            raise trio.BrokenResourceError
        self._send(bytes(data))

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def send_eof(self) -> None:
        await trio.lowlevel.checkpoint()
        self._check()
        self._send(END)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        while not self._arrived:
            self._check()
            await self._news.wait()
        self._check()
        chunk = self._arrived[0]
        if chunk is END:
            return b""
        self._arrived.popleft()
        if max_bytes is not None and len(chunk) > max_bytes:
            self._arrived.appendleft(chunk[max_bytes:])
            chunk = chunk[:max_bytes]
        return chunk

    async def aclose(self) -> None:
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self.tell()
            self._send(END)

    def reset(self) -> None:
        """Break this end; the other one learns nothing."""
        self._broken = True
        self.tell()

    def tell(self) -> None:
        self._news.set()
        self._news = trio.Event()

    def _check(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError
        if self._broken:
            raise trio.BrokenResourceError

    def _send(self, what: bytes | None) -> None:
        other = self.other

        def arrive() -> None:
            other._arrived.append(what)
            other.tell()

        if not self._broken:
            self.net.carry(self.here, self.there, arrive)


@attrs.define(eq=False)
class FaultyNet(MemoryNet):
    """Hosts are named by their addresses; ``cut`` and ``mend`` work on one direction."""

    streams: list[FaultyStream] = attrs.field(factory=list, init=False)
    _cut: set[tuple[str, str]] = attrs.field(factory=set, init=False)
    _asleep: set[str] = attrs.field(factory=set, init=False)
    _waiting: dict[tuple[str, str], list[Callable[[], None]]] = attrs.field(factory=dict, init=False)

    def is_cut(self, source: str, target: str) -> bool:
        return (source, target) in self._cut or source in self._asleep or target in self._asleep

    def cut(self, source: str, target: str) -> None:
        self._cut.add((source, target))

    def mend(self, source: str, target: str) -> None:
        self._cut.discard((source, target))
        self._deliver()

    def mend_all(self) -> None:
        for source, target in list(self._cut):
            self.mend(source, target)

    def put_to_sleep(self, host: str) -> None:
        """Cut a host off from everybody, until it wakes."""
        self._asleep.add(host)

    def wake(self, host: str) -> None:
        self._asleep.discard(host)
        self._deliver()

    def _deliver(self) -> None:
        for path in [path for path in self._waiting if not self.is_cut(*path)]:
            for arrive in self._waiting.pop(path):
                arrive()

    def carry(self, source: str, target: str, arrive: Callable[[], None]) -> None:
        if self.is_cut(source, target):
            self._waiting.setdefault((source, target), []).append(arrive)
        else:
            arrive()

    def between(self, one: str, another: str) -> list[FaultyStream]:
        """Ends of open connections between two hosts."""
        return [
            stream
            for stream in self.streams
            if {stream.here, stream.there} == {one, another} and not stream._closed
        ]

    async def reach(self, source: str, target: str) -> None:
        """Return once a packet could go there and another come back; a host in between may give up first."""
        with trio.move_on_after(UNREACHABLE_S):
            while self.is_cut(source, target) or self.is_cut(target, source):  # noqa: ASYNC110
                await trio.sleep(0.01)
            return
        raise ConnectionLostError(f"{target}: No route to host")

    def call(self, address: HostPort, source: str = "198.51.100.7") -> Stream:
        listener: MemoryListener | None = self.listeners.get(address)
        if listener is None:
            raise RefusedError(f"{address}: Connection refused")
        near, far = FaultyStream(self, source, address.host), FaultyStream(self, address.host, source)
        near.other, far.other = far, near
        self.streams = [stream for stream in self.streams if not stream._closed] + [near, far]
        self.sources[id(far)] = HostPort(source, 40_000)
        self.sources[id(near)] = address
        listener._callers.send_nowait(far)
        return near
