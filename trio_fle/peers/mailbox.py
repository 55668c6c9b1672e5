"""Queues between tasks. Each is bounded, and says what happens at the bound; whoever puts never waits."""

from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Generic, TypeVar

import attrs
import trio

T = TypeVar("T")

STRANGERS_ITEMS: Final = 2
"""Unread items kept of a server that no configuration names."""


@attrs.define(eq=False)
class Outbox:
    """What one peer is to be told: at most one unsent frame, since only the newest vote is worth sending.

    It outlives connections. ``last`` is the frame sent last, repeated at the start of the next connection
    where nothing newer waits: whether it arrived, nobody knows (ZOOKEEPER-481).
    """

    last: bytes | None = attrs.field(default=None, init=False)
    _greeting: bytes | None = attrs.field(default=None, init=False)
    replaced: int = attrs.field(default=0, init=False)
    """How many frames were never sent, since a newer one took their place."""
    _send: trio.MemorySendChannel[bytes] = attrs.field(init=False)
    _receive: trio.MemoryReceiveChannel[bytes] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[bytes](1)

    def put(self, frame: bytes) -> bool:
        """Queue ``frame``; False where an unsent one had to go for it."""
        self._greeting = None
        try:
            self._send.send_nowait(frame)
        except trio.WouldBlock:
            self._receive.receive_nowait()  # no checkpoint since WouldBlock, so one is there
            self._send.send_nowait(frame)
            self.replaced += 1
            return False
        return True

    def first(self) -> bytes | None:
        """Return what a new connection starts with: the last frame again, unless a newer one waits.

        Where there is a greeting, whatever waits is older than it, and goes: a member that has settled
        must not be heard LOOKING again by whoever connects anew.
        """
        waits = self._receive.statistics().current_buffer_used > 0
        if self._greeting is None:
            return None if waits else self.last
        if waits:
            self._receive.receive_nowait()
        return self._greeting

    def greet_with(self, frame: bytes | None) -> None:
        """Begin the next connection with ``frame``, or with nothing, until something newer is queued."""
        self._greeting = frame
        if frame is None:
            self.last = None
            with suppress(trio.WouldBlock):
                self._receive.receive_nowait()

    def repeat(self) -> None:
        """Queue the last frame again, unless a newer one waits: a probe that tells the peer nothing new."""
        if (frame := self.first()) is not None:
            self.put(frame)

    async def get(self) -> bytes:
        """Wait for the next frame; it counts as sent from here on."""
        self.last = await self._receive.receive()
        return self.last


@attrs.define(eq=False)
class Inbox(Generic[T]):
    """What all peers told, each in its own queue, taken in turns: one item of each peer that has any.

    A peer that talks too much loses its own oldest items, and waits for its turn like the others: it can
    neither take memory without bound, nor push out or hold up what others said (decision 2 of the design).
    Those that ``is_member`` does not know are kept ``STRANGERS_ITEMS`` of.
    """

    capacity_per_peer: int = attrs.field(validator=attrs.validators.ge(1))
    is_member: Callable[[int], bool] = attrs.field(default=lambda _: True)
    _queues: OrderedDict[int, deque[T]] = attrs.field(factory=OrderedDict, init=False)
    """Peers with something in their queue, in the order of their turns."""
    _news: trio.Event = attrs.field(factory=trio.Event, init=False)

    def put(self, peer: int, item: T) -> bool:
        """Queue ``item`` of ``peer``; False where this peer's oldest one had to go for it."""
        queue = self._queues.setdefault(peer, deque())
        queue.append(item)
        self._news.set()
        capacity = self.capacity_per_peer if self.is_member(peer) else STRANGERS_ITEMS
        if len(queue) > capacity:
            queue.popleft()
            return False
        return True

    def __len__(self) -> int:
        """Return how many items wait."""
        return sum(map(len, self._queues.values()))

    async def wait(self) -> None:
        """Wait until something waits; a checkpoint only where nothing does, or the task is cancelled."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self._queues:
            self._news = trio.Event()
            await self._news.wait()

    def get_nowait(self) -> T | None:
        """Return the next item, or None where nothing waits."""
        if not self._queues:
            return None
        peer, queue = self._queues.popitem(last=False)
        item = queue.popleft()
        if queue:
            self._queues[peer] = queue  # behind the others
        return item
