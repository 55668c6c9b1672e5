"""Sees from outside who leads: asks each member again and again, every few milliseconds."""

import math
import select
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial

import attrs
import trio
from contestant import Contestant
from probe import Probe, Role

WHOLE_POLL_S = 0.05
ASK_S = 1.0
"""For one answer; a member that takes longer has given none."""


@attrs.frozen
class Answer:
    """What a member said, to what was asked when, and when it was heard (``time.perf_counter``).

    ``not_yet``: when it was asked what it answered otherwise; None where it says the same again.
    """

    sid: int
    role: Role | None
    asked: float
    heard: float
    not_yet: float | None


@attrs.frozen
class Seen:
    """A member was seen in a role at ``at``; asked at ``not_yet``, it was not yet."""

    sid: int
    at: float
    not_yet: float


@attrs.define(eq=False)
class Asker:
    """Asks in a thread, by a loop of its own: whoever is asked has no other processor, and tasks cost more.

    ``tell`` is called there with each answer that differs from the one before, and with each of a leader.
    """

    probes: Mapping[int, Probe]
    interval_s: float
    stopped: bool = attrs.field(default=False, init=False)
    _due: dict[int, float] = attrs.field(factory=dict, init=False)
    _asking: dict[int, tuple[int, float]] = attrs.field(factory=dict, init=False)
    """By descriptor: who was asked there, and when."""
    _before: dict[int, tuple[Role | None, float]] = attrs.field(factory=dict, init=False)
    """What each said last, and when it had been asked."""
    _poll: select.epoll = attrs.field(factory=select.epoll, init=False)

    def run(self, tell: Callable[[Answer], None]) -> None:
        """Ask each member at even times, spread over the interval, until ``stopped``."""
        began = time.perf_counter()
        self._due = {
            sid: began + self.interval_s * at / len(self.probes) for at, sid in enumerate(self.probes)
        }
        try:
            while not self.stopped:
                self._ask_due(tell)
                self._hear(tell)
        finally:
            self._poll.close()
            for probe in self.probes.values():
                probe.close()

    def _ask_due(self, tell: Callable[[Answer], None]) -> None:
        now = time.perf_counter()
        for descriptor, (sid, asked) in list(self._asking.items()):
            if now - asked > ASK_S:
                self._take(descriptor, sid, asked, None, tell)
                self.probes[sid].close()
        for sid, due in self._due.items():
            if due > now:
                continue
            try:
                descriptor = self.probes[sid].ask()
            except OSError:
                self.probes[sid].close()
                self._note(sid, None, now, tell)
            else:
                self._due[sid], self._asking[descriptor] = math.inf, (sid, now)
                self._poll.register(descriptor, select.EPOLLIN)

    def _hear(self, tell: Callable[[Answer], None]) -> None:
        next_at = min(self._due.values(), default=math.inf)
        wait_s = min(max(0.0, next_at - time.perf_counter()), WHOLE_POLL_S)
        for descriptor, _ in self._poll.poll(wait_s):
            sid, asked = self._asking[descriptor]
            probe = self.probes[sid]
            try:
                answer = probe.hear()
            except OSError:
                self._take(descriptor, sid, asked, None, tell)
                probe.close()
                continue
            if answer is not None:
                self._take(descriptor, sid, asked, answer[0], tell)
                if probe.ends:
                    probe.close()

    def _take(
        self, descriptor: int, sid: int, asked: float, role: Role | None, tell: Callable[[Answer], None]
    ) -> None:
        del self._asking[descriptor]
        self._poll.unregister(descriptor)
        self._note(sid, role, asked, tell)

    def _note(self, sid: int, role: Role | None, asked: float, tell: Callable[[Answer], None]) -> None:
        now, before = time.perf_counter(), self._before.get(sid)
        self._before[sid] = role, asked
        self._due[sid] = max(asked + self.interval_s, now)
        if before is None or before[0] is not role:
            tell(Answer(sid, role, asked, now, asked if before is None else before[1]))
        elif role is Role.LEADER:
            tell(Answer(sid, role, asked, now, None))


@attrs.define(eq=False)
class Watch:
    """What the members answered last; times are Trio's."""

    roles: dict[int, Role | None] = attrs.field(factory=dict)
    _asked: dict[int, float] = attrs.field(factory=dict)
    _answered: dict[int, float] = attrs.field(factory=dict)
    _not_yet: dict[int, float] = attrs.field(factory=dict)
    _news: trio.Event = attrs.field(factory=trio.Event)
    _began: float = attrs.field(factory=lambda: trio.current_time() - time.perf_counter())

    def note(self, answer: Answer) -> None:
        """Take in an answer."""
        sid = answer.sid
        self.roles[sid] = answer.role
        self._asked[sid], self._answered[sid] = self._began + answer.asked, self._began + answer.heard
        if answer.not_yet is not None:
            self._not_yet[sid] = self._began + answer.not_yet
        self._news.set()
        self._news = trio.Event()

    async def wait_role(self, role: Role, since: float) -> Seen:
        """Wait until a member is in ``role``, which was asked after ``since``."""
        while True:
            for sid, current in self.roles.items():
                if current is role and self._asked[sid] >= since:
                    return Seen(sid, self._answered[sid], max(self._not_yet[sid], since))
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
    watch = Watch()
    asker = Asker({sid: contestant.probe(sid) for sid in sids}, interval_s)
    token = trio.lowlevel.current_trio_token()

    def tell(answer: Answer) -> None:
        token.run_sync_soon(watch.note, answer)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(trio.to_thread.run_sync, asker.run, tell))
        try:
            yield watch
        finally:
            asker.stopped = True


async def wait_whole(contestant: Contestant, settle_s: float) -> int:
    """Wait until the ensemble is whole, and return its leader; asks seldom."""
    async with open_watch(contestant, contestant.sids, WHOLE_POLL_S) as watch:
        while True:
            if all(sid in watch.roles for sid in contestant.sids):
                return await watch.wait_whole(settle_s)
            await trio.sleep(WHOLE_POLL_S)
