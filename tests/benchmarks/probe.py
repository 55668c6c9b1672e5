"""Questions to one member from outside, over raw sockets: does it lead, follow, or neither?"""

import abc
import enum
from collections.abc import Callable

import attrs
import trio

ASK_S = 1.0
"""For one answer; a member that takes longer has given none."""
_READ_BYTES = 4096


class Role(enum.Enum):
    """What a member says that it is; None stands for neither, and for no answer."""

    LEADER = "leader"
    FOLLOWER = "follower"


@attrs.define(eq=False)
class Probe(abc.ABC):
    """Asks one member, one question at a time, and connects as needed."""

    port: int
    _stream: trio.SocketStream | None = attrs.field(default=None, init=False)

    async def ask(self) -> Role | None:
        """Ask once. A refused, broken or silent connection is the answer None."""
        with trio.move_on_after(ASK_S):
            try:
                role = await self._exchange()
            except (OSError, trio.BrokenResourceError):
                self.close()
                return None
            return role
        self.close()
        return None

    @abc.abstractmethod
    async def _exchange(self) -> Role | None:
        """Ask over ``_connected`` and read the answer."""

    async def _connected(self) -> trio.SocketStream:
        if self._stream is None:
            socket = trio.socket.socket()
            try:
                await socket.connect(("127.0.0.1", self.port))
            except BaseException:
                socket.close()
                raise
            self._stream = trio.SocketStream(socket)
        return self._stream

    def close(self) -> None:
        """Close the connection without waiting for anybody."""
        if self._stream is not None:
            self._stream.socket.close()
            self._stream = None


@attrs.define(eq=False)
class HttpProbe(Probe):
    """The same HTTP request again and again over one connection, which the server keeps."""

    request: bytes
    judge: Callable[[int, bytes], Role | None]
    """Makes a role of status code and body."""

    async def _exchange(self) -> Role | None:
        stream = await self._connected()
        await stream.send_all(self.request)
        data = b""
        while b"\r\n\r\n" not in data:
            data += await self._some(stream)
        head, _, body = data.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:])
        length = int(fields[b"content-length"])
        while len(body) < length:
            body += await self._some(stream)
        if fields.get(b"connection", b"").strip() == b"close":
            self.close()
        return self.judge(int(head.split(None, 2)[1]), body)

    async def _some(self, stream: trio.SocketStream) -> bytes:
        data = await stream.receive_some(_READ_BYTES)
        if not data:
            raise trio.BrokenResourceError("closed within an answer")
        return bytes(data)


@attrs.define(eq=False)
class WordProbe(Probe):
    """A four-letter word of ZooKeeper, which answers and closes: a connection for each."""

    async def _exchange(self) -> Role | None:
        stream = await self._connected()
        await stream.send_all(b"srvr")
        data = b""
        while chunk := await stream.receive_some(_READ_BYTES):
            data += chunk
        self.close()
        if b"Mode: leader" in data:
            return Role.LEADER
        return Role.FOLLOWER if b"Mode: follower" in data else None


@attrs.define(eq=False)
class LetterProbe(Probe):
    """One byte there and one back, over one connection: ``L``, ``F`` or something else."""

    async def _exchange(self) -> Role | None:
        stream = await self._connected()
        await stream.send_all(b"?")
        letter = await stream.receive_some(1)
        if not letter:
            raise trio.BrokenResourceError("closed instead of an answer")
        return {b"L": Role.LEADER, b"F": Role.FOLLOWER}.get(bytes(letter))
