"""Lines to a file or pipe that may be slow, stuck or closed, from an event loop that must not wait."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, TextIO

import attrs
import trio

CAPACITY: Final = 10_000
"""Lines that wait at most; beyond it the oldest go, and are counted."""

GATHER_S: Final = 0.02
"""How long the first line waits for others: each trip to a thread takes the interpreter from the loop, and an
election writes ten lines within as many milliseconds."""

RENDERED_LATER: Final = 256
"""Lines that wait as what they are made of; further ones are made at once, since they are bounded then."""

_BATCH: Final = 256
_FLUSH_WITHIN_S: Final = 1.0


@attrs.define(eq=False)
class LogWriter:
    """Writes lines: in a thread while ``run`` is active, at once otherwise.

    A reader that goes away costs the lines, never the member: ``dropped`` counts them. Once lines get
    through again, ``on_loss`` is told how many were lost; it may write a line.
    """

    file: TextIO
    capacity: int = CAPACITY
    on_loss: Callable[[int], None] | None = attrs.field(default=None, init=False)
    dropped: int = attrs.field(default=0, init=False)
    _told: int = attrs.field(default=0, init=False)
    _got_through: bool = attrs.field(default=True, init=False)
    _waiting: deque[Callable[[], str] | str] = attrs.field(factory=deque, init=False)
    _wake: trio.Event | None = attrs.field(default=None, init=False)

    def write(self, line: Callable[[], str] | str) -> None:
        """Take one line, without its newline, or what makes it: ``run``, while it is active, in its thread.

        Never waits then.
        """
        if self._wake is None:
            self._write(_text(line) + "\n")
            return
        self._waiting.append(line if len(self._waiting) < RENDERED_LATER else _text(line))
        if len(self._waiting) > self.capacity:
            self._waiting.popleft()
            self.dropped += 1
        self._wake.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write what comes until cancelled, and then what is left, for a second at most."""
        limiter = trio.CapacityLimiter(1)
        self._wake = trio.Event()
        task_status.started()
        try:
            while True:
                await self._wake.wait()
                await trio.sleep(GATHER_S)
                self._wake = trio.Event()
                await self._drain(limiter)
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + _FLUSH_WITHIN_S):
                await self._drain(limiter)
            self.dropped += len(self._waiting)
            self._wake = None

    async def _drain(self, limiter: trio.CapacityLimiter) -> None:
        # abandoned, the thread still writes what waits, or stays stuck in the one write it is in
        await trio.to_thread.run_sync(self._write_all, limiter=limiter, abandon_on_cancel=True)
        lost = self.dropped - self._told
        if lost and self._got_through and self.on_loss is not None:
            self._told = self.dropped
            self.on_loss(lost)
            await trio.to_thread.run_sync(self._write_all, limiter=limiter, abandon_on_cancel=True)

    def _write_all(self) -> None:
        """Write until nothing waits. Lines are taken in the thread, so that no cancellation loses one."""
        while batch := list(self._take(_BATCH)):
            self._write("\n".join(batch) + "\n")

    def _take(self, most: int) -> Iterator[str]:
        for _ in range(most):
            try:
                line = self._waiting.popleft()
            except IndexError:
                return
            yield _text(line)

    def _write(self, text: str) -> None:
        try:
            encoding = self.file.encoding or "utf-8"
            self.file.write(text.encode(encoding, "backslashreplace").decode(encoding))
            self.file.flush()
            self._got_through = True
        except (OSError, ValueError):  # the reader has gone, or the file was closed
            self._got_through = False
            self.dropped += text.count("\n")


def _text(line: Callable[[], str] | str) -> str:
    return line if isinstance(line, str) else line()
