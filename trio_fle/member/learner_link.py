"""One stream of the quorum port: packets in, packets out."""

import contextlib
from typing import Final, TypeVar

import attrs
import trio
from trio.abc import Stream

from trio_fle.ensemble import HostPort
from trio_fle.errors import ConnectionLostError
from trio_fle.member.patience import Patience, Waiter
from trio_fle.peers.streams import Arrivals, send_some
from trio_fle.wire.jute import Reader
from trio_fle.wire.packet import QuorumPacket, encode_packet, read_packet

T = TypeVar("T")

_LAST_S: Final = 0.01
"""How long a stream that is no socket may take for the last packet."""

_NOBODY_THERE: Final = (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError, OSError)

_CHUNK_BYTES: Final = 4 * 1024
"""Read at a time: some hundred pings, then it may be another task's turn."""


class LinkLostError(ConnectionLostError):
    """The other end closed the link, or it was reset."""


class SilentLinkError(ConnectionLostError):
    """Nothing was heard from the other end, or taken by it, for too long."""


@attrs.define(eq=False)
class LearnerLink(Waiter):
    """Packets over a stream. One task at a time may receive, within ``scope``, and one may send.

    ``patience_s`` is how long any single read or write may take; as in ZooKeeper it is ``initLimit`` ticks
    until a learner is synchronized, and ``syncLimit`` ticks from then on. ``patience`` sees to it for reads:
    it cancels ``scope``, and ``check_heard`` then raises.
    """

    stream: Stream
    address: HostPort
    patience_s: float
    patience: Patience = attrs.field(factory=Patience)
    _arrivals: Arrivals = attrs.field(init=False)
    _buffer: bytearray = attrs.field(factory=bytearray, init=False)
    _at: int = attrs.field(default=0, init=False)
    _half_sent: bool = attrs.field(default=False, init=False)
    """Whether the other end still waits for the rest of a packet."""

    def __attrs_post_init__(self) -> None:
        self._arrivals = Arrivals(self.stream)

    @property
    def host(self) -> str:
        """Where the other end is."""
        return self.address.host

    async def receive(self) -> QuorumPacket:
        """Return the next packet.

        Raises ``LinkLostError`` at the end of the stream, ``MalformedMessageError`` for what is no packet.
        """
        return await self.read(read_packet())

    async def read(self, reader: Reader[T]) -> T:
        """Read whatever ``reader`` reads."""
        try:
            wanted = next(reader)
            while True:
                while len(self._buffer) - self._at < wanted:
                    await self._fill()
                piece = bytes(self._buffer[self._at : self._at + wanted])
                self._at += wanted
                wanted = reader.send(piece)
        except StopIteration as end:
            value: T = end.value
            return value

    async def _fill(self) -> None:
        self.patience.begin(self, self.patience_s)
        try:
            chunk = await self._arrivals.receive_some(_CHUNK_BYTES)
        except trio.BrokenResourceError as error:
            raise LinkLostError("the connection was reset") from error
        finally:
            self.patience.end(self)
        if not chunk:
            raise LinkLostError("the connection was closed")
        del self._buffer[: self._at]
        self._at = 0
        self._buffer += chunk

    async def send(self, *packets: QuorumPacket) -> None:
        """Send packets in one write. Raises ``LinkLostError``, ``SilentLinkError`` where nobody reads."""
        try:
            if rest := await send_some(self.stream, b"".join(map(encode_packet, packets))):
                self._half_sent = True
                with trio.fail_after(self.patience_s):
                    await self.stream.send_all(rest)
                self._half_sent = False
        except trio.BrokenResourceError as error:
            raise LinkLostError("the connection was reset") from error
        except trio.TooSlowError as error:
            raise SilentLinkError(f"nothing was taken for {self.patience_s:g} s") from error

    def check_heard(self) -> None:
        """Raise ``SilentLinkError`` where nothing came for too long."""
        if self.overdue:
            raise SilentLinkError(f"silent for {self.patience_s:g} s")

    async def hang_up(self, last: QuorumPacket | None) -> None:
        """Send ``last``, if it is taken at once, and nothing more; also where the task is cancelled."""
        data = b"" if last is None or self._half_sent else encode_packet(last)
        with trio.CancelScope(shield=True), contextlib.suppress(*_NOBODY_THERE):
            rest = await send_some(self.stream, data) if data else data
            if isinstance(self.stream, trio.SocketStream):
                self.stream.socket.shutdown(trio.socket.SHUT_RDWR)
            elif rest:
                with trio.move_on_after(_LAST_S):
                    await self.stream.send_all(rest)

    async def until_lost(self) -> str:
        """Wait until the other end, which has nothing to say yet, says something or is lost."""
        try:
            chunk = await self.stream.receive_some(_CHUNK_BYTES)
        except trio.BrokenResourceError:
            return "the connection was reset"
        return "it spoke before it was told anything" if chunk else "the connection was closed"

    async def say_goodbye(self) -> bool:
        """Send nothing more, and wait until the other end has closed as well; whether it has.

        A reset says nothing about the other end: anything on the way may have sent it.
        """
        if not isinstance(self.stream, trio.abc.HalfCloseableStream):
            return False
        try:
            await self.stream.send_eof()
            while await self.stream.receive_some(_CHUNK_BYTES):
                pass
        except trio.BrokenResourceError:
            return False
        return True
