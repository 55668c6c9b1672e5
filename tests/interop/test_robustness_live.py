"""A real member process, given every good and bad input that was tried on a real 3.8.0 server.

It reacts as that server did, and better where that one lost a thread, a socket or its connections.
"""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from ports import free_ports
from stand_ins import read_handshake

from trio_fle.wire import FrameBuffer, Notification, decode_hello, decode_notification, encode_frame

RECORDED = json.loads((Path(__file__).parents[1] / "data" / "robustness.json").read_text())
ME = 2
LOWER_ROUND = bytes.fromhex("00" * 11 + "03" + "00" * 24 + "00000001")
"""A LOOKING vote for 3 of round 0, 40 bytes: always answered while LOOKING."""
SOON_S = 0.15

pytestmark = pytest.mark.interop


@attrs.define
class Server:
    """The member under test and the configured addresses of its peers."""

    port: int
    peer_ports: dict[int, int]
    process: trio.Process

    @asynccontextmanager
    async def call(self, data: bytes) -> AsyncIterator["Call"]:
        async with await trio.open_tcp_stream("127.0.0.1", self.port) as stream:
            await stream.send_all(data)
            yield Call(stream)


@attrs.define
class Call:
    stream: trio.SocketStream
    frames: FrameBuffer = attrs.field(factory=FrameBuffer)
    heard: list[Notification] = attrs.field(factory=list)

    async def next(self) -> Notification | None:
        """The next notification, or None once the other side has closed."""
        while not self.heard:
            try:
                chunk = await self.stream.receive_some()
            except trio.BrokenResourceError:
                return None
            if not chunk:
                return None
            self.heard += [decode_notification(body) for body in self.frames.feed(chunk)]
        return self.heard.pop(0)

    async def answers(self, body: bytes) -> list[Notification]:
        """What comes back for a notification, soon."""
        await self.stream.send_all(encode_frame(body))
        answers = []
        with trio.move_on_after(SOON_S):
            while (answer := await self.next()) is not None:
                answers.append(answer)
        return answers


@asynccontextmanager
async def open_server(directory: Path) -> AsyncIterator[Server]:
    """Start member 2 of 3 alone: it stays LOOKING in round 1 until the end."""
    numbers = free_ports(6)
    ports = {sid: (numbers[2 * sid - 2], numbers[2 * sid - 1]) for sid in (1, 2, 3)}
    servers = [f"server.{sid}=127.0.0.1:{quorum}:{election}" for sid, (quorum, election) in ports.items()]
    (directory / "myid").write_text("2\n")
    # it neither decides nor repeats itself: what comes is an answer
    lines = [f"dataDir={directory}", "tickTime=500", "initLimit=10", "syncLimit=5", "fle.finalizeWait=1000 s"]
    lines.append("fastleader.minNotificationInterval=60000")
    (directory / "zoo.cfg").write_text("\n".join([*lines, *servers]) + "\n")
    command = [sys.executable, "-m", "trio_fle", "run", str(directory / "zoo.cfg"), "--log-format", "json"]
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        log = b""
        while b"election.started" not in log:
            log += await process.stdout.receive_some()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain, process.stdout)
            yield Server(ports[ME][1], {sid: election for sid, (_, election) in ports.items()}, process)
            assert process.returncode is None, "it lives on"
            nursery.cancel_scope.cancel()
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def drain(stream: trio.abc.ReceiveStream) -> None:
    async for _ in stream:
        pass


async def test_handshakes_are_met_as_by_a_real_server_or_better(tmp_path: Path) -> None:
    wrong = []
    with trio.fail_after(60):
        async with open_server(tmp_path) as server:
            for vector in RECORDED["handshakes"]:
                async with server.call(bytes.fromhex(vector["hex"])) as call:
                    kept = await call.next() is not None
                if kept != vector["reaction_of_real_server"].startswith(("kept", "accepted")):
                    wrong.append(f"{vector['name']}: {'kept' if kept else 'closed'}")
            async with server.call(bytes.fromhex("0000000000000003")) as call:
                assert await call.answers(LOWER_ROUND), "the listener serves on"
    assert wrong == []


