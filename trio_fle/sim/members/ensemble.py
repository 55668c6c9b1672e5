"""Whole members on a virtual network and virtual disks, under virtual time."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import structlog
import trio
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from trio_fle.config import MemberConfig, TransportOptions
from trio_fle.election.events import Decided
from trio_fle.election.options import ElectionOptions
from trio_fle.ensemble import Ensemble, build_ensemble
from trio_fle.member import Member, Term, open_member
from trio_fle.sim.conditions import Latency
from trio_fle.sim.members.disk import AT_ONCE, VirtualConfigFiles, VirtualDisk
from trio_fle.sim.members.network import VirtualNetwork, host_of
from trio_fle.sim.members.oracle import VirtualOracle
from trio_fle.sim.members.scheduling import Standstill
from trio_fle.storage import StoredVote

LONGEST_UPTIME_S: Final = 1e6

LogLine = dict[str, Any]
Heard = Callable[[int, LogLine], None]


def ensemble_of(roles: Mapping[int, str], *, oracle: bool = False) -> Ensemble:
    """Return the configuration of servers with these roles, each on its host."""
    return build_ensemble(
        {f"server.{sid}": f"{host_of(sid)}:2888:3888:{role}" for sid, role in roles.items()},
        0,
        oracle=oracle,
    )


def captured_log(
    hear: Callable[[LogLine], None] = lambda line: None, *, level: int = 0
) -> tuple[FilteringBoundLogger, list[LogLine]]:
    """Return a logger from ``level`` on and the list of its events; ``hear`` is told of each."""
    events: list[LogLine] = []

    def keep(_logger: WrappedLogger, level: str, event: EventDict) -> EventDict:
        events.append({"level": level, **event})
        hear(events[-1])
        raise structlog.DropEvent

    logger: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(),
        processors=[keep],
        wrapper_class=structlog.make_filtering_bound_logger(level),
    ).bind()
    return logger, events


@attrs.define(eq=False)
class VirtualMember:
    """One member, its log, and what ended it."""

    sid: int
    ensemble: Ensemble
    net: VirtualNetwork
    options: ElectionOptions = attrs.field(factory=ElectionOptions)
    storage: VirtualDisk = attrs.field(factory=VirtualDisk)
    files: VirtualConfigFiles = attrs.field(factory=VirtualConfigFiles, kw_only=True)
    """zoo.cfg and the dynamic file; what they hold stands above ``ensemble``."""
    clock_rate: float = 1.0
    """How fast the lease clock of this member goes."""
    guarded: Callable[[int, Term], Awaitable[None]] | None = None
    """What runs in each term of this member."""
    init_limit: int = 10
    sync_limit: int = 5
    tick_ms: int = 500
    hear: Heard = lambda sid, line: None
    """Is told of each line of its log."""
    log_level: int = 0
    oracle: VirtualOracle | None = None
    """What ``oraclePath`` names."""
    clock_stands_at: float | None = None
    """Where the lease clock stands still, as it must not."""
    clock_began: float = attrs.field(default=0.0, init=False)
    """When it was 0: clocks of two machines have nothing in common, and a reboot begins anew."""
    root: trio.lowlevel.Task | None = attrs.field(default=None, init=False)
    """The task under which all others of this member are."""
    events: list[LogLine] = attrs.field(init=False)
    scope: trio.CancelScope = attrs.field(init=False)
    member: Member = attrs.field(init=False)
    stop: trio.Event = attrs.field(factory=trio.Event, init=False)
    ended: trio.Event = attrs.field(factory=trio.Event, init=False)
    crashed: bool = attrs.field(default=False, init=False)

    @property
    def config(self) -> MemberConfig:
        """What it was configured to be."""
        ensemble = self.files.committed or self.ensemble
        pending = self.files.pending
        return MemberConfig(
            path=Path("zoo.cfg"),
            myid=self.sid,
            data_dir=Path("data"),
            data_log_dir=Path("data"),
            tick_time_ms=self.tick_ms,
            init_limit=self.init_limit,
            sync_limit=self.sync_limit,
            ensemble=ensemble,
            seen=pending if pending is not None and pending.version > ensemble.version else ensemble,
            learner_type=ensemble.servers[self.sid].role,
            election=self.options,
            transport=TransportOptions(),
            oracle_path=None if self.oracle is None else Path("oracle"),
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Live until stopped, killed or crashed; started once it listens."""
        log, self.events = captured_log(self._hear, level=self.log_level)
        self.root = trio.lowlevel.current_task()
        try:
            with trio.CancelScope() as self.scope:
                await self._run(log, task_status)
        finally:
            self.ended.set()

    async def _run(self, log: FilteringBoundLogger, task_status: trio.TaskStatus[None]) -> None:
        host = self.net.host(host_of(self.sid))
        async with open_member(
            self.config,
            transport=host,
            storage=self.storage,
            files=self.files,
            log=log,
            clock=self.clock,
            oracle=self.oracle,
        ) as self.member:
            self.member.rng.seed(self.net.rng.random())
            task_status.started()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._guard)
                await self.stop.wait()
                nursery.cancel_scope.cancel()

    async def _guard(self) -> None:
        async for term in self.member.terms():
            async with term:
                if self.guarded is not None:
                    await self.guarded(self.sid, term)

    def _hear(self, line: LogLine) -> None:
        if not self.crashed:
            self.hear(self.sid, line)

    def clock(self) -> float:
        """Return the time of its lease clock."""
        if self.clock_stands_at is not None:
            return self.clock_stands_at
        return (trio.current_time() - self.clock_began) * self.clock_rate

    async def decision(self) -> None:
        """Wait for the next outcome of an election, which its member can't have acted on yet."""
        election, decided = self.member.election, trio.Event()
        send = election.decided

        def tell(decision: Decided) -> None:
            send(decision)
            decided.set()

        election.decided = tell
        await decided.wait()

    def kill(self) -> None:
        """Cancel it, wherever it is."""
        self.scope.cancel()

    @property
    def is_open(self) -> bool:
        """Whether it has read its disk, and is a member."""
        return hasattr(self, "member")

    def leads(self) -> bool:
        """Whether it would answer so at this moment."""
        return self.is_open and self.member.status.leads(self.clock())

    def named(self, event: str) -> list[LogLine]:
        """Return the lines of its log that tell of ``event``."""
        return [each for each in self.events if each["event"] == event]

    def role(self) -> tuple[str, int | None]:
        """Return the state and the leader that its log told last."""
        states = self.named("member.state")
        return (states[-1]["to"], states[-1]["leader"]) if states else ("LOOKING", None)


