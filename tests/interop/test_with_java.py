"""Members of ours in one ensemble with real Java ZooKeeper 3.8 servers."""

import re
from pathlib import Path

import pytest
import trio
from processes import Plan, Server, open_servers, story, wait_one_connection_each

pytestmark = [pytest.mark.interop, pytest.mark.java, pytest.mark.beside]

LEADING = re.compile(r"LEADING - LEADER ELECTION TOOK")
SETTLED = re.compile(r"(LEADING|FOLLOWING) - LEADER ELECTION TOOK")
SERVES = re.compile(r"Peer state changed: (leading|following) - broadcast")


def is_settled(line: str) -> bool:
    return bool(SERVES.search(line))


async def java_leader(java: list[Server]) -> Server:
    """Wait until all Java servers serve, and return the leader."""
    for server in java:
        await server.wait_line(is_settled)
    (leader,) = (server for server in java if "leading" in last_state(server))
    return leader


def last_state(server: Server) -> str:
    return next(line for line in reversed(server.lines) if "Peer state changed" in line)


def complaints(server: Server, about: int) -> list[str]:
    """Lines of a Java server that find fault with what ``about`` sent."""
    fault = re.compile(
        rf"Skipping the processing|short response|Ignoring notification.*sid {about}\b|wrong while"
    )
    return [line for line in server.lines if fault.search(line)]


@pytest.mark.parametrize("ours", [1, 2, 3])
async def test_a_mixed_ensemble_elects_and_every_server_may_be_killed_and_come_back(
    ours: int, tmp_path: Path
) -> None:
    with trio.fail_after(120):
        async with open_servers() as (nursery, servers):
            plan = Plan(tmp_path, {1: "participant", 2: "participant", 3: "participant"})
            member = plan.ours(ours, nursery, "fle.candidate=false", options=("--log-level", "debug"))
            java = [plan.java(sid, nursery) for sid in (1, 2, 3) if sid != ours]
            servers += [member, *java]
            with story(servers):
                for server in servers:
                    await server.start()
                leader = await java_leader(java)
                await member.wait_role(("FOLLOWING", leader.sid))
                await wait_one_connection_each(plan, servers)
                for server in java:
                    # in whichever state: we may have decided before this server was connected
                    heard = await server.wait_line(lambda line: f"n.sid:{ours}, n.state:" in line)
                    assert "message format version:0x2" in heard
                    assert complaints(server, ours) == []
                never_itself(member)

                await member.kill()
                await member.start()
                await member.wait_role(("FOLLOWING", leader.sid))
                await wait_one_connection_each(plan, servers)

                (follower,) = (server for server in java if server is not leader)
                for killed in (follower, leader):
                    await killed.kill()
                    await killed.start()
                    await killed.wait_line(is_settled)
                    leader = await java_leader(java)
                    await member.wait_role(("FOLLOWING", leader.sid))
                    await wait_one_connection_each(plan, servers)
                assert [complaints(server, ours) for server in java] == [[], []]
                never_itself(member)


def never_itself(member: Server) -> None:
    sent = [each for each in member.events("election.notification") if each["direction"] == "out"]
    assert sent
    assert not [each for each in sent if each["leader"] == member.sid]


@pytest.mark.parametrize("observer", [1, 4])
async def test_an_observer_learns_the_leader_and_the_next(observer: int, tmp_path: Path) -> None:
    voters = [sid for sid in (1, 2, 3, 4) if sid != observer]
    with trio.fail_after(90):
        async with open_servers() as (nursery, servers):
            plan = Plan(
                tmp_path, {sid: "observer" if sid == observer else "participant" for sid in (1, 2, 3, 4)}
            )
            watching = plan.ours(observer, nursery)
            voting = plan.ours(voters[0], nursery, "fle.candidate=false")
            java = [plan.java(sid, nursery) for sid in voters[1:]]
            servers += [watching, voting, *java]
            with story(servers):
                for server in servers:
                    await server.start()
                leader = await java_leader(java)
                await watching.wait_role(("OBSERVING", leader.sid))
                (other,) = (server for server in java if server is not leader)
                await leader.kill()
                await watching.wait_role(("OBSERVING", other.sid))
                assert complaints(other, observer) == []


async def test_a_wildcard_in_the_own_line_does_not_keep_servers_apart(tmp_path: Path) -> None:
    """ZOOKEEPER-2164: the handshake then says 0.0.0.0, which nobody may dial; restarted downwards."""
    with trio.fail_after(90):
        async with open_servers() as (nursery, servers):
            plan = Plan(tmp_path, {1: "participant", 2: "participant", 3: "participant"})
            member = plan.ours(1, nursery, "fle.candidate=false")
            plan.write(1, "fle.candidate=false", hosts={1: "0.0.0.0"})
            java = [plan.java(sid, nursery, hosts={sid: "0.0.0.0"}) for sid in (2, 3)]
            servers += [member, *java]
            with story(servers):
                for server in servers:
                    await server.start()
                leader = await java_leader(java)
                await member.wait_role(("FOLLOWING", leader.sid))
                for server in (*reversed(java), member):
                    await server.kill()
                    await server.start()
                    leader = await java_leader(java)
                    await member.wait_role(("FOLLOWING", leader.sid))
                    await wait_one_connection_each(plan, servers)
