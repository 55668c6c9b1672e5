"""What may happen next in an exploration, what that does to the channels, and who may lead meanwhile."""

from collections.abc import Iterator
from typing import Any, Final

from trio_fle.sim.explore.replica import END, Replica
from trio_fle.sim.explore.roles import Follow, Lead
from trio_fle.sim.invariants import ONE_ACTS, Checker, ViolationError

UNDER_WAY: Final = 1
"""Notifications from one server to another; a newer one takes the place of the last."""

Action = tuple[Any, ...]


def actions(
    servers: list[Replica],
    told: tuple[Any, ...],
    sent: tuple[Any, ...],
    losses: int,
    crashes: int,
    hasty: int,
) -> Iterator[Action]:
    """Yield all that may happen.

    ``told`` and ``sent`` are the channels of both kinds; the rest is what is left of the bounds.
    """
    for server in servers:
        if server.writing is not None:
            # what others do meanwhile they may do before or after it as well
            yield "written", server.sid
            if crashes:
                yield from (("crash", server.sid, kept) for kept in (False, True))
            return
        if isinstance(server.role, Lead) and _may_propose(server, servers):
            yield "propose", server.sid
            return
    for kind, channels in (("hear", told), ("take", sent)):
        full = (number for number in range(9) if channels[number])
        yield from ((kind, to % 3 + 1, to // 3 + 1) for to in full if servers[to % 3].core is not None)
    for server in servers:
        if server.core is None:
            yield "start", server.sid
            continue
        hears, takes = _touches(told, server), _touches(sent, server)
        yield from _own_actions(server, servers, hears, takes, hasty > 0)
        yield from server.own_actions(servers, not (hears or takes))
        yield from _news(server, servers, told)
        if crashes:
            yield from (("crash", server.sid, kept) for kept in server.may_keep)
    if losses:
        pairs = ((one, two) for one in servers for two in servers if one.sid < two.sid)
        yield from (("reset", one.sid, two.sid) for one, two in pairs if one.core and two.core)


def _touches(channels: tuple[Any, ...], server: Replica) -> bool:
    """Whether anything is under way to or from a server."""
    return any(channels[number] for number in range(9) if server.sid - 1 in (number % 3, number // 3))


def _news(server: Replica, servers: list[Replica], told: tuple[Any, ...]) -> Iterator[Action]:
    """Yield which servers may be known to be gone."""
    assert server.core is not None
    for other in servers:
        if other.core is None and other.sid not in server.core.gone and not told[at(other, server)]:
            yield "knows gone", server.sid, other.sid


def _own_actions(
    server: Replica, servers: list[Replica], hears: bool, takes: bool, hasty: bool
) -> Iterator[Action]:
    """Yield what a server may do by itself; ``hears`` and ``takes``: whether something is under way."""
    role, election = server.role, server.core.election if server.core is not None else None
    if election is not None:
        waits = election.holds_back or election.is_quiet or election._agreed_since is not None
        if waits or not hears:
            yield "silence", server.sid
        return
    dials = False
    if isinstance(role, Follow) and role.stage == 0:
        dials = _is_free(server, servers, role.leader) and isinstance(servers[role.leader - 1].role, Lead)
    if dials:
        yield "dial", server.sid
    if not (hears or takes or dials):
        yield "leave", server.sid
    elif hasty:
        yield "hurries off", server.sid


def _is_free(server: Replica, servers: list[Replica], towards: int) -> bool:
    """Whether no promise binds: its leader's port refuses, or there is none."""
    return not any(servers[leader - 1].listens for leader in server.bound_to(towards))


def _may_propose(server: Replica, servers: list[Replica]) -> bool:
    role = server.role
    waits = isinstance(role, Lead) and server.sid not in role.discovery.proposed.passed
    return waits and _is_free(server, servers, server.sid)


def at(one: Replica, other: Replica) -> int:
    """Return the number of the channel from one to another."""
    return (one.sid - 1) * 3 + other.sid - 1


def linked(one: Replica, other: Replica) -> bool:
    """Whether ``other`` has an end of a link to ``one``."""
    role = other.role
    if isinstance(role, Follow):
        return role.leader == one.sid and role.stage > 0
    follows = one.role
    return isinstance(role, Lead) and isinstance(follows, Follow) and follows.leader == other.sid


def close(one: Replica, other: Replica, sent: list[Any]) -> None:
    """Let the link of ``one`` to ``other`` end; the other learns it after what was sent before."""
    sent[at(other, one)] = ()
    if linked(one, other) and END not in sent[at(one, other)]:
        sent[at(one, other)] = (*sent[at(one, other)], END)


def send(server: Replica, other: Replica, message: Action, sent: list[Any]) -> None:
    """Send a packet over the link, unless the other end is closed, or of a newer link."""
    back = sent[at(other, server)]
    newer = isinstance(server.role, Lead) and any(each[0] == "FOLLOWERINFO" for each in back)
    if linked(server, other) and END not in back and not newer:
        sent[at(server, other)] = (*sent[at(server, other)], message)


def tell(server: Replica, other: Replica, notification: Any, told: list[Any]) -> None:
    """Send a notification; of one that is down nothing hears."""
    number = at(server, other)
    if other.core is not None and told[number][-1:] != (notification,):
        told[number] = (*told[number][: UNDER_WAY - 1], notification)


def check_leaders(servers: list[Replica], checker: Checker) -> None:
    """Check that one is established at a time, and that a quorum has promised it to follow no other."""
    led = [each.sid for each in servers if isinstance(each.role, Lead) and each.role.stage == 3]
    checker.acting(0.0, led)
    for leader in led:
        bound = {each.sid for each in servers if each.keeps_promise(leader)} | {leader}
        if not checker.is_quorum(bound):
            raise ViolationError(ONE_ACTS, 0.0, f"{leader} may act as leader, and nobody is bound to it")
