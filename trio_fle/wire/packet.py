"""Packets of the quorum port, and the records in them.

::

    QuorumPacket = int32 type, int64 zxid, buffer data, vector<{ustring scheme, ustring id}> authinfo
    LearnerInfo  = int64 serverid, int32 protocolVersion, int64 configVersion (3.5 and later) [mark, summary]
    LeaderInfo   = int32 protocolVersion [mark, int64 lease in microseconds]
    mark         = "trio-fle", int32 2: how members of ours know each other; a Java reader stops before it
    summary      = int32 current epoch, int64 last zxid: what ACKEPOCH says, so that nobody waits for that
    RESIGNATION  = a packet whose data is one byte: 1 where its sender stops, and votes no more

Source: ``zookeeper.jute``, ``QuorumPacket`` and ``LearnerInfo``.
"""

import enum
import struct
from typing import Final

import attrs

from trio_fle.errors import MalformedMessageError
from trio_fle.vote import StateSummary
from trio_fle.wire.jute import Reader, read_buffer, read_count, read_int, read_long, read_string, write_buffer

PROTOCOL_VERSION: Final = 0x10000
"""Of the learner protocol since 3.4: with LEADERINFO and ACKEPOCH."""

NAME: Final = b"trio-fle"
MARK: Final = NAME + (2).to_bytes(4, "big")

MAX_LEASE_US: Final = 3600 * 1_000_000
"""Longest lease that is believed."""

_MAX_IDS: Final = 1024
_HEAD: Final = struct.Struct(">iq")
_INT: Final = struct.Struct(">i")
_INFO: Final = struct.Struct(">qiq")
_OLD_INFO: Final = struct.Struct(">qi")
_LONG: Final = struct.Struct(">q")
_SUMMARY: Final = struct.Struct(">iq")
_MICROSECONDS: Final = 1_000_000


class PacketType(enum.IntEnum):
    """What a packet is; other numbers exist only on the wire."""

    REQUEST = 1
    PROPOSAL = 2
    ACK = 3
    COMMIT = 4
    PING = 5
    REVALIDATE = 6
    SYNC = 7
    INFORM = 8
    COMMITANDACTIVATE = 9
    NEWLEADER = 10
    FOLLOWERINFO = 11
    UPTODATE = 12
    DIFF = 13
    TRUNC = 14
    SNAP = 15
    OBSERVERINFO = 16
    LEADERINFO = 17
    ACKEPOCH = 18
    INFORMANDACTIVATE = 19
    RESIGNATION = 0x74666C65
    """Ours ("tfle"), for learners with the mark only: this leadership has ended."""


@attrs.frozen
class QuorumPacket:
    """One packet between leader and learner. ``type`` may be a number that is no ``PacketType``."""

    type: int
    zxid: int
    data: bytes | None = None
    authinfo: tuple[tuple[str | None, str | None], ...] | None = None


@attrs.frozen
class LearnerInfo:
    """Who a learner is. ``config_version`` is None in the form of 3.4; only ours tell their ``summary``.

    ``accepted_epoch`` is what one of ours knows to have accepted, where before it was started again it may
    have accepted the next one, which its packet names; else None.
    """

    sid: int
    protocol_version: int = PROTOCOL_VERSION
    config_version: int | None = 0
    summary: StateSummary | None = None
    accepted_epoch: int | None = None


@attrs.frozen
class LeaderInfo:
    """What a leader says with LEADERINFO. ``lease_s`` is None for a leader that is none of ours."""

    protocol_version: int = PROTOCOL_VERSION
    lease_s: float | None = None


def read_packet() -> Reader[QuorumPacket]:
    """Read one packet. Raises ``MalformedMessageError`` for lengths out of bounds."""
    kind = yield from read_int()
    zxid = yield from read_long()
    data = yield from read_buffer()
    count = yield from read_count(_MAX_IDS)
    if count is None:
        return QuorumPacket(kind, zxid, data)
    ids = []
    for _ in range(count):
        scheme = yield from read_string()
        identity = yield from read_string()
        ids.append((scheme, identity))
    return QuorumPacket(kind, zxid, data, tuple(ids))