@attrs.define(eq=False)
class VirtualEnsemble:
    """Members by id, started and ended one by one."""

    nursery: trio.Nursery
    roles: Mapping[int, str]
    options: ElectionOptions = attrs.field(factory=ElectionOptions)
    """Of whoever is started from now on, but those that ``own_options`` names."""
    net: VirtualNetwork = attrs.field(factory=VirtualNetwork)
    running: dict[int, VirtualMember] = attrs.field(factory=dict)
    storages: dict[int, VirtualDisk] = attrs.field(factory=dict)
    """What each member has on its disk; it outlives the member."""
    files: dict[int, VirtualConfigFiles] = attrs.field(factory=dict)
    """What each has of a configuration that changed."""
    clock_rates: Mapping[int, float] = attrs.field(factory=dict)
    guarded: Callable[[int, Term], Awaitable[None]] | None = None
    init_limit: int = 10
    sync_limit: int = 5
    tick_ms: int = 500
    write_s: Latency = AT_ONCE
    """How long a disk needs to make a write durable."""
    hear: Heard = lambda sid, line: None
    """Is told of each line of each log."""
    log_level: int = 0
    clocks_differ: bool = False
    """Whether lease clocks have nothing in common; else all were 0 at the same moment."""
    own_options: Mapping[int, ElectionOptions] = attrs.field(factory=dict)
    oracles: Mapping[int, VirtualOracle] = attrs.field(factory=dict)
    """Of whoever has one; then all have ``oraclePath``."""
    machines: Standstill = attrs.field(factory=Standstill, init=False)
    """Must be installed for whoever is to hang, sleep or crash."""
    _former: dict[int, VirtualMember] = attrs.field(factory=dict, init=False)
    _booted: dict[int, float] = attrs.field(factory=dict, init=False)
    _starting: set[int] = attrs.field(factory=set, init=False)

    async def start(self, *sids: int, zxid: int = 0, epoch: int = 0) -> None:
        """Start some or all, once those before them have ended, on a history where they have no disk yet."""
        for sid in sids or tuple(self.roles):
            if sid in self._starting:
                continue
            self._starting.add(sid)
            try:
                await self._start(sid, zxid, epoch)
            finally:
                self._starting.discard(sid)

    async def _start(self, sid: int, zxid: int, epoch: int) -> None:
        former = self._former.get(sid)
        if former is not None and not former.crashed:
            await former.ended.wait()
        fresh = VirtualDisk(StoredVote(zxid, epoch, epoch), self.write_s, self.net.rng)
        storage = self.storages.setdefault(sid, fresh)
        member = self._member(sid, storage)
        if self.clocks_differ:
            earlier_s = self.net.rng.uniform(0, LONGEST_UPTIME_S)
            member.clock_began = self._booted.setdefault(sid, trio.current_time() - earlier_s)
        self.running[sid] = self._former[sid] = member
        await self.nursery.start(member.run)

    def _member(self, sid: int, storage: VirtualDisk) -> VirtualMember:
        return VirtualMember(
            sid,
            ensemble_of(self.roles, oracle=bool(self.oracles)),
            self.net,
            self.own_options.get(sid, self.options),
            storage,
            self.clock_rates.get(sid, 1.0),
            self.guarded,
            self.init_limit,
            self.sync_limit,
            self.tick_ms,
            self.hear,
            self.log_level,
            self.oracles.get(sid),
            files=self.files.setdefault(sid, VirtualConfigFiles()),
        )

    def kill(self, sid: int) -> None:
        """Cancel one: it closes what it has open, and does nothing more."""
        self.running.pop(sid).kill()

    def crash(self, sid: int, *, power: bool = False) -> None:
        """End one between two of its steps: not even its clean-up runs. With ``power`` its machine ends.

        The kernel of a killed process closes its connections; after a power loss nobody hears of it until the
        machine is back.
        """
        root = self._root(sid)
        member = self.running.pop(sid)
        member.crashed = True
        self.machines.hang(root)
        member.storage.crash(power=power)
        if power:
            self._booted.pop(sid, None)
            self.net.lose(host_of(sid))
            self.net.put_to_sleep(host_of(sid))
        else:
            self.net.kill(host_of(sid))

    def hang(self, sid: int) -> None:
        """Let its process run no more, for now; its kernel goes on."""
        self.machines.hang(self._root(sid))

    def suspend(self, sid: int) -> None:
        """Let its machine sleep, for now."""
        self.net.put_to_sleep(host_of(sid))
        self.machines.sleep(self._root(sid))

    def go_on(self, sid: int) -> None:
        """Let it go on where it stood still."""
        if self.machines.holds(root := self._root(sid)):
            self.machines.go_on(root)
            self.net.wake(host_of(sid))

    def stand_still(self) -> list[int]:
        """Return who hangs or sleeps."""
        return [sid for sid, member in self.running.items() if self.machines.holds(member.root)]

    def _root(self, sid: int) -> trio.lowlevel.Task:
        root = self.running[sid].root
        assert root is not None
        return root

    async def stop(self, sid: int) -> None:
        """Stop one in good order, and wait until that is done."""
        member = self.running.pop(sid)
        member.stop.set()
        await member.ended.wait()

    def alive(self) -> dict[int, VirtualMember]:
        """Return all that have not ended, also those that are about to stop."""
        return {
            sid: member
            for sid, member in self._former.items()
            if not (member.crashed or member.ended.is_set())
        }

    def roles_now(self) -> dict[int, tuple[str, int | None]]:
        """Return what each says of itself."""
        return {sid: member.role() for sid, member in self.running.items()}

    def leader(self) -> int:
        """Return the one leader, whom all others follow or observe."""
        roles = self.roles_now()
        leader = max((sid for sid, role in roles.items() if role == ("LEADING", sid)), default=0)
        expected = {
            sid: (
                "LEADING" if sid == leader else "OBSERVING" if self.roles[sid] == "observer" else "FOLLOWING",
                leader,
            )
            for sid in roles
        }
        assert roles == expected
        return leader
