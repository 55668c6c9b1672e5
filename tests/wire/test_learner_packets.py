"""The quorum port's bytes, against 14 recorded conversations between real leaders and learners."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_fle.errors import MalformedMessageError
from trio_fle.wire.jute import MAX_BUFFER_BYTES, Reader, read_buffer
from trio_fle.wire.packet import (
    LearnerInfo,
    PacketType,
    QuorumPacket,
    decode_learner_info,
    encode_learner_info,
    encode_packet,
    read_packet,
)
from trio_fle.wire.snapshot import read_snapshot

CONVERSATIONS = json.loads((Path(__file__).parents[1] / "data" / "learner-conversations.json").read_text())[
    "conversations"
]
MESSAGES = [message for conversation in CONVERSATIONS for message in conversation["messages"]]
T = TypeVar("T")


class OutOfBytesError(Exception):
    """The reader wants more than there is."""


def read(reader: Reader[T], data: bytes) -> tuple[T, bytes]:
    """Run a reader over ``data``; return its value and what it left."""
    at = 0
    try:
        wanted = next(reader)
        while True:
            if len(data) - at < wanted:
                raise OutOfBytesError
            at, piece = at + wanted, data[at : at + wanted]
            wanted = reader.send(piece)
    except StopIteration as end:
        return end.value, data[at:]


def packets() -> Iterator[dict[str, Any]]:
    return (message for message in MESSAGES if message["kind"] == "packet")


def test_every_recorded_packet_is_read_and_written_byte_for_byte() -> None:
    seen = 0
    for message in packets():
        data, decoded = bytes.fromhex(message["hex"]), message["decoded"]
        packet, rest = read(read_packet(), data)
        assert rest == b""
        assert encode_packet(packet) == data
        assert packet.type == decoded["type"]
        assert PacketType(packet.type).name == decoded["name"]
        assert packet.zxid & (2**64 - 1) == int(decoded["zxid"], 16)
        seen += 1
    assert seen > 200


def test_what_learners_say_of_themselves_is_read_and_written_byte_for_byte() -> None:
    seen = 0
    for message in packets():
        if message["decoded"]["name"] in ("FOLLOWERINFO", "OBSERVERINFO"):
            packet, _ = read(read_packet(), bytes.fromhex(message["hex"]))
            info = decode_learner_info(packet.data)
            assert info is not None
            assert encode_learner_info(info) == packet.data
            assert info.sid == message["decoded"]["meaning"]["serverid"]
            seen += 1
    assert seen == len(CONVERSATIONS)


def test_whole_directions_are_read_snapshots_and_all() -> None:
    snapshots = 0
    for conversation in CONVERSATIONS:
        for direction in ("c2s", "s2c"):
            sent = [message for message in conversation["messages"] if message["dir"] == direction]
            rest = b"".join(bytes.fromhex(message["hex"]) for message in sent)
            for message in sent:
                if message["kind"] == "snapshot":
                    summary, rest = read(read_snapshot(), rest)
                    assert summary.nodes >= 3
                    snapshots += 1
                else:
                    _, rest = read(read_packet(), rest)
            assert rest == b""
    assert snapshots >= 5


def test_a_snapshot_brings_the_configuration_text_that_the_tree_holds() -> None:
    texts = set()
    for message in MESSAGES:
        if message["kind"] == "snapshot":
            summary, _ = read(read_snapshot(), bytes.fromhex(message["hex"]))
            if summary.config:
                texts.add(summary.config.partition(b"=")[0])
    assert texts == {b"server.1"}


@pytest.mark.parametrize("length", [-2, MAX_BUFFER_BYTES + 1, 2**31 - 1, -(2**31)])
def test_a_length_out_of_bounds_is_refused_before_a_byte_is_waited_for(length: int) -> None:
    with pytest.raises(MalformedMessageError, match=str(length)):
        read(read_buffer(), length.to_bytes(4, "big", signed=True))


@pytest.mark.parametrize(
    ("data", "info"),
    [
        (None, None),
        (bytes(7) + b"\x05", LearnerInfo(5, 0, None)),
        (bytes(7) + b"\x05" + bytes(3), LearnerInfo(5, 0, None)),
        (bytes(7) + b"\x05\0\1\0\0", LearnerInfo(5, 0x10000, None)),
        (bytes(7) + b"\x05\0\1\0\0" + bytes(7) + b"\x09" + b"more", LearnerInfo(5, 0x10000, 9)),
    ],
)
def test_learner_information_has_three_lengths(data: bytes | None, info: LearnerInfo | None) -> None:
    assert decode_learner_info(data) == info


def test_learner_information_without_an_id_is_refused() -> None:
    with pytest.raises(MalformedMessageError):
        decode_learner_info(bytes(7))


LONGS = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.one_of(st.none(), st.text(st.characters(exclude_categories=("Cs",)), max_size=9))
PACKETS = st.builds(
    QuorumPacket,
    st.integers(-(2**31), 2**31 - 1),
    LONGS,
    st.one_of(st.none(), st.binary(max_size=50)),
    st.one_of(st.none(), st.lists(st.tuples(TEXTS, TEXTS), max_size=3).map(tuple)),
)


@given(PACKETS)
def test_a_packet_is_read_as_it_was_written(packet: QuorumPacket) -> None:
    assert read(read_packet(), encode_packet(packet) + b"next") == (packet, b"next")


@pytest.mark.parametrize("reader", [read_packet, read_snapshot])
@given(data=st.binary(max_size=300))
def test_any_bytes_are_a_value_or_a_wire_error(reader: Callable[[], Reader[object]], data: bytes) -> None:
    with contextlib.suppress(MalformedMessageError, OutOfBytesError):
        read(reader(), data)
