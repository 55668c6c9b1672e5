"""What a member costs while nothing happens: memory and CPU, read from /proc."""

import os
from pathlib import Path

import attrs
import trio
from contestant import Contestant


@attrs.frozen
class Weight:
    """Of one ensemble at rest: of each member, leader and followers alike."""

    rss_mib: list[float]
    pss_mib: list[float]
    """Pages that several processes share, counted in parts."""
    cpu_percent: list[float]
    """Of one core."""


async def weigh(contestant: Contestant, idle_s: float) -> Weight:
    """Look at an ensemble for so long, without asking it anything."""
    pids = [contestant.pid(sid) for sid in contestant.sids]
    before, began = [cpu_s(pid) for pid in pids], trio.current_time()
    await trio.sleep(idle_s)
    after, passed = [cpu_s(pid) for pid in pids], trio.current_time() - began
    return Weight(
        [kib(pid, "status", "VmRSS:") / 1024 for pid in pids],
        [kib(pid, "smaps_rollup", "Pss:") / 1024 for pid in pids],
        [100 * (late - early) / passed for early, late in zip(before, after, strict=True)],
    )


def cpu_s(pid: int) -> float:
    """Seconds of CPU, user and system, that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def kib(pid: int, file: str, key: str) -> int:
    """A number of KiB from one of the files of a process."""
    for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1])
    raise ValueError(f"/proc/{pid}/{file} has no {key}")
