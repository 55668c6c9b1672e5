"""What a simulation has to know of a host: CPU time and segments of a failover, round trips, the disk."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import attrs
from figures import percentile
from namespaces import network
from processes import Server

ECHO = """\
import socket
with socket.create_server(("", 999)) as listener:
    print("up", flush=True)
    while True:
        stream, _ = listener.accept()
        with stream:
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while data := stream.recv(1):
                stream.sendall(data)
"""
ASK = """\
import json, socket, sys, time
connects, echoes = [], []
for _ in range(100):
    began = time.perf_counter()
    with socket.create_connection((sys.argv[1], 999)) as stream:
        connects.append(1000 * (time.perf_counter() - began))
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        time.sleep(0.005)
        began = time.perf_counter()
        stream.sendall(b"x")
        stream.recv(1)
        echoes.append(1000 * (time.perf_counter() - began))
print(json.dumps({"connect": connects, "echo": echoes}))
"""


@attrs.frozen
class Spent:
    """What a member has spent since it began, or between two moments."""

    cpu_ms: float
    """Of all its threads."""
    segments_in: int
    segments_out: int
    """TCP segments of its host, with those that only acknowledge."""
    sent: int = 0
    received: int = 0
    """Notifications of its elections, by its log."""
    leads: bool = False

    def __sub__(self, before: "Spent") -> "Spent":
        return attrs.evolve(
            self,
            cpu_ms=self.cpu_ms - before.cpu_ms,
            segments_in=self.segments_in - before.segments_in,
            segments_out=self.segments_out - before.segments_out,
            sent=self.sent - before.sent,
            received=self.received - before.received,
        )


def spent(server: Server, *, leads: bool = False) -> Spent:
    """Read what the process of a member has spent until now."""
    assert server.process is not None
    proc = Path("/proc") / str(server.process.pid)
    ran_ns = sum(int(path.read_text().split()[0]) for path in proc.glob("task/*/schedstat"))
    names, values = (
        line.split() for line in (proc / "net/snmp").read_text().splitlines() if line.startswith("Tcp:")
    )
    tcp = dict(zip(names[1:], map(int, values[1:]), strict=True))
    decided = server.events("election.decided")
    return Spent(
        ran_ns / 1e6,
        tcp["InSegs"],
        tcp["OutSegs"],
        sum(event["sent"] for event in decided),
        sum(event["received"] for event in decided),
        leads,
    )


def _spread(values: list[float]) -> dict[str, float]:
    shares = {"p10": 0.1, "median": 0.5, "p90": 0.9}
    return {name: round(percentile(values, share), 4) for name, share in shares.items()}


def disk_ms(directory: Path) -> dict[str, float]:
    """Return how long it takes to write 4 KiB in place and to make them durable."""
    found = []
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        os.pwrite(file.fileno(), bytes(4096), 0)
        os.fsync(file.fileno())
        for number in range(200):
            began = time.perf_counter()
            os.pwrite(file.fileno(), bytes([number % 256]) * 4096, 0)
            os.fdatasync(file.fileno())
            found.append(1000 * (time.perf_counter() - began))
    return _spread(found)


def round_trips_ms() -> dict[str, dict[str, float]]:
    """Return how long a connection and an answer to one byte take between two hosts without added delay."""
    with network(2) as hosts:
        answering = [*hosts.within(2), sys.executable, "-c", ECHO]
        with subprocess.Popen(answering, stdout=subprocess.PIPE, text=True) as echo:
            assert echo.stdout is not None
            try:
                echo.stdout.readline()
                asking = [*hosts.within(1), sys.executable, "-c", ASK, hosts.address(2)]
                done = subprocess.run(asking, capture_output=True, text=True, check=True)
            finally:
                echo.kill()
    return {name: _spread(values) for name, values in json.loads(done.stdout).items()}
