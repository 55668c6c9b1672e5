"""How long an ensemble is without a leader, and what its election costs: whole members, one blow."""

import enum
import random
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import attrs
import trio
from trio.testing import wait_all_tasks_blocked

from trio_fle.election.options import ElectionOptions
from trio_fle.quorum import all_quorums
from trio_fle.sim.conditions import Conditions, Latency
from trio_fle.sim.cores.run import elect
from trio_fle.sim.cores.world import Settings
from trio_fle.sim.invariants import ENDS, Checker, ViolationError
from trio_fle.sim.members.disk import VirtualDisk
from trio_fle.sim.members.ensemble import LogLine, VirtualEnsemble, ensemble_of
from trio_fle.sim.members.network import VirtualNetwork
from trio_fle.sim.members.scheduling import run_virtually
from trio_fle.sim.members.watcher import Watcher

_INFO: Final = 20
STEADY_S: Final = 60.0
_LIMIT_S: Final = 600.0
"""Virtual time within which a leader has to be there."""


class Case(enum.Enum):
    """What an ensemble is without a leader for."""

    COLD_START = "cold-start"
    """All members start at once."""

    FAILOVER = "failover"
    """The leader's process is killed: its kernel says so."""

    SILENT = "silent"
    """The leader's machine says nothing any more."""

    RESIGN = "resign"
    """The leader is asked to resign."""

    STEADY = "steady"
    """Nothing at all, for a minute: what time-outs cost that are too short for the network."""


CORES_PLAY: Final = (Case.COLD_START, Case.FAILOVER)
"""What ``sample_cores`` knows."""


@attrs.frozen
class Host:
    """What a member's machine needs for its work; fitted to one machine (tests/README.md)."""

    work_s: float = 0.00016
    """To handle one segment that arrives."""

    write_s: Latency = attrs.field(factory=lambda: Latency(0.0005, 0.0002))
    """To make a record durable."""

    end_s: float = 0.0053
    """To end a killed process, and for all that a failover takes beside messages and writes."""

    apart_s: float = 0.018
    """Between the starts of the first and the last member, where one machine starts them all at once."""

    cores: int = 0
    """How many cores serve all members together; 0: each member has a machine of its own."""

    def slower(self, factor: float) -> "Host":
        """Return one that takes so many times as long for whatever it computes."""
        return attrs.evolve(self, work_s=self.work_s * factor, end_s=self.end_s * factor)


@attrs.frozen
class Setup:
    """What is measured."""

    members: int
    conditions: Conditions = attrs.field(factory=Conditions)
    tick_ms: int = 2000
    init_limit: int = 10
    sync_limit: int = 5
    options: ElectionOptions = attrs.field(factory=ElectionOptions)
    host: Host = attrs.field(factory=Host)


@attrs.frozen
class Sample:
    """One election: seconds without an established leader, and the messages and bytes sent meanwhile."""

    seconds: float
    messages: int
    sent_bytes: int


def sample(setup: Setup, case: Case, seed: int) -> Sample:
    """Let one ensemble live through ``case``. Raises ``ViolationError``."""
    return run_virtually(seed, _Measurement(setup, case, seed).run)


def sample_cores(setup: Setup, case: Case, seed: int) -> Sample:
    """Let the pure cores of an ensemble live through one of ``CORES_PLAY``: fast, without what is around."""
    host = setup.host
    settings = Settings(
        setup.tick_ms / 1000,
        setup.init_limit,
        setup.sync_limit,
        write_s=(host.write_s.mean_s - host.write_s.spread_s, host.write_s.mean_s + host.write_s.spread_s),
        hearing_s=host.work_s,
    )
    election = elect(
        setup.members,
        setup.conditions,
        seed,
        options=setup.options,
        settings=settings,
        failover=case is Case.FAILOVER,
    )
    seconds = election.established_s + (host.end_s if case is Case.FAILOVER else 0)
    return Sample(seconds, election.messages, election.bytes)


def quantile(values: Sequence[float], part: float) -> float:
    """Return the value below which ``part`` (0 to 1) of all lie."""
    if len(values) == 1:
        return values[0]
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return cuts[min(98, max(0, round(part * 100) - 1))]


