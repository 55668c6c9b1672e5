"""Ensembles of our own processes: cold starts, kills, restarts, lost quorums."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from processes import Plan, Server, open_servers, story, wait_one_connection_each

pytestmark = pytest.mark.interop

FLOOD = Path(__file__).parents[1] / "support" / "flood.py"


@asynccontextmanager
async def ensemble(
    directory: Path, size: int, *, within_s: float = 60
) -> AsyncIterator[tuple[Plan, list[Server]]]:
    """Start ``size`` members at once."""
    with trio.fail_after(within_s):
        async with open_servers() as (nursery, servers):
            plan = Plan(directory, dict.fromkeys(range(1, size + 1), "participant"))
            servers += [plan.ours(sid, nursery) for sid in plan.roles]
            with story(servers):
                for server in servers:
                    await server.start()
                yield plan, servers


async def agreed(servers: list[Server]) -> Server:
    """Wait until one of the running members leads and all others are synchronized with it."""
    running = [server for server in servers if server.process is not None]
    while True:
        leaders = {server.established() for server in running}
        leader = next((server for server in running if leaders == {server.sid}), None)
        if leader is not None:
            return leader
        await trio.sleep(0.01)


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.beside
async def test_they_elect_from_cold_and_after_each_kind_of_loss(size: int, tmp_path: Path) -> None:
    async with ensemble(tmp_path, size) as (plan, servers):
        leader = await agreed(servers)
        await wait_one_connection_each(plan, servers, steady_s=0.3)

        await leader.kill()
        successor = await agreed(servers)
        assert successor is not leader
        await leader.start()
        assert await agreed(servers) is successor

        follower = next(server for server in servers if server is not successor)
        await follower.kill()
        assert await agreed(servers) is successor, "a lost follower is no reason to elect"
        await follower.start()
        assert await agreed(servers) is successor

        for server in servers:
            await server.kill()
        for server in servers:
            await server.start()
        await agreed(servers)
        await wait_one_connection_each(plan, servers, steady_s=0.3)


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1)])
@pytest.mark.beside
async def test_rolling_restarts_keep_the_ensemble_whole(order: tuple[int, ...], tmp_path: Path) -> None:
    async with ensemble(tmp_path, 3) as (plan, servers):
        await agreed(servers)
        for sid in order:
            await servers[sid - 1].kill()
            await servers[sid - 1].start()
            await agreed(servers)
        await wait_one_connection_each(plan, servers, steady_s=0.3)


@pytest.mark.beside
async def test_a_leader_killed_five_times_is_replaced_five_times(tmp_path: Path) -> None:
    async with ensemble(tmp_path, 3) as (plan, servers):
        for _ in range(5):
            leader = await agreed(servers)
            await leader.kill()
            assert await agreed(servers) is not leader
            await leader.start()
        await agreed(servers)
        await wait_one_connection_each(plan, servers, steady_s=0.3)


@pytest.mark.beside
async def test_two_restarted_at_once_do_not_elect_beside_the_old_leader(tmp_path: Path) -> None:
    async with ensemble(tmp_path, 3) as (_, servers):
        leader = await agreed(servers)
        followers = [server for server in servers if server is not leader]
        for server in followers:
            await server.kill()
        for server in followers:
            await server.start()
        await agreed(servers)


@pytest.mark.beside
async def test_without_a_quorum_nobody_leads_and_the_log_says_why(tmp_path: Path) -> None:
    async with ensemble(tmp_path, 3) as (_, servers):
        leader = await agreed(servers)
        followers = [server for server in servers if server is not leader]
        for server in followers:
            await server.kill()
        await leader.wait_role(("LOOKING", None))
        await leader.wait_line(lambda line: "election.stalled" in line)
        (stalled,) = leader.events("election.stalled")
        assert stalled["because"] == "no_quorum_reachable"
        assert stalled["missing"] == [server.sid for server in followers]
        await followers[0].start()
        await agreed(servers)


async def test_strangers_that_flood_a_member_do_not_stop_an_election(tmp_path: Path) -> None:
    """Eight of them, each as fast as it can: they are read slowly, and nobody waits behind them."""
    async with ensemble(tmp_path, 3) as (plan, servers):
        leader = await agreed(servers)
        struck = next(server for server in servers if server is not leader)
        command = [sys.executable, str(FLOOD), str(plan.ports[struck.sid][1]), "8"]
        flood = Server(0, tmp_path, command, struck.nursery)
        servers.append(flood)
        await flood.start()
        await flood.wait_line(lambda line: line == "floods")
        await leader.kill()
        with trio.fail_after(3):
            await agreed([server for server in servers if server not in (leader, flood)])
