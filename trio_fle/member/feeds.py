"""What users of the library iterate: terms of our leadership, changes of the status."""

from collections.abc import Awaitable, Callable
from typing import NoReturn, Protocol

import attrs
import trio

from trio_fle.member.status import MemberStatus
from trio_fle.member.term import Leadership, Term


@attrs.define(eq=False)
class Signal:
    """Wakes whoever waits, as often as it is given."""

    _event: trio.Event = attrs.field(factory=trio.Event, init=False)

    def give(self) -> None:
        """Wake all that wait now."""
        self._event.set()
        self._event = trio.Event()

    async def wait(self) -> None:
        """Wait until it is given the next time."""
        await self._event.wait()

    async def pass_on(self, wait: Callable[[], Awaitable[None]]) -> NoReturn:
        """Give it whenever ``wait`` returns, for ever."""
        while True:
            await wait()
            self.give()


class Source(Protocol):
    """What feeds are made from."""

    changed: Signal
    leadership: Leadership | None

    @property
    def status(self) -> MemberStatus:
        """The status of this moment."""


@attrs.define(eq=False)
class Terms:
    """Terms of this member's leadership, one after the other: ``async for term in terms``.

    A term that was over before it was asked for is left out. Waits for ever where this member never leads.
    """

    _source: Source
    _last: Leadership | None = attrs.field(default=None, init=False)

    def __aiter__(self) -> "Terms":
        return self

    async def __anext__(self) -> Term:
        """Return the next term. A checkpoint."""
        await trio.lowlevel.checkpoint()
        while True:
            leadership = self._source.leadership
            if leadership is not None and leadership is not self._last and leadership.live:
                self._last = leadership
                return Term(leadership)
            await self._source.changed.wait()


@attrs.define(eq=False)
class Changes:
    """The status now, and then whenever it has changed: ``async for status in changes``.

    Whoever is slow sees the latest status, not each one between. The lease's renewals are no changes.
    """

    _source: Source
    _last: MemberStatus | None = attrs.field(default=None, init=False)

    def __aiter__(self) -> "Changes":
        return self

    async def __anext__(self) -> MemberStatus:
        """Return the next status that differs. A checkpoint."""
        await trio.lowlevel.checkpoint()
        while True:
            status = self._source.status
            if self._last is None or _essence(status) != _essence(self._last):
                self._last = status
                return status
            await self._source.changed.wait()


def _essence(status: MemberStatus) -> MemberStatus:
    return attrs.evolve(status, lease_end=None if status.lease_end is None else 0.0)
