"""Sees from outside who leads: one task a member asks it again and again, every few milliseconds."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import attrs
import trio
from contestant import Contestant
from probe import Probe, Role

WHOLE_POLL_S = 0.05
ASK_S = 1.0
"""For one answer; a member that takes longer has given none."""


@attrs.frozen
class Seen:
    """A member was seen in a role at ``at``; asked at ``not_yet``, it was not yet."""

    sid: int
    at: float
    not_yet: float


@attrs.define(eq=False)
class Watch:
    """What the members answered last."""

    interval_s: float
    roles: dict[int, Role | None] = attrs.field(factory=dict)
    _asked: dict[int, float] = attrs.field(factory=dict)
    _not_yet: dict[int, tuple[Role | None, float]] = attrs.field(factory=dict)
    _answered: dict[int, float] = attrs.field(factory=dict)
    _news: trio.Event = attrs.field(factory=trio.Event)

    async def poll(self, sid: int, probe: Probe, offset_s: float) -> None:
        """Ask one member at even times, the first of them after ``offset_s``."""
        due = trio.current_time() + offset_s
        try:
            while True:
                # one scope as long as answers come: to enter one costs as much as to ask
                with trio.CancelScope() as patience:
                    while True:
                        await trio.sleep_until(due)
                        asked = trio.current_time()
                        patience.deadline = asked + ASK_S
                        self._note(sid, await probe.ask(), asked)
                        due = max(due + self.interval_s, trio.current_time())
                probe.close()
                self._note(sid, None, asked)
        finally:
            probe.close()

    def _note(self, sid: int, role: Role | None, asked: float) -> None:
        changed = sid not in self.roles or self.roles[sid] is not role
        if changed:
            self._not_yet[sid] = (role, self._asked.get(sid, asked))
        self.roles[sid] = role
        self._asked[sid], self._answered[sid] = asked, trio.current_time()
        if changed or role is Role.LEADER:  # the same again from a follower is no news
            self._news.set()
            self._news = trio.Event()

    async def wait_role(self, role: Role, since: float) -> Seen:
        """Wait until a member is in ``role``, which was asked after ``since``."""
        while True:
            for sid, current in self.roles.items():
                if current is role and self._asked[sid] >= since:
                    return Seen(sid, self._answered[sid], max(self._not_yet[sid][1], since))
            await self._news.wait()

    async def wait_whole(self, settle_s: float) -> int:
        """Wait until one member leads and all others follow, and nothing of that changes for a while."""
        before: dict[int, Role | None] = {}
        since = trio.current_time()
        while True:
            await self._news.wait()
            now = trio.current_time()
            roles = list(self.roles.values())
            whole = None not in roles and roles.count(Role.LEADER) == 1
            if not whole or self.roles != before:
                before, since = dict(self.roles), now
            elif now - since >= settle_s:
                return next(sid for sid, role in before.items() if role is Role.LEADER)


@asynccontextmanager
async def open_watch(contestant: Contestant, sids: Iterable[int], interval_s: float) -> AsyncIterator[Watch]:
    """Ask these members while the block runs; those who ask are spread over the interval."""
    asked = list(sids)
    watch = Watch(interval_s)
    async with trio.open_nursery() as nursery:
        for at, sid in enumerate(asked):
            nursery.start_soon(watch.poll, sid, contestant.probe(sid), interval_s * at / len(asked))
        try:
            yield watch
        finally:
            nursery.cancel_scope.cancel()


async def wait_whole(contestant: Contestant, settle_s: float) -> int:
    """Wait until the ensemble is whole, and return its leader; asks seldom."""
    async with open_watch(contestant, contestant.sids, WHOLE_POLL_S) as watch:
        while True:
            if all(sid in watch.roles for sid in contestant.sids):
                return await watch.wait_whole(settle_s)
            await trio.sleep(WHOLE_POLL_S)
