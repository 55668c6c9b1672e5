"""Hand on what leaves some hosts of a bridge after a while: for kernels without netem.

It runs in the bridge's namespace, reads "PORT MEAN_S SPREAD_S" lines and says "done" to each. Whatever enters
the bridge by such a port is taken here and enters again by ``in0`` when its time has come; nftables keeps the
original from passing. The delay is evenly spread, so one may overtake another, as with netem.
"""

import heapq
import itertools
import os
import random
import select
import socket
import sys
import time
from contextlib import suppress

ALL_PROTOCOLS = 0x0003
SOL_PACKET, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 15, 23
FRAME = 2**17


def packets(port: str, protocol: int) -> socket.socket:
    """Open a port for whole frames, each behind what is still to be done to it (checksum, segments)."""
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    opened.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    opened.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    opened.setblocking(False)
    opened.bind((port, protocol))
    return opened


def main() -> None:
    """Run until standard input ends."""
    with suppress(OSError):  # on busy cores it would be late otherwise
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    out = packets("in0", 0)
    ports: dict[str, socket.socket] = {}
    delays: dict[socket.socket, tuple[float, float]] = {}
    waiting: list[tuple[float, int, bytes]] = []
    order = itertools.count()
    while True:
        left_s = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        for ready in select.select([sys.stdin.fileno(), *delays], [], [], left_s)[0]:
            if not isinstance(ready, socket.socket):
                if not (line := sys.stdin.readline()):
                    return
                name, mean_s, spread_s = line.split()
                if port := ports.pop(name, None):
                    del delays[port]
                    port.close()
                if float(mean_s):
                    ports[name] = packets(name, ALL_PROTOCOLS)
                    delays[ports[name]] = float(mean_s), float(spread_s)
                print("done", flush=True)
                break  # what else is ready may be closed
            now = time.monotonic()
            mean, spread = delays[ready]
            with suppress(BlockingIOError):
                while frame := ready.recv(FRAME):
                    due = now + mean + spread * (2 * random.random() - 1)
                    heapq.heappush(waiting, (due, next(order), frame))
        while waiting and waiting[0][0] <= time.monotonic():
            with suppress(OSError):  # a full queue loses, as on a real path
                out.send(heapq.heappop(waiting)[2])


if __name__ == "__main__":
    main()
