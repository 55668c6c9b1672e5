"""Connection managers on a memory network, and strangers that call them."""

from collections.abc import Iterable
from typing import Any

import attrs
import trio
from core_driver import looking
from trio.abc import Stream

from trio_fle.config import TransportOptions
from trio_fle.ensemble import HostPort
from trio_fle.peers import ConnectionManager, Identity
from trio_fle.sim.members.ensemble import captured_log
from trio_fle.sim.members.network import VirtualNetwork
from trio_fle.wire import (
    FrameBuffer,
    Hello,
    Notification,
    Protocol,
    decode_hello,
    decode_notification,
    encode_frame,
    encode_hello,
    encode_notification,
    hello_size,
)


def address_of(sid: int) -> HostPort:
    return HostPort(f"192.0.2.{sid}", 3888)


def vote(zxid: int, sid: int = 1) -> Notification:
    """A vote told from others by its zxid."""
    return attrs.evolve(looking(sid, zxid=zxid), config=b"")


def body(zxid: int, sid: int = 1) -> bytes:
    return encode_notification(vote(zxid, sid))


@attrs.define(eq=False)
class Node:
    """One manager, what it was told, and what it logged."""

    net: VirtualNetwork
    sid: int
    ids: tuple[int, ...]
    options: TransportOptions = attrs.field(factory=TransportOptions)
    observers: tuple[int, ...] = ()
    heard: list[tuple[int, int]] = attrs.field(factory=list, init=False)
    """Sender and zxid of every notification."""
    events: list[dict[str, Any]] = attrs.field(init=False)
    manager: ConnectionManager = attrs.field(init=False)
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)

    def __attrs_post_init__(self) -> None:
        log, self.events = captured_log()
        host = self.net.host(address_of(self.sid).host)
        identity = Identity(self.sid, (address_of(self.sid),))
        self.manager = ConnectionManager(identity, self.options, host, self._deliver, log)

    def _deliver(self, sender: int, notification: Notification) -> None:
        self.heard.append((sender, notification.vote.zxid))

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        configured = {sid: (address_of(sid),) for sid in (*self.ids, *self.observers)}
        with self.scope:
            await self.manager.run(self.ids, configured, task_status=task_status)

    def tell(self, sid: int, zxid: int) -> None:
        self.manager.tell(sid, encode_frame(body(zxid, self.sid)))

    def named(self, event: str) -> list[dict[str, Any]]:
        return [each for each in self.events if each["event"] == event]


async def start_all(nursery: trio.Nursery, nodes: Iterable[Node]) -> None:
    for node in nodes:
        await nursery.start(node.run)


@attrs.define(eq=False)
class Caller:
    """A stranger's end of a connection."""

    stream: Stream
    frames: FrameBuffer = attrs.field(factory=FrameBuffer)

    async def next(self) -> int | None:
        """The zxid of the next notification; None once closed."""
        while True:
            for frame in self.frames.feed(b""):
                return decode_notification(frame).vote.zxid
            try:
                chunk = await self.stream.receive_some()
            except trio.BrokenResourceError:
                return None
            if not chunk:
                return None
            for frame in self.frames.feed(chunk):
                return decode_notification(frame).vote.zxid

    async def is_closed(self) -> bool:
        """Whether the other side has closed; waits until then or for what is sent."""
        return await self.next() is None

    async def say(self, zxid: int) -> None:
        await self.stream.send_all(encode_frame(body(zxid)))

    async def read_hello(self) -> Hello:
        data = b""
        while (missing := hello_size(data) - len(data)) > 0:
            data += await self.stream.receive_some(missing)
        return decode_hello(data)


def hello(sid: int, *addresses: HostPort, protocol: Protocol = Protocol.V1) -> bytes:
    return encode_hello(Hello(sid, addresses or (address_of(99),), protocol))


async def call(node: Node, sid: int, *claimed: HostPort, source: str = "198.51.100.7") -> Caller:
    """Call ``node`` as somebody who claims to be ``sid``."""
    stream = node.net.call(address_of(node.sid), source)
    await stream.send_all(hello(sid, *claimed))
    return Caller(stream)
