"""Real servers in processes of their own: members of ours, and Java ZooKeeper servers; and their sockets."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import attrs
import trio
from ports import free_ports

JAVA = [
    "java", "-Xmx96m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto",
    "-Dzookeeper.admin.enableServer=false",
]  # fmt: skip
JARS = ["zookeeper.jar", "slf4j-log4j12.jar", "log4j-1.2.jar"]
JAVA_LOG = """\
log4j.rootLogger=INFO, OUT
log4j.appender.OUT=org.apache.log4j.ConsoleAppender
log4j.appender.OUT.layout=org.apache.log4j.PatternLayout
log4j.appender.OUT.layout.ConversionPattern=%p %c{1} %m%n
"""

Predicate = Callable[[str], bool]


@attrs.define(eq=False)
class Server:
    """One server of an ensemble: its files, its process (or none), and every line it wrote."""

    sid: int
    directory: Path
    command: list[str]
    nursery: trio.Nursery
    lines: list[str] = attrs.field(factory=list)
    process: trio.Process | None = None
    drained: trio.Event = attrs.field(factory=trio.Event)
    """Set once the last line of the process has been read."""
    ended_at: float | None = None
    """When the last process was killed, after which nothing of it runs, or was found ended; None for none."""
    _news: trio.Event = attrs.field(factory=trio.Event)

    async def start(self) -> None:
        self.lines.clear()
        self.ended_at = None
        self.process = await trio.lowlevel.open_process(
            self.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self.drained = trio.Event()
        self.nursery.start_soon(self._read, self.process, self.drained)

    async def _read(self, process: trio.Process, drained: trio.Event) -> None:
        assert process.stdout is not None
        rest = b""
        async for chunk in process.stdout:
            *lines, rest = (rest + chunk).split(b"\n")
            if process is self.process:
                self.lines += [line.decode(errors="replace") for line in lines]
                self._tell()
        drained.set()

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()

    async def kill(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            self.ended_at = time.time()
            with trio.CancelScope(shield=True):
                await process.wait()

    async def end(self, signal_: signal.Signals = signal.SIGKILL) -> int:
        """Let it end by a signal, read all that it wrote, and return how it ended."""
        process = self.process
        assert process is not None
        process.send_signal(signal_)
        struck_at = time.time()  # others may have elected by the time that the kernel tells us of its end
        code = await process.wait()
        self.ended_at = struck_at if code == -signal.SIGKILL else time.time()
        await self.drained.wait()
        self.process = None
        return code

    async def wait_line(self, wanted: Predicate, *, after: int = 0) -> str:
        """Wait for a line, from line number ``after`` on."""
        while True:
            for line in self.lines[after:]:
                if wanted(line):
                    return line
            await self._news.wait()

    def events(self, name: str) -> list[dict[str, Any]]:
        """Events of a member of ours."""
        parsed = (json.loads(line) for line in self.lines if line.startswith("{"))
        return [event for event in parsed if event["event"] == name]

    def all_events(self) -> list[dict[str, Any]]:
        """Every event of a member of ours."""
        return [json.loads(line) for line in self.lines if line.startswith("{")]

    def role(self) -> tuple[str, int | None]:
        """The last state that a member of ours logged, and its leader."""
        states = self.events("member.state")
        return (states[-1]["to"], states[-1]["leader"]) if states else ("LOOKING", None)

    def established(self) -> int | None:
        """The leader that a member of ours leads as, or is synchronized with; None while there is none."""
        for line in reversed(self.lines):
            if '"member.state"' in line or '"leading.lost"' in line or '"following.lost"' in line:
                return None
            if '"leading.established"' in line:
                return self.sid
            if '"following.synced"' in line:
                leader: int = json.loads(line)["leader"]
                return leader
        return None

    async def wait_role(self, *roles: tuple[str, int | None]) -> tuple[str, int | None]:
        """Wait until a member of ours is in one of ``roles``."""
        while self.role() not in roles:
            await self._news.wait()
        return self.role()


@attrs.define
class Plan:
    """Ports and files of an ensemble, on loopback unless ``hosts`` has other addresses.

    What ``within`` returns goes before the command of a server, for one that runs elsewhere.
    """

    directory: Path
    roles: dict[int, str]
    tick_ms: int = 500
    hosts: dict[int, str] = attrs.field(factory=dict)
    within: Callable[[int], list[str]] = lambda _sid: []
    clients: dict[int, int] = attrs.field(factory=dict)
    """Client ports that stand in the server lines."""
    ports: dict[int, tuple[int, int]] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        numbers = iter(free_ports(2 * len(self.roles)))
        self.ports = {sid: (next(numbers), next(numbers)) for sid in self.roles}

    def write(self, sid: int, *extra: str, hosts: dict[int, str] | None = None) -> Path:
        """Write zoo.cfg and myid of one server."""
        directory = self.directory / f"server{sid}"
        directory.mkdir(exist_ok=True)
        (directory / "myid").write_text(f"{sid}\n")
        lines = [f"dataDir={directory}", f"tickTime={self.tick_ms}", "initLimit=10", "syncLimit=5"]
        lines += ["admin.enableServer=false", *extra]
        if self.roles[sid] == "observer":
            lines.append("peerType=observer")
        for other, (quorum, election) in self.ports.items():
            host = (self.hosts | (hosts or {})).get(other, "127.0.0.1")
            client = f";{host}:{self.clients[other]}" if other in self.clients else ""
            lines.append(f"server.{other}={host}:{quorum}:{election}:{self.roles[other]}{client}")
        path = directory / "zoo.cfg"
        path.write_text("\n".join(lines) + "\n")
        (directory / "log4j.properties").write_text(JAVA_LOG)
        return path

    def ours(self, sid: int, nursery: trio.Nursery, *extra: str, options: tuple[str, ...] = ()) -> Server:
        path = self.write(sid, *extra)
        command = [sys.executable, "-m", "trio_fle", "run", str(path), "--log-format", "json", *options]
        return Server(sid, path.parent, [*self.within(sid), *command], nursery)

    def java(
        self, sid: int, nursery: trio.Nursery, *extra: str, hosts: dict[int, str] | None = None
    ) -> Server:
        path = self.write(sid, *extra, hosts=hosts)
        class_path = ":".join([str(path.parent), *(f"/usr/share/java/{jar}" for jar in JARS)])
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        command = [*self.within(sid), *JAVA, "-cp", class_path, main, str(path)]
        return Server(sid, path.parent, command, nursery)


@asynccontextmanager
async def open_servers() -> AsyncIterator[tuple[trio.Nursery, list[Server]]]:
    """A nursery for servers, all of which (once in the list) end with the block."""
    servers: list[Server] = []
    async with trio.open_nursery() as nursery:
        try:
            yield nursery, servers
        finally:
            for server in servers:
                await server.kill()
            nursery.cancel_scope.cancel()


@contextmanager
def story(servers: list[Server]) -> Iterator[None]:
    """Print what all servers said, where the block fails."""
    try:
        yield
    except BaseException:
        for server in servers:
            print(f"--- server {server.sid}")
            print("\n".join(line[:400] for line in server.lines[-60:]))
        raise


def established(pid: int) -> list[tuple[int, int]]:
    """Local and remote port of each established TCP connection of a process."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(str(link.readlink()).removeprefix("socket:[").removesuffix("]"))
        except FileNotFoundError:
            continue  # closed while we looked
    found = []
    for table in ("tcp", "tcp6"):
        for row in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            cells = row.split()
            if cells[3] == "01" and cells[9] in inodes:
                found.append(tuple(int(cells[at].rpartition(":")[2], 16) for at in (1, 2)))
    return [(local, remote) for local, remote in found]


def election_connections(plan: Plan, servers: list[Server]) -> dict[tuple[int, int], int]:
    """How many election connections each pair of servers keeps, counted where they were dialled."""
    counts = {(a.sid, b.sid): 0 for a in servers for b in servers if a.sid < b.sid}
    owner = {election: sid for sid, (_, election) in plan.ports.items()}
    for server in servers:
        assert server.process is not None
        for local, remote in established(server.process.pid):
            if remote in owner and local not in owner:
                pair = tuple(sorted((server.sid, owner[remote])))
                counts[pair[0], pair[1]] += 1
    return counts


async def wait_one_connection_each(plan: Plan, servers: list[Server], *, steady_s: float = 1.0) -> None:
    """Wait until each pair has exactly one connection, and see that it stays so for a while."""
    since = None
    while since is None or trio.current_time() - since < steady_s:
        single = all(count == 1 for count in election_connections(plan, servers).values())
        since = (since or trio.current_time()) if single else None
        await trio.sleep(0.05)
