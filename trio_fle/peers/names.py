"""What host names stand for now, and which addresses are this machine's."""

import ipaddress
import socket
from collections.abc import Iterable, Mapping
from typing import Final

import attrs
import trio

from trio_fle.ensemble import HostPort, is_loopback, is_numeric, is_wildcard

_MAX_LOOKUPS: Final = 16


@attrs.frozen
class Names:
    """What was found out about hosts at one moment."""

    addresses: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    """Numeric addresses of each host that has some, IPv4 first."""
    failures: Mapping[str, str] = attrs.field(factory=dict)
    """Why a host has none."""
    own: frozenset[str] = frozenset()
    """Those of the addresses that are this machine's."""

    def of(self, host: str) -> tuple[str, ...]:
        """Return the addresses of a host; a number is its own."""
        return self.addresses.get(host, (canonical(host),) if is_numeric(host) else ())

    def known(self, host: str) -> bool:
        """Whether the host was looked up, and has an address."""
        return bool(self.of(host))

    def same(self, one: str, other: str) -> bool:
        """Whether two hosts are one machine, as far as names and numbers tell."""
        return one.lower() == other.lower() or not set(self.of(one)).isdisjoint(self.of(other))

    def is_loopback(self, host: str) -> bool:
        """Whether a host stands for nothing but the loopback interface of whoever asks."""
        found = self.of(host)
        return all(map(is_loopback, found)) if found else host.lower() == "localhost"

    def is_here(self, host: str) -> bool:
        """Whether a host stands for an address of this machine."""
        return not self.own.isdisjoint(self.of(host))


def canonical(ip: str) -> str:
    """Write a numeric address as everybody does: ``0:0:0:0:0:0:0:1`` is ``::1``. A zone stays."""
    numeric, percent, zone = ip.partition("%")
    return f"{ipaddress.ip_address(numeric)}{percent}{zone}"


def dialable(addresses: tuple[HostPort, ...], source: HostPort) -> tuple[HostPort, ...]:
    """Addresses of a handshake that may be dialled: no name, no wildcard, loopback only if it came thence.

    A stranger must not make us ask a resolver, nor reach our own host by another spelling of it.
    """
    return tuple(
        address
        for address in addresses
        if is_numeric(address.host)
        and not is_wildcard(address.host)
        and (is_loopback(source.host) or not is_loopback(address.host))
    )


async def look_up(host: str, limiter: trio.CapacityLimiter) -> list[str]:
    """Look a name up in a thread; IPv4 first, as a Java server does. A number needs no resolver.

    Raises ``OSError`` for a name without an address.
    """
    if is_numeric(host):
        await trio.lowlevel.checkpoint()
        return [host]

    def ask() -> list[str]:
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except UnicodeError as error:
            raise OSError(f"{host!r} is no host name") from error
        found.sort(key=lambda info: info[0] != socket.AF_INET)
        return list(dict.fromkeys(str(info[4][0]) for info in found))

    return await trio.to_thread.run_sync(ask, limiter=limiter, abandon_on_cancel=True)


async def look_up_all(hosts: Iterable[str], within_s: float) -> Names:
    """Look all ``hosts`` up at once; what takes longer than ``within_s`` counts as not found."""
    wanted = {host for host in hosts if not is_wildcard(host)}
    found: dict[str, tuple[str, ...]] = {}
    failures = dict.fromkeys(wanted, f"no answer within {within_s:g} s")
    limiter = trio.CapacityLimiter(_MAX_LOOKUPS)

    async def find(host: str) -> None:
        try:
            found[host] = tuple(map(canonical, await look_up(host, limiter)))
        except OSError as error:
            failures[host] = error.strerror or str(error)

    with trio.move_on_after(within_s):
        async with trio.open_nursery() as nursery:
            for host in sorted(wanted):
                nursery.start_soon(find, host)
    addresses = {host: found[host] for host in sorted(found) if found[host]}
    own = frozenset(ip for ips in addresses.values() for ip in ips if _is_own(ip))
    return Names(addresses, {host: failures[host] for host in sorted(wanted - addresses.keys())}, own)


def _is_own(ip: str) -> bool:
    """Whether a numeric address can be bound here: no packet is sent, and nothing waits."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((ip, 0))
    except OSError:  # without IPv6 there is not even a socket
        return False
    return True
