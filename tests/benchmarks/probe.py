"""Questions to one member from outside, over raw sockets: does it lead, follow, or neither?"""

import abc
import enum
import socket
from collections.abc import Callable

import attrs

_READ_BYTES = 4096


class Role(enum.Enum):
    """What a member says that it is; None stands for neither, and for no answer."""

    LEADER = "leader"
    FOLLOWER = "follower"


@attrs.define(eq=False)
class Probe(abc.ABC):
    """Asks one member on loopback, one question at a time, and connects as needed.

    Only reading waits, and nothing is decoded that was the same before: to ask must cost little. ``OSError``
    where the connection is refused or broken is an answer too, None.
    """

    port: int
    ends: bool = attrs.field(default=False, init=False)
    """Whether the connection is of no more use, now that the answer is whole."""
    _socket: socket.socket | None = attrs.field(default=None, init=False)

    def ask(self) -> int:
        """Send the question; return the descriptor where the answer is to be read from."""
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self.port))
            self._socket.setblocking(False)
        self._socket.send(self.question)
        return self._socket.fileno()

    @property
    @abc.abstractmethod
    def question(self) -> bytes:
        """What is sent."""

    @abc.abstractmethod
    def hear(self) -> tuple[Role | None] | None:
        """Read what has arrived; return the role once the answer is whole, None while it is not."""

    def _read(self) -> bytes:
        assert self._socket is not None
        return self._socket.recv(_READ_BYTES)

    def _hear(self) -> bytes:
        """Read some of an answer that goes on."""
        if not (data := self._read()):
            raise ConnectionResetError("closed within an answer")
        return data

    def close(self) -> None:
        """Close the connection; the next question opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self.ends = False


@attrs.define(eq=False)
class HttpProbe(Probe):
    """The same HTTP request again and again over one connection, which the server keeps."""

    request: bytes
    judge: Callable[[int, bytes], Role | None]
    """Makes a role of status code and body."""
    _data: bytes = attrs.field(default=b"", init=False)
    _before: tuple[bytes, Role | None] = attrs.field(default=(b"", None), init=False)
    """The answer before, and what it meant."""

    @property
    def question(self) -> bytes:
        """The request."""
        return self.request

    def hear(self) -> tuple[Role | None] | None:
        """Read up to the end of the body."""
        self._data += self._hear()
        if self._data == self._before[0]:
            self._data = b""
            return (self._before[1],)
        head, end, body = self._data.partition(b"\r\n\r\n")
        if not end:
            return None
        fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:])
        if len(body) < int(fields[b"content-length"]):
            return None
        role = self.judge(int(head.split(None, 2)[1]), body)
        self._before, self._data = (self._data, role), b""
        self.ends = fields.get(b"connection", b"").strip() == b"close"
        return (role,)

    def close(self) -> None:
        """Forget half an answer too."""
        super().close()
        self._data = b""


@attrs.define(eq=False)
class WordProbe(Probe):
    """A four-letter word of ZooKeeper, which answers and closes: a connection for each."""

    _data: bytes = attrs.field(default=b"", init=False)

    @property
    def question(self) -> bytes:
        """The word that tells the role."""
        return b"srvr"

    def hear(self) -> tuple[Role | None] | None:
        """Read up to the end of the stream."""
        if chunk := self._read():
            self._data += chunk
            return None
        self.ends = True
        if b"Mode: leader" in self._data:
            return (Role.LEADER,)
        return (Role.FOLLOWER if b"Mode: follower" in self._data else None,)

    def close(self) -> None:
        """Forget half an answer too."""
        super().close()
        self._data = b""


@attrs.define(eq=False)
class LetterProbe(Probe):
    """One byte there and one back, over one connection: ``L``, ``F`` or something else."""

    @property
    def question(self) -> bytes:
        """Any byte."""
        return b"?"

    def hear(self) -> tuple[Role | None] | None:
        """Read the letter."""
        return ({b"L": Role.LEADER, b"F": Role.FOLLOWER}.get(self._hear()),)
