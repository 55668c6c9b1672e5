"""Processes by their ids: whether they run, and when they die."""

import contextlib
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


def children(pid: int) -> list[int]:
    """The processes that a process has started, and that live."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # ended while we looked
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.parent.name))
    return found
