"""Servers on hosts of their own, known by name only: they come back at other addresses, or get one late."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio
from namespaces import Network, both_ways, network
from processes import Plan, Server, open_servers, story, wait_one_connection_each
from test_ensembles_of_ours import agreed
from test_with_java import is_settled, last_state

pytestmark = [pytest.mark.interop, pytest.mark.root, pytest.mark.beside]

TICK_MS = 200
NAMES = {1: "zk1", 2: "zk2", 3: "zk3"}
BACK_S = 8.0
"""Until all are synchronized with one leader again, from the start of the one that has moved.

Its process starts (1 s, on a busy machine). It dials, or knocks, at once, and again after 0.1, 0.2, ... s; a
dial of its old address that is under way is given up at the first knock after 1 s, and a half-open
connection gives way at once. Meanwhile the others miss a vanished leader after ``syncLimit`` ticks (1 s), and
an election takes 0.3 s. Nothing waits for ``cnxTimeout`` or for the longest pause between dials, 5 s each.
"""
KEPT_S = 1.0
"""How long all goes on with the old name."""
RESOLVES_S = 7.0
"""A try to listen each second, and a dial every 5 s at least; then an election."""
JAVA = ("-Dsun.net.inetaddr.ttl=0", "-Dsun.net.inetaddr.negative.ttl=0")


@attrs.define(eq=False)
class Hosts:
    """Three hosts, and a voter on each."""

    net: Network
    plan: Plan
    servers: list[Server]
    moves: int = 100

    async def move(self, mover: Server, by: signal.Signals) -> None:
        """Let a server end, and start again on another address; killed, it vanishes without a word."""
        others = [sid for sid in NAMES if sid != mover.sid]
        if by is signal.SIGKILL:
            self.net.cut(both_ways([mover.sid], others))
        await mover.end(by)
        self.moves += 1
        self.net.move(mover.sid, self.moves)
        self.net.heal()
        await trio.sleep(KEPT_S)
        self.net.name(NAMES)
        await mover.start()

    async def all_met_again(self, mover: Server) -> None:
        """Wait until each pair has one connection, that with the one that moved at its new address."""
        await wait_one_connection_each(self.plan, self.servers, steady_s=0.5)
        for server in self.servers:
            met = [each for each in server.events("peer.connected") if each["peer"] == mover.sid]
            if server is not mover and met:
                assert met[-1]["address"].rpartition(":")[0] == self.net.address(mover.sid)


@asynccontextmanager
async def three(
    directory: Path, *, within_s: float, tick_ms: int = TICK_MS
) -> AsyncIterator[tuple[Hosts, trio.Nursery]]:
    with trio.fail_after(within_s), network(3) as net:
        net.name(NAMES)
        plan = Plan(directory, dict.fromkeys(NAMES, "participant"), tick_ms, NAMES, net.within)
        async with open_servers() as (nursery, servers):
            with story(servers):
                yield Hosts(net, plan, servers), nursery


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM], ids=["vanished", "stopped"])
async def test_a_leader_and_a_follower_come_back_elsewhere_and_nobody_else_is_restarted(
    by: signal.Signals, tmp_path: Path
) -> None:
    async with three(tmp_path, within_s=60) as (hosts, nursery):
        hosts.servers += [hosts.plan.ours(sid, nursery) for sid in NAMES]
        for server in hosts.servers:
            await server.start()
        leader = await agreed(hosts.servers)
        processes = {server: server.process for server in hosts.servers}
        for mover in (leader, hosts.servers[0]):
            await hosts.move(mover, by)
            with trio.fail_after(BACK_S):
                await agreed(hosts.servers)
                await hosts.all_met_again(mover)
            processes.pop(mover, None)
        assert processes == {server: server.process for server in processes}
        assert processes


async def test_a_follower_is_back_before_its_old_connections_are_found_dead(tmp_path: Path) -> None:
    """The others, which had dialled it, keep them for ``syncLimit`` ticks: 10 s."""
    async with three(tmp_path, within_s=60, tick_ms=2000) as (hosts, nursery):
        hosts.servers += [hosts.plan.ours(sid, nursery) for sid in NAMES]
        for server in reversed(hosts.servers):  # 1 comes last, and follows
            await server.start()
            await trio.sleep(0.5)
        leader = await agreed(hosts.servers)
        assert leader.sid != 1
        await hosts.move(hosts.servers[0], signal.SIGKILL)
        with trio.fail_after(10 - KEPT_S - 2):
            assert await agreed(hosts.servers) is leader
            await hosts.all_met_again(hosts.servers[0])
        assert leader.events("leading.lost") == []


async def java_leader(java: list[Server]) -> Server:
    """Wait until one of two Java servers leads, and the other follows."""
    while True:
        roles = {server: last_state(server) if any(map(is_settled, server.lines)) else "" for server in java}
        if all(map(is_settled, roles.values())):
            (leader,) = (server for server, role in roles.items() if "leading" in role)
            return leader
        await trio.sleep(0.05)


@pytest.mark.java
async def test_java_servers_and_one_of_ours_find_each_other_again(tmp_path: Path) -> None:
    async with three(tmp_path, within_s=90) as (hosts, nursery):
        ours = hosts.plan.ours(1, nursery, "fle.candidate=false")
        java = [hosts.plan.java(sid, nursery) for sid in (2, 3)]
        for server in java:
            at = server.command.index("java") + 1
            server.command[at:at] = JAVA
        hosts.servers += [ours, *java]
        for server in hosts.servers:
            await server.start()
        leader = await java_leader(java)
        await ours.wait_role(("FOLLOWING", leader.sid))

        await hosts.move(ours, signal.SIGKILL)
        with trio.fail_after(BACK_S):
            await ours.wait_role(("FOLLOWING", leader.sid))
            await hosts.all_met_again(ours)

        before = len(ours.lines)
        await hosts.move(leader, signal.SIGKILL)
        await leader.wait_line(is_settled)
        led = await java_leader(java)
        await ours.wait_line(lambda line: '"to": "FOLLOWING"' in line, after=before)
        await ours.wait_role(("FOLLOWING", led.sid))
        await hosts.all_met_again(leader)


async def test_names_that_resolve_late_the_own_one_too(tmp_path: Path) -> None:
    """ZOOKEEPER-3320: two elect without the third, whose name leads nowhere yet; none is restarted."""
    async with three(tmp_path, within_s=60) as (hosts, nursery):
        hosts.net.name({})
        hosts.servers += [hosts.plan.ours(sid, nursery) for sid in NAMES]
        for server in hosts.servers:
            await server.start()
        for server in hosts.servers:
            await server.wait_line(lambda line: "listen.unresolved" in line)
        await trio.sleep(4)  # longer than the tries of an address that is in use last
        for names, up in (({2: "zk2", 3: "zk3"}, (2, 3)), (NAMES, (1, 2, 3))):
            hosts.net.name(names)
            with trio.fail_after(RESOLVES_S):
                await agreed([server for server in hosts.servers if server.sid in up])
        for server in hosts.servers:
            assert 1 <= len(server.events("listen.unresolved")) <= 6, "at growing intervals"
            assert server.events("listen.retry") == []
            told = [each["peer"] for each in server.events("peer.unreachable")]
            assert sorted(told) == sorted(set(told)), "once for each"
