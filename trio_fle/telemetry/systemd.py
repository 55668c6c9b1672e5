"""What systemd wants to know of a service (``Type=notify``), as in sd_notify(3)."""

import math
import os
import re
import socket
from collections.abc import Mapping
from typing import Final, Self

import attrs
import trio

VARIABLES: Final = frozenset({"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"})
"""Meant for this process alone: what it starts must not inherit them."""


_MICROSECONDS: Final = re.compile("[1-9][0-9]{0,17}")


@attrs.frozen
class Notifier:
    """Tells the service manager; where there is none, does nothing."""

    address: str | None = None
    """The manager's datagram socket: a path, or an abstract name with a NUL in front."""
    watchdog_interval_s: float = math.inf
    """How often it wants to hear from us; ``inf`` where it does not watch."""

    def __bool__(self) -> bool:
        """Whether there is anybody to tell."""
        return self.address is not None

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID; what makes no sense counts as absent."""
        address = environ.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):
            return cls()
        if address.startswith("@"):
            address = "\0" + address[1:]
        usec = environ.get("WATCHDOG_USEC", "")
        ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        if not (ours and _MICROSECONDS.fullmatch(usec)):
            return cls(address)
        return cls(address, int(usec) / 2_000_000)

    def notify(self, **fields: str | int) -> bool:
        """Send fields, such as ``ready=1, status="LEADING"``; return whether they were taken.

        Never waits and never fails: a manager that does not read loses what it does not read.
        """
        if self.address is None:
            return False
        lines = (f"{name.upper()}={' '.join(str(value).splitlines())}" for name, value in fields.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto("\n".join(lines).encode(errors="replace"), self.address)
        except OSError:
            return False
        return True

    async def run_watchdog(self) -> None:
        """Show that the event loop turns, twice in each ``WATCHDOG_USEC``, until cancelled."""
        while True:
            if math.isfinite(self.watchdog_interval_s):
                self.notify(watchdog=1)
            await trio.sleep(self.watchdog_interval_s)
