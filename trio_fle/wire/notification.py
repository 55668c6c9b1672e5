"""Notifications: the one kind of message on an established election connection."""

import enum
import struct
from typing import Final

import attrs

from trio_fle.errors import MalformedMessageError
from trio_fle.vote import PeerState, Vote, epoch_of

CURRENT_VERSION: Final = 2
"""Format of 3.5 and later: with the sender's configuration."""

_BASE: Final = struct.Struct(">iqqq")
_EPOCH: Final = struct.Struct(">q")
_INT: Final = struct.Struct(">i")
_VERSIONED: Final = struct.Struct(">iqqqqi")
_FULL: Final = struct.Struct(">iqqqqii")
_RIDER: Final = struct.Struct(">8sqqq")
_MICROSECONDS: Final = 1_000_000

RIDER_MARK: Final = b"tfle" + (1).to_bytes(4, "big")
_STATES: Final = {int(state): state for state in PeerState}


class Layout(enum.Enum):
    """Which generation of ZooKeeper a notification is written for."""

    ZXID_ONLY = "28 bytes, before 3.4"
    VERSIONED = "40 bytes, 3.4.6 to 3.4.14"
    CONFIG = "44 + n bytes, 3.5 and later"


@attrs.frozen
class Offer:
    """What one of ours says with its vote for itself: it would lead ``epoch``, under a lease of ``lease_s``.

    ``number`` is random, so that no other offer, of an earlier process either, has the same.
    """

    epoch: int
    number: int
    lease_s: float


@attrs.frozen
class Acceptance:
    """What one of ours says with its vote for another one: the offer of that ``number`` is accepted."""

    epoch: int
    number: int


@attrs.frozen
class Notification:
    """One server's vote, the state and round it is in, and the configuration it knows.

    ``state`` is None for a number that is no state (a voter's is ignored, a non-voter is answered all
    the same). ``config`` is None where the message's format has none. ``rider`` is what only ours say.
    """

    state: PeerState | None
    vote: Vote
    round: int
    version: int = CURRENT_VERSION
    config: bytes | None = None
    rider: Offer | Acceptance | None = None

    def without_config(self) -> "Notification":
        """Return the same without the configuration."""
        return Notification(self.state, self.vote, self.round, self.version, None, self.rider)


def decode_notification(body: bytes) -> Notification:
    """Decode one notification, its frame's length already taken off.

    Big-endian, signed, unpadded; the total length tells the generation::

        at  bytes  field
        0   4      sender's state: 0 LOOKING, 1 FOLLOWING, 2 LEADING, 3 OBSERVING
        4   8      leader: the server id voted for
        12  8      zxid: the last that this leader logged (epoch << 32 | counter)
        20  8      round: the sender's logical clock, a count of elections
        28  8      leader's epoch       (a message of exactly 28 bytes has none: the zxid's high half)
        36  4      format version       (not read from a message of exactly 40 bytes: version 0)
        40  4 + n  configuration text   (version 2 and later; what follows it is ignored, as by Java, but for)
        44 + n  8  "tfle" and four bytes, 1: then what only ours say:
        ..  8      the epoch that is offered or accepted
        ..  8      number of the offer
        ..  8      microseconds of its lease; -1 in an acceptance

    Raises ``MalformedMessageError`` for a length that fits no generation (below 28, and 29..39) and for
    a configuration length below zero or beyond the message. Source: ``FastLeaderElection.WorkerReceiver``.
    """
    size = len(body)
    if size < _BASE.size:
        raise MalformedMessageError(f"notification of {size} bytes is shorter than {_BASE.size}")
    number, leader, zxid, round_ = _BASE.unpack_from(body)
    state = _STATES.get(number)
    if size == _BASE.size:
        return Notification(state, Vote(leader, zxid, epoch_of(zxid)), round_, version=0)
    if size < _VERSIONED.size:
        raise MalformedMessageError(f"notification of {size} bytes fits no format (28, 40, 44 and more)")
    vote = Vote(leader, zxid, _EPOCH.unpack_from(body, _BASE.size)[0])
    if size == _VERSIONED.size:
        return Notification(state, vote, round_, version=0)
    (version,) = _INT.unpack_from(body, _BASE.size + _EPOCH.size)
    config = _read_config(body) if version > 1 else None
    rider = None if config is None else _read_rider(body, _FULL.size + len(config))
    return Notification(state, vote, round_, version, config, rider)


def _read_config(body: bytes) -> bytes:
    if len(body) < _FULL.size:
        raise MalformedMessageError(f"notification of {len(body)} bytes ends before its configuration length")
    (length,) = _INT.unpack_from(body, _VERSIONED.size)
    if not 0 <= length <= len(body) - _FULL.size:
        raise MalformedMessageError(f"configuration length {length} does not fit {len(body)} bytes")
    return body[_FULL.size : _FULL.size + length]


def _read_rider(body: bytes, at: int) -> Offer | Acceptance | None:
    if len(body) < at + _RIDER.size:
        return None
    mark, epoch, number, lease_us = _RIDER.unpack_from(body, at)
    if mark != RIDER_MARK:
        return None
    return Offer(epoch, number, lease_us / _MICROSECONDS) if lease_us >= 0 else Acceptance(epoch, number)


def _write_rider(rider: Offer | Acceptance | None) -> bytes:
    match rider:
        case Offer(epoch, number, lease_s):
            return _RIDER.pack(RIDER_MARK, epoch, number, round(lease_s * _MICROSECONDS))
        case Acceptance(epoch, number):
            return _RIDER.pack(RIDER_MARK, epoch, number, -1)
    return b""


def encode_notification(notification: Notification, layout: Layout = Layout.CONFIG) -> bytes:
    """Encode a notification, without the frame's length; see ``decode_notification`` for the bytes.

    The shorter layouts leave out what they have no place for. A 40-byte message says version 1.
    Raises ``ValueError`` for a state that is none.
    """
    if notification.state is None:
        raise ValueError("a notification without a state can't be sent")
    vote = notification.vote
    head = (notification.state, vote.leader, vote.zxid, notification.round)
    match layout:
        case Layout.ZXID_ONLY:
            return _BASE.pack(*head)
        case Layout.VERSIONED:
            return _VERSIONED.pack(*head, vote.epoch, 1)
        case Layout.CONFIG:
            config = notification.config or b""
            full = _FULL.pack(*head, vote.epoch, notification.version, len(config)) + config
            return full if notification.rider is None else full + _write_rider(notification.rider)
