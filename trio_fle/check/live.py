"""Findings about what the servers of an ensemble answer, or don't."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

import attrs

from trio_fle.check.comparing import MAX_SHOWN, member_findings
from trio_fle.check.finding import Finding, error, listed, warning
from trio_fle.config import MemberConfig
from trio_fle.ensemble import Ensemble, is_loopback, is_numeric, is_wildcard, parse_ensemble
from trio_fle.errors import ConfigError
from trio_fle.member.config_texts import MAX_TEXT_BYTES
from trio_fle.peers.asking import Answer
from trio_fle.peers.names import Names, canonical

_MAX_HOSTS: Final = 64

_ADVICE: Final = {
    "refused": "nothing listens there; is the server up, and the election port right?",
    "timeout": "is the host up, and does a firewall drop what is sent to this port?",
    "unreachable": "is the host right, and is there a way to it from here?",
    "silent": "does the process hang, or is it another program?",
    "closed": "is it the election port? A server that wants TLS or SASL hangs up, too",
    "malformed": "it does not speak as an election port; is the port right?",
}


@attrs.frozen
class Told:
    """The configurations that servers told, and what is wrong with those that can't be read."""

    ensembles: Mapping[int, Ensemble] = attrs.field(factory=dict)
    unreadable: Mapping[int, str] = attrs.field(factory=dict)

    @classmethod
    def by(cls, answers: Mapping[int, Answer]) -> "Told":
        """Read the texts of all answers; a 3.4 server sends none."""
        ensembles, unreadable = {}, {}
        for sid, answer in answers.items():
            config = answer.notification.config if answer.notification else None
            if not config:
                continue
            try:
                if len(config) > MAX_TEXT_BYTES or b"\\" in config:
                    raise ConfigError(f"{len(config)} bytes, or escapes, that no server writes")
                ensembles[sid] = parse_ensemble(config.decode(errors="replace"), several_addresses=True)
            except ConfigError as fault:
                unreadable[sid] = str(fault)[:MAX_SHOWN]
        return cls(ensembles, unreadable)

    def hosts(self) -> frozenset[str]:
        """Return the hosts that servers told, some of them where there are too many to look up."""
        found = {
            address.host
            for ensemble in self.ensembles.values()
            for server in ensemble.servers.values()
            for address in server.addresses
        }
        return frozenset(sorted(found)[:_MAX_HOSTS])


def answer_findings(
    config: MemberConfig, answers: Mapping[int, Answer], told: Told, names: Names
) -> Iterator[Finding]:
    """Yield what is wrong with the answers. ``names`` tells of the hosts that servers named, too."""
    yield from _identity_findings(answers)
    for sid, answer in answers.items():
        if answer.on_quorum_port:
            yield error(
                "ports_swapped",
                f"server.{sid}: its quorum port answers as an election port, and its election port does not: "
                "swap the two ports in this line",
                sid,
            )
        elif answer.failure in _ADVICE and sid != config.myid:
            yield warning(
                "no_answer",
                f"server {sid} does not answer at {answer.address} ({answer.failure}): "
                f"{_ADVICE[answer.failure]}",
                sid,
            )
        if sid in told.unreadable:
            yield warning(
                "config_unreadable",
                f"server {sid} tells a configuration that can't be read ({told.unreadable[sid]}): compare "
                "it by hand",
                sid,
            )
        elif sid in told.ensembles:
            yield from member_findings(sid, config.ensemble, told.ensembles[sid], names)
        elif answer.notification is not None:
            yield from _port_findings(config, answer)
        yield from _place_findings(config, answer, names)


def _identity_findings(answers: Mapping[int, Answer]) -> Iterator[Finding]:
    """Who dialled back and said who it is: nobody proved it, but nobody has a reason to lie about it."""
    places = defaultdict(list)
    for sid, answer in answers.items():
        if answer.identity is not None:
            places[answer.identity.sid].append(sid)
    for claimed, sids in sorted(places.items()):
        where = listed(tuple(str(answers[sid].address) for sid in sids))
        if len(sids) > 1:
            yield error(
                "duplicate_id",
                f"the servers at {where} all say that they are server {claimed}: correct myid on the wrong "
                "ones, or the lines that lead to one server twice",
                *sids,
            )
        elif sids != [claimed]:
            yield error(
                "wrong_id",
                f"the server at {where} says that it is server {claimed}, and not {sids[0]}: correct its "
                f"myid, or the line server.{sids[0]}",
                *sids,
            )


def _port_findings(config: MemberConfig, answer: Answer) -> Iterator[Finding]:
    """Compare the one thing that a server without a configuration text tells of itself: its address."""
    said = answer.identity.addresses if answer.identity else ()
    ports = {address.election_port for address in config.ensemble.servers[answer.server].addresses}
    if said and ports.isdisjoint(address.port for address in said):
        yield error(
            "members_differ",
            f"server.{answer.server}: the server itself says that its election address is {said[0]}: correct "
            "the line here or there",
            answer.server,
        )


def _place_findings(config: MemberConfig, answer: Answer, names: Names) -> Iterator[Finding]:
    """Compare the address that a server has looked up for its own name with what the name stands for here."""
    hosts = [address.host for address in config.ensemble.servers[answer.server].addresses]
    here = {ip for host in hosts for ip in names.of(host)}
    said = {each.host for each in answer.identity.addresses} if answer.identity else set()
    there = {canonical(host) for host in said if is_numeric(host) and not is_wildcard(host)}
    both_inside = all(map(is_loopback, here | there))
    if here and there and here.isdisjoint(there) and not both_inside:
        yield warning(
            "resolves_differently",
            f"server {answer.server} has {listed(sorted(there))} for its own address, and {hosts[0]} is "
            f"{listed(sorted(here))} here: correct /etc/hosts or DNS where it is wrong",
            answer.server,
        )
