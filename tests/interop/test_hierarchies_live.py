"""Nine servers in three groups, as real processes: a leader exactly where a quorum runs."""

from itertools import count
from pathlib import Path

import pytest
import trio
from processes import Plan, Server, open_servers, story

from trio_fle.config import TransportOptions
from trio_fle.ensemble import HostPort, build_ensemble
from trio_fle.errors import PeerError
from trio_fle.peers.ask import ask
from trio_fle.peers.transport import TcpTransport
from trio_fle.quorum import QuorumVerifier
from trio_fle.vote import PeerState

pytestmark = [pytest.mark.interop, pytest.mark.beside]

NINE = dict.fromkeys(range(1, 10), "participant")
WEIGHTLESS = 9
"""It has the highest id; a Java server votes for itself all the same."""
NO_LEADER_S = 4.0
"""More than an election takes (0.3 s), and the resend before it (0.2, 0.4, ... s)."""
_askers = count(1)

Said = dict[int, tuple[PeerState | None, int]]


def verifier_of(grouped: tuple[str, ...]) -> QuorumVerifier:
    lines = {f"server.{sid}": f"h:{sid}:{9 + sid}" for sid in NINE}
    return build_ensemble(lines | dict(line.split("=") for line in grouped), version=0).verifier


def running(servers: list[Server]) -> list[Server]:
    return [server for server in servers if server.process is not None]


async def answers(plan: Plan, servers: list[Server]) -> Said:
    """Ask all that run, at the same time and as a stranger; who does not answer is left out."""
    said: Said = {}

    async def note(server: Server) -> None:
        address = HostPort("127.0.0.1", plan.ports[server.sid][1])
        with trio.move_on_after(2):
            try:
                answer = await ask(TcpTransport(TransportOptions()), (address,), next(_askers), address)
            except PeerError:
                return
            said[server.sid] = answer.state, answer.vote.leader

    async with trio.open_nursery() as nursery:
        for server in running(servers):
            nursery.start_soon(note, server)
    return said


def is_established(server: Server, leader: int) -> bool:
    """Whether a server leads, or follows and is synchronized, or (of ours) follows by its vote alone."""
    changes = [line for line in server.lines if "Peer state changed: " in line]
    if changes:
        return " - broadcast" in changes[-1]
    unsynced = server.events("following.unsynced")
    return server.established() == leader or bool(unsynced and unsynced[-1]["leader"] == leader)


async def wait_leader(plan: Plan, servers: list[Server], verifier: QuorumVerifier) -> int:
    """Wait until one server says that it leads, and all others that they follow it."""
    sids = {server.sid for server in running(servers)}
    assert verifier.contains_quorum(sids)
    while True:
        said = await answers(plan, servers)
        for leader in sids:
            agreed = dict.fromkeys(sids, (PeerState.FOLLOWING, leader)) | {
                leader: (PeerState.LEADING, leader)
            }
            if said == agreed and all(is_established(server, leader) for server in running(servers)):
                return leader
        await trio.sleep(0.2)


async def see_no_leader(plan: Plan, servers: list[Server], verifier: QuorumVerifier) -> None:
    """Wait until all look for a leader, and see that they find none for a while."""
    assert not verifier.contains_quorum({server.sid for server in running(servers)})

    async def states() -> set[PeerState | None]:
        return {state for state, _ in (await answers(plan, servers)).values()}

    while await states() != {PeerState.LOOKING}:  # noqa: ASYNC110
        await trio.sleep(0.2)
    with trio.move_on_after(NO_LEADER_S):
        while True:
            assert await states() <= {PeerState.LOOKING}
            await trio.sleep(0.2)


GROUPS = ("group.1=1:2:3", "group.2=4:5:6", "group.3=7:8:9", "weight.9=0")


async def test_nine_of_ours(tmp_path: Path) -> None:
    """Any two win group 1, 4 and any other win group 2, 7 alone wins group 3."""
    grouped = (*GROUPS, "weight.4=2", "weight.7=2")
    verifier = verifier_of(grouped)
    with trio.fail_after(60):
        async with open_servers() as (nursery, servers):
            plan = Plan(tmp_path, NINE)
            ours = {sid: plan.ours(sid, nursery, *grouped) for sid in NINE}
            servers += ours.values()
            with story(servers):
                for server in servers:
                    await server.start()
                assert await wait_leader(plan, servers, verifier) != WEIGHTLESS
                for sid in (3, 8, 7):
                    await ours[sid].kill()
                assert await wait_leader(plan, servers, verifier) in ours.keys() - {3, 7, 8, 9}
                await ours[2].kill()
                await see_no_leader(plan, servers, verifier)
                await ours[7].start()
                assert await wait_leader(plan, servers, verifier) in {6, 7}
                await ours[4].kill()
                await see_no_leader(plan, servers, verifier)
                await ours[2].start()
                assert await wait_leader(plan, servers, verifier) == 7
                for member in servers:
                    decided = {each["leader"] for each in member.events("election.decided")}
                    assert WEIGHTLESS not in decided


@pytest.mark.java
async def test_four_java_servers_and_five_of_ours(tmp_path: Path) -> None:
    """Java servers lead, and hold the majority of each group: ours acknowledge no data."""
    grouped = (*GROUPS, "weight.1=3", "weight.4=3", "weight.7=3")
    verifier = verifier_of(grouped)
    with trio.fail_after(90):
        async with open_servers() as (nursery, servers):
            plan = Plan(tmp_path, NINE)
            # one that votes for itself hears of a leader when it repeats that
            quick = "fastleader.maxNotificationInterval=1000"
            java = {sid: plan.java(sid, nursery, quick, *grouped) for sid in (1, 4, 7, WEIGHTLESS)}
            ours = {sid: plan.ours(sid, nursery, "fle.candidate=false", *grouped) for sid in (2, 3, 5, 6, 8)}
            servers += [*java.values(), *ours.values()]
            with story(servers):
                for server in servers:
                    await server.start()
                assert await wait_leader(plan, servers, verifier) in {1, 4, 7}
                for gone in (ours[3], ours[8], java[7]):
                    await gone.kill()
                assert await wait_leader(plan, servers, verifier) in {1, 4}
                await java[1].kill()
                await see_no_leader(plan, servers, verifier)
                await java[7].start()
                assert await wait_leader(plan, servers, verifier) in {4, 7}
                await java[4].kill()
                await see_no_leader(plan, servers, verifier)
                await java[1].start()
                assert await wait_leader(plan, servers, verifier) == 7
                for member in ours.values():
                    assert {each["leader"] for each in member.events("election.decided")} <= {1, 4, 7}
                assert not [line for line in java[WEIGHTLESS].lines if "LEADING - LEADER ELECTION" in line]
