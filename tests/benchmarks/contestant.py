"""What every contestant is: an ensemble of real processes on loopback, with files, signals and a probe."""

import abc
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import attrs
import trio
from ports import free_ports
from probe import Probe

STOP_S = 15.0
"""For a process that was asked to go; then it is killed."""


@attrs.define(eq=False)
class Contestant(abc.ABC):
    """An ensemble of ``size`` members. A subclass says how one is configured, started and asked."""

    directory: Path
    size: int
    ports: dict[int, tuple[int, int, int]] = attrs.field(init=False)
    """Of each member: two among themselves, and the one at which it is asked."""
    processes: dict[int, trio.Process] = attrs.field(factory=dict, init=False)

    label: ClassVar[str]
    """What it is, and with which settings, in a few words."""
    tells: ClassVar[bool] = False
    """Whether its log tells when it began to lead."""

    def __attrs_post_init__(self) -> None:
        numbers = iter(free_ports(3 * self.size))
        self.ports = {sid: (next(numbers), next(numbers), next(numbers)) for sid in self.sids}
        for sid in self.sids:
            self.home(sid).mkdir(parents=True)
            self.configure(sid)

    @property
    def sids(self) -> range:
        """The members, by number."""
        return range(1, self.size + 1)

    def home(self, sid: int) -> Path:
        """Directory of one member; what is in it survives its process."""
        return self.directory / f"member{sid}"

    def log(self, sid: int) -> Path:
        """What one member wrote, over all its processes."""
        return self.home(sid) / "output.log"

    def configure(self, sid: int) -> None:
        """Write the files that one member needs."""
        return

    @classmethod
    @abc.abstractmethod
    def versions(cls) -> Mapping[str, str]:
        """What runs, by name; raises ``FileNotFoundError`` or ``ImportError`` where it is not installed."""

    @abc.abstractmethod
    def command(self, sid: int) -> list[str]:
        """Return the command of one member."""

    @abc.abstractmethod
    def probe(self, sid: int) -> Probe:
        """Return a new probe of one member."""

    def led_at(self, sid: int, since: float) -> float | None:
        """When a member says that it began to lead, after the time ``since`` (both wall clock)."""
        return None

    async def start(self, sid: int) -> None:
        """Start the process of one member."""
        with self.log(sid).open("ab") as output:
            self.processes[sid] = await trio.lowlevel.open_process(
                self.command(sid), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )

    def pid(self, sid: int) -> int:
        """Return the process of one member."""
        return self.processes[sid].pid

    def signal(self, sid: int, number: signal.Signals) -> None:
        """Send a signal to one member."""
        os.kill(self.pid(sid), number)

    async def ended(self, sid: int) -> None:
        """Wait until a process that was struck has ended; one that takes too long is killed."""
        process = self.processes.pop(sid)
        with trio.move_on_after(STOP_S):
            await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()

    async def kill_all(self) -> None:
        """End every process at once."""
        with trio.CancelScope(shield=True):
            for sid in list(self.processes):
                process = self.processes.pop(sid)
                process.kill()
                await process.wait()


def first_line(*command: str) -> str:
    """Return the first line of what a command prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return (done.stdout + done.stderr).splitlines()[0]
