"""Whole members on a memory network, under virtual time."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import trio
from captured_log import captured_log
from memory_net import MemoryNet
from memory_storage import MemoryStorage

from trio_fle.config import MemberConfig, TransportOptions
from trio_fle.election.events import Decided
from trio_fle.election.options import ElectionOptions
from trio_fle.ensemble import Ensemble, build_ensemble
from trio_fle.member import Member, Term, open_member
from trio_fle.storage import StoredVote


def ensemble_of(roles: Mapping[int, str]) -> Ensemble:
    return build_ensemble(
        {f"server.{sid}": f"192.0.2.{sid}:2888:3888:{role}" for sid, role in roles.items()}, 0
    )


@attrs.define(eq=False)
class VirtualMember:
    """One member, its log, and what ended it."""

    sid: int
    ensemble: Ensemble
    net: MemoryNet
    options: ElectionOptions = attrs.field(factory=ElectionOptions)
    storage: MemoryStorage = attrs.field(factory=MemoryStorage)
    clock_rate: float = 1.0
    """How fast the lease clock of this member goes."""
    guarded: Callable[[int, Term], Awaitable[None]] | None = None
    """What runs in each term of this member."""
    init_limit: int = 10
    sync_limit: int = 5
    clock_stands_at: float | None = None
    """Where the lease clock stands still, as it must not."""
    root: trio.lowlevel.Task | None = attrs.field(default=None, init=False)
    """The task under which all others of this member are."""
    events: list[dict[str, Any]] = attrs.field(init=False)
    scope: trio.CancelScope = attrs.field(init=False)
    member: Member = attrs.field(init=False)
    stop: trio.Event = attrs.field(factory=trio.Event, init=False)
    ended: trio.Event = attrs.field(factory=trio.Event, init=False)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        log, self.events = captured_log()
        self.root = trio.lowlevel.current_task()
        config = MemberConfig(
            path=Path("zoo.cfg"),
            myid=self.sid,
            data_dir=Path("data"),
            data_log_dir=Path("data"),
            tick_time_ms=500,
            init_limit=self.init_limit,
            sync_limit=self.sync_limit,
            ensemble=self.ensemble,
            learner_type=self.ensemble.servers[self.sid].role,
            election=self.options,
            transport=TransportOptions(),
        )

        try:
            with trio.CancelScope() as self.scope:
                await self._run(config, log, task_status)
        finally:
            self.ended.set()

    async def _run(self, config: MemberConfig, log: Any, task_status: trio.TaskStatus[None]) -> None:
        host = self.net.host(f"192.0.2.{self.sid}")
        async with open_member(
            config, transport=host, storage=self.storage, log=log, clock=self.clock
        ) as self.member:
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

    def clock(self) -> float:
        return trio.current_time() * self.clock_rate if self.clock_stands_at is None else self.clock_stands_at

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
        self.scope.cancel()

    def leads(self) -> bool:
        """Whether it would answer so at this moment."""
        return hasattr(self, "member") and self.member.status.leads(self.clock())

    def named(self, event: str) -> list[dict[str, Any]]:
        return [each for each in self.events if each["event"] == event]

    def role(self) -> tuple[str, int | None]:
        states = self.named("member.state")
        return (states[-1]["to"], states[-1]["leader"]) if states else ("LOOKING", None)


@attrs.define(eq=False)
class VirtualEnsemble:
    """Members by id, started and killed one by one."""

    nursery: trio.Nursery
    roles: Mapping[int, str]
    options: ElectionOptions = attrs.field(factory=ElectionOptions)
    net: MemoryNet = attrs.field(factory=MemoryNet)
    running: dict[int, VirtualMember] = attrs.field(factory=dict)
    storages: dict[int, MemoryStorage] = attrs.field(factory=dict)
    """What each member has on its disk; it outlives the member."""
    clock_rates: Mapping[int, float] = attrs.field(factory=dict)
    guarded: Callable[[int, Term], Awaitable[None]] | None = None
    init_limit: int = 10
    sync_limit: int = 5
    _former: dict[int, VirtualMember] = attrs.field(factory=dict, init=False)

    async def start(self, *sids: int, zxid: int = 0, epoch: int = 0) -> None:
        for sid in sids or tuple(self.roles):
            if (former := self._former.get(sid)) is not None:
                await former.ended.wait()
            fresh = MemoryStorage(StoredVote(zxid, epoch, epoch))
            storage = self.storages.setdefault(sid, fresh)
            rate = self.clock_rates.get(sid, 1.0)
            member = VirtualMember(
                sid,
                ensemble_of(self.roles),
                self.net,
                self.options,
                storage,
                rate,
                self.guarded,
                self.init_limit,
                self.sync_limit,
            )
            self.running[sid] = self._former[sid] = member
            await self.nursery.start(member.run)

    def kill(self, sid: int) -> None:
        self.running.pop(sid).kill()

    async def stop(self, sid: int) -> None:
        """Stop one in good order, and wait until that is done."""
        member = self.running.pop(sid)
        member.stop.set()
        await member.ended.wait()

    def roles_now(self) -> dict[int, tuple[str, int | None]]:
        return {sid: member.role() for sid, member in self.running.items()}

    def leader(self) -> int:
        """The one leader, whom all others follow or observe."""
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