def encode_packet(packet: QuorumPacket) -> bytes:
    """Encode a packet."""
    encoded = _HEAD.pack(packet.type, packet.zxid) + write_buffer(packet.data)
    if packet.authinfo is None:
        return encoded + _INT.pack(-1)
    texts = [text for pair in packet.authinfo for text in pair]
    ids = b"".join(write_buffer(None if text is None else text.encode()) for text in texts)
    return encoded + _INT.pack(len(packet.authinfo)) + ids


def decode_learner_info(data: bytes | None) -> LearnerInfo | None:
    """Decode what a learner says of itself; None where it says nothing (before 3.3).

    8 bytes give the id, 12 the protocol version, 20 the version of its configuration; what follows is
    ignored, unless it is a mark. Raises ``MalformedMessageError`` below 8 bytes, and for a mark of another
    form.
    """
    if data is None:
        return None
    if len(data) >= _INFO.size:
        sid, version, config_version = _INFO.unpack_from(data)
        if (told := _after_mark(data[_INFO.size :], _SUMMARY.size)) is None:
            return LearnerInfo(sid, version, config_version)
        summary, more = StateSummary(*_SUMMARY.unpack_from(told)), told[_SUMMARY.size :]
        accepted = _LONG.unpack_from(more)[0] if len(more) >= _LONG.size else None
        return LearnerInfo(sid, version, config_version, summary, accepted)
    if len(data) >= _OLD_INFO.size:
        sid, version = _OLD_INFO.unpack_from(data)
        return LearnerInfo(sid, version, None)
    if len(data) < 8:
        raise MalformedMessageError(f"learner information of {len(data)} bytes has no server id")
    return LearnerInfo(int.from_bytes(data[:8], "big", signed=True), 0, None)


def encode_learner_info(info: LearnerInfo) -> bytes:
    """Encode what a learner says of itself."""
    if info.config_version is None:
        return _OLD_INFO.pack(info.sid, info.protocol_version)
    encoded = _INFO.pack(info.sid, info.protocol_version, info.config_version)
    if info.summary is None:
        return encoded
    encoded += MARK + _SUMMARY.pack(info.summary.epoch, info.summary.zxid)
    return encoded if info.accepted_epoch is None else encoded + _LONG.pack(info.accepted_epoch)


def _after_mark(data: bytes, size: int) -> bytes | None:
    """Return what follows a mark, ``size`` bytes or more; None where there is no mark."""
    if not data.startswith(NAME):
        return None
    if not data.startswith(MARK) or len(data) < len(MARK) + size:
        raise MalformedMessageError(
            "it has another version of trio-fle, which needs the same to lead or follow"
        )
    return data[len(MARK) :]


def decode_leader_info(data: bytes | None) -> LeaderInfo:
    """Decode what a leader says of itself.

    Raises ``MalformedMessageError`` below 4 bytes, and for another form of mark.
    """
    if data is None or len(data) < _INT.size:
        raise MalformedMessageError("leader information without a protocol version")
    (version,) = _INT.unpack_from(data)
    if (lease := _after_mark(data[_INT.size :], _LONG.size)) is None:
        return LeaderInfo(version)
    (lease_us,) = _LONG.unpack_from(lease)
    return LeaderInfo(version, min(max(0, lease_us), MAX_LEASE_US) / _MICROSECONDS)


def encode_leader_info(info: LeaderInfo) -> bytes:
    """Encode what a leader says of itself."""
    encoded = _INT.pack(info.protocol_version)
    if info.lease_s is None:
        return encoded
    return encoded + MARK + _LONG.pack(round(info.lease_s * _MICROSECONDS))
