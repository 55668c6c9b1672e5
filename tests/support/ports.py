"""Ports for servers on loopback, below those that the kernel gives to clients: no dial can take one."""

import itertools
import os
import socket
from collections.abc import Iterator

FIRST, COUNT = 10_000, 20_000
_SHARE = COUNT // 8
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 8
"""Which of several processes that test at once this is: each has ports of its own."""
_next = itertools.count(os.getpid() * 131)


def _candidates() -> Iterator[int]:
    first = FIRST + _WORKER * _SHARE
    return (first + number % _SHARE for number in _next)


def is_free(port: int) -> bool:
    try:
        with socket.create_server(("127.0.0.1", port)):
            return True
    except OSError:
        return False


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on; none is given out twice by one process before all were."""
    return list(itertools.islice(filter(is_free, _candidates()), count))