@pytest.mark.parametrize(
    "name", ["V1, sid 1 (lower), own address given", "V1, sid 1, wildcard address", "legacy, sid 1"]
)
async def test_a_lower_id_is_dialled_back_at_its_configured_address(name: str, tmp_path: Path) -> None:
    """A Java server would dial the address in the handshake: anybody may write one there."""
    (vector,) = (each for each in RECORDED["handshakes"] if each["name"] == name)
    dialled: list[int] = []
    with trio.fail_after(20):
        async with open_server(tmp_path) as server, trio.open_nursery() as nursery:
            (listener,) = await trio.open_tcp_listeners(server.peer_ports[1], host="127.0.0.1")
            async with listener, server.call(bytes.fromhex(vector["hex"])) as call:
                assert await call.next() is None
                async with await listener.accept() as stream:
                    dialled.append(decode_hello(await read_handshake(stream)).sid)
                    assert await Call(stream).next() is not None
            nursery.cancel_scope.cancel()
    assert dialled == [ME]


async def test_an_observer_without_an_id_is_dialled_back_where_it_says(tmp_path: Path) -> None:
    (vector,) = (v for v in RECORDED["handshakes"] if v["name"].startswith("V1, sid 0x7fffffffffffffff"))
    (port,) = (number for number in free_ports(1))
    assert len(str(port)) == len("48998")
    data = bytes.fromhex(vector["hex"]).replace(b"48998", str(port).encode())
    with trio.fail_after(20):
        async with open_server(tmp_path) as server, trio.open_nursery() as nursery:
            (listener,) = await trio.open_tcp_listeners(port, host="127.0.0.1")
            async with listener, server.call(data) as call:
                assert await call.next() is None
                async with await listener.accept() as stream:
                    assert decode_hello(await read_handshake(stream)).sid == ME
                    assert await Call(stream).answers(LOWER_ROUND), "and served as a non-voter"
            nursery.cancel_scope.cancel()


async def test_frames_out_of_bounds_cost_their_connection_only(tmp_path: Path) -> None:
    legacy_3 = bytes.fromhex("0000000000000003")
    with trio.fail_after(30):
        async with open_server(tmp_path) as server:
            for vector in RECORDED["frames"]:
                async with server.call(legacy_3) as call:
                    assert await call.next() is not None
                    if vector["reaction_of_real_server"] == "accepted":
                        assert await call.answers(LOWER_ROUND.ljust(524288, b"\0"))
                        continue
                    await call.stream.send_all(bytes.fromhex(vector["hex"]))
                    assert await call.next() is None, vector["name"]


async def test_a_handshake_may_come_in_any_pieces_and_silence_disturbs_nobody(tmp_path: Path) -> None:
    hello = bytes.fromhex(RECORDED["handshakes"][0]["hex"])
    with trio.fail_after(20):
        async with open_server(tmp_path) as server:
            silent = [await trio.open_tcp_stream("127.0.0.1", server.port) for _ in range(50)]
            async with server.call(hello[:1]) as call:
                for byte in hello[1:]:
                    await trio.sleep(0.002)
                    await call.stream.send_all(bytes([byte]))
                assert await call.next() is not None
            for stream in silent:
                assert await stream.receive_some() == b"", "closed after tickTime * syncLimit"
                await stream.aclose()


def expected_answer(reaction: str) -> bool:
    return "answered" in reaction and "not answered" not in reaction


OURS = {
    # a real server loses its receiver thread over these; ours drops the text and counts the vote
    "config: observers only", "config: server.x", "config: version=zz", "config: bad unicode escape",
    "config: port 70000", "other members, higher version, reconfigEnabled=false",
    "config with an unknown key", "config with a malformed server line", "config not UTF-8",
    "config with other members but version 0", "config with one participant",
    "same members, higher version, reconfigEnabled=false",
    "same members, higher version, reconfigEnabled=true",
    "other members, higher version, reconfigEnabled=true",
}  # fmt: skip
"""The vote in these counts (and, of a lower round, is answered) whatever the text is worth."""


async def test_notifications_are_taken_as_by_a_real_server_or_better(tmp_path: Path) -> None:
    wrong: list[str] = []

    async def check(server: Server, vector: dict[str, Any]) -> None:
        sid, body = vector["from_sid"], bytes.fromhex(vector["payload_hex"])
        async with server.call(sid.to_bytes(8, "big")) as call:
            if sid == 3:  # a voter is told at once what it missed, a stranger when it asks
                assert await call.next() is not None
            answers = await call.answers(body)
            answered = expected_answer(vector["reaction_of_real_server"]) or vector["name"] in OURS
            if bool(answers) != answered:
                wrong.append(f"{vector['name']}: {len(answers)} answers")
            if not await call.answers(LOWER_ROUND):
                wrong.append(f"{vector['name']}: the connection did not stay")

    with trio.fail_after(60):
        async with open_server(tmp_path) as server:
            for vector in RECORDED["notifications"]:
                await check(server, vector)
    assert wrong == []
