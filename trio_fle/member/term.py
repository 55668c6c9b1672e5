"""Leadership as a cancel scope: what runs in it lasts as long as it, and no longer."""

from collections.abc import Callable
from types import TracebackType

import attrs
import trio


@attrs.define(eq=False, repr=False)
class Leadership:
    """One leadership of ours, as the member keeps it; users hold a ``Term`` of it.

    ``lease_end`` is a time of ``clock``, which counts on while the machine sleeps. A leadership has ended
    for every question from the moment ``end`` was called or the lease is over, and is *vacated* once
    nothing runs in it any more: only then may the member tell anybody that it gave up.
    """

    myid: int
    epoch: int
    clock: Callable[[], float]
    lease_end: float
    ended_by: str | None = attrs.field(default=None, init=False)
    ended: trio.Event = attrs.field(factory=trio.Event, init=False)
    _scopes: set[trio.CancelScope] = attrs.field(factory=set, init=False)
    _vacated: trio.Event = attrs.field(factory=trio.Event, init=False)
    _renewed: trio.Event = attrs.field(factory=trio.Event, init=False)

    @property
    def live(self) -> bool:
        """Whether this member leads at this moment."""
        return self.ended_by is None and self.clock() < self.lease_end

    @property
    def lease_left_s(self) -> float:
        """How long it may lead without another answer of a quorum; ``inf`` where it is one by itself."""
        return max(0.0, self.lease_end - self.clock()) if self.ended_by is None else 0.0

    def renew(self, lease_end: float) -> None:
        """A quorum confirmed us: we lead until ``lease_end``. Never shortens the lease."""
        if self.ended_by is None and lease_end > self.lease_end:
            self.lease_end = lease_end
            self._renewed.set()
            self._renewed = trio.Event()

    def end(self, reason: str) -> None:
        """End it; the first reason is the cause, later ones its echo."""
        if self.ended_by is None:
            self.ended_by = reason
            self.ended.set()
            self._renewed.set()
            for scope in self._scopes:
                scope.cancel()

    async def wait_renewed(self) -> None:
        """Wait until the lease has been renewed, or the leadership has ended."""
        await self._renewed.wait()

    async def wait_vacated(self) -> None:
        """Wait until nothing runs in it any more."""
        while self._scopes:
            await self._vacated.wait()
        await trio.lowlevel.checkpoint()

    def enter(self) -> trio.CancelScope:
        """Return the scope of one more body."""
        scope = trio.CancelScope()
        self._scopes.add(scope)
        if self.ended_by is not None:
            scope.cancel()
        return scope

    def leave(self, scope: trio.CancelScope) -> None:
        """Note that a body has ended."""
        self._scopes.discard(scope)
        if not self._scopes:
            self._vacated.set()
            self._vacated = trio.Event()


async def until_unneeded(
    leadership: Leadership | None, lease_end: Callable[[], float], granted: float, look_every_s: float
) -> None:
    """Wait until no lease rests on a follower that was lost when ``granted`` was its end, in a hurry too.

    That is when others have answered as much as it had (``lease_end`` tells), or an oracle has, or when what
    runs in the leadership has ended.
    """
    if leadership is None:
        return
    with trio.CancelScope(shield=True):
        while lease_end() < granted and leadership.clock() < granted:
            with trio.move_on_after(look_every_s):
                await leadership.ended.wait()
                await leadership.wait_vacated()
                return


@attrs.define(eq=False, repr=False)
class Term:
    """One leadership of this member, to be entered by one body: ``async with term: ...``.

    The body is cancelled when the term ends, and the member does not give up the leadership towards anybody
    before the body has ended: so keep what must be cleaned up in it short. A body that returns ends nothing:
    the member goes on leading, unless it is asked to ``resign``. ``epoch`` is the fencing token: it grows
    from term to term, over the whole ensemble.
    """

    _leadership: Leadership
    _scope: trio.CancelScope | None = attrs.field(default=None, init=False)

    def __repr__(self) -> str:
        state = "live" if self.live else f"ended: {self.ended_by or 'the lease is over'}"
        return f"<Term epoch {self.epoch} of member {self.myid}, {state}>"

    @property
    def epoch(self) -> int:
        """The fencing token."""
        return self._leadership.epoch

    @property
    def myid(self) -> int:
        """Server id of this member."""
        return self._leadership.myid

    @property
    def live(self) -> bool:
        """Whether this member leads at this very moment: compares the clock with the lease."""
        return self._leadership.live

    @property
    def lease_left_s(self) -> float:
        """How long the lease lasts from now (seconds), unless it is renewed."""
        return self._leadership.lease_left_s

    @property
    def lease_end(self) -> float:
        """When the lease ends unless it is renewed: seconds of the lease clock."""
        return self._leadership.lease_end

    @property
    def ended_by(self) -> str | None:
        """Why it ended; None while it lasts."""
        return self._leadership.ended_by

    async def wait_ended(self) -> None:
        """Wait until the term has ended, whatever its reason."""
        await self._leadership.ended.wait()

    async def wait_renewed(self) -> None:
        """Wait until the lease was renewed, or the term has ended."""
        await self._leadership.wait_renewed()

    async def __aenter__(self) -> "Term":
        """Enter the body. Not a checkpoint: nothing can come between the term and its first step."""
        if self._scope is not None:
            raise trio.BusyResourceError("this term has a body already; iterate member.terms() once more")
        self._scope = self._leadership.enter()
        self._scope.__enter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        """Leave the body; a cancellation by the term's end stops here."""
        scope, self._scope = self._scope, None
        assert scope is not None
        try:
            return scope.__exit__(kind, error, traceback)
        finally:
            self._leadership.leave(scope)
