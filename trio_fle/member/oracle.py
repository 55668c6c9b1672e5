"""The oracle of two servers (``oraclePath``): asks it again and again, and tells what it says.

What its yes is good for, and for how long, is decided in ``zab.oracle``.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

import attrs
import structlog
import trio

from trio_fle.config import MemberConfig
from trio_fle.ensemble import HostPort
from trio_fle.errors import ConnectionLostError, RefusedError
from trio_fle.peers import Transport
from trio_fle.peers.quiet import Backoff
from trio_fle.zab import Consent

YES: Final = b"1"
"""First byte of its file where it says yes."""

_PROBE_FIRST_S: Final = 0.005
_PROBE_MAX_S: Final = 0.2


class OracleSource(Protocol):
    """Where the oracle is asked: a file, or what stands for it in a simulation."""

    async def read(self) -> bytes:
        """Return the first byte, nothing where there is none. Raises ``OSError`` where it can't be read."""


@attrs.define(eq=False)
class OracleFile:
    """A file, read in a thread of its own: one that hangs holds up nobody, and there is no second one."""

    path: Path
    _limiter: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(1), init=False)

    async def read(self) -> bytes:
        """Return the first byte; cancelled, it leaves the thread alone."""
        return await trio.to_thread.run_sync(self._read, limiter=self._limiter, abandon_on_cancel=True)

    def _read(self) -> bytes:
        try:
            with self.path.open("rb", buffering=0) as file:
                return file.read(1) or b""
        except ValueError as error:  # no file system has such a name
            raise OSError(str(error)) from error


@attrs.define(eq=False)
class Oracle:
    """Asks every half tick, while ``has_say`` (two voters), and calls ``tell`` when the answer has changed.

    ``heard`` is set by whoever leads, or tries to: it is called whenever there is something new.
    """

    config: MemberConfig
    source: OracleSource
    clock: Callable[[], float]
    log: structlog.typing.FilteringBoundLogger
    has_say: Callable[[], bool]
    tell: Callable[[bool], None]
    consent: Consent = attrs.field(init=False)
    heard: Callable[[], None] = attrs.field(default=lambda: None, init=False)
    _yes: bool | None = attrs.field(default=None, init=False)
    """What was told last."""
    _said_at: float = attrs.field(default=-math.inf, init=False)
    """When it last said anything."""
    _readable: bool = attrs.field(default=True, init=False)
    _asked: trio.Event = attrs.field(factory=trio.Event, init=False)
    _news: trio.Event = attrs.field(factory=trio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self.consent = Consent(self.config.sync_s, self.config.lease_margin, self.config.tick_s)

    async def run(self) -> None:
        """Ask, for ever."""
        while True:
            asked = self._asked
            pause_s = await self._ask() if self.has_say() else self.config.tick_s / 2
            with trio.move_on_after(pause_s):
                await asked.wait()

    def listen(self, heard: Callable[[], None]) -> None:
        """Begin to listen as a leader: what it says from now on may be acted on, so it is asked at once."""
        self.heard = heard
        self.consent.listen(self.clock())
        self._asked.set()
        self._asked = trio.Event()

    def stop_listening(self) -> None:
        """Lead no more; nothing may rest on what it said."""
        self.heard = lambda: None
        self.consent.stop_listening()

    def other_was_absent(self, at: float) -> None:
        """Note that the other server led nobody at some moment from ``at`` on."""
        self.consent.other_was_absent(at)
        self._give()

    async def find_other_gone(self, transport: Transport, addresses: Sequence[HostPort]) -> None:
        """Ask, for ever, whether the other one leads, as long as only that keeps us from acting on a yes.

        A leader listens on its quorum port for as long as it leads, and whatever it guards.
        """
        backoff = Backoff(_PROBE_FIRST_S, _PROBE_MAX_S)
        while True:
            while not self.consent.is_doubtful:
                backoff.reset()
                await self._news.wait()
            await trio.sleep(backoff.next())
            asked_at = self.clock()
            try:
                stream = await transport.dial(addresses)
                await trio.aclose_forcefully(stream)
            except RefusedError:
                self.other_was_absent(asked_at)
            except ConnectionLostError:
                continue

    async def _ask(self) -> float:
        """Ask once; return after how long to ask again."""
        asked_at, said, reason = self.clock(), b"", f"no answer within {self.config.tick_s:g} s"
        with trio.move_on_after(self.config.tick_s):
            try:
                said, reason = await self.source.read(), ""
            except OSError as error:
                reason = error.strerror or str(error)
        self._note_readable(reason)
        answered_at, consent = self.clock(), self.consent
        consent.heard(said == YES if said else None, asked_at, answered_at)
        self._note(said, answered_at)
        self._give()
        half_s = self.config.tick_s / 2
        if not said:
            return half_s / 4
        if consent.yes_since is not None and consent.is_doubtful:
            return min(half_s, max(0.001, consent.yes_since + consent.length_s - answered_at))
        return half_s

    def _note(self, said: bytes, now: float) -> None:
        """Tell what has changed. Nothing means no, but a file that is written anew is empty for a moment."""
        if said:
            self._said_at = now
        elif now < self._said_at + self.config.tick_s:
            return
        yes = said == YES
        if yes is not self._yes:
            self._yes = yes
            self.log.info("oracle.answered", yes=yes, path=str(self.config.oracle_path))
            self.tell(yes)

    def _note_readable(self, reason: str) -> None:
        if reason and self._readable:
            self.log.warning(
                "oracle.unreadable",
                path=str(self.config.oracle_path),
                reason=reason,
                hint="it counts as a no: write 1 into it where this server may lead alone, else 0",
            )
        self._readable = not reason

    def _give(self) -> None:
        self._news.set()
        self._news = trio.Event()
        self.heard()