@attrs.define(eq=False)
class _Measurement:
    setup: Setup
    case: Case
    seed: int
    rng: random.Random = attrs.field(init=False)
    watcher: Watcher = attrs.field(init=False)
    ensemble: VirtualEnsemble = attrs.field(init=False)
    established: trio.Event = attrs.field(factory=trio.Event, init=False)

    async def run(self) -> Sample:
        self.rng = random.Random(self.seed)
        roles = dict.fromkeys(range(1, self.setup.members + 1), "participant")
        verifier = ensemble_of(roles).verifier
        self.watcher = Watcher(Checker(lambda sids: all_quorums([verifier], sids)), trio.CancelScope())
        net = self._network()
        found: list[Sample] = []
        with self.watcher.scope:
            async with trio.open_nursery() as nursery:
                self.watcher.ensemble = self.ensemble = self._ensemble(nursery, roles, net)
                with self.watcher.installed(), self.ensemble.machines.installed():
                    try:
                        nursery.start_soon(net.run)
                        found.append(await self._measure())
                    finally:
                        self.ensemble.machines.all_go_on()
                        nursery.cancel_scope.cancel()
        if self.watcher.violation is not None:
            raise self.watcher.violation
        return found[0]

    def _network(self) -> VirtualNetwork:
        setup = self.setup
        return VirtualNetwork(
            setup.conditions,
            self.rng,
            setup.sync_limit * setup.tick_ms / 1000,
            setup.host.work_s,
            setup.host.cores,
            self.watcher.tap,
        )

    def _ensemble(self, nursery: trio.Nursery, roles: dict[int, str], net: VirtualNetwork) -> VirtualEnsemble:
        setup = self.setup
        return VirtualEnsemble(
            nursery,
            roles,
            setup.options,
            net,
            storages={sid: VirtualDisk(write_s=setup.host.write_s, rng=self.rng) for sid in roles},
            init_limit=setup.init_limit,
            sync_limit=setup.sync_limit,
            tick_ms=setup.tick_ms,
            hear=self._hear,
            log_level=_INFO,
        )

    def _hear(self, sid: int, line: LogLine) -> None:
        self.watcher.hear(sid, line)
        if line["event"] == "leading.established":
            self.established.set()

    async def _measure(self) -> Sample:
        if self.case is Case.COLD_START:
            return await self._time(partial(self.ensemble.start, await self._start_most()))
        await self.ensemble.start()
        await self._settle()
        if self.case is Case.STEADY:
            return await self._watch()
        while not self.watcher.leads:  # time-outs may be too short for it to stay
            await self._settle()
        leader = self.watcher.leads[0]
        blow: dict[Case, Callable[[], object]] = {
            Case.FAILOVER: lambda: self.ensemble.crash(leader),
            Case.SILENT: lambda: self.ensemble.crash(leader, power=True),
        }
        if self.case is Case.RESIGN:
            return await self._time(self.ensemble.running[leader].member.resign)

        async def strike() -> None:
            await trio.sleep(self.setup.host.end_s if self.case is Case.FAILOVER else 0)
            await wait_all_tasks_blocked()
            blow[self.case]()

        return await self._time(strike)

    def _object(self, what: str) -> None:
        self.watcher.object_to(ViolationError(ENDS, trio.current_time(), what))

    async def _start_most(self) -> int:
        """Start all but one, and return which; those with machines of their own start at the same time."""
        sids = self.rng.sample(range(1, self.setup.members + 1), self.setup.members)
        apart_s = self.setup.host.apart_s / len(sids[1:] or sids)
        for sid in sids[1:]:
            await self.ensemble.start(sid)
            if self.setup.host.cores:
                await trio.sleep(self.rng.uniform(0, 2 * apart_s))
        return sids[0]

    async def _settle(self) -> None:
        """Wait until all follow one leader, and for a moment more."""
        with trio.move_on_after(_LIMIT_S) as limit:
            while len(leaders := self.watcher.leaders()) != 1 or None in leaders:  # noqa: ASYNC110
                await trio.sleep(0.05)
        if limit.cancelled_caught:
            self._object(f"no leader that all follow within {_LIMIT_S:g} s")
        await trio.sleep(2 + self.rng.uniform(0, self.setup.tick_ms / 1000))

    async def _watch(self) -> Sample:
        watcher = self.watcher
        before, messages, sent_bytes = watcher.leaderless_s, watcher.packets, watcher.sent_bytes
        await trio.sleep(STEADY_S)
        return Sample(
            watcher.leaderless_s - before, watcher.packets - messages, watcher.sent_bytes - sent_bytes
        )

    async def _time(self, happen: Callable[[], object]) -> Sample:
        watcher = self.watcher
        began, messages, sent_bytes = trio.current_time(), watcher.packets, watcher.sent_bytes
        self.established = trio.Event()
        with trio.move_on_after(_LIMIT_S) as limit:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(happen)  # type: ignore[arg-type]
                await self.established.wait()
                nursery.cancel_scope.cancel()
        if limit.cancelled_caught:
            self._object(f"no leader within {_LIMIT_S:g} s")
            await trio.lowlevel.checkpoint()
        return Sample(
            trio.current_time() - began, watcher.packets - messages, watcher.sent_bytes - sent_bytes
        )
