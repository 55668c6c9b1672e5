"""Two servers and an oracle, as real processes: two of ours, and one of ours beside a Java 3.8 server."""

import os
import re
from pathlib import Path

import pytest
import trio
from ports import free_ports
from processes import Plan, Server, open_servers, story
from zk_client import open_client, srvr, wait_leader

pytestmark = [pytest.mark.interop, pytest.mark.beside]

TICK_S = 0.5


def say(path: Path, text: str) -> None:
    """Write it as whoever must not be read half-way does."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.rename(path)


async def wait_established(server: Server, leader: int) -> None:
    await server.wait_line(lambda _: server.established() == leader)


async def wait_event(server: Server, name: str, **facts: object) -> None:
    await server.wait_line(lambda _: any(facts.items() <= event.items() for event in server.events(name)))


async def wait_current(server: Server, epoch: int) -> None:
    """Wait until an epoch is the current one on disk: a moment after its leader is established."""
    path = trio.Path(server.directory) / "version-2" / "currentEpoch"
    while not await path.exists() or await path.read_text() != str(epoch):  # noqa: ASYNC110 (a file)
        await trio.sleep(0.01)


async def wait_leading(port: int) -> None:
    await wait_leader({2: port}, [2])


async def test_two_members_of_ours_lead_alone_where_the_file_says_so(tmp_path: Path) -> None:
    files = {sid: tmp_path / f"oracle{sid}" for sid in (1, 2)}
    for path in files.values():
        say(path, "0\n")
    with trio.fail_after(60):
        async with open_servers() as (nursery, servers):
            plan = Plan(tmp_path, {1: "participant", 2: "participant"})
            one, two = (plan.ours(sid, nursery, f"oraclePath={files[sid]}") for sid in (1, 2))
            servers += [one, two]
            with story(servers):
                for server in servers:
                    await server.start()
                await wait_established(one, 2)
                await wait_established(two, 2)

                await two.kill()
                await wait_event(one, "election.stalled", because="no_quorum_reachable")
                assert one.established() is None, "nobody leads without a yes"

                say(files[1], "1\n")
                await wait_established(one, 1)
                assert one.events("leading.established")[-1]["followers"] == []

                await two.start()
                await wait_established(two, 1)
                first = one.events("leading.established")[-1]["epoch"]
                await wait_current(two, first)  # who votes with it is elected by its id again
                await two.kill()
                await wait_event(one, "leading.learner_lost", peer=2)
                await trio.sleep(5 * TICK_S)
                assert one.established() == 1, "a lost follower is no reason to elect"
                assert one.events("leading.established")[-1]["epoch"] == first

                say(files[1], "0\n")
                await wait_event(one, "leading.lost", epoch=first)
                await two.start()
                await wait_established(one, 2)
                await wait_established(two, 2)
                assert two.events("leading.established")[-1]["epoch"] > first


async def test_a_relative_path_and_a_file_that_is_not_there(tmp_path: Path) -> None:
    """The path is relative to the working directory, as in Java."""
    relative = os.path.relpath(tmp_path / "oracle")  # noqa: ASYNC240 (looks at no file)
    with trio.fail_after(30):
        async with open_servers() as (nursery, servers):
            plan = Plan(tmp_path, {1: "participant", 2: "participant"})
            one = plan.ours(1, nursery, f"oraclePath={relative}")
            servers.append(one)
            with story(servers):
                await one.start()
                await wait_event(one, "oracle.unreadable", reason="No such file or directory", path=relative)
                await wait_event(one, "oracle.answered", yes=False)
                say(tmp_path / "oracle", "1")
                await wait_established(one, 1)
                assert len(one.events("oracle.unreadable")) == 1


@pytest.mark.java
async def test_a_java_leader_goes_on_alone_and_our_voter_joins_it_again(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "oracle1", tmp_path / "oracle2"
    say(ours, "0")
    say(theirs, "1")
    with trio.fail_after(90):
        async with open_servers() as (nursery, servers):
            plan = Plan(tmp_path, {1: "participant", 2: "participant"})
            (port,) = free_ports(1)
            member = plan.ours(1, nursery, "fle.candidate=false", f"oraclePath={ours}")
            java = plan.java(2, nursery, f"clientPort={port}", f"oraclePath={theirs}")
            servers += [member, java]
            with story(servers):
                for server in servers:
                    await server.start()
                await member.wait_role(("FOLLOWING", 2))
                await wait_leading(port)

                await member.kill()
                async with open_client(port) as client:
                    await client.create("/alone", data=b"written by one of two")
                await trio.sleep(8 * TICK_S)
                assert (await srvr(port)).get("Mode") == "leader"
                assert not [
                    line for line in java.lines if re.search(r"Shutting down leader|Shutdown called", line)
                ]

                await member.start()
                await member.wait_role(("FOLLOWING", 2))
                async with open_client(port) as client:
                    assert await client.get("/alone") == {"/alone": b"written by one of two"}
