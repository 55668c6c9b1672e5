"""Findings about addresses: who can be dialled where, from here and from the others."""

import itertools
from collections.abc import Iterator
from typing import Final

import attrs

from trio_fle.check.finding import Finding, error, warning
from trio_fle.config import MemberConfig
from trio_fle.ensemble import HostPort, Server, is_numeric, is_wildcard
from trio_fle.peers.names import Names

_KUBERNETES: Final = ".svc."
"""Part of the name of a Kubernetes service, or its end."""


@attrs.frozen
class _Endpoint:
    """A port that somebody is to listen on."""

    server: int
    use: str
    address: HostPort


def hosts_of(config: MemberConfig) -> frozenset[str]:
    """Return every host of the server lines: what there is to look up."""
    servers = config.ensemble.servers.values()
    return frozenset(address.host for server in servers for address in server.addresses)


def address_findings(config: MemberConfig, names: Names) -> Iterator[Finding]:
    """Yield what is suspicious about hosts and ports. ``names`` tells what the hosts stand for here."""
    yield from _port_findings(config)
    yield from _clash_findings(config, names)
    yield from _wildcard_findings(config)
    yield from _loopback_findings(config, names)
    yield from _name_findings(config, names)
    yield from _own_findings(config, names)
    yield from _peer_findings(config, names)
    several = tuple(sid for sid, server in config.ensemble.servers.items() if len(server.addresses) > 1)
    if several:
        yield warning(
            "multi_address_property",
            "Java servers read multiAddress.enabled from a system property only, and refuse several "
            "addresses without it: start them with -Dzookeeper.multiAddress.enabled=true, too",
            *sorted(several),
        )


def _port_findings(config: MemberConfig) -> Iterator[Finding]:
    for sid, server in sorted(config.ensemble.servers.items()):
        ports = [
            port for address in server.addresses for port in (address.quorum_port, address.election_port)
        ]
        if 0 in ports:
            yield error("port_zero", f"server.{sid}: nobody can dial port 0: give it a port of its own", sid)
        if server.client is not None and server.client.port == 0:
            yield warning("port_zero", f"server.{sid}: no client can dial port 0: give another, or none", sid)


def _endpoints(config: MemberConfig) -> Iterator[_Endpoint]:
    for sid, server in sorted(config.ensemble.servers.items()):
        for address in server.addresses:
            yield _Endpoint(sid, "quorum port", address.quorum)
            yield _Endpoint(sid, "election port", address.election)
        client = config.admin.client_address if sid == config.myid else server.client
        if client is not None:
            yield from (_Endpoint(sid, "client port", found) for found in _placed(client, server))
    if config.admin.enabled:
        for found in _placed(config.admin.address, config.me):
            yield _Endpoint(config.myid, "admin.serverPort", found)


def _placed(address: HostPort, server: Server) -> Iterator[HostPort]:
    """Yield where an address is; a wildcard is at every host of its server."""
    if not is_wildcard(address.host):
        yield address
        return
    for host in dict.fromkeys(each.host for each in server.addresses):
        yield HostPort(host, address.port)


def _clash_findings(config: MemberConfig, names: Names) -> Iterator[Finding]:
    """Two listeners at one place: certain where the same host is written, likely where names lead to one."""
    for one, other in itertools.combinations(_endpoints(config), 2):
        here, there = one.address, other.address
        if here.port != there.port or here.port == 0 or is_wildcard(here.host) or is_wildcard(there.host):
            continue
        about = tuple(dict.fromkeys((one.server, other.server)))
        said = f"the {one.use} of server {one.server} and the {other.use} of server {other.server}"
        if Names().same(here.host, there.host):
            yield error("same_endpoint", f"{said} are both {here}: give each a port of its own", *about)
        elif names.same(here.host, there.host):
            yield warning(
                "same_endpoint",
                f"{said} are one, since {here.host} and {there.host} have the same address here: correct the "
                "names, or give each a port of its own",
                *about,
            )
    others = [server for sid, server in config.ensemble.servers.items() if sid != config.myid]
    mine = [address.host for address in config.me.addresses]
    shared = config.admin.enabled and "admin.serverPort" not in config.settings
    beside = [
        server.sid
        for server in others
        if any(Names().same(host, address.host) for host in mine for address in server.addresses)
    ]
    if shared and beside:
        yield warning(
            "shared_admin_port",
            f"another server is on this host, and both want port {config.admin.address.port} for HTTP: "
            "give each its own admin.serverPort, or set admin.enableServer=false",
            config.myid,
            *sorted(beside),
        )


