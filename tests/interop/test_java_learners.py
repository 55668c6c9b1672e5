"""Members of ours as learners of real Java ZooKeeper 3.8 leaders that have data."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio
from ports import free_ports
from processes import Plan, Server, open_servers, story, wait_one_connection_each
from zk_client import open_client, wait_leader, wait_same_zxid

from trio_fle.wire.packet import QuorumPacket, encode_packet

pytestmark = [pytest.mark.interop, pytest.mark.java, pytest.mark.beside]

NODES = [f"/app/n{number}" for number in range(999)]
NO_PACKET = 99

NEWCOMER = "Unable to find proposals from txnlog for zxid: 0x0"
"""What a Java leader says of every learner that comes without a history, a Java server too."""


@attrs.define
class Mixed:
    """An ensemble of Java servers, and one member of ours."""

    plan: Plan
    client_ports: dict[int, int]
    ours: Server
    java: dict[int, Server]
    said: dict[int, list[str]]
    """What Java servers said before they were killed."""

    @property
    def running(self) -> list[int]:
        return [sid for sid, server in self.java.items() if server.process is not None]

    @property
    def java_ports(self) -> list[int]:
        return [self.client_ports[sid] for sid in self.running]

    async def leader(self) -> Server:
        """Wait until all Java servers that run serve, and return the leader."""
        return self.java[await wait_leader(self.client_ports, self.running)]

    async def kill(self, server: Server) -> None:
        await server.kill()
        self.said[server.sid] += server.lines

    def complaints(self, about: int) -> list[str]:
        """All that any Java server ever said against ``about``."""
        return [
            f"server {sid}: {entry}"
            for sid, server in self.java.items()
            for entry in complaints(self.said[sid] + server.lines, about, self.plan)
        ]


@asynccontextmanager
async def mixed(
    directory: Path, roles: dict[int, str], *, ours: int, within_s: float
) -> AsyncIterator[Mixed]:
    """An ensemble of Java servers but for ``ours``; nobody is started."""
    with trio.fail_after(within_s):
        async with open_servers() as (nursery, servers):
            plan = Plan(directory, roles)
            ports = dict(zip(roles, free_ports(len(roles)), strict=True))
            extra = ["fle.candidate=false"] if roles[ours] == "participant" else []
            member = plan.ours(ours, nursery, f"clientPort={ports[ours]}", *extra)
            java = {sid: plan.java(sid, nursery, f"clientPort={ports[sid]}") for sid in roles if sid != ours}
            for server in java.values():
                name_threads(server)
            servers += [member, *java.values()]
            with story(servers):
                yield Mixed(plan, ports, member, java, {sid: [] for sid in java})


def name_threads(server: Server) -> None:
    """Have each line say the thread that wrote it: a thread serves one peer."""
    path = server.directory / "log4j.properties"
    path.write_text(path.read_text().replace("%c{1} %m%n", "%c{1} [%t] %m%n"))


def entries(lines: list[str]) -> list[str]:
    """Put each stack trace to the line that it belongs to."""
    found: list[str] = []
    for line in lines:
        if re.match(r"(DEBUG|INFO|WARN|ERROR|FATAL) ", line) or not found:
            found.append(line)
        else:
            found[-1] += "\n" + line
    return found


def complaints(lines: list[str], about: int, plan: Plan) -> list[str]:
    """Find the warnings, errors and exceptions of one Java server that ``about`` has to do with.

    Those are the ones that name it, or one of its addresses; that come from the thread of its election
    connection; or that come from the thread of any learner but a Java server that said who it is.
    """
    named = rf"(id|sid|server|learner|channel to)[ :=]+{about}\b|(Send|Recv)Worker:{about}\b"
    addresses = "|".join(f":{port}\\b" for port in plan.ports[about])
    fault = re.compile(rf"{named}|{addresses}", re.IGNORECASE)
    found = []
    handlers: dict[str, int] = {}
    for entry in entries(lines):
        thread = match[0] if (match := re.search(r"\[LearnerHandler-[^]]*\]", entry)) else None
        if thread is not None and (known := re.search(r"Follower sid: (\d+) : info", entry)):
            handlers[thread] = int(known[1])
        if not entry.startswith(("WARN", "ERROR", "FATAL")) and "Exception" not in entry:
            continue
        in_its_thread = thread is not None and handlers.get(thread, about) == about
        if (in_its_thread or fault.search(entry)) and NEWCOMER not in entry:
            found.append(entry)
    return found


async def test_an_observer_follows_a_java_ensemble_with_data_and_is_no_trouble_to_it(tmp_path: Path) -> None:
    roles = {1: "participant", 2: "participant", 3: "participant", 4: "observer"}
    async with mixed(tmp_path, roles, ours=4, within_s=90) as ensemble:
        observer, ports = ensemble.ours, ensemble.client_ports
        for server in ensemble.java.values():
            await server.start()
        leader = await ensemble.leader()
        async with open_client(*ensemble.java_ports) as client:
            await client.create("/app", *NODES, data=b"first")
        filled = await wait_same_zxid(ports, ensemble.running)
        assert filled > (1 << 32) + len(NODES)

        await observer.start()
        await wait_established(observer, leader)
        assert await wait_same_zxid(ports, roles) == filled

        async with open_client(*ensemble.java_ports) as client:
            await client.put("/app", *NODES, data=b"second")
        written = await wait_same_zxid(ports, roles)
        assert written > filled + len(NODES)
        assert syncs(observer) == ["SNAP"], "what was written came over the link that it had"

        for epoch in (2, 3, 4):
            await ensemble.kill(leader)
            successor = await ensemble.leader()
            await wait_established(observer, successor)
            async with open_client(*ensemble.java_ports) as client:
                await client.create(f"/app/in-epoch-{epoch}")
            assert await wait_same_zxid(ports, [*ensemble.running, observer.sid]) >> 32 == epoch
            await leader.start()
            assert await ensemble.leader() is successor
            leader = successor
        assert syncs(observer)[:2] == ["SNAP", "DIFF"]
        assert len(syncs(observer)) == 4
        assert ensemble.complaints(observer.sid) == []
        await the_java_logs_would_show_trouble(ensemble, leader)


async def the_java_logs_would_show_trouble(ensemble: Mixed, leader: Server) -> None:
    """The filter finds what servers say of an observer that dies, and of a learner that talks rubbish."""
    sid = ensemble.ours.sid
    await wait_one_connection_each(ensemble.plan, [ensemble.ours, *ensemble.java.values()], steady_s=0.3)
    await ensemble.ours.kill()
    for server in ensemble.java.values():
        await server.wait_line(lambda line: f"Connection broken for id {sid}," in line)
    await leader.wait_line(lambda line: "GOODBYE" in line)
    stream = await trio.open_tcp_stream("127.0.0.1", ensemble.plan.ports[leader.sid][0])
    async with stream:
        await stream.send_all(encode_packet(QuorumPacket(NO_PACKET, 0)))
        await leader.wait_line(lambda line: "First packet" in line)
    found = ensemble.complaints(sid)
    for server in ensemble.java.values():
        assert [each for each in found if each.startswith(f"server {server.sid}: WARN QuorumCnxManager")]
    assert [each for each in found if "Unexpected exception in LearnerHandler" in each]
    assert [each for each in found if "First packet" in each]


async def wait_established(member: Server, leader: Server) -> None:
    while member.established() != leader.sid:
        await member.wait_line(lambda line: "following.synced" in line, after=len(member.lines))


def syncs(member: Server) -> list[str]:
    return [event["sync"] for event in member.events("following.synced")]


async def test_a_voter_acknowledges_a_java_leader_as_long_as_there_is_nothing_to_store(
    tmp_path: Path,
) -> None:
    """And not a moment longer: a Java server that it helps to elect then waits for another one in vain."""
    async with mixed(tmp_path, dict.fromkeys((1, 2, 3), "participant"), ours=1, within_s=90) as ensemble:
        voter, first, second = ensemble.ours, ensemble.java[2], ensemble.java[3]
        for server in (voter, first):
            await server.start()
        await wait_established(voter, first)
        assert await ensemble.leader() is first, "it had the acknowledgement that it needed"
        await wait_follower(first, voter)
        assert syncs(voter) == ["DIFF"]
        await wait_epochs(voter, accepted=1, current=1)

        await second.start()
        assert await ensemble.leader() is first
        async with open_client(*ensemble.java_ports) as client:
            await client.create("/kept", data=b"by Java")
        unsynced = await wait_unsynced(voter, first)
        assert "transaction 0x1000000" in unsynced["reason"]
        assert voter.role() == ("FOLLOWING", first.sid)

        await ensemble.kill(first)
        assert (await wait_unsynced(voter, second))["epoch"] == 2
        await wait_follower(second, voter)
        await second.wait_line(lambda line: "Waiting for a quorum of followers, only synced with" in line)
        assert not [line for line in second.lines if "leading - broadcast" in line]

        await first.start()
        leader = await ensemble.leader()
        await wait_unsynced(voter, leader)
        async with open_client(*ensemble.java_ports) as client:
            assert await client.get("/kept") == {"/kept": b"by Java"}
        await wait_epochs(voter, accepted=epochs(leader)["current"], current=1)
        assert len(syncs(voter)) == 1


async def test_a_voter_follows_java_leaders_with_data_by_its_vote_alone(tmp_path: Path) -> None:
    roles = dict.fromkeys((1, 2, 3, 4, 5), "participant")
    async with mixed(tmp_path, roles, ours=2, within_s=90) as ensemble:
        voter = ensemble.ours
        for server in ensemble.java.values():
            await server.start()
        leader = await ensemble.leader()
        async with open_client(*ensemble.java_ports) as client:
            await client.create("/app", *NODES[:10], data=b"kept")

        await voter.start()
        unsynced = await wait_unsynced(voter, leader)
        assert "SNAP up to 0x1000000" in unsynced["reason"]
        await wait_follower(leader, voter)
        await wait_epochs(voter, accepted=1, current=None)

        await ensemble.kill(leader)
        successor = await ensemble.leader()
        await wait_unsynced(voter, successor)
        await wait_follower(successor, voter)
        voted = f"n.sid:{voter.sid}, n.state:LOOKING, n.leader:{successor.sid}, n.round:0x2"
        await successor.wait_line(lambda line: voted in line)
        async with open_client(*ensemble.java_ports) as client:
            assert await client.get(*NODES[:10]) == dict.fromkeys(NODES[:10], b"kept")
        assert voter.role() == ("FOLLOWING", successor.sid)
        await wait_epochs(voter, accepted=epochs(successor)["current"], current=None)
        assert syncs(voter) == []


async def wait_unsynced(voter: Server, leader: Server) -> dict[str, object]:
    """Wait until ``voter`` follows ``leader`` by vote alone."""
    while True:
        told = voter.events("following.unsynced")
        if told and told[-1]["leader"] == leader.sid and voter.role() == ("FOLLOWING", leader.sid):
            return told[-1]
        await voter.wait_line(lambda line: "following.unsynced" in line, after=len(voter.lines))


async def wait_follower(leader: Server, learner: Server) -> None:
    """Wait until a Java leader has met ``learner`` on its quorum port."""
    await leader.wait_line(lambda line: f"Follower sid: {learner.sid} : info" in line)


async def wait_epochs(server: Server, **expected: int | None) -> None:
    """Wait until the epoch files of a member of ours, which follow its record, say that."""
    with trio.move_on_after(5):
        while epochs(server) != expected:  # noqa: ASYNC110
            await trio.sleep(0.02)
    assert epochs(server) == expected


def epochs(server: Server) -> dict[str, int | None]:
    files = {name: server.directory / "version-2" / f"{name}Epoch" for name in ("accepted", "current")}
    return {name: int(path.read_text()) if path.exists() else None for name, path in files.items()}
