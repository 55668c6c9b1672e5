"""Reconfigurations as real leaders told them."""

import json
from pathlib import Path

import pytest

from trio_fle.ensemble import parse_ensemble
from trio_fle.errors import MalformedMessageError
from trio_fle.wire.packet import PacketType, QuorumPacket
from trio_fle.wire.transaction import reconfiguration

CONVERSATIONS = json.loads((Path(__file__).parents[1] / "data" / "learner-conversations.json").read_text())
TRANSACTIONS = [
    (message["decoded"]["name"], QuorumPacket(message["decoded"]["type"], 0, bytes.fromhex(data)), header)
    for conversation in CONVERSATIONS["conversations"]
    for message in conversation["messages"]
    if message["kind"] == "packet" and message["dir"] == "s2c"
    if (header := message["decoded"].get("meaning", {}).get("txnHeader"))
    if (data := message["decoded"].get("data_hex"))
]
RECONFIGURATIONS = [(name, packet) for name, packet, header in TRANSACTIONS if header["type"] == 16]


def test_there_are_recorded_reconfigurations_of_each_kind() -> None:
    assert {name for name, _ in RECONFIGURATIONS} >= {"PROPOSAL", "INFORMANDACTIVATE"}
    assert len(TRANSACTIONS) > len(RECONFIGURATIONS)


@pytest.mark.parametrize(("name", "packet", "header"), TRANSACTIONS)
def test_a_recorded_transaction_tells_its_configuration_or_has_none(
    name: str, packet: QuorumPacket, header: dict[str, object]
) -> None:
    text = reconfiguration(packet)
    if header["type"] != 16:
        assert text is None
        return
    assert text is not None
    ensemble = parse_ensemble(text.decode())
    assert hex(ensemble.version) == header["zxid"], "its version is its zxid"
    assert ensemble.text == text.decode()


@pytest.mark.parametrize(("name", "packet"), RECONFIGURATIONS)
def test_a_cut_one_tells_nothing(name: str, packet: QuorumPacket) -> None:
    assert packet.data is not None
    whole = reconfiguration(packet)
    assert whole is not None
    end = packet.data.index(whole) + len(whole)
    for cut in range(end):
        assert reconfiguration(QuorumPacket(packet.type, 0, packet.data[:cut])) is None
    assert reconfiguration(QuorumPacket(packet.type, 0, packet.data[:end])) == whole
    assert reconfiguration(QuorumPacket(PacketType.PROPOSAL, 0, None)) is None


@pytest.mark.parametrize("length", [b"\xff\xff\xff\xfe", b"\x7f\xff\xff\xff"])
def test_a_length_that_can_not_be_is_malformed(length: bytes) -> None:
    header = bytes(28) + (16).to_bytes(4, "big")
    packet = QuorumPacket(PacketType.PROPOSAL, 0, header + length + b"abc")
    with pytest.raises(MalformedMessageError):
        reconfiguration(packet)
