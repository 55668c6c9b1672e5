"""Processes by their ids: whether they run, and when they die."""

import os
import select
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs


def runs(pid: int) -> bool:
    """Whether there is such a process, and it is not a dead one that nobody has reaped."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


@attrs.define
class Watched:
    """A process, held so that its id can't come to mean another."""

    pid: int
    descriptor: int

    def dies_within(self, seconds: float) -> bool:
        """Wait for its death, whosever child it is."""
        poll = select.poll()
        poll.register(self.descriptor, select.POLLIN)
        return bool(poll.poll(seconds * 1000))


@contextmanager
def watched(pid: int) -> Iterator[Watched]:
    """Watch a process that runs at this moment."""
    descriptor = os.pidfd_open(pid)
    try:
        yield Watched(pid, descriptor)
    finally:
        os.close(descriptor)
