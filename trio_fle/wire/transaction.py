"""The one kind of transaction that a member without a tree has to read: a reconfiguration.

::

    PROPOSAL, INFORM:   header, record [digest]
    INFORMANDACTIVATE:  int64 designated leader, header, record [digest]
    COMMITANDACTIVATE:  int64 designated leader
    header = int64 session, int32 cxid, int64 zxid, int64 time in ms, int32 type
    record = ustring path, buffer text, int32 version          where the type is 16, reconfig

Source: ``TxnHeader``, ``SetDataTxn``, ``Leader.buildInformAndActivePacket``.
"""

import struct
from typing import Final

from trio_fle.wire.jute import Reader, read_buffer, read_string
from trio_fle.wire.packet import PacketType, QuorumPacket

RECONFIG: Final = 16

_HEADER: Final = struct.Struct(">qiqqi")
_LEADER_BYTES: Final = 8


def reconfiguration(packet: QuorumPacket) -> bytes | None:
    """Return the configuration text that a transaction sets; None where it does something else, or is cut.

    Raises ``MalformedMessageError`` for lengths out of bounds.
    """
    data = packet.data or b""
    if packet.type == PacketType.INFORMANDACTIVATE:
        data = data[_LEADER_BYTES:]
    if len(data) < _HEADER.size or _HEADER.unpack_from(data)[-1] != RECONFIG:
        return None
    return _read_all(_read_record(), data[_HEADER.size :])


def _read_record() -> Reader[bytes | None]:
    yield from read_string()
    return (yield from read_buffer())


def _read_all(reader: Reader[bytes | None], data: bytes) -> bytes | None:
    """Read from bytes that are all there; None where they end too soon."""
    at = 0
    try:
        wanted = next(reader)
        while at + wanted <= len(data):
            at += wanted
            wanted = reader.send(data[at - wanted : at])
    except StopIteration as end:
        value: bytes | None = end.value
        return value
    return None
