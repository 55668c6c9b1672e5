"""Odd bytes that a real server was sent: the codec accepts and refuses what it accepted and refused.

Where a Java server lost a thread (``harmful_to_java``), ours refuses the message, or the text inside it.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from trio_fle.ensemble import parse_ensemble
from trio_fle.errors import ConfigError, MalformedMessageError
from trio_fle.vote import epoch_of
from trio_fle.wire import (
    MAX_FRAME_BYTES,
    FrameBuffer,
    decode_hello,
    decode_notification,
    encode_frame,
    hello_size,
)

RECORDED = json.loads((Path(__file__).parents[1] / "data" / "robustness.json").read_text())


def named(kind: str) -> list[Any]:
    return [pytest.param(each, id=each["name"]) for each in RECORDED[kind]]


def harmful(case: dict[str, Any]) -> bool:
    return bool(case.get("harmful_to_java", False))


@pytest.mark.parametrize("case", named("handshakes"))
def test_a_handshake_is_refused_where_a_real_server_closed_for_it(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["hex"])
    # "closes, dials ..." is the answer to a sound handshake from a lower id
    if harmful(case) or case["reaction_of_real_server"].startswith("closes ("):
        with pytest.raises(MalformedMessageError):
            decode_hello(data)
    else:
        assert hello_size(data) == len(data)
        decode_hello(data)


@pytest.mark.parametrize("case", named("handshakes"))
def test_a_head_is_refused_before_its_address_is_waited_for(case: dict[str, Any]) -> None:
    reaction = case["reaction_of_real_server"]
    head = bytes.fromhex(case["hex"])[:20]
    if "unrecognized protocol version" in reaction or "Unreasonable buffer length" in reaction:
        with pytest.raises(MalformedMessageError):
            hello_size(head)
    else:
        assert hello_size(head) == len(bytes.fromhex(case["hex"]))


@pytest.mark.parametrize("cut", range(1, 35))
def test_a_handshake_in_two_segments_is_waited_for(cut: int) -> None:
    data = bytes.fromhex(RECORDED["handshakes"][0]["hex"])
    assert len(data) == 35
    assert hello_size(data[:cut]) > cut


@pytest.mark.parametrize("case", named("frames"))
def test_a_frame_is_refused_where_a_real_server_closed_for_it(case: dict[str, Any]) -> None:
    length, padded, _ = case["hex"].partition(" + payload")
    stream = bytes.fromhex(length)
    if case["reaction_of_real_server"] == "connection closed":
        with pytest.raises(MalformedMessageError, match="frame length"):
            list(FrameBuffer().feed(stream))
    else:
        assert padded
        sound = bytes.fromhex(RECORDED["notifications"][16]["payload_hex"])
        [body] = FrameBuffer().feed(stream + sound.ljust(MAX_FRAME_BYTES, b"\0"))
        assert decode_notification(body) == decode_notification(sound)


def test_a_bad_length_after_a_good_frame_leaves_the_good_one() -> None:
    stream = FrameBuffer().feed(encode_frame(b"good") + b"\0\0\0\0")
    assert next(stream) == b"good"
    with pytest.raises(MalformedMessageError):
        next(stream)


@pytest.mark.parametrize("case", named("notifications"))
def test_a_notification_is_skipped_where_a_real_server_skipped_it(case: dict[str, Any]) -> None:
    body = bytes.fromhex(case["payload_hex"])
    reaction = case["reaction_of_real_server"]
    if reaction.startswith("skipped") or "short response" in reaction:
        with pytest.raises(MalformedMessageError):
            decode_notification(body)
    else:
        decode_notification(body)


CONFIG_DROPPED = [
    case for case in RECORDED["notifications"] if "config dropped" in case["reaction_of_real_server"]
]
CONFIG_HARMFUL = [
    case for case in RECORDED["notifications"] if "receiver thread dies" in case["reaction_of_real_server"]
]
CONFIG_READ = [
    case
    for case in RECORDED["notifications"]
    # one of them harms a Java server as well: by what it does with the sound text, over and over
    if case["name"].startswith(("config ", "same members", "other members", "version 3"))
    and case not in CONFIG_DROPPED
]


def config_text(case: dict[str, Any]) -> str:
    config = decode_notification(bytes.fromhex(case["payload_hex"])).config
    assert config is not None
    return config.decode(errors="replace")


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CONFIG_DROPPED])
def test_a_configuration_that_a_real_server_dropped_is_an_error_of_its_own(case: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        parse_ensemble(config_text(case))


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CONFIG_HARMFUL])
def test_a_configuration_that_ended_a_java_thread_is_an_error_like_any_other(case: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        parse_ensemble(config_text(case))


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CONFIG_READ])
def test_a_configuration_that_a_real_server_understood_is_understood(case: dict[str, Any]) -> None:
    parse_ensemble(config_text(case))


def test_the_recording_has_configurations_of_all_three_kinds() -> None:
    assert (len(CONFIG_DROPPED), len(CONFIG_HARMFUL), len(CONFIG_READ)) == (3, 5, 7)


def payload(name: str) -> bytes:
    [case] = [case for case in RECORDED["notifications"] if case["name"] == name]
    return bytes.fromhex(case["payload_hex"])


@pytest.mark.parametrize(
    ("name", "version", "has_config"),
    [
        ("28 bytes", 0, False),
        ("40 bytes, version field 1", 0, False),
        ("40 bytes, version field 2", 0, False),
        ("41 bytes, version 1", 1, False),
        ("44 bytes, version 1", 1, False),
        ("44 bytes, version 0", 0, False),
        ("44 bytes, version -5", -5, False),
        ("version 2, config length 0", 2, True),
        ("version 3 with config", 3, True),
        ("version 2, bytes after the config", 2, True),
    ],
)
def test_the_version_decides_whether_a_configuration_is_read(
    name: str, version: int, has_config: bool
) -> None:
    notification = decode_notification(payload(name))
    assert (notification.version, notification.config is not None) == (version, has_config)


def test_bytes_after_the_configuration_are_ignored() -> None:
    text = decode_notification(payload("version 2, bytes after the config")).config
    assert text == decode_notification(payload("version 3 with config")).config
    assert len(payload("version 2, bytes after the config")) > 44 + len(text or b"")


def test_an_empty_configuration_has_nobody_and_version_0() -> None:
    ensemble = parse_ensemble(
        (decode_notification(payload("version 2, config length 0")).config or b"").decode()
    )
    assert (dict(ensemble.servers), ensemble.version) == ({}, 0)


@pytest.mark.parametrize("name", ["state 4", "state -1", "from non-voter sid 9, state 77"])
def test_a_number_that_is_no_state_is_none(name: str) -> None:
    assert decode_notification(payload(name)).state is None


@pytest.mark.parametrize(("zxid", "epoch"), [(-1, -1), (-(2**63), -(2**31)), (0x5_0000_0001, 5)])
def test_a_message_of_28_bytes_has_the_epoch_of_its_zxid(zxid: int, epoch: int) -> None:
    body = bytearray(payload("28 bytes"))
    body[12:20] = zxid.to_bytes(8, "big", signed=True)
    assert decode_notification(bytes(body)).vote.epoch == epoch == epoch_of(zxid)
