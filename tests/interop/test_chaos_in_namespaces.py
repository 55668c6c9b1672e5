"""Members and Java servers on hosts of their own, whose network is cut, loses, delays and resets."""

import random
import re
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio
from chaos import History
from namespaces import Network, Way, both_ways, network
from processes import Plan, Server, open_servers, story
from test_ensembles_of_ours import agreed

from trio_fle.quorum import Majority
from trio_fle.sim.invariants import Checker

pytestmark = [pytest.mark.interop, pytest.mark.root]

TICK_MS = 100
BOUND_S = 12.0
"""A dial that was dropped is repeated by the kernel after 1, 2 and 4 s, and given up after 5; the next one
comes within 5 s. Then there is an election."""

ON_THE_NETWORK = (
    "one way", "two parts", "leader alone", "leader dumb", "leader deaf", "bridge", "ring",
    "loss", "delay", "reset",
)  # fmt: skip
ON_PROCESSES = ("SIGKILL", "SIGTERM", "SIGSTOP")


@asynccontextmanager
async def hosts(size: int, directory: Path, *, tick_ms: int) -> AsyncIterator[tuple[Network, Plan]]:
    """A network of ``size`` hosts, and a plan for a voter on each."""
    with network(size) as net:
        roles = dict.fromkeys(net.hosts, "participant")
        addresses = {sid: net.address(sid) for sid in net.hosts}
        yield net, Plan(directory, roles, tick_ms, addresses, net.within)


@attrs.define(eq=False)
class Storm:
    """What happens to an ensemble, drawn from a seed."""

    rng: random.Random
    net: Network
    servers: list[Server]
    history: History

    def leader(self) -> Server:
        """Whoever leads; any, where nobody does."""
        leading = [server for server in self.servers if server.established() == server.sid]
        return leading[0] if leading else self.rng.choice(self.servers)

    async def rage(self) -> None:
        """Let each fault happen once, and something to a process in the middle of every other one."""
        faults = self.rng.sample(ON_THE_NETWORK, len(ON_THE_NETWORK))
        blows = self.rng.sample(ON_PROCESSES * 2, 6)
        for number, fault in enumerate(faults):
            print(f"{time.time():.3f} {fault}")
            self.happen(fault)
            await trio.sleep(self.rng.uniform(0.3, 1.0))
            if number % 2 == 0:
                await self.strike(blows.pop())
            self.net.heal()
            await trio.sleep(self.rng.uniform(0, 0.6))
        await self.strike(blows.pop())

    def happen(self, fault: str) -> None:
        """Let something happen to the network."""
        led = self.leader().sid
        match fault:
            case "loss":
                self.net.lose(self.rng.uniform(0.05, 0.2))
            case "delay":
                self.net.delay(0.02, 0.01)
            case "reset":
                for other in set(self.net.hosts) - {led}:
                    self.net.reset(*self.rng.sample([led, other], 2))
            case _:
                self.net.cut(self.ways(fault, led))

    def ways(self, fault: str, led: int) -> set[Way]:
        """Between whom nothing passes."""
        mixed = self.rng.sample(self.net.hosts, self.net.size)
        others = [sid for sid in mixed if sid != led]
        half = len(mixed) // 2
        match fault:
            case "one way":
                return {(mixed[0], mixed[1]), (mixed[1], mixed[2])}
            case "two parts":
                return both_ways(mixed[:half], mixed[half:])
            case "leader alone":
                return both_ways([led], others)
            case "leader dumb":
                return {(led, other) for other in others}
            case "leader deaf":
                return {(other, led) for other in others}
            case "bridge":  # both halves reach one, and not each other
                return both_ways(mixed[:half], mixed[half + 1 :])
            case "ring":  # of three, each hears one; of five, each has two neighbours: five majorities
                heard = {*zip(mixed, mixed[1:] + mixed[:1], strict=True)}
                if len(mixed) > 3:
                    heard |= {(b, a) for a, b in heard}
                return both_ways(mixed, mixed) - heard
        raise ValueError(fault)

    async def strike(self, blow: str) -> None:
        """Let something happen to the process of one member, the leader more often, and undo it."""
        server = self.leader() if self.rng.random() < 0.6 else self.rng.choice(self.servers)
        print(f"{time.time():.3f} {blow} {server.sid}")
        assert server.process is not None
        if blow == "SIGSTOP":
            server.process.send_signal(signal.SIGSTOP)
            await trio.sleep(self.rng.choice([0.1, 0.8]))
            server.process.send_signal(signal.SIGCONT)
            return
        with trio.fail_after(10):
            code = await server.end(signal.Signals[blow])
        assert code == (0 if blow == "SIGTERM" else -signal.SIGKILL)
        self.history.keep(server)
        await trio.sleep(self.rng.choice([0, 0.4]))
        await server.start()


async def lasting(servers: list[Server]) -> None:
    """Wait until all follow one leader, and still do once all that was under way has come."""
    while True:
        leader = await agreed(servers)
        await trio.sleep(2 * 5 * TICK_MS / 1000)
        if await agreed(servers) is leader:
            return


