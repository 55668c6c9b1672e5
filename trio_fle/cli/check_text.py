"""A checked configuration in words, for people."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from trio_fle.check.finding import Severity, named
from trio_fle.check.quorums import MAX_LISTED, Quorums, Sets
from trio_fle.check.report import Report, hexadecimal
from trio_fle.peers.asking import Answer
from trio_fle.vote import MIN_LONG, hex64

Line = tuple[str, dict[str, Any]]
"""A line, and how it is styled where there are colours."""

_PLAIN: Final[dict[str, Any]] = {}
_HEAD: Final = {"bold": True}
_STYLES: Final = {Severity.ERROR: {"fg": "red"}, Severity.WARNING: {"fg": "yellow"}}

_TIMEOUTS: Final = {
    "tick_ms": "tickTime",
    "init_ms": "initLimit: to be synchronized with a leader",
    "sync_ms": "syncLimit: silence between leader and learner; length of the lease",
    "connect_ms": "connectToLearnerMasterLimit: to reach a leader",
    "dial_ms": "cnxTimeout: one dial of an election port",
    "handshake_ms": "quorumCnxnTimeoutMs: to say who one is",
    "finalize_ms": "fle.finalizeWait: for a better vote",
    "lease_ms": "lease, as far as a leader counts on it",
    "lease_margin_ms": "fle.leaseMargin: what it leaves, for clocks of different rates",
}


def render(report: Report) -> Iterator[Line]:
    """Yield the lines of a report, each with its style. What a terminal would obey is shown, not sent."""
    for text, style in _lines(report):
        yield "".join(each if each.isprintable() else repr(each)[1:-1] for each in text), style


def _lines(report: Report) -> Iterator[Line]:
    ensemble = report.config.ensemble
    voters, observers = len(ensemble.voters), len(ensemble.observers)
    watched = f", {observers} observer{'s' * (observers > 1)}" if observers else ""
    yield (
        (
            f"{report.config.path}: server {report.config.myid} of {voters + observers} "
            f"({voters} voter{'s' * (voters > 1)}{watched}), version {hexadecimal(ensemble.version)}"
        ),
        _HEAD,
    )
    yield from _servers(report)
    yield from _quorums(report.quorums)
    yield "", _PLAIN
    yield "Time-outs in ms", _HEAD
    width = max(len(f"{value:,}") for value in report.timeouts.values())
    for key, value in report.timeouts.items():
        yield f"  {value:>{width},}  {_TIMEOUTS[key]}", _PLAIN
    if report.answers is not None:
        yield "", _PLAIN
        yield "The servers now", _HEAD
        for answer in report.answers.values():
            yield f"  {answer.server}  {_said(report, answer)}", _PLAIN
    yield "", _PLAIN
    if not report.findings:
        yield "Nothing is suspicious.", {"fg": "green"}
    for finding in report.findings:
        yield f"{finding.severity.value} {finding.code}: {finding.message}", _STYLES[finding.severity]


def _servers(report: Report) -> Iterator[Line]:
    rows = [("server", "role", "weight", "group", "quorum", "election", "client")]
    config = report.config
    for sid, server in sorted(config.ensemble.servers.items()):
        client = config.admin.client_address if sid == config.myid else server.client
        group = report.group(sid)
        first, *more = server.addresses
        own = (
            f"{sid}{' *' * (sid == config.myid)}",
            server.role.value,
            str(report.weight(sid)),
            "-" if group is None else str(group),
        )
        rows.append((*own, str(first.quorum), str(first.election), "-" if client is None else str(client)))
        rows += [("", "", "", "", str(each.quorum), str(each.election), "") for each in more]
    for row in _aligned(rows):
        yield f"  {row}", _PLAIN
    yield "  * this member", _PLAIN


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _quorums(quorums: Quorums) -> Iterator[Line]:
    yield "", _PLAIN
    yield f"Quorums ({quorums.system})", _HEAD
    yield f"  a quorum: {quorums.rule}", _PLAIN
    if not quorums.possible:
        yield "  none is possible, with all voters either", _PLAIN
        return
    yield f"  minimal quorums: {_sets(quorums.minimal, quorums.minimal_count)}", _PLAIN
    yield f"  survives: {_survives(quorums)}", _PLAIN
    if quorums.system != "majority":
        yield f"  does not survive the failure of: {_sets(quorums.fatal, quorums.fatal_count)}", _PLAIN


def _sets(sets: Sets | None, count: int | None) -> str:
    if count is None:
        return "too many to count"
    if sets is None:
        return f"{count:,} sets (more than {MAX_LISTED} are not listed)"
    return ", ".join("+".join(map(str, sids)) for sids in sets)


def _survives(quorums: Quorums) -> str:
    match quorums.tolerates:
        case None:
            return "nobody has counted"
        case 0:
            return "not every failure: it depends on who fails" if _some_may_fail(quorums) else "no failure"
        case 1:
            return "the failure of any one server"
    return f"the failure of any {quorums.tolerates} servers"


def _some_may_fail(quorums: Quorums) -> bool:
    return any(len(sids) < len(quorums.voters) for sids in quorums.minimal or ((),))


def _said(report: Report, answer: Answer) -> str:
    heard = answer.notification
    if heard is None:
        mine = " (this member; it does not run here, or not with this file)"
        return f"no answer: {answer.said}{mine if answer.server == report.config.myid else ''}"
    state = "an unknown state" if heard.state is None else heard.state.name
    leader, epoch = (
        "-" if number == MIN_LONG else str(number) for number in (heard.vote.leader, heard.vote.epoch)
    )
    zxid = "-" if heard.vote.zxid == MIN_LONG else hex64(heard.vote.zxid)
    members = {None: "tells no members", True: "the same members", False: "other members"}
    told = [
        f"{state}, leader {leader}, epoch {epoch}, zxid {zxid}, round {heard.round}",
        members[report.same_members(answer.server)],
        f"{1000 * (answer.latency_s or 0):.1f} ms",
    ]
    if answer.identity is not None:
        told.append(f"says it is {named((answer.identity.sid,))}")
    return ", ".join(told)
