"""Server lines: ``server.N = addr { "|" addr } [ ";" client ]``.

::

    addr   = host ":" quorumPort ":" electionPort [ ":" role ]
    client = port | host ":" port
    host   = name | IPv4 | "[" IPv6 "]"
    role   = participant | observer          (any case; participant where left out)
"""

from typing import Final

import attrs

from trio_fle.ensemble.address import HostPort, format_host, normal_host
from trio_fle.ensemble.java_text import parse_int, split
from trio_fle.errors import ConfigError
from trio_fle.vote import LearnerType

FORM: Final = "host:quorumPort:electionPort[:participant|observer][;[clientHost:]clientPort]"

_ANY_HOST: Final = "0.0.0.0"  # noqa: S104 (what ZooKeeper writes for a client port without a host)


@attrs.frozen
class ServerAddress:
    """One address of a server, with the ports that servers use among themselves."""

    host: str
    quorum_port: int
    election_port: int

    @property
    def quorum(self) -> HostPort:
        """Where it leads."""
        return HostPort(self.host, self.quorum_port)

    @property
    def election(self) -> HostPort:
        """Where it elects."""
        return HostPort(self.host, self.election_port)

    def __str__(self) -> str:
        return f"{format_host(self.host)}:{self.quorum_port}:{self.election_port}"


@attrs.frozen
class Server:
    """One member of an ensemble, as its server line tells."""

    sid: int
    addresses: tuple[ServerAddress, ...]
    role: LearnerType = LearnerType.PARTICIPANT
    client: HostPort | None = None

    def __str__(self) -> str:
        """Write the value of the server line, as ZooKeeper writes it into notifications."""
        addresses = "|".join(sorted(map(str, self.addresses), key=lambda address: address.lstrip("[")))
        client = f";{self.client}" if self.client else ""
        return f"{addresses}:{self.role.value}{client}"


def parse_server(sid: int, text: str, *, several_addresses: bool) -> Server:
    """Parse the value of a server line. Raises ``ConfigError`` with what is wrong and what to write.

    A separator with nothing behind it is none, as in Java. Source: ``QuorumServer``, ``ConfigUtils``.
    """
    servers, *rest = split(text, ";")
    if len(rest) > 1:
        raise ConfigError(f'"{text}" has more than one client address; write {FORM}')
    parts = split(servers, "|")
    if len(parts) > 1 and not several_addresses:
        raise ConfigError(f'"{text}" has several addresses; allow them with multiAddress.enabled=true')
    parsed = [_parse_address(part.strip()) for part in parts]
    roles = {role for _, role in parsed if role is not None}
    if len(roles) > 1:
        raise ConfigError(f'"{text}" gives one server two roles; write the same role in each address')
    client = _parse_client(rest[0].strip()) if rest else None
    return Server(
        sid,
        tuple(address for address, _ in parsed),
        roles.pop() if roles else LearnerType.PARTICIPANT,
        client,
    )


def _parse_address(text: str) -> tuple[ServerAddress, LearnerType | None]:
    host, ports = _split_host(text)
    if not host or len(ports) not in (2, 3):
        raise ConfigError(f'"{text}" is not of the form {FORM}')
    address = ServerAddress(normal_host(host), _parse_port(ports[0]), _parse_port(ports[1]))
    if address.quorum_port == address.election_port:
        raise ConfigError(f'"{text}" uses one port for quorum and election; give each its own')
    return address, _parse_role(ports[2]) if len(ports) == 3 else None


def _parse_client(text: str) -> HostPort:
    host, ports = _split_host(text)
    if not ports and host:
        return HostPort(_ANY_HOST, _parse_port(host))
    if not host or len(ports) != 1:
        raise ConfigError(f'client address "{text}" is neither port nor host:port')
    return HostPort(normal_host(host), _parse_port(ports[0]))


def _split_host(text: str) -> tuple[str, list[str]]:
    """Split ``host:a:b`` or ``[ipv6]:a:b`` into the host and what follows it."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ConfigError(f'"{text}" opens a bracket and has no matching "]:" behind the IPv6 address')
        return host, split(rest[1:], ":") if rest else []
    host, *ports = split(text, ":")
    return host, ports


def _parse_port(text: str) -> int:
    if (port := parse_int(text)) is None:
        raise ConfigError(f'port "{text[:40]}" is not a number')
    if not 0 <= port <= 0xFFFF:
        raise ConfigError(f"port {port} is not in 0..65535")
    return port


def _parse_role(text: str) -> LearnerType:
    try:
        return LearnerType(text.strip().lower())
    except ValueError:
        raise ConfigError(f'role "{text[:40]}" is neither participant nor observer') from None
