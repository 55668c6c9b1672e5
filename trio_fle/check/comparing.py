"""Findings about two configurations that should be one: ours, and the one that a running server tells."""

from collections.abc import Callable, Iterator
from typing import Final

from trio_fle.check.finding import Finding, error, warning
from trio_fle.ensemble import Ensemble, HostPort, Server, ServerAddress, is_wildcard
from trio_fle.peers.names import Names
from trio_fle.quorum import Hierarchical

MAX_SHOWN: Final = 200
"""Of what a server tells, so much is shown in one finding."""

Match = Callable[[ServerAddress, ServerAddress], bool]


def member_findings(teller: int, ours: Ensemble, theirs: Ensemble, names: Names) -> Iterator[Finding]:
    """Yield every line in which the configuration of server ``teller`` differs from ours."""
    if theirs.version != ours.version:
        yield warning(
            "version_differs",
            f"server {teller} has version {_hex(theirs.version)} of the configuration, and this file is "
            f"version {_hex(ours.version)}: take the newer one on all servers",
            teller,
        )
    if ours.same_members(theirs):
        return
    for sid in sorted(ours.servers.keys() | theirs.servers.keys()):
        mine, their = ours.servers.get(sid), theirs.servers.get(sid)
        if mine is None or their is None:
            yield _differ(teller, f"server.{sid}", _line(mine), _line(their))
        else:
            yield from _server_findings(teller, mine, their, names)
    here, there = _group_lines(ours), _group_lines(theirs)
    for key in sorted(here.keys() | there.keys()):
        if here.get(key) != there.get(key):
            yield _differ(teller, key, here.get(key), there.get(key))


def _server_findings(teller: int, mine: Server, their: Server, names: Names) -> Iterator[Finding]:
    key, about = f"server.{mine.sid}", tuple(dict.fromkeys((teller, mine.sid)))

    def related(match: Match) -> bool:
        return mine.role is their.role and _paired(mine, their, match)

    if related(lambda one, other: one == other):
        if mine.client and their.client and not _same_client(mine.client, their.client):
            yield warning(
                "client_differs",
                f"server {teller} has the client address {_shown(their.client)} in {key}, and this file "
                f"{mine.client}: clients are sent to either; make the lines equal",
                *about,
            )
    elif related(lambda one, other: one == _crossed(other)):
        yield error(
            "ports_swapped",
            f"server {teller} has quorum and election port of {key} the other way round "
            f"({_shown(their)} there, {mine} here): correct the one that is wrong",
            *about,
        )
    elif related(lambda one, other: _likely(one, other, names)):
        yield warning(
            "names_differ",
            f"server {teller} writes {_shown(their)} for {key}, and this file {mine}: it seems to be the "
            "same place; write the same name on all servers",
            *about,
        )
    else:
        yield _differ(teller, key, str(mine), str(their))


def _paired(mine: Server, their: Server, match: Match) -> bool:
    """Whether each address has its match on the other side."""
    return all(any(match(one, other) for other in their.addresses) for one in mine.addresses) and all(
        any(match(one, other) for one in mine.addresses) for other in their.addresses
    )


def _crossed(address: ServerAddress) -> ServerAddress:
    return ServerAddress(address.host, address.election_port, address.quorum_port)


def _likely(one: ServerAddress, other: ServerAddress, names: Names) -> bool:
    """Whether two addresses are one place under two names; a wildcard is told by a server of itself."""
    same_ports = (one.quorum_port, one.election_port) == (other.quorum_port, other.election_port)
    wild = is_wildcard(one.host) or is_wildcard(other.host)
    return same_ports and (wild or names.same(one.host, other.host))


def _same_client(mine: HostPort, their: HostPort) -> bool:
    wild = is_wildcard(mine.host) or is_wildcard(their.host)
    return mine.port == their.port and (wild or mine.host.lower() == their.host.lower())


def _group_lines(ensemble: Ensemble) -> dict[str, str]:
    verifier = ensemble.verifier
    if not isinstance(verifier, Hierarchical):
        return {}
    lines = {f"group.{group}": ":".join(map(str, sorted(sids))) for group, sids in verifier.groups}
    return lines | {f"weight.{sid}": str(weight) for sid, weight in verifier.weights}


def _line(server: Server | None) -> str | None:
    return None if server is None else str(server)


def _shown(told: object) -> str:
    return str(told)[:MAX_SHOWN]


def _differ(teller: int, key: str, mine: str | None, their: str | None) -> Finding:
    here = "no such line" if mine is None else mine
    there = "no such line" if their is None else _shown(their)
    return error(
        "members_differ",
        f"{key}: {there} on server {teller}, {here} in this file: make the lines equal on all servers",
        teller,
    )


def _hex(version: int) -> str:
    return f"{version & (2**64 - 1):x}"
