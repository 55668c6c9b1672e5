"""Whoever watches an ensemble: two members never lead at the same time, nor do two bodies run."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import attrs
import trio

from trio_fle.member import Term
from trio_fle.sim.members.ensemble import VirtualEnsemble, VirtualMember
from trio_fle.sim.members.network import VirtualNetwork
from trio_fle.sim.members.oracle import VirtualOracle

TWO = dict.fromkeys((1, 2), "participant")
THREE = dict.fromkeys((1, 2, 3), "participant")
FIVE = dict.fromkeys((1, 2, 3, 4, 5), "participant")
STEP_S = 0.005
CALM = 15
"""Changes of state that a member may have within a second."""

MAX_TURNS = 20_000
"""Turns of the event loop at one moment of virtual time."""


def host(sid: int) -> str:
    return f"192.0.2.{sid}"


def isolate(net: VirtualNetwork, sid: int, roles: dict[int, str]) -> None:
    for other in roles.keys() - {sid}:
        separate(net, sid, other)


def separate(net: VirtualNetwork, one: int, another: int) -> None:
    net.cut(host(one), host(another))
    net.cut(host(another), host(one))


@attrs.define(eq=False)
class TimeStands(trio.abc.Instrument):
    """Ends what goes on for ever at one moment of virtual time."""

    scope: trio.CancelScope
    since: float = attrs.field(default=0.0, init=False)
    tripped: bool = attrs.field(default=False, init=False)
    _turns: int = attrs.field(default=0, init=False)

    def before_io_wait(self, timeout: float) -> None:
        now = trio.current_time()
        self._turns, self.since = (self._turns + 1, now) if now == self.since else (0, now)
        if self._turns > MAX_TURNS:
            self.tripped = True
            self.scope.cancel()


@attrs.define(eq=False)
class Witness:
    """Looks at all members every few milliseconds, and at each body that runs in a term."""

    cleanup_s: Callable[[], float] = lambda: 0.3
    """How long a body needs to clean up."""
    survives: bool = False
    """Whether it cleans up though its member's block was cancelled (no process was killed then)."""
    strict: bool = True
    """Whether a body must have ended before the next begins, also where that takes it longer than the lease
    lasts (else: only as long as the last lease that followers have granted)."""
    step_s: float = STEP_S
    ensemble: VirtualEnsemble = attrs.field(init=False)
    bodies: set[int] = attrs.field(factory=set)
    epochs: list[int] = attrs.field(factory=list)
    led: list[tuple[float, int]] = attrs.field(factory=list)
    """When the leader changed, and to whom."""
    _granted: dict[int, tuple[VirtualMember, float]] = attrs.field(factory=dict, init=False)
    """Until when followers have promised something to each member that has a body."""
    _helpless: set[int] = attrs.field(factory=set, init=False)
    """Whose bodies stood still when their lease was over: they can't have been ended before it."""
    _changes: dict[VirtualMember, int] = attrs.field(factory=dict, init=False)

    async def guarded(self, sid: int, term: Term) -> None:
        """A body that acts while its term is live, and needs a while to clean up."""
        self._note_leases()
        assert not self.bodies - self._helpless, f"{sid} begins while {self.bodies} still work"
        assert term.epoch > max(self.epochs, default=0), "a fencing token that was used before"
        self.epochs.append(term.epoch)
        self.bodies.add(sid)
        self._granted[sid] = self.ensemble.running[sid], term.lease_end
        try:
            while True:
                await trio.sleep(0.05)
                if term.live:
                    assert term.epoch == self.epochs[-1], f"{sid} acts after {self.epochs[-1]} began"
        finally:
            if self.survives or sid in self.ensemble.running:
                with trio.CancelScope(shield=True):
                    await trio.sleep(self.cleanup_s())
            self.bodies.discard(sid)
            self._helpless.discard(sid)

    async def watch(self) -> None:
        began = trio.current_time()
        while True:
            leading = [sid for sid, member in self.ensemble.running.items() if member.leads()]
            assert len(leading) <= 1, f"{leading} lead at {trio.current_time()}"
            if leading and (not self.led or self.led[-1][1] != leading[0]):
                self.led.append((trio.current_time(), leading[0]))
            self._note_leases()
            if trio.current_time() >= began + 1:
                began = trio.current_time()
                self._note_changes()
            await trio.sleep(self.step_s)

    def _note_leases(self) -> None:
        for sid in self.bodies:
            member, granted = self._granted[sid]
            if (leading := member.member._leading) is not None:
                granted = max(granted, leading.lease.end())
                self._granted[sid] = member, granted
            excused = not self.strict or self.ensemble.machines.holds(member.root)
            if excused and member.clock() >= granted:
                self._helpless.add(sid)

    def _note_changes(self) -> None:
        before = self._changes
        self._changes = {
            member: len(member.named("member.state")) for member in self.ensemble.running.values()
        }
        for member, count in self._changes.items():
            more = count - before.get(member, 0)
            assert more <= CALM, f"{member.sid} changed its state {more} times within a second"

    def leader(self) -> int:
        (leading,) = (sid for sid, member in self.ensemble.running.items() if member.leads())
        return leading

    def assert_all_follow(self) -> None:
        """One leader, and everybody else is synchronized with it."""
        leader = self.leader()
        roles = self.ensemble.roles_now()
        assert {led for _, led in roles.values()} == {leader}, roles
        assert all(member.member.status.synced for member in self.ensemble.running.values())


@asynccontextmanager
async def watched(
    roles: dict[int, str],
    rates: dict[int, float] | None = None,
    *,
    init_limit: int = 10,
    sync_limit: int = 5,
    witness: Witness | None = None,
    oracles: Mapping[int, VirtualOracle] | None = None,
) -> AsyncIterator[tuple[VirtualEnsemble, VirtualNetwork, Witness]]:
    """An ensemble under a witness; what it objects to is raised."""
    net, witness = VirtualNetwork(), witness or Witness()
    async with trio.open_nursery() as nursery:
        ensemble = VirtualEnsemble(
            nursery,
            roles,
            net=net,
            clock_rates=rates or {},
            guarded=witness.guarded,
            init_limit=init_limit,
            sync_limit=sync_limit,
            oracles=oracles or {},
        )
        witness.ensemble = ensemble
        nursery.start_soon(witness.watch)
        guard = TimeStands(nursery.cancel_scope)
        trio.lowlevel.add_instrument(guard)
        try:
            with ensemble.machines.installed():
                try:
                    yield ensemble, net, witness
                finally:
                    ensemble.machines.all_go_on()
        finally:
            trio.lowlevel.remove_instrument(guard)
            nursery.cancel_scope.cancel()
    assert not guard.tripped, f"time stands still at {guard.since}"