@pytest.mark.beside
@pytest.mark.parametrize("size", [3, 5])
async def test_in_a_storm_one_leads_at_a_time_and_after_it_one_whom_all_follow(
    size: int, tmp_path: Path
) -> None:
    is_quorum = Majority(frozenset(range(1, size + 1))).contains_quorum
    with trio.fail_after(120):
        async with (
            hosts(size, tmp_path, tick_ms=TICK_MS) as (net, plan),
            open_servers() as (nursery, servers),
        ):
            servers += [plan.ours(sid, nursery) for sid in plan.roles]
            history = History(servers)
            with story(servers):
                for server in servers:
                    await server.start()
                with trio.fail_after(30):
                    await agreed(servers)
                await Storm(random.Random(size), net, servers, history).rage()
                calm_at = time.time()
                with trio.move_on_after(BOUND_S):
                    await lasting(servers)
                print(f"all agree {time.time() - calm_at:.3f} s after the storm")
                for server in servers:
                    history.keep(server)
                checker = history.check(is_quorum)
                checker.led_by(calm_at + BOUND_S, BOUND_S, {server.established() for server in servers})
    print(f"{len(checker.leaders)} leaders, {checker.decisions} decisions")
    assert len(checker.leaders) > 2, "leaders were struck"
    assert checker.decisions > 4 * size


HAS_A_QUORUM = re.compile(r"Have quorum of supporters.*last processed zxid: 0x([0-9a-f]+)00000000")
JAVA_TICK_MS = 200
JAVA_BOUND_S = 25.0


def java_state(server: Server) -> str:
    """What a Java server said last of its state."""
    said = (
        line.rpartition("changed: ")[2] for line in reversed(server.lines) if "Peer state changed" in line
    )
    return next(said, "looking")


def java_leaders(java: list[Server]) -> list[Server]:
    return [server for server in java if java_state(server) == "leading - broadcast"]


async def whole(java: list[Server], member: Server) -> Server:
    """Wait until one Java server leads and all others follow it."""
    with trio.fail_after(JAVA_BOUND_S):
        while True:
            states = sorted(map(java_state, java))
            if states == ["following - broadcast"] * (len(java) - 1) + ["leading - broadcast"]:
                (leader,) = java_leaders(java)
                if member.role() == ("FOLLOWING", leader.sid):
                    return leader
            await trio.sleep(0.02)


async def led_by_another(before: Server, java: list[Server], member: Server) -> None:
    """Wait until one Java server leads and no other, not the one before, and the member follows it."""
    with trio.fail_after(JAVA_BOUND_S):
        while True:
            leaders = java_leaders(java)
            if len(leaders) == 1 and before not in leaders and member.role() == ("FOLLOWING", leaders[0].sid):
                return
            await trio.sleep(0.02)


@attrs.define(eq=False)
class JavaLeaders:
    """Tells the simulator's checker of the epochs that Java servers were established in, as they are."""

    java: list[Server]
    checker: Checker
    at_once_s: float = 0.0
    """The longest that two of them led at the same time."""

    async def watch(self) -> None:
        read = {server.sid: 0 for server in self.java}
        single_at = time.monotonic()
        while True:
            if len(java_leaders(self.java)) < 2:
                single_at = time.monotonic()
            self.at_once_s = max(self.at_once_s, time.monotonic() - single_at)
            for server in self.java:
                new = server.lines[read[server.sid] :]
                read[server.sid] += len(new)
                for match in filter(None, map(HAS_A_QUORUM.search, new)):
                    self.checker.established(time.time(), server.sid, int(match[1], 16))
            await trio.sleep(0.01)


@pytest.mark.java
async def test_with_java_servers_one_leads_on_the_side_of_the_quorum_and_all_agree_again(
    tmp_path: Path,
) -> None:
    """Four of them, since a quorum has to hold what their leader holds, and a member of ours votes only.

    A Java leader has no lease: for a moment after its successor has begun it may not know of it.
    """
    checker = Checker(Majority(frozenset(range(1, 6))).contains_quorum)
    with trio.fail_after(120):
        async with (
            hosts(5, tmp_path, tick_ms=JAVA_TICK_MS) as (net, plan),
            open_servers() as (nursery, servers),
        ):
            member = plan.ours(3, nursery, "fle.candidate=false")
            java = [plan.java(sid, nursery) for sid in (1, 2, 4, 5)]
            servers += [member, *java]
            with story(servers):
                for server in servers:
                    await server.start()
                watching = JavaLeaders(java, checker)
                nursery.start_soon(watching.watch)
                leader = await whole(java, member)

                # alone, or heard by nobody, it is replaced
                for fault in ("alone", "dumb"):
                    others = [sid for sid in net.hosts if sid != leader.sid]
                    ways = both_ways([leader.sid], others)
                    net.cut(ways if fault == "alone" else {way for way in ways if way[0] == leader.sid})
                    await led_by_another(leader, java, member)
                    net.heal()
                    leader = await whole(java, member)
                    print(f"{time.time():.3f} {leader.sid} leads after {fault}")

                # one follower reaches all but the leader, which keeps its quorum and leads on
                epochs = dict(checker.leaders)
                cut_off = next(server for server in java if server is not leader)
                net.cut(both_ways([leader.sid], [cut_off.sid]))
                with trio.fail_after(JAVA_BOUND_S):
                    while java_state(cut_off).endswith("broadcast"):  # noqa: ASYNC110 (its log tells)
                        await trio.sleep(0.02)
                    await trio.sleep(1.0)
                assert java_leaders(java) == [leader]
                assert member.role() == ("FOLLOWING", leader.sid)
                net.heal()
                assert await whole(java, member) is leader
                assert checker.leaders == epochs
    print(f"two Java servers led at once for {watching.at_once_s:.3f} s at most")
    assert watching.at_once_s < 5 * JAVA_TICK_MS / 1000, "one that no quorum answers gives up by syncLimit"
    assert len(checker.leaders) >= 3
