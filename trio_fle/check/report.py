"""All that a check has found, and the document in which programs read it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from trio_fle.check.addresses import address_findings
from trio_fle.check.comparing import member_findings
from trio_fle.check.finding import Finding, Severity, warning
from trio_fle.check.live import Told, answer_findings
from trio_fle.check.quorums import Quorums, explain
from trio_fle.check.timing import timeouts, timing_findings
from trio_fle.check.voters import voter_findings
from trio_fle.config import MemberConfig
from trio_fle.peers.asking import Answer
from trio_fle.peers.names import Names
from trio_fle.quorum import Hierarchical
from trio_fle.vote import MIN_LONG, hex64


@attrs.frozen
class Report:
    """A configuration, what it means, and what is to be said about it."""

    config: MemberConfig
    quorums: Quorums
    timeouts: Mapping[str, float]
    findings: tuple[Finding, ...]
    """Errors first."""
    names: Names
    answers: Mapping[int, Answer] | None = None
    """What the servers answered; None where they were not asked."""
    told: Told = attrs.field(factory=Told)

    @property
    def ok(self) -> bool:
        """Whether there is no error among the findings."""
        return all(finding.severity is not Severity.ERROR for finding in self.findings)

    def group(self, sid: int) -> int | None:
        """Return the group of a server, where there are groups."""
        verifier = self.config.ensemble.verifier
        groups = verifier.groups if isinstance(verifier, Hierarchical) else ()
        return next((group for group, sids in groups if sid in sids), None)

    def weight(self, sid: int) -> int:
        """Return what a server's vote weighs; 0 for one that has none."""
        ensemble = self.config.ensemble
        return ensemble.verifier.weight(sid) if sid in ensemble.voters else 0

    def document(self) -> dict[str, Any]:
        """Return it all as JSON has it; README.md tells the keys."""
        return {
            "ok": self.ok,
            "config": str(self.config.path),
            "myid": self.config.myid,
            "version": hexadecimal(self.config.ensemble.version),
            "servers": [self._server(sid) for sid in sorted(self.config.ensemble.servers)],
            "quorums": attrs.asdict(self.quorums),
            "timeouts": dict(self.timeouts),
            "warnings": [_finding(finding) for finding in self.findings],
            "live": None
            if self.answers is None
            else [self._answer(answer) for answer in self.answers.values()],
        }

    def _server(self, sid: int) -> dict[str, Any]:
        server = self.config.ensemble.servers[sid]
        client = self.config.admin.client_address if sid == self.config.myid else server.client
        return {
            "id": sid,
            "role": server.role.value,
            "weight": self.weight(sid),
            "group": self.group(sid),
            "addresses": [
                {
                    "host": address.host,
                    "quorum_port": address.quorum_port,
                    "election_port": address.election_port,
                    "resolved": list(self.names.of(address.host)),
                }
                for address in server.addresses
            ],
            "client": None if client is None else str(client),
        }

    def _answer(self, answer: Answer) -> dict[str, Any]:
        heard, told = answer.notification, self.told.ensembles.get(answer.server)
        state = None if heard is None else heard.state
        return {
            "server": answer.server,
            "address": str(answer.address),
            "failure": answer.failure,
            "said": answer.said or None,
            "latency_ms": None if answer.latency_s is None else round(1000 * answer.latency_s, 3),
            "says_id": None if answer.identity is None else answer.identity.sid,
            "state": None if state is None else state.name,
            "leader": None if heard is None or heard.vote.leader == MIN_LONG else heard.vote.leader,
            "epoch": None if heard is None or heard.vote.epoch == MIN_LONG else heard.vote.epoch,
            "zxid": None if heard is None or heard.vote.zxid == MIN_LONG else hex64(heard.vote.zxid),
            "round": None if heard is None else heard.round,
            "version": None if told is None else hexadecimal(told.version),
            "same_members": self.same_members(answer.server),
        }

    def same_members(self, sid: int) -> bool | None:
        """Whether a server tells our own list of members; None where it tells none."""
        if (theirs := self.told.ensembles.get(sid)) is None:
            return None
        found = member_findings(sid, self.config.ensemble, theirs, self.names)
        return all(finding.severity is not Severity.ERROR for finding in found)


def build_report(
    config: MemberConfig,
    names: Names,
    answers: Mapping[int, Answer] | None = None,
    data: Sequence[Finding] = (),
) -> Report:
    """Explain a configuration and gather all findings about it; ``data`` are those of its data directory."""
    quorums = explain(config.ensemble.verifier)
    told = Told.by(answers or {})
    findings = [
        *(warning("config", text) for text in config.warnings),
        *voter_findings(config.ensemble, quorums, names),
        *_pending_findings(config),
        *data,
        *address_findings(config, names),
        *timing_findings(config, names),
        *answer_findings(config, answers or {}, told, names),
    ]
    findings.sort(key=lambda finding: finding.severity is not Severity.ERROR)
    found = tuple(dict.fromkeys(findings))
    return Report(config, quorums, timeouts(config), found, names, answers, told)


def _pending_findings(config: MemberConfig) -> Iterator[Finding]:
    if config.seen.version > config.ensemble.version:
        rule = explain(config.seen.verifier).rule
        yield warning(
            "pending_config",
            f"version {hexadecimal(config.seen.version)} was proposed and is not committed: until it is, a "
            f"leader needs that one's quorum as well ({rule})",
        )


def hexadecimal(version: int) -> str:
    """Write a configuration version as ZooKeeper does."""
    return hex64(version).removeprefix("0x")


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code,
        "severity": finding.severity.value,
        "server": finding.servers[0] if len(finding.servers) == 1 else None,
        "servers": list(finding.servers),
        "message": finding.message,
    }
