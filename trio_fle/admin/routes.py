"""What a member answers on which path: pure, so that no question can hold it up.

``/leader`` and ``/follower`` are checks for load balancers: their status code is the answer, for OPTIONS too
(HAProxy asks so unless told otherwise). A leader past its lease is none, whatever it still believes.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import parse_qs

import attrs

from trio_fle.admin.response import JSON, Response
from trio_fle.admin.seen import as_seen
from trio_fle.election.stalled import Stalled
from trio_fle.member.status import MemberStatus, PeerStatus
from trio_fle.vote import MIN_LONG, PeerState, Vote, hex64

METHODS: Final = ("GET", "HEAD", "OPTIONS")
EPOCH_HEADER: Final = "X-Leader-Epoch"

_ALLOW: Final = ("Allow", ", ".join(METHODS))

Query = Mapping[str, Sequence[str]]
Value = bool | int | str | None | Sequence["Value"] | Mapping[str, "Value"]


def respond(method: str, path: str, query: str, status: MemberStatus, now: float) -> Response:
    """Answer one request; ``query`` as it was written, ``now`` a time of the lease clock."""
    if path == "*" and method == "OPTIONS":
        return Response(200, headers=(_ALLOW,))
    route = _ROUTES.get(path)
    if route is None:
        return Response(404, f"no such path; there are {', '.join(_ROUTES)}\n".encode())
    if method not in METHODS:
        return Response(405, f"only {_ALLOW[1]}\n".encode(), headers=(_ALLOW,))
    response = route(parse_qs(query, keep_blank_values=True), as_seen(status, now), now)
    if method == "OPTIONS":
        return attrs.evolve(response, body=b"", headers=(*response.headers, _ALLOW))
    return response


def _livez(query: Query, _status: MemberStatus, _now: float) -> Response:
    return _health("livez", {"loop": None}, query, set())


def _readyz(query: Query, status: MemberStatus, now: float) -> Response:
    trouble = None if status.has_leader(now) else _why_no_leader(status)
    excluded = {"leader"} if "noleader" in query else set()
    return _health("readyz", {"loop": None, "leader": trouble}, query, excluded)


def _why_no_leader(status: MemberStatus) -> str:
    looking = status.state is PeerState.LOOKING
    trouble = "looking for one" if looking else f"{status.state.name}, still in {status.phase.value}"
    if status.stalled is not None:
        trouble += f": {status.stalled.because.value}"
        if status.stalled.missing:
            trouble += f", missing {', '.join(map(str, status.stalled.missing))}"
    return trouble


def _health(name: str, checks: Mapping[str, str | None], query: Query, excluded: set[str]) -> Response:
    """Answer as Kubernetes' components do: ``ok``, or every check with its trouble when asked or failed."""
    excluded = excluded.union(query.get("exclude", ()))
    lines = []
    failed = False
    for check, trouble in checks.items():
        if check in excluded:
            lines.append(f"[+]{check} excluded: ok")
        elif trouble is None:
            lines.append(f"[+]{check} ok")
        else:
            failed = True
            lines.append(f"[-]{check} failed: {trouble}")
    lines.append(f"{name} check {'failed' if failed else 'passed'}")
    if not failed and "verbose" not in query:
        lines = ["ok"]
    return Response(503 if failed else 200, "".join(f"{line}\n" for line in lines).encode())


def _leader(_query: Query, status: MemberStatus, now: float) -> Response:
    leads = status.leads(now)
    return _role({"leads": leads, "lease_left_ms": _lease_left_ms(status, now)}, leads, status, now)


def _follower(_query: Query, status: MemberStatus, now: float) -> Response:
    """Answer for voters alone: an observer is part of no quorum, and may be far from its leader."""
    follows = status.state is PeerState.FOLLOWING and status.follows()
    return _role({"follows": follows}, follows, status, now)


def _role(facts: Mapping[str, Value], holds: bool, status: MemberStatus, now: float) -> Response:
    """Answer whether this member has a role, and who leads: the leader's epoch where it has."""
    known = status.has_leader(now)
    body = {
        **facts,
        "myid": status.myid,
        "leader": status.leader if known else None,
        "epoch": status.epoch if known else None,
    }
    headers = ((EPOCH_HEADER, str(status.epoch)),) if holds else ()
    return attrs.evolve(_json(body, 200 if holds else 503), headers=headers)


def _status(_query: Query, status: MemberStatus, now: float) -> Response:
    return _json(
        {
            "myid": status.myid,
            "state": status.state.name,
            "phase": status.phase.value,
            "leader": status.leader,
            "has_leader": status.has_leader(now),
            "leads": status.leads(now),
            "lease_left_ms": _lease_left_ms(status, now),
            "synced": status.synced,
            "epoch": status.epoch,
            "accepted_epoch": status.accepted_epoch,
            "zxid": hex64(status.zxid),
            "round": status.round,
            "vote": _vote(status.vote) if status.vote else None,
            "config_version": hex64(status.config_version),
            "config": status.config_text,
            "listed": status.listed,
            "peers": [_peer(peer) for peer in status.peers],
            "stalled": _verdict(status.stalled) if status.stalled else None,
        }
    )


def _vote(vote: Vote) -> Value:
    zxid = None if _real(vote.zxid) is None else hex64(vote.zxid)
    return {"leader": _real(vote.leader), "epoch": _real(vote.epoch), "zxid": zxid}


def _peer(peer: PeerStatus) -> Value:
    return {
        "sid": peer.sid,
        "role": peer.role,
        "connected": peer.connected,
        "address": peer.address,
        "direction": peer.direction,
    }


def _verdict(stalled: Stalled) -> Value:
    return {"because": stalled.because.value, "missing": list(stalled.missing), "round": stalled.round}


def _lease_left_ms(status: MemberStatus, now: float) -> int | None:
    """Return whole milliseconds, never more than there are; None where the lease does not end."""
    left_s = status.lease_left_s(now)
    return math.floor(left_s * 1000) if math.isfinite(left_s) else None


def _real(number: int) -> int | None:
    """Return None for what those say who do not vote: no value."""
    return None if number == MIN_LONG else number


def _json(value: Value, status: int = 200) -> Response:
    return Response(status, json.dumps(value, allow_nan=False).encode() + b"\n", JSON)


_ROUTES: Final[Mapping[str, Callable[[Query, MemberStatus, float], Response]]] = {
    "/livez": _livez,
    "/readyz": _readyz,
    "/leader": _leader,
    "/follower": _follower,
    "/status": _status,
}
