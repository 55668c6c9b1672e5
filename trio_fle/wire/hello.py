"""The handshake: what the initiator of an election connection writes before anything else.

::

    at  bytes  field
    0   8      -65536 (V1: one address) or -65535 (V2: all addresses)
    8   8      initiator's server id
    16  4      L, 1..2048
    20  L      initiator's election addresses, UTF-8, joined by "|"

A first long of zero or more is the legacy form of 3.4 and older: the id, and nothing else.
Source: ``QuorumCnxManager.InitialMessage``.
"""

import enum
import re
import struct
from typing import Final

import attrs

from trio_fle.ensemble import HostPort
from trio_fle.errors import MalformedMessageError

MAX_ADDRESS_BYTES: Final = 2048

_LONG: Final = struct.Struct(">q")
_HEAD: Final = struct.Struct(">qqi")
_PORT: Final = re.compile(r"[+-]?[0-9]{1,10}", re.ASCII)


class Protocol(enum.IntEnum):
    """First long of a handshake; ``LEGACY`` stands for "no version at all"."""

    LEGACY = 0
    V1 = -65536
    V2 = -65535


@attrs.frozen
class Hello:
    """Who dials, and where it says that it can be dialled back (nowhere, in the legacy form)."""

    sid: int
    addresses: tuple[HostPort, ...] = ()
    protocol: Protocol = Protocol.V1


def encode_hello(hello: Hello) -> bytes:
    """Encode a handshake; V1 carries the first address only. To be sent in one write.

    (A Java server reads the address with a single call and refuses one that arrives in two segments.)
    Raises ``ValueError`` for what would harm a Java listener: a port out of range, an id that has no
    legacy form, no address or more of them than fit.
    """
    if hello.protocol is Protocol.LEGACY:
        if hello.sid < 0:
            raise ValueError(f"a negative server id ({hello.sid}) has no legacy handshake")
        return _LONG.pack(hello.sid)
    told = hello.addresses if hello.protocol is Protocol.V2 else hello.addresses[:1]
    if any(not 0 <= address.port <= 0xFFFF for address in told):
        raise ValueError(f"port out of range in {told}: it would end a Java server's listener")
    text = "|".join(str(address) for address in told).encode()
    if not 0 < len(text) <= MAX_ADDRESS_BYTES:
        raise ValueError(f"handshake addresses take {len(text)} bytes, not 1 to {MAX_ADDRESS_BYTES}")
    return _HEAD.pack(hello.protocol, hello.sid, len(text)) + text


def hello_size(prefix: bytes) -> int:
    """Return how many bytes the handshake beginning with ``prefix`` has, as far as that can be told yet.

    Read until ``len(prefix) >= hello_size(prefix)``, and no byte further: notifications follow.
    Raises ``MalformedMessageError`` as soon as the head is wrong.
    """
    if len(prefix) < _LONG.size:
        return _LONG.size
    (first,) = _LONG.unpack_from(prefix)
    if first >= 0:
        return _LONG.size
    if first not in (Protocol.V1, Protocol.V2):
        raise MalformedMessageError(f"handshake has the unknown protocol version {first}")
    if len(prefix) < _HEAD.size:
        return _HEAD.size
    length: int = _HEAD.unpack_from(prefix)[2]
    if not 0 < length <= MAX_ADDRESS_BYTES:
        raise MalformedMessageError(f"handshake address length {length} is not in 1..{MAX_ADDRESS_BYTES}")
    return _HEAD.size + length


def decode_hello(data: bytes) -> Hello:
    """Decode a whole handshake. Raises ``MalformedMessageError`` for any other bytes.

    Text that is no UTF-8 and hosts that don't exist are accepted, as in ZooKeeper: such an address is
    merely of no use.
    """
    if len(data) != hello_size(data):
        raise MalformedMessageError(f"handshake has {len(data)} bytes, not {hello_size(data)}")
    if len(data) == _LONG.size:
        return Hello(_LONG.unpack(data)[0], (), Protocol.LEGACY)
    version, sid, _ = _HEAD.unpack_from(data)
    return Hello(sid, _parse_addresses(data[_HEAD.size :].decode(errors="replace")), Protocol(version))


def _parse_addresses(text: str) -> tuple[HostPort, ...]:
    """Split at ``|``; empty parts at the end are nobody's, anywhere else they are an error."""
    parts = text.rstrip("|").split("|")
    return tuple(_parse_address(part) for part in parts)


def _parse_address(text: str) -> HostPort:
    """Parse ``host:port`` or ``[ipv6]:port``."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        parts = [host, *rest[1:].split(":")] if bracket else []
    else:
        parts = text.split(":")
    if len(parts) != 2 or not parts[0]:
        raise MalformedMessageError("handshake address is not host:port")
    if not _PORT.fullmatch(parts[1]) or not 0 <= int(parts[1]) <= 0xFFFF:
        raise MalformedMessageError("handshake address has no port in 0..65535")
    return HostPort(parts[0], int(parts[1]))
