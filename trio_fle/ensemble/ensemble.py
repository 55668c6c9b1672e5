"""One configuration of an ensemble: its servers, its quorum system, its version, and their text."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Final

import attrs
import javaproperties

from trio_fle.ensemble.java_text import parse_long as read_long
from trio_fle.ensemble.java_text import split
from trio_fle.ensemble.server import Server, parse_server
from trio_fle.errors import ConfigError
from trio_fle.quorum import Hierarchical, Majority, OracleMajority, QuorumVerifier
from trio_fle.vote import MAX_LONG, MIN_LONG, LearnerType

_HEX: Final = re.compile(r"[+-]?[0-9a-fA-F]{1,16}", re.ASCII)
_UNSIGNED: Final = 2**64 - 1


@attrs.frozen(slots=False)
class Ensemble:
    """Who belongs to the ensemble, and who of them is enough.

    ``version`` orders configurations (signed 64-bit; 0: never changed by a reconfiguration).
    """

    servers: Mapping[int, Server]
    verifier: QuorumVerifier
    version: int = 0

    @property
    def voters(self) -> frozenset[int]:
        """Ids of the participants."""
        return self.verifier.voters

    @property
    def observers(self) -> frozenset[int]:
        """Ids of the others."""
        return frozenset(self.servers) - self.voters

    @cached_property
    def text(self) -> str:
        """The configuration as servers send it to each other: one line each, no newline at the end.

        Server lines, group lines, weight lines, ``version=`` in lower-case hex. Their order is that of a
        Java HashMap, since that is what a real server sends; nobody depends on it.
        """
        lines = [f"server.{sid}={self.servers[sid]}" for sid in _hash_order(self.servers)]
        if isinstance(self.verifier, Hierarchical):
            groups = dict(self.verifier.groups)
            grouped = _hash_order(sid for sids in groups.values() for sid in sids)
            inside = {gid: [sid for sid in grouped if sid in sids] for gid, sids in groups.items()}
            weights = dict(self.verifier.weights)
            lines += [f"group.{gid}={':'.join(map(str, inside[gid]))}" for gid in _hash_order(groups)]
            lines += [f"weight.{sid}={weights[sid]}" for sid in _hash_order(weights)]
        lines.append(f"version={self.version & _UNSIGNED:x}")
        return "\n".join(lines)

    def same_members(self, other: "Ensemble") -> bool:
        """Whether both name the same servers, addresses and quorums, whatever their versions.

        Compares what is written: a name that does not resolve now is no difference (ZOOKEEPER-4708), nor
        is the order of a server's addresses.
        """
        return self.verifier == other.verifier and _comparable(self) == _comparable(other)


def _comparable(ensemble: Ensemble) -> dict[int, tuple[LearnerType, str, frozenset[str]]]:
    return {
        sid: (server.role, str(server.client), frozenset(map(str, server.addresses)))
        for sid, server in ensemble.servers.items()
    }


def _hash_order(keys: Iterable[int]) -> list[int]:
    """Order of Long keys in a Java HashMap: by bucket, then as inserted."""
    ordered = list(keys)
    capacity = _table_size(len(ordered))

    def bucket(key: int) -> int:
        folded = (key ^ ((key & _UNSIGNED) >> 32)) & 0xFFFFFFFF
        return (folded ^ (folded >> 16)) & (capacity - 1)

    return sorted(ordered, key=bucket)


def _properties_order(keys: Iterable[str]) -> list[str]:
    """Order of keys in a Java Properties object: the order in which a real server takes them in."""
    ordered = list(keys)
    # one more for the version; and one, since this table grows at 3/4, a HashMap beyond
    capacity = _table_size(len(ordered) + 2)

    def bucket(key: str) -> int:
        code = 0
        for character in key:
            code = (31 * code + ord(character)) & 0xFFFFFFFF
        return (code ^ (code >> 16)) & (capacity - 1)

    return sorted(ordered, key=bucket)


def _table_size(count: int) -> int:
    capacity = 16
    while count > 0.75 * capacity:
        capacity *= 2
    return capacity


def parse_ensemble(text: str, *, several_addresses: bool = False, oracle: bool = False) -> Ensemble:
    """Parse the configuration text of a notification (Java properties; the version inside).

    ``oracle``: whoever reads it has one, of which the text says nothing.

    Raises ``ConfigError`` for any text that names no usable configuration, never another exception.
    """
    try:
        properties = javaproperties.loads(text)
    except javaproperties.InvalidUEscapeError as error:
        raise ConfigError(f"configuration text: {error}") from error
    version = parse_version(properties.pop("version", "0").strip())
    return build_ensemble(properties, version, several_addresses=several_addresses, oracle=oracle)


def parse_version(text: str) -> int:
    """Parse a configuration version: signed 64-bit hex, no prefix."""
    if not _HEX.fullmatch(text) or not MIN_LONG <= int(text, 16) <= MAX_LONG:
        raise ConfigError(f'version "{text[:40]}" is not a signed 64-bit hexadecimal number')
    return int(text, 16)


def build_ensemble(
    properties: Mapping[str, str], version: int, *, several_addresses: bool = False, oracle: bool = False
) -> Ensemble:
    """Build a configuration from ``server.N``, ``group.N`` and ``weight.N`` lines.

    As in Java, whatever begins with ``group`` or ``weight`` is such a line: ``groups.1``, too. With an
    ``oracle`` it is a majority, and nobody looks at what these lines say. Raises ``ConfigError`` for any
    other key, for a wrong value, and for observers without a participant.
    """
    servers: dict[int, Server] = {}
    groups: dict[int, tuple[int, ...]] = {}
    weights: dict[int, int] = {}
    for key in _properties_order(properties):
        value = properties[key].strip()
        if key.startswith("server."):
            sid = line_number(key)
            servers[sid] = _parse_server_line(key, sid, value, several_addresses)
        elif not key.startswith(("group", "weight")):
            raise ConfigError(f"{key}: only server, group and weight lines belong here")
        elif oracle:
            continue
        elif key.startswith("group"):
            sids = tuple(parse_long(key, sid.strip()) for sid in split(value, ":"))
            groups[line_number(key)] = sids
        else:
            weights[line_number(key)] = _parse_weight(key, value)
    voters = frozenset(sid for sid, server in servers.items() if server.role is LearnerType.PARTICIPANT)
    if servers and not voters:
        raise ConfigError("all servers are observers; at least one has to be a participant")
    if oracle:
        return Ensemble(servers, OracleMajority(voters), version)
    if groups or weights:
        return Ensemble(servers, _hierarchical(voters, groups, weights), version)
    return Ensemble(servers, Majority(voters), version)


def parse_long(key: str, text: str) -> int:
    """Parse a decimal signed 64-bit number that belongs to ``key``, as ``Long.parseLong`` does."""
    if (number := read_long(text)) is None:
        raise ConfigError(f'{key}: "{text[:40]}" is not a whole number')
    return number


def line_number(key: str) -> int:
    """Return the N of ``server.N``, ``group.N`` or ``weight.N``: what follows the first dot, as in Java."""
    return parse_long(key, key[key.find(".") + 1 :])


def _parse_server_line(key: str, sid: int, value: str, several_addresses: bool) -> Server:
    try:
        return parse_server(sid, value, several_addresses=several_addresses)
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from None


def _parse_weight(key: str, text: str) -> int:
    weight = parse_long(key, text)
    if weight < 0:
        raise ConfigError(f"{key}: a negative weight lets quorums miss each other; give 0 or more")
    return weight


def _hierarchical(
    voters: frozenset[int], groups: dict[int, tuple[int, ...]], weights: dict[int, int]
) -> Hierarchical:
    grouped = Counter(sid for sids in groups.values() for sid in sids)
    for sid, times in grouped.items():
        if times > 1:
            raise ConfigError(f"server {sid} is in more than one group; leave it in one")
        if sid not in voters and sid not in weights:
            raise ConfigError(f"server {sid} is in a group, but is no participant; take it out")
    for sid in sorted(voters):
        if sid not in grouped:
            raise ConfigError(f"server {sid} is in no group; add it to a group line")
    weights = dict.fromkeys(voters, 1) | weights
    for group, sids in groups.items():
        if sum(weights[sid] for sid in sids) > MAX_LONG:
            # a real server's sum becomes negative, and each single server a quorum of the group
            raise ConfigError(f"group.{group}: its weights sum up to more than {MAX_LONG}; give smaller ones")
    # the order within a group is no difference between servers; Java does not keep it either
    ordered = ((gid, tuple(sorted(sids))) for gid, sids in sorted(groups.items()))
    return Hierarchical(voters, tuple(ordered), tuple(sorted(weights.items())))
