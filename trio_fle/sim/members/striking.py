"""What each fault of a story does to members and their network."""

import random
from collections.abc import Iterable
from typing import Final

import attrs
import trio

from trio_fle.sim.conditions import Latency
from trio_fle.sim.members.ensemble import VirtualEnsemble
from trio_fle.sim.members.network import VirtualNetwork, host_of
from trio_fle.sim.members.operator import Operator
from trio_fle.sim.members.story import LEADER, Fault, Kind, Story

SLOW_DISK: Final = Latency(1.0, 0.9)

_ENDS: Final = (Kind.CRASH, Kind.POWER, Kind.ALL_CRASH, Kind.BOUNCE)
_CUTS: Final = (
    Kind.CUT, Kind.SEPARATE, Kind.ISOLATE, Kind.ABANDON, Kind.SPLIT, Kind.DEAF, Kind.DUMB,
)  # fmt: skip

_CARES: Final = (Kind.SLOW_DISK, Kind.FAST_DISK, Kind.RECONFIGURE, Kind.RESTART, Kind.CYCLE)


async def start_again(ensemble: VirtualEnsemble, sid: int) -> None:
    """Start a member that does not run, and its machine where that has no power."""
    if sid not in ensemble.running:
        ensemble.net.wake(host_of(sid))
        await ensemble.start(sid)


def _one_of(sids: list[int], fault: Fault) -> int:
    """Return whom a fault means, or one of those whom it can concern."""
    return fault.sid if fault.sid in sids else sids[fault.other % len(sids)]


@attrs.frozen(eq=False)
class Striker:
    """Lets faults happen.

    ``starts`` is the nursery of members that start again, ``errands`` that of whoever asks a member to stop
    or to resign, which takes a while.
    """

    story: Story
    ensemble: VirtualEnsemble
    net: VirtualNetwork
    rng: random.Random
    starts: trio.Nursery
    errands: trio.Nursery
    operator: Operator

    def strike(self, fault: Fault, leads: list[int]) -> None:
        """Let a fault happen, while those in ``leads`` lead; nothing where it can't."""
        running = self.ensemble.running
        # the leader, or the lowest id where nobody leads
        sid = min(leads or running, default=1) if fault.sid == LEADER else fault.sid
        if fault.kind in _ENDS:
            self._end(fault.kind, sid)
        elif fault.kind in _CUTS:
            self._cut(fault.kind, sid, fault.other)
        elif fault.kind in (Kind.MEND, Kind.RESET, Kind.FORGET):
            self._disturb(fault.kind, host_of(sid), host_of(fault.other))
        elif fault.kind is Kind.START:
            down = sorted(self.story.roles.keys() - running.keys())
            if down:
                self.starts.start_soon(start_again, self.ensemble, _one_of(down, fault))
        elif fault.kind is Kind.GO_ON:
            if stands_still := self.ensemble.stand_still():
                self.ensemble.go_on(_one_of(stands_still, fault))
        elif fault.kind in _CARES:
            self._care(fault.kind, sid, fault.other)
        elif sid in running and running[sid].is_open:
            self._ask(fault.kind, sid)

    def _care(self, kind: Kind, sid: int, other: int) -> None:
        """Do what an operator does, or what happens to a machine that is cared for badly."""
        ensemble = self.ensemble
        match kind:
            case Kind.SLOW_DISK | Kind.FAST_DISK:
                slow = kind is Kind.SLOW_DISK
                ensemble.storages[sid].write_s = SLOW_DISK if slow else self.story.write_s
            case Kind.RECONFIGURE:
                if sid not in ensemble.stand_still() and self.operator.give(sid, other):
                    self._end(Kind.CRASH, sid)
                    self.starts.start_soon(start_again, ensemble, sid)
            case Kind.RESTART | Kind.CYCLE:
                meant = [each for each in ensemble.running if (each == sid) is (kind is Kind.RESTART)]
                stands_still = ensemble.stand_still()
                for each in [each for each in meant if each not in stands_still]:
                    self.starts.start_soon(self._cycle, each)

    def _end(self, kind: Kind, sid: int) -> None:
        running = [sid for sid, member in self.ensemble.running.items() if member.is_open]
        match kind:
            case Kind.ALL_CRASH:
                struck = running
            case Kind.BOUNCE:
                struck = [each for each in running if each != sid]
            case _:
                struck = [each for each in running if each == sid]
        for each in struck:
            self.ensemble.crash(each, power=kind is Kind.POWER)
            if kind is Kind.BOUNCE:
                self.starts.start_soon(start_again, self.ensemble, each)

    def _ask(self, kind: Kind, sid: int) -> None:
        stands_still = sid in self.ensemble.stand_still()
        match kind:
            case Kind.STOP if not stands_still:
                self.errands.start_soon(self.ensemble.stop, sid)
            case Kind.RESIGN:
                self.errands.start_soon(self.ensemble.running[sid].member.resign)
            case Kind.HANG if not stands_still:
                self.ensemble.hang(sid)
            case Kind.SUSPEND if not stands_still:
                self.ensemble.suspend(sid)

    async def _cycle(self, sid: int) -> None:
        if sid in self.ensemble.running:
            await self.ensemble.stop(sid)
            await start_again(self.ensemble, sid)

    def _cut(self, kind: Kind, sid: int, other: int) -> None:
        for one, another in self._paths(kind, sid, other):
            self.net.cut(host_of(one), host_of(another))
            for stream in self.net.between(host_of(one), host_of(another)) if kind is Kind.ABANDON else ():
                if stream.there == host_of(sid):
                    self.net.reset(stream)

    def _paths(self, kind: Kind, sid: int, other: int) -> Iterable[tuple[int, int]]:
        """Return the paths that a fault cuts, as pairs of servers."""
        others = sorted(self.story.roles.keys() - {sid})
        match kind:
            case Kind.CUT if sid != other:
                return [(sid, other)]
            case Kind.SEPARATE if sid != other:
                return [(sid, other), (other, sid)]
            case Kind.DEAF:
                return [(each, sid) for each in others]
            case Kind.DUMB:
                return [(sid, each) for each in others]
            case Kind.ISOLATE | Kind.ABANDON:
                side = {sid}
            case Kind.SPLIT:
                side = {sid, *self.rng.sample(others, self.rng.randrange(len(others)))}
            case _:
                return []
        rest = [each for each in others if each not in side]
        ways = [(one, another) for one in sorted(side) for another in rest]
        return ways + [(another, one) for one, another in ways]

    def _disturb(self, kind: Kind, here: str, there: str) -> None:
        match kind:
            case Kind.MEND:
                self.net.mend_all()
            case Kind.RESET:
                for stream in self.net.between(here, there):
                    if self.rng.random() < 0.5:
                        self.net.reset(stream)
            case Kind.FORGET:
                self.net.forget(here, there)
