"""Scripted voters around a real member process: each keeps one election connection to it, by the id rule."""

import struct
from collections.abc import Sequence
from typing import Any

import attrs
import trio

from trio_fle.ensemble import HostPort
from trio_fle.vote import MIN_LONG, PeerState, Vote
from trio_fle.wire import (
    FrameBuffer,
    Hello,
    Layout,
    Notification,
    decode_notification,
    encode_frame,
    encode_hello,
    encode_notification,
    hello_size,
)

STRANGER = 10**15
"""An id that no configuration has, higher than all: answered at once, and never dialled."""

Row = list[Any]


def row(notification: Notification) -> Row:
    """State, leader, zxid, round, epoch: the form of the recorded traces."""
    assert notification.state is not None
    vote = notification.vote
    return [notification.state.name, vote.leader, vote.zxid, notification.round, vote.epoch]


async def read_handshake(stream: trio.abc.Stream) -> bytes:
    data = b""
    while (missing := hello_size(data) - len(data)) > 0:
        chunk = await stream.receive_some(missing)
        if not chunk:
            break
        data += chunk
    return data


@attrs.define(eq=False)
class StandIn:
    """One voter or observer of the ensemble, played by the test."""

    sid: int
    election_port: int
    quorum_port: int
    member_sid: int
    member_port: int
    heard: list[Notification] = attrs.field(factory=list, init=False)
    connected: trio.Event = attrs.field(factory=trio.Event, init=False)
    _stream: trio.SocketStream | None = attrs.field(default=None, init=False)
    _news: trio.Event = attrs.field(factory=trio.Event, init=False)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen on both ports, dial the member where this id is the higher one, and listen to it."""
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_tcp, self._ignore, self.quorum_port)
            listeners = await trio.open_tcp_listeners(self.election_port, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, self._accept, listeners)
            if self.sid > self.member_sid:
                nursery.start_soon(self._dial)
            task_status.started()

    async def _ignore(self, stream: trio.SocketStream) -> None:
        async with stream:
            while await stream.receive_some():
                pass

    async def _accept(self, stream: trio.SocketStream) -> None:
        async with stream:
            await read_handshake(stream)
            if self.sid < self.member_sid:
                await self._listen_to(stream)

    async def _dial(self) -> None:
        while True:
            try:
                stream = await trio.open_tcp_stream("127.0.0.1", self.member_port)
            except OSError:
                await trio.sleep(0.01)
                continue
            async with stream:
                address = HostPort("127.0.0.1", self.election_port)
                await stream.send_all(encode_hello(Hello(self.sid, (address,))))
                await self._listen_to(stream)
            return

    async def _listen_to(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self.connected.set()
        frames = FrameBuffer()
        try:
            async for chunk in stream:
                for body in frames.feed(chunk):
                    self.heard.append(decode_notification(body))
                    self._news.set()
                    self._news = trio.Event()
        except trio.BrokenResourceError:
            pass  # the member was killed, which is how each of these tests ends

    async def say(self, notification: Notification, layout: Layout = Layout.CONFIG) -> None:
        """Send one notification on the one connection."""
        assert self._stream is not None
        await self._stream.send_all(encode_frame(encode_notification(notification, layout)))

    async def say_bytes(self, data: bytes) -> None:
        """Send bytes that no encoder would make."""
        assert self._stream is not None
        await self._stream.send_all(data)

    async def next_heard(self, already: int) -> Notification:
        """Wait for notification number ``already`` (from 0)."""
        while len(self.heard) <= already:
            await self._news.wait()
        return self.heard[already]

    def trace(self) -> list[Row]:
        """What was heard, consecutive equal ones folded."""
        folded: list[Row] = []
        for notification in self.heard:
            if not folded or folded[-1] != row(notification):
                folded.append(row(notification))
        return folded


async def ask_as_stranger(port: int, *, sid: int = STRANGER) -> Notification:
    """Ask a member for its current vote, as somebody whom no configuration names."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(encode_hello(Hello(sid, (HostPort("127.0.0.1", 1),))))
        question = struct.pack(">iqqqqi", PeerState.LOOKING, MIN_LONG, MIN_LONG, 0, MIN_LONG, 1)
        await stream.send_all(encode_frame(question))
        frames = FrameBuffer()
        async for chunk in stream:
            for body in frames.feed(chunk):
                return decode_notification(body)
    raise AssertionError("closed without an answer")


def scripted(step: dict[str, Any], config: bytes | None) -> tuple[Notification, Layout]:
    """Turn a step of a recorded script into what the peer sends."""
    vote = Vote(step["leader"], step["zxid"], step["epoch"])
    notification = Notification(PeerState[step["state"]], vote, step["round"], config=config)
    return notification, Layout.VERSIONED if step["version"] == 1 else Layout.CONFIG


async def all_connected(stand_ins: Sequence[StandIn]) -> None:
    """Wait until each has its connection."""
    for stand_in in stand_ins:
        await stand_in.connected.wait()
