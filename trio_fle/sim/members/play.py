"""Plays a story of whole members, and reports what came of it."""

import random
from collections.abc import Callable, Set
from functools import partial

import attrs
import trio
from trio.testing import wait_all_tasks_blocked

from trio_fle.sim.conditions import RETRANSMIT_S
from trio_fle.sim.invariants import ENDS, NOBODY_FAILS, Checker, ViolationError
from trio_fle.sim.members.disk import VirtualDisk
from trio_fle.sim.members.ensemble import VirtualEnsemble, ensemble_of
from trio_fle.sim.members.network import VirtualNetwork
from trio_fle.sim.members.operator import Operator
from trio_fle.sim.members.oracle import VirtualOracle
from trio_fle.sim.members.scheduling import run_virtually
from trio_fle.sim.members.story import TICK_MS, Fault, Story, draw
from trio_fle.sim.members.striking import Striker, start_again
from trio_fle.sim.members.watcher import Watcher, said
from trio_fle.sim.outcome import Outcome
from trio_fle.storage import StoredVote
from trio_fle.vote import epoch_of

INFO = 20
LOOK_EVERY_S = 0.05
LED_WITHIN_S = 5.0


def run_members(
    seed: int,
    *,
    trace: Callable[[str], None] | None = None,
    skip: frozenset[int] = frozenset(),
) -> Outcome:
    """Play the story of a seed, without those of its faults whose numbers are in ``skip``.

    The same arguments give the same run, and the same lines for ``trace``, byte for byte. Raises
    ``ViolationError``.
    """
    return run_virtually(seed, _Play(draw(seed), trace, skip).run)


