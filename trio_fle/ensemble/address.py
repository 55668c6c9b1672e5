"""Hosts and ports, written as ZooKeeper writes them. Names stay text: nothing is looked up here."""

import functools
import ipaddress
import re
from typing import Final

import attrs

_DIGITS: Final = re.compile(r"[0-9]+", re.ASCII)
_ZONE: Final = re.compile(r"[0-9A-Za-z_.-]{1,15}", re.ASCII)
"""A zone of an IPv6 address: the name of an interface, or its number."""


@attrs.frozen
class HostPort:
    """A host (name or numeric address, without brackets) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{format_host(self.host)}:{self.port}"


@functools.lru_cache(maxsize=1024)
def format_host(host: str) -> str:
    """Write a host; an IPv6 literal in brackets, with all eight groups and no leading zeros.

    ``::1`` becomes ``[0:0:0:0:0:0:0:1]``; a zone stays: ``[fe80:0:0:0:0:0:0:1%eth0]``.
    """
    numeric, percent, zone = host.partition("%")
    try:
        address = ipaddress.IPv6Address(numeric)
    except ValueError:
        return f"[{host}]" if ":" in host else host
    groups = (format(int.from_bytes(address.packed[at : at + 2], "big"), "x") for at in range(0, 16, 2))
    return f"[{':'.join(groups)}{percent}{zone}]"


def normal_host(host: str) -> str:
    """Write a numeric IPv4 address in its usual spelling, as Java does; any other host stays as it is.

    Java takes ``127.1``, ``127.0.0.01`` (decimal, where C has octal), ``2130706433`` and ``::ffff:127.0.0.1``
    for 127.0.0.1. Source: ``sun.net.util.IPAddressUtil``.
    """
    parts = host.split(".")
    if _DIGITS.fullmatch(host.replace(".", "0")) and all(parts) and len(parts) <= 4 and len(host) <= 15:
        *heads, tail = map(int, parts)
        if all(head <= 0xFF for head in heads) and tail < 1 << 8 * (4 - len(heads)):
            shift = 8 * (4 - len(heads))
            return str(ipaddress.IPv4Address(int.from_bytes(bytes(heads), "big") << shift | tail))
    mapped = _numeric(host)
    return str(mapped) if ":" in host and isinstance(mapped, ipaddress.IPv4Address) else host


def is_wildcard(host: str) -> bool:
    """Whether ``host`` is 0.0.0.0 or ``::``, in whatever spelling: an address to listen on, not to dial."""
    address = _numeric(host)
    return address is not None and address.is_unspecified


def is_loopback(host: str) -> bool:
    """Whether ``host`` is a numeric address of this machine's loopback interface."""
    address = _numeric(host)
    return address is not None and address.is_loopback


def is_numeric(host: str) -> bool:
    """Whether ``host`` is an address in its usual spelling: what no resolver has to be asked for."""
    return _numeric(host) is not None


@functools.lru_cache(maxsize=1024)
def _numeric(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read a numeric address; anybody may send one, and what no kernel takes as one is none."""
    numeric, percent, zone = host.partition("%")
    try:
        address = ipaddress.ip_address(numeric)
    except ValueError:
        return None
    if percent and (address.version == 4 or not _ZONE.fullmatch(zone)):
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
