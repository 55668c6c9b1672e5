"""What real servers wrote on their election ports: read right, and written again byte for byte."""

import json
from pathlib import Path
from typing import Any

import pytest

from trio_fle.ensemble import HostPort, parse_ensemble
from trio_fle.vote import MAX_LONG, PeerState, Vote
from trio_fle.wire import (
    FrameBuffer,
    Hello,
    Layout,
    Notification,
    Protocol,
    decode_hello,
    decode_notification,
    encode_frame,
    encode_hello,
    encode_notification,
    hello_size,
)

DATA = Path(__file__).parents[1] / "data"
HANDSHAKES = json.loads((DATA / "election-handshakes.json").read_text())["vectors"]
NOTIFICATIONS = json.loads((DATA / "election-notifications.json").read_text())["vectors"]
CONVERSATIONS = json.loads((DATA / "election-conversations.json").read_text())["conversations"]


def named(vectors: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(vector, id=f"{vector['capture']}-{at}") for at, vector in enumerate(vectors)]


def addresses(text: str) -> tuple[HostPort, ...]:
    pairs = (part.rpartition(":") for part in text.split("|"))
    return tuple(HostPort(host.strip("[]"), int(port)) for host, _, port in pairs)


def expected_hello(decoded: dict[str, Any]) -> Hello:
    if "legacy_sid" in decoded:
        return Hello(decoded["legacy_sid"], (), Protocol.LEGACY)
    return Hello(decoded["sid"], addresses(decoded["addr"]), Protocol(decoded["protocol"]))


def long_of(text: str) -> int:
    number = int(text, 16)
    return number - 2**64 if number > MAX_LONG else number


def expected_notification(decoded: dict[str, Any], size: int) -> Notification:
    vote = Vote(decoded["leader"], long_of(decoded["zxid"]), decoded["peerEpoch"])
    # the version of a message of 40 bytes is there, and not read
    version = 0 if size == 40 else decoded["version"]
    config = decoded["config"].encode() if "config" in decoded else None
    return Notification(PeerState[decoded["state"]], vote, decoded["electionEpoch"], version, config)


def check_notification(frame: bytes, decoded: dict[str, Any]) -> None:
    [body] = FrameBuffer().feed(frame)
    notification = decode_notification(body)
    assert notification == expected_notification(decoded, len(body))
    layout = Layout.VERSIONED if len(body) == 40 else Layout.CONFIG
    assert encode_frame(encode_notification(notification, layout)) == frame


@pytest.mark.parametrize("vector", named(HANDSHAKES))
def test_a_recorded_handshake_is_read_and_written_byte_for_byte(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    assert decode_hello(data) == expected_hello(vector["decoded"])
    assert encode_hello(expected_hello(vector["decoded"])) == data


@pytest.mark.parametrize("vector", named(HANDSHAKES))
def test_a_recorded_handshake_tells_its_size_early(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    for at in range(len(data)):
        assert at < hello_size(data[:at]) <= len(data)
    assert hello_size(data) == hello_size(data + b"\0\0\0\x28 a notification") == len(data)


def test_handshakes_of_all_three_protocols_were_recorded() -> None:
    seen = {decode_hello(bytes.fromhex(vector["hex"])).protocol for vector in HANDSHAKES}
    assert seen == set(Protocol)


@pytest.mark.parametrize("vector", named(NOTIFICATIONS))
def test_a_recorded_notification_is_read_and_written_byte_for_byte(vector: dict[str, Any]) -> None:
    frame = bytes.fromhex(vector["frame_hex"])
    assert len(frame) == 4 + vector["payload_len"]
    check_notification(frame, vector["decoded"])


@pytest.mark.parametrize(
    "vector", named([vector for vector in NOTIFICATIONS if "config" in vector["decoded"]])
)
def test_a_recorded_configuration_is_read_and_written_byte_for_byte(vector: dict[str, Any]) -> None:
    text = vector["decoded"]["config"]
    assert parse_ensemble(text, several_addresses=True).text == text


def test_notifications_of_all_states_and_of_both_layouts_were_recorded() -> None:
    assert {vector["decoded"]["state"] for vector in NOTIFICATIONS} == {state.name for state in PeerState}
    assert {vector["payload_len"] == 40 for vector in NOTIFICATIONS} == {True, False}


@pytest.mark.parametrize("vector", named(CONVERSATIONS))
@pytest.mark.parametrize("direction", ["c2s", "s2c"])
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_one_side_of_a_recorded_connection_is_read_in_pieces(
    vector: dict[str, Any], direction: str, step: int
) -> None:
    messages = [message for message in vector["messages"] if message["dir"] == direction]
    stream = bytes.fromhex("".join(message["hex"] for message in messages))
    said: list[Any] = []
    if messages and messages[0]["kind"] == "handshake":
        size = hello_size(stream[:20])
        said.append(decode_hello(stream[:size]))
        stream = stream[size:]
    frames = FrameBuffer()
    for at in range(0, len(stream), step):
        said += map(decode_notification, frames.feed(stream[at : at + step]))
    assert said == [
        expected_hello(message["decoded"])
        if message["kind"] == "handshake"
        else expected_notification(message["decoded"], message["decoded"]["len"])
        for message in messages
    ]
