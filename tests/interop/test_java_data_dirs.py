"""Data directories that go from real Java ZooKeeper 3.8 servers to members of ours, and back."""

import re
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio
from ports import free_ports
from processes import Plan, Server, open_servers, story
from zk_client import open_client, wait_leader, wait_same_zxid

pytestmark = [pytest.mark.interop, pytest.mark.java, pytest.mark.beside]

SIDS = (1, 2, 3)
NODES = [f"/app/n{number}" for number in range(50)]

AS_EVER = re.compile(
    r"WARN ServerCnxnFactory maxCnxns is not configured"
    r"|WARN QuorumCnxManager "
    r"|WARN Learner Unexpected exception, tries=0, .*connecting to"
    r"|WARN Learner Got zxid 0x[1-9]00000001 expected 0x1$"
    r"|WARN NIOServerCnxn "
)
"""What a Java ensemble warns of whatever its directories: of servers that are not up yet, of election
connections (two servers that dial each other drop one), of each epoch's first transaction, and of callers
that leave."""


@attrs.define
class Directories:
    """Three directories, on which either kind of server can be started."""

    plan: Plan
    nursery: trio.Nursery
    servers: list[Server]
    ports: dict[int, int]

    @asynccontextmanager
    async def run(self, kind: Callable[..., Server]) -> AsyncIterator[tuple[list[Server], int]]:
        """Run an ensemble, ``plan.java`` or ``plan.ours``, to its leader; stop it in good order."""
        here = [kind(sid, self.nursery, f"clientPort={port}") for sid, port in self.ports.items()]
        self.servers[:] = here
        for server in here:
            await server.start()
        leader = await wait_leader(self.ports, SIDS)
        yield here, leader
        for server in sorted(here, key=lambda server: server.sid == leader):
            await stop(server)

    async def zxid(self) -> int:
        return await wait_same_zxid(self.ports, SIDS)

    def epochs(self) -> set[tuple[int, int]]:
        """``acceptedEpoch`` and ``currentEpoch`` of all directories."""
        found = set()
        for sid in SIDS:
            files = self.plan.directory / f"server{sid}" / "version-2"
            found.add(tuple(int((files / name).read_text()) for name in ("acceptedEpoch", "currentEpoch")))
        return found


async def stop(server: Server) -> None:
    """Stop a server as its service manager does."""
    assert server.process is not None
    server.process.send_signal(signal.SIGTERM)
    await server.process.wait()


@asynccontextmanager
async def directories(path: Path) -> AsyncIterator[Directories]:
    with trio.fail_after(90):
        async with open_servers() as (nursery, servers):
            plan = Plan(path, dict.fromkeys(SIDS, "participant"))
            with story(servers):
                yield Directories(plan, nursery, servers, dict(zip(SIDS, free_ports(len(SIDS)), strict=True)))


def java_complaints(servers: list[Server]) -> list[str]:
    return [
        line
        for server in servers
        for line in server.lines
        if re.match("WARN|ERROR|FATAL", line) and not AS_EVER.match(line)
    ]


def our_complaints(servers: list[Server]) -> list[str]:
    """Warnings and errors of members of ours, but for others that are not up yet."""
    return [
        line
        for server in servers
        for line in server.lines
        if '"level": "info"' not in line and "Connection refused" not in line
    ]


async def test_members_start_where_java_servers_stopped_and_the_reverse(tmp_path: Path) -> None:
    async with directories(tmp_path) as dirs:
        async with dirs.run(dirs.plan.java):
            async with open_client(*dirs.ports.values()) as client:
                await client.create("/app", *NODES, data=b"old")
                await client.put(*NODES[:10], data=b"new")
            left = await dirs.zxid()
        assert dirs.epochs() == {(1, 1)}
        assert left > (1 << 32) + len(NODES)

        async with dirs.run(dirs.plan.ours) as (ours, leader):
            established = next(server for server in ours if server.sid == leader)
            await established.wait_line(lambda line: "leading.established" in line)
            assert [event["epoch"] for event in established.events("leading.established")] == [2]
            assert await dirs.zxid() == left
            assert [server.events("member.started")[0]["zxid"] for server in ours] == [hex(left)] * 3
            assert our_complaints(ours) == []
        assert dirs.epochs() == {(2, 2)}

        async with dirs.run(dirs.plan.java) as (java, _):
            async with open_client(*dirs.ports.values()) as client:
                assert await client.children("/app") == {path.removeprefix("/app/") for path in NODES}
                kept = {path: b"new" if path in NODES[:10] else b"old" for path in NODES}
                assert await client.get(*NODES) == kept
                await client.create("/app/later")
            assert await dirs.zxid() >> 32 == 3
            assert java_complaints(java) == []
        assert dirs.epochs() == {(3, 3)}

        async with dirs.run(dirs.plan.ours) as (ours, _):
            assert await dirs.zxid() >> 32 == 3
            assert our_complaints(ours) == []
        assert dirs.epochs() == {(4, 4)}


async def test_java_servers_start_on_what_a_new_ensemble_of_ours_left(tmp_path: Path) -> None:
    async with directories(tmp_path) as dirs:
        async with dirs.run(dirs.plan.ours) as (ours, _):
            assert await dirs.zxid() == 0
            assert our_complaints(ours) == []
        assert dirs.epochs() == {(1, 1)}

        async with dirs.run(dirs.plan.java) as (java, _):
            async with open_client(*dirs.ports.values()) as client:
                await client.create("/app", *NODES)
            assert await dirs.zxid() >> 32 == 2
            assert java_complaints(java) == []
        assert dirs.epochs() == {(2, 2)}
