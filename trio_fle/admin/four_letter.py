"""Four-letter words on the client port, in ZooKeeper's format: what existing checks and exporters read.

Four bytes, an answer, and the connection is closed. Whatever else comes, a ZooKeeper client's first packet
for one, gets none.
"""

import re
from collections.abc import Callable
from typing import Final

import attrs
import trio
from trio.abc import Stream

from trio_fle import __version__
from trio_fle.admin.callers import Callers, hang_up
from trio_fle.config import AdminOptions
from trio_fle.member.status import MemberStatus
from trio_fle.vote import PeerState, hex64

WORD_S: Final = 10.0
"""For a word to arrive."""
ANSWER_S: Final = 10.0
"""For an answer to be taken."""

NOT_SERVING: Final = "This ZooKeeper instance is not currently serving requests\n"

JAVA_WORDS: Final = frozenset(
    "conf cons crst dirs dump envi gtmk hash isro mntr ruok srst srvr stat stmk wchc wchp wchs".split()
)
"""Words that a Java server knows: one of them, if not allowed, is told so. Source: ``FourLetterCommands``."""

# Parsers want a ZooKeeper version, since they choose by it what to ask next, then a dash, and a date, which
# is the one of reproducible builds.
_VERSION: Final = (
    f"3.8.0-trio-fle-{re.sub('[^A-Za-z0-9.-]', '-', __version__)}, built on 1970-01-01 00:00 UTC"
)
_WORD_BYTES: Final = 4


@attrs.frozen
class Traffic:
    """What ``srvr`` tells of the client port itself."""

    received: int = 0
    connections: int = 0


def answer_word(
    word: str, options: AdminOptions, status: MemberStatus, now: float, traffic: Traffic
) -> str | None:
    """Answer one word at ``now``, a time of the lease clock; None: nothing, close the connection."""
    if word in JAVA_WORDS and not options.allows(word):
        return f"{word} is not executed because it is not in the whitelist.\n"
    mode = _mode(status, now)
    match word:
        case "ruok":
            return "imok"
        case "isro":
            return "rw" if mode else "null"
        case "srvr":
            return _srvr(mode, status.zxid, traffic) if mode else NOT_SERVING
    return None


def _mode(status: MemberStatus, now: float) -> str | None:
    """Return the role in ZooKeeper's words; None while there is none."""
    if status.leads(now):
        return "leader"
    if status.follows():
        return "follower" if status.state is PeerState.FOLLOWING else "observer"
    return None


def _srvr(mode: str, zxid: int, traffic: Traffic) -> str:
    lines = [
        f"Zookeeper version: {_VERSION}",
        "Latency min/avg/max: 0/0.0/0",
        f"Received: {traffic.received}",
        "Sent: 0",
        f"Connections: {traffic.connections}",
        "Outstanding: 0",
        f"Zxid: {hex64(zxid)}",
        f"Mode: {mode}",
        "Node count: 0",
    ]
    if mode == "leader":
        lines.append("Proposal sizes last/min/max: -1/-1/-1")
    return "".join(f"{line}\n" for line in lines)


@attrs.define(eq=False)
class FourLetterWords:
    """Serves streams, one task and one word each.

    ``reject`` is told the source of those who said something else, and what was wrong.
    """

    options: AdminOptions
    status: Callable[[], MemberStatus]
    clock: Callable[[], float]
    reject: Callable[[str, str], None]
    callers: Callers = attrs.field(factory=Callers)
    received: int = attrs.field(default=0, init=False)

    async def serve(self, stream: Stream, source: str) -> None:
        """Read one word, answer it, and close ``stream``."""
        async with stream:
            with self.callers.admit():
                try:
                    data = await self._read(stream)
                    if not data:
                        return
                    answer = self._answer(data)
                    if answer is None:
                        self.reject(source, "no four-letter word that this member answers")
                        return
                    with trio.move_on_after(ANSWER_S):
                        await stream.send_all(answer.encode())
                        await hang_up(stream)
                except trio.BrokenResourceError:
                    return

    async def _read(self, stream: Stream) -> bytes:
        """Return the first four bytes, or fewer where no more come."""
        data = b""
        with trio.move_on_after(WORD_S):
            while len(data) < _WORD_BYTES and (chunk := await stream.receive_some(_WORD_BYTES - len(data))):
                data += chunk
        return data

    def _answer(self, data: bytes) -> str | None:
        if len(data) < _WORD_BYTES:
            return None
        self.received += 1
        status = self.status()  # before the clock: a lease may only look shorter than it is
        traffic = Traffic(self.received, len(self.callers))
        return answer_word(data.decode("latin-1"), self.options, status, self.clock(), traffic)
