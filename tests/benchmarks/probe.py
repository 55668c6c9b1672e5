"""Questions to one member from outside, over raw sockets: does it lead, follow, or neither?"""

import abc
import enum
from collections.abc import Callable

import attrs
import trio

from trio_fle.peers.streams import Arrivals, send_all

_READ_BYTES = 4096


class Role(enum.Enum):
    """What a member says that it is; None stands for neither, and for no answer."""

    LEADER = "leader"
    FOLLOWER = "follower"


@attrs.define(eq=False)
class Probe(abc.ABC):
    """Asks one member, one question at a time, and connects as needed. Who is asked has no other CPU: that a
    question is cheap counts here, too."""

    port: int
    _stream: trio.SocketStream | None = attrs.field(default=None, init=False)
    _arrivals: Arrivals = attrs.field(init=False)

    async def ask(self) -> Role | None:
        """Ask once. A refused or broken connection is the answer None; a silent one needs a time-out."""
        try:
            if self._stream is None:
                await self._connect()
            return await self._exchange()
        except (OSError, trio.BrokenResourceError):
            self.close()
            return None

    @abc.abstractmethod
    async def _exchange(self) -> Role | None:
        """Ask over the connection and read the answer."""

    async def _connect(self) -> None:
        socket = trio.socket.socket()
        try:
            await socket.connect(("127.0.0.1", self.port))
        except BaseException:
            socket.close()
            raise
        self._stream = trio.SocketStream(socket)
        self._arrivals = Arrivals(self._stream)

    async def _say(self, words: bytes) -> None:
        assert self._stream is not None
        await send_all(self._stream, words)

    async def _hear(self) -> bytes:
        """Return some of the answer."""
        data = await self._arrivals.receive_some(_READ_BYTES)
        if not data:
            raise trio.BrokenResourceError("closed within an answer")
        return data

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
    _before: tuple[bytes, Role | None] = attrs.field(default=(b"", None), init=False)
    """The answer before, and what it meant: mostly it is the same, and who asks is to cost little."""

    async def _exchange(self) -> Role | None:
        await self._say(self.request)
        data = await self._hear()
        if data == self._before[0]:
            return self._before[1]
        first = data
        while b"\r\n\r\n" not in data:
            data += await self._hear()
        head, _, body = data.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:])
        length = int(fields[b"content-length"])
        while len(body) < length:
            body += await self._hear()
        role = self.judge(int(head.split(None, 2)[1]), body)
        if fields.get(b"connection", b"").strip() == b"close":
            self.close()
        elif first == data:
            self._before = data, role
        return role


@attrs.define(eq=False)
class WordProbe(Probe):
    """A four-letter word of ZooKeeper, which answers and closes: a connection for each."""

    async def _exchange(self) -> Role | None:
        await self._say(b"srvr")
        data = b""
        while chunk := await self._arrivals.receive_some(_READ_BYTES):
            data += chunk
        self.close()
        if b"Mode: leader" in data:
            return Role.LEADER
        return Role.FOLLOWER if b"Mode: follower" in data else None


@attrs.define(eq=False)
class LetterProbe(Probe):
    """One byte there and one back, over one connection: ``L``, ``F`` or something else."""

    async def _exchange(self) -> Role | None:
        await self._say(b"?")
        return {b"L": Role.LEADER, b"F": Role.FOLLOWER}.get(await self._hear())
