"""A Java ensemble that a real client reconfigures, while members of ours observe it and vote in it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio
from ports import free_ports
from processes import Plan, Server, open_servers, story
from zk_client import Client, open_client, srvr, wait_leader

pytestmark = [pytest.mark.interop, pytest.mark.java, pytest.mark.beside]

EXTRA = ("reconfigEnabled=true", "skipACL=yes", "standaloneEnabled=false")
VOTER, OBSERVER, NEWCOMER = 4, 5, 6
JAVA = (1, 2, 3)


@attrs.define(eq=False)
class Ensemble:
    """Java servers 1 to 3, one that may join, and a voter and an observer of ours."""

    plan: Plan
    servers: dict[int, Server]
    admin: dict[int, int]

    def line(
        self, sid: int, *, role: str | None = None, election: int | None = None, client: int | None = None
    ) -> str:
        """The server line of ``sid``, with another role or other ports."""
        quorum, port = self.plan.ports[sid]
        role = role or self.plan.roles[sid]
        client = client or self.plan.clients[sid]
        return f"server.{sid}=127.0.0.1:{quorum}:{election or port}:{role};127.0.0.1:{client}"

    async def status(self, sid: int) -> dict[str, object]:
        """What ``/status`` of a member of ours says; nothing while it does not answer."""
        try:
            stream = await trio.open_tcp_stream("127.0.0.1", self.admin[sid])
            async with stream:
                await stream.send_all(b"GET /status HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
                answer = b"".join([chunk async for chunk in stream])
        except (OSError, trio.BrokenResourceError):
            return {}
        status: dict[str, object] = json.loads(answer.partition(b"\r\n\r\n")[2])
        return status

    async def wait_same(self, text: str, *, java: int) -> None:
        """Wait until both members of ours live under ``text``, and have the files that a Java server has."""
        version = text.rpartition("version=")[2]
        for sid in (VOTER, OBSERVER):
            while (told := await self.status(sid)).get("config_version") != f"0x{version}":  # noqa: ASYNC110
                await trio.sleep(0.05)
            assert isinstance(told["config"], str)
            assert sorted(told["config"].splitlines()) == sorted(text.splitlines())
            assert await self.on_disk(sid, version) == await self.on_disk(java, version)

    async def on_disk(self, sid: int, version: str) -> str:
        """The dynamic file that zoo.cfg of ``sid`` names, once it is that of this version."""
        zoo_cfg = self.servers[sid].directory / "zoo.cfg"
        dynamic = zoo_cfg.with_name(f"zoo.cfg.dynamic.{version}")
        while f"dynamicConfigFile={dynamic}\n" not in zoo_cfg.read_text():  # noqa: ASYNC110
            await trio.sleep(0.05)
        assert "\nserver." not in zoo_cfg.read_text()
        return dynamic.read_text()


@asynccontextmanager
async def ensemble(directory: Path, *, within_s: float) -> AsyncIterator[Ensemble]:
    with trio.fail_after(within_s):
        async with open_servers() as (nursery, servers):
            roles = dict.fromkeys(JAVA, "participant") | {VOTER: "participant", OBSERVER: "observer"}
            plan = Plan(directory, roles | {NEWCOMER: "participant"})
            plan.clients = dict(zip(plan.roles, free_ports(len(plan.roles)), strict=True))
            admin = dict(zip((VOTER, OBSERVER), free_ports(2), strict=True))
            made = {NEWCOMER: plan.java(NEWCOMER, nursery, *EXTRA)}
            newcomer = plan.ports.pop(NEWCOMER)
            for sid in JAVA:
                made[sid] = plan.java(sid, nursery, *EXTRA)
            for sid, port in admin.items():
                more = ("fle.candidate=false", "admin.enableServer=true", f"admin.serverPort={port}")
                made[sid] = plan.ours(sid, nursery, *EXTRA, *more)
            plan.ports[NEWCOMER] = newcomer
            servers += made.values()
            with story(servers):
                yield Ensemble(plan, made, admin)


async def test_a_java_ensemble_is_reconfigured_and_ours_end_with_the_same_configuration(
    tmp_path: Path,
) -> None:
    async with ensemble(tmp_path, within_s=150) as play:
        for sid in (*JAVA, VOTER, OBSERVER):
            await play.servers[sid].start()
        clients = play.plan.clients
        leader = await wait_leader(clients, JAVA)
        async with open_client(*(clients[sid] for sid in JAVA)) as client:
            first = await config_of(client)
            assert first.endswith("version=100000000")
            await play.wait_same(first, java=leader)

            # a server joins
            await play.servers[NEWCOMER].start()
            text = await client.reconfigure(joining=play.line(NEWCOMER))
            assert f"server.{NEWCOMER}=" in text
            await play.wait_same(text, java=leader)
            assert await wait_leader(clients, (*JAVA, NEWCOMER)) == leader
            # one that does not lead leaves
            leaver = next(sid for sid in JAVA if sid != leader)
            text = await client.reconfigure(leaving=str(leaver))
            assert f"server.{leaver}=" not in text
            await play.wait_same(text, java=leader)
            # ports change: of a Java server, and of ours, which listens elsewhere from then on
            mover = next(sid for sid in JAVA if sid not in (leader, leaver))
            ports = free_ports(2)
            for sid, port in zip((mover, VOTER), ports, strict=True):
                text = await client.reconfigure(joining=play.line(sid, election=port))
                await play.wait_same(text, java=leader)
            await (await trio.open_tcp_stream("127.0.0.1", ports[1])).aclose()
            with pytest.raises(OSError, match="all attempts to connect"):
                await trio.open_tcp_stream("127.0.0.1", play.plan.ports[VOTER][1])
            assert (await srvr(clients[OBSERVER]))["Mode"] == "observer"
            (port,) = free_ports(1)
            text = await client.reconfigure(joining=play.line(OBSERVER, client=port))
            await play.wait_same(text, java=leader)
            while (await srvr(port)).get("Mode") != "observer":  # noqa: ASYNC110
                await trio.sleep(0.05)
            assert await srvr(clients[OBSERVER]) == {}
            # roles change
            text = await client.reconfigure(joining=play.line(OBSERVER, role="participant"))
            await play.wait_same(text, java=leader)
            text = await client.reconfigure(joining=play.line(VOTER, role="observer", election=ports[1]))
            await play.wait_same(text, java=leader)
        await play.servers[OBSERVER].wait_role(("FOLLOWING", leader))
        await play.servers[VOTER].wait_role(("OBSERVING", leader))

        # and who has left comes back; the next leader is elected under what all of that has come to
        async with open_client(*(clients[sid] for sid in (leader, mover, NEWCOMER))) as client:
            text = await client.reconfigure(joining=play.line(leaver))
            await play.wait_same(text, java=leader)
            assert await wait_leader(clients, (*JAVA, NEWCOMER)) == leader
        await play.servers[leader].kill()
        after = await wait_leader(clients, {leaver, mover, NEWCOMER})
        await play.servers[OBSERVER].wait_role(("FOLLOWING", after))
        await play.servers[VOTER].wait_role(("OBSERVING", after))


async def config_of(client: Client) -> str:
    """The configuration as a client reads it."""
    path = "/zookeeper/config"
    return (await client.get(path))[path].decode()
