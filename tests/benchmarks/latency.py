"""How long an ensemble is without a leader when its members are far from each other.

Each member is a process on a host of its own (a network namespace); what leaves a host is ``latency`` under
way, one way, so a round trip takes twice that. Members have the options that are the defaults. Needs root.

=============  =====================================================================================
*failover*     from the SIGKILL of the leader of a settled ensemble to ``leading.established`` of the next
*cold-start*   from ``member.started`` (it listens) of the last of all, which begin at the same moment and
               look, to ``leading.established``
=============  =====================================================================================

Both are read off the members' logs; all use the clock of this machine.
"""

import argparse
import fcntl
import itertools
import json
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import trio
from calibration import Spent, disk_ms, round_trips_ms, spent
from chaos import seconds
from figures import percentile
from machine import facts
from namespaces import Network, network
from processes import Plan, Server, open_servers, story

TICK_MS = 2000
CASES = ("failover", "cold-start")
AT_THE_GATE = "at the gate"
GATE = f"""\
import fcntl, sys
from trio_fle.cli.memory import ask_for_huge_pages
ask_for_huge_pages()
from trio_fle.cli.commands import commands
import trio_fle.cli.run
with open(sys.argv.pop(1)) as gate:
    print({AT_THE_GATE!r}, flush=True)
    fcntl.flock(gate, fcntl.LOCK_SH)
commands()
"""
"""A member that has loaded all it needs, and starts when the file is unlocked: all start as one."""


@attrs.define
class Case:
    """What was measured of one case."""

    case: str
    size: int
    latency_ms: float
    times_ms: list[float]
    spent: list[Spent] = attrs.field(factory=list)
    """What each survivor of each failover spent in it."""

    def row(self) -> dict[str, Any]:
        shares = {"p10": 0.1, "median": 0.5, "p90": 0.9}
        found = {name: round(percentile(self.times_ms, share), 2) for name, share in shares.items()}
        row = {"case": self.case, "size": self.size, "latency_ms": self.latency_ms} | found
        if self.spent:
            # one leads in the end, and has more to do than the others
            for role in (True, False):
                those = [each for each in self.spent if each.leads is role]
                for field in ("cpu_ms", "segments_in", "segments_out", "sent", "received"):
                    middle = percentile([getattr(each, field) for each in those], 0.5)
                    row[f"{'leader' if role else 'follower'}_{field}"] = round(middle, 2)
        return row | {"rounds": len(self.times_ms), "times_ms": [round(each, 3) for each in self.times_ms]}


def measure_case(size: int, latency_s: float, rounds: int, case: str) -> Case:
    """Play ``rounds`` of one case, and return what they took and cost."""
    found = Case(case, size, latency_s * 1000, [])
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trio-fle-")))
        hosts = stack.enter_context(network(size))
        hosts.delay(latency_s)
        play = failovers if case == "failover" else cold_starts
        trio.run(play, found, hosts, directory, rounds)
    return found


@asynccontextmanager
async def members(hosts: Network, directory: Path, gate: Path) -> AsyncIterator[list[Server]]:
    """A member for each host; all wait at the gate when started."""
    roles = dict.fromkeys(hosts.hosts, "participant")
    addresses = {sid: hosts.address(sid) for sid in hosts.hosts}
    async with open_servers() as (nursery, servers):
        plan = Plan(directory, roles, TICK_MS, addresses)
        for sid in roles:
            path = plan.write(sid)
            command = [sys.executable, "-c", GATE, str(gate), "run", str(path), "--log-format", "json"]
            servers.append(Server(sid, path.parent, [*hosts.within(sid), *command], nursery))
        with story(servers):
            yield servers


async def start(servers: Sequence[Server], gate: Path) -> None:
    """Start servers, and let them go once each has loaded what it needs."""
    with gate.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for server in servers:
            await server.start()
        for server in servers:
            await server.wait_line(lambda line: line == AT_THE_GATE)


async def settled(servers: Sequence[Server]) -> Server:
    """Wait until one leads and all others that run are synchronized with it."""
    running = [server for server in servers if server.process is not None]
    while True:
        leaders = {server.established() for server in running}
        for server in running:
            if leaders == {server.sid}:
                return server
        await trio.sleep(0.02)


async def failovers(found: Case, hosts: Network, directory: Path, rounds: int) -> None:
    rng = random.Random(found.size)
    gate = directory / "gate"
    async with members(hosts, directory, gate) as servers:
        await start(servers, gate)
        for _ in range(rounds):
            with trio.fail_after(60):
                leader = await settled(servers)
                await trio.sleep(1 + rng.random())  # not in step with any heartbeat
                survivors = [server for server in servers if server is not leader]
                before = {server.sid: spent(server) for server in survivors}
                killed = time.time()
                await leader.kill()
                successor = await settled(servers)
                found.spent += [
                    spent(server, leads=server is successor) - before[server.sid] for server in survivors
                ]
                event = successor.events("leading.established")[-1]
                found.times_ms.append(1000 * (seconds(event) - killed))
                await start([leader], gate)


async def cold_starts(found: Case, hosts: Network, directory: Path, rounds: int) -> None:
    for number in range(rounds):
        home = directory / str(number)
        home.mkdir()
        gate = home / "gate"
        async with members(hosts, home, gate) as servers:
            with trio.fail_after(60):
                await start(servers, gate)
                leader = await settled(servers)
            last = max(seconds(server.events("member.started")[-1]) for server in servers)
            (event,) = leader.events("leading.established")[-1:]
            found.times_ms.append(1000 * (seconds(event) - last))


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Render rows for a README."""
    columns = ["case", "size", "latency_ms", "rounds", "median", "p10", "p90"]
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(f"{row[name]}" for name in columns) + " |" for row in rows]
    return "\n".join(lines)


def main() -> None:
    """Measure, and print as JSON and as a table."""
    parser = argparse.ArgumentParser(
        description="Measure the time to a leader over latencies (one way, in ms). Needs root.",
        epilog="Example: latency.py --sizes 3 5 --latencies 0 10 50 --rounds 15 --write figures.json",
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[3, 5])
    parser.add_argument("--latencies", type=float, nargs="+", default=[0, 10, 50], metavar="MS")
    parser.add_argument("--cases", choices=CASES, nargs="+", default=list(CASES))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--write", type=Path, metavar="FILE", help="for all figures, as JSON")
    given = parser.parse_args()
    here = Path(tempfile.gettempdir())
    run: dict[str, Any] = {
        "machine": facts(here),
        "disk_ms": disk_ms(here),
        "round_trip_ms": round_trips_ms(),
    }
    rows = []
    for case, size, latency_ms in itertools.product(given.cases, given.sizes, given.latencies):
        rows.append(measure_case(size, latency_ms / 1000, given.rounds, case).row())
        print(table(rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    run["rows"] = rows
    if given.write is not None:
        given.write.write_text(json.dumps(run, indent=1) + "\n")
    print(json.dumps(run))
    print(table(rows))


if __name__ == "__main__":
    main()