@attrs.define(eq=False)
class _Play:
    story: Story
    trace: Callable[[str], None] | None
    skip: frozenset[int]
    rng: random.Random = attrs.field(init=False)
    net: VirtualNetwork = attrs.field(init=False)
    watcher: Watcher = attrs.field(init=False)
    ensemble: VirtualEnsemble = attrs.field(init=False)
    operator: Operator = attrs.field(init=False)
    oracles: dict[int, VirtualOracle] = attrs.field(factory=dict, init=False)
    mended_s: float = attrs.field(default=0.0, init=False)
    starts: trio.Nursery = attrs.field(init=False)
    """Of members that are started again."""
    errands: trio.Nursery = attrs.field(init=False)
    """Of whoever asks a member to stop or to resign, which takes a while."""

    def __attrs_post_init__(self) -> None:
        story = self.story
        self.rng = random.Random(story.seed ^ 0x5EED)
        timeout_s = story.sync_limit * TICK_MS / 1000
        self.net = VirtualNetwork(story.conditions, self.rng, timeout_s)
        oracle, ensemble = story.oracle, ensemble_of(story.roles)

        def is_quorum(sids: Set[int]) -> bool:
            alone = oracle is not None and bool(sids & ensemble.voters)
            return alone or self.operator.is_quorum(sids)

        checker = Checker(is_quorum, grow=oracle is None or oracle.careful)
        self.watcher = Watcher(checker, trio.CancelScope(), self.trace)
        if oracle is not None:
            self.oracles = {sid: VirtualOracle(b"0", oracle.read_s, self.rng) for sid in story.roles}
        self.net.tap = self.watcher.tap

    async def run(self) -> Outcome:
        try:
            with self.watcher.scope:
                await self._live()
        except ExceptionGroup as group:
            failure = ViolationError(NOBODY_FAILS, trio.current_time(), said(group))
            raise self.watcher.violation or failure from group
        if self.watcher.violation is not None:
            raise self.watcher.violation
        watcher = self.watcher
        return Outcome(
            self.story.seed,
            elections=watcher.elections,
            leaderships=len(watcher.checker.leaders),
            decisions=watcher.checker.decisions,
            messages=watcher.packets,
            virtual_s=trio.current_time(),
            mended_s=self.mended_s,
        )

    async def _live(self) -> None:
        async with trio.open_nursery() as nursery:
            self.watcher.ensemble = self.ensemble = self._ensemble(nursery)
            self.operator = Operator(self.ensemble)
            with self.watcher.installed(), self.ensemble.machines.installed():
                try:
                    nursery.start_soon(self.net.run)
                    if self.story.reconfigures:
                        nursery.start_soon(self.operator.look_after)
                    await self._play()
                finally:
                    self.ensemble.machines.all_go_on()
                    nursery.cancel_scope.cancel()

    def _striker(self) -> Striker:
        return Striker(
            self.story, self.ensemble, self.net, self.rng, self.starts, self.errands, self.operator
        )

    def _ensemble(self, nursery: trio.Nursery) -> VirtualEnsemble:
        story, epoch = self.story, epoch_of(self.story.zxid)
        return VirtualEnsemble(
            nursery,
            story.roles,
            net=self.net,
            storages={
                sid: VirtualDisk(StoredVote(story.zxid, epoch, epoch), story.write_s, self.rng)
                for sid in story.roles
            },
            clock_rates=story.rates,
            guarded=self.watcher.guarded,
            init_limit=story.init_limit,
            sync_limit=story.sync_limit,
            tick_ms=TICK_MS,
            hear=self.watcher.hear,
            log_level=INFO,
            own_options=story.options,
            clocks_differ=True,
            oracles=self.oracles,
        )

    async def _play(self) -> None:
        async with trio.open_nursery() as self.starts:
            await self.ensemble.start()
            async with trio.open_nursery() as self.errands:
                self.errands.start_soon(self._turn)
                for number, fault in enumerate(self.story.faults):
                    if number not in self.skip:
                        await self._pass_time(fault)
                        self._say(f"-- fault {number}: {fault}")
                        self.watcher.struck()
                        self._striker().strike(fault, self.watcher.leads)
                await wait_all_tasks_blocked()
                self._say("-- all faults end")
                self._mend()
                self.errands.cancel_scope.cancel()
                self.starts.cancel_scope.deadline = trio.current_time() + self.story.bound_s
        if self.starts.cancel_scope.cancelled_caught:
            what = "a member that was asked to stop has not ended"
            self.watcher.object_to(ViolationError(ENDS, trio.current_time(), what))
        for sid in sorted(self.story.roles.keys() - self.ensemble.running.keys()):
            await start_again(self.ensemble, sid)
        await self._settle()

    async def _turn(self) -> None:
        """Let the oracle turn from one to the other."""
        if self.story.oracle is None:
            return
        lease_s = self.story.sync_limit * TICK_MS / 1000
        for turn in self.story.oracle.turns:
            await trio.sleep(turn.gap_s)
            towards = turn.towards
            if self.story.oracle.careful:
                self._say("-- the oracle says yes to nobody")
                self._answer(None)
                await trio.sleep(2 * lease_s)
                if towards is not None and not self._knows_the_last_leadership(towards):
                    continue
            self._say(f"-- the oracle says yes to {towards or 'nobody'}")
            self._answer(towards)

    def _answer(self, towards: int | None) -> None:
        for sid, oracle in self.oracles.items():
            oracle.content = b"1" if sid == towards else b"0"

    def _knows_the_last_leadership(self, sid: int) -> bool:
        last = max(self.watcher.checker.leaders, default=0)
        return self.ensemble.storages[sid].stored.accepted_epoch >= last

    async def _pass_time(self, fault: Fault) -> None:
        if fault.led:
            with trio.move_on_after(LED_WITHIN_S):
                while not self.watcher.leads:  # noqa: ASYNC110 (nobody tells)
                    await trio.sleep(LOOK_EVERY_S)
        await trio.sleep(fault.gap_s)
        # between two steps of anybody: who is struck must not take another
        await wait_all_tasks_blocked()

    def _say(self, words: str) -> None:
        if self.trace is not None:
            self.trace(f"{trio.current_time():11.6f}  {words}")

    def _mend(self) -> None:
        self.net.mend_all()
        for sid in self.ensemble.stand_still():
            self.ensemble.go_on(sid)
        for disk in self.ensemble.storages.values():
            disk.write_s = self.story.write_s

    async def _settle(self) -> None:
        """Wait until everybody has one leader, and keeps it for a lease; or until the bound is over."""
        bound_s, lease_s = self.story.bound_s, self.story.sync_limit * TICK_MS / 1000
        began = since = trio.current_time()
        led: set[int | None] = {None}
        while None in led or trio.current_time() < since + lease_s + RETRANSMIT_S:
            await trio.sleep(LOOK_EVERY_S)
            now, leaders = trio.current_time(), self.watcher.leaders()
            if len(leaders) != 1 or None in leaders or leaders != led:
                since, led = now, leaders if len(leaders) == 1 else {None}
                if now > began + bound_s:
                    self.watcher.check(partial(self.watcher.checker.led_by, now, bound_s, leaders))
        self.mended_s = since - began
        for sid in self.story.roles:
            self.watcher.check(partial(self.watcher.holds, sid))