def _wildcard_findings(config: MemberConfig) -> Iterator[Finding]:
    for sid, server in sorted(config.ensemble.servers.items()):
        if not any(is_wildcard(address.host) for address in server.addresses):
            continue
        if sid == config.myid:
            yield warning(
                "own_wildcard",
                f"server.{sid}: a wildcard is no address that others can dial back, and our server lines "
                "differ from theirs: write this host's name, and quorumListenOnAllIPs=true to listen "
                "everywhere",
                sid,
            )
        else:
            yield error(
                "peer_wildcard", f"server.{sid}: a wildcard can't be dialled: write that server's name", sid
            )


def _loopback_findings(config: MemberConfig, names: Names) -> Iterator[Finding]:
    """Loopback beside other hosts: whoever dials it from there meets itself."""
    on_loopback = {
        sid: [address.host for address in server.addresses if names.is_loopback(address.host)]
        for sid, server in config.ensemble.servers.items()
    }
    inside = sorted(sid for sid, hosts in on_loopback.items() if hosts)
    if len(inside) == len(on_loopback):
        return
    for sid in inside:
        host = on_loopback[sid][0]
        if is_numeric(host) or host.lower() == "localhost":
            yield warning(
                "loopback_mixed",
                f"server.{sid}: {host} means another machine to each that dials it, and not all servers "
                "are on this one: write an address that all others can reach",
                sid,
            )
        elif sid != config.myid:
            yield warning(
                "peer_loopback",
                f"server.{sid}: {host} has the address {names.of(host)[0]} here, which leads back to this "
                "machine: correct /etc/hosts",
                sid,
            )
        elif not config.transport.listen_on_all_ips:
            yield warning(
                "own_loopback",
                f"server.{sid}: the own name, {host}, has the address {names.of(host)[0]} here, so no "
                "other host reaches what listens there: correct /etc/hosts, or set quorumListenOnAllIPs=true",
                sid,
            )


def _name_findings(config: MemberConfig, names: Names) -> Iterator[Finding]:
    for sid, server in sorted(config.ensemble.servers.items()):
        for address in server.addresses:
            if (reason := names.failures.get(address.host)) is not None:
                yield warning(
                    "unresolved",
                    f"server.{sid}: {address.host} has no address here now ({reason}): correct the name, "
                    "or its DNS record; it is looked up again at every dial",
                    sid,
                )


def _told(host: str, names: Names) -> str:
    """Write a name with the address that it has here."""
    return host if is_numeric(host) else f"{host} ({names.of(host)[0]})"


def _own_findings(config: MemberConfig, names: Names) -> Iterator[Finding]:
    """Whether the own line is an address of this machine, as far as it was looked up."""
    if config.transport.listen_on_all_ips:
        return
    hosts = [address.host for address in config.me.addresses if not is_wildcard(address.host)]
    foreign = [host for host in hosts if names.addresses.get(host) and not names.is_here(host)]
    if foreign and len(foreign) == len(hosts):
        yield warning(
            "foreign_own_address",
            f"server.{config.myid}: {_told(foreign[0], names)} is no address of this "
            "machine, so nothing can listen there: is --myid right? Behind address translation set "
            "quorumListenOnAllIPs=true",
            config.myid,
        )
    for host in hosts:
        if _KUBERNETES in f"{host.lower()}.":
            yield warning(
                "bind_own_address",
                f"server.{config.myid}: {host} is a Kubernetes service, and a mesh (Istio) may deliver to "
                "another address than the pod's own: set quorumListenOnAllIPs=true",
                config.myid,
            )


def _peer_findings(config: MemberConfig, names: Names) -> Iterator[Finding]:
    """Others whose names lead to this machine, and are not written as our own."""
    mine = [address.host for address in config.me.addresses]
    for sid, server in sorted(config.ensemble.servers.items()):
        for address in server.addresses:
            host = address.host
            if sid == config.myid or not names.is_here(host) or names.is_loopback(host):
                continue
            if any(Names().same(host, own) for own in mine):
                continue
            yield warning(
                "peer_is_here",
                f"server.{sid}: {_told(host, names)} is an address of this machine, which is to be "
                f"server {config.myid}: is --myid right? Else correct the name",
                sid,
            )
