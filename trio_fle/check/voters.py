"""Findings about who votes, and how many of them it takes."""

from collections.abc import Iterator

from trio_fle.check.finding import Finding, error, listed, named, warning
from trio_fle.check.quorums import Quorums
from trio_fle.ensemble import Ensemble
from trio_fle.peers.names import Names
from trio_fle.quorum import Hierarchical, Majority, OracleMajority


def voter_findings(ensemble: Ensemble, quorums: Quorums, names: Names) -> Iterator[Finding]:
    """Yield what is suspicious about voters, groups and weights, and about voters that share a host."""
    if not quorums.possible:
        yield error(
            "no_quorum",
            "no set of servers is a quorum, so nobody can ever be elected: give the voters of more than "
            "half of the groups more than half of their group's weight",
        )
    match ensemble.verifier:
        case Majority():
            yield from _count_findings(quorums)
        case OracleMajority() as verifier if not verifier.consults:
            yield from _count_findings(quorums)
        case Hierarchical():
            yield from _group_findings(ensemble, ensemble.verifier)
            if quorums.possible:
                yield from _dependence_findings(quorums)
    yield from _host_findings(ensemble, names)


def _count_findings(quorums: Quorums) -> Iterator[Finding]:
    count = len(quorums.voters)
    if count == 1:
        yield warning(
            "one_voter", "there is one voter, and nobody leads while it is down: three survive a failure"
        )
    elif count == 2:
        yield warning(
            "two_voters", "with two voters both are needed, so no failure is survived: add a third voter"
        )
    elif count % 2 == 0:
        yield warning(
            "even_voters",
            f"{count} voters survive no more failures than {count - 1}: add one, or make one an observer",
        )


def _group_findings(ensemble: Ensemble, verifier: Hierarchical) -> Iterator[Finding]:
    weight_of = {group: sum(map(verifier.weight, sids)) for group, sids in verifier.groups}
    counted = [group for group, weight in weight_of.items() if weight]
    if len(counted) == 2:
        yield warning(
            "two_groups",
            f"of two groups both are needed: add a third group to {listed(tuple(counted))}, or do without "
            "groups",
        )
    elif counted and len(counted) % 2 == 0:
        yield warning(
            "even_groups",
            f"{len(counted)} groups survive the loss of no more groups than {len(counted) - 1}: add or "
            "merge one",
        )
    for group, sids in verifier.groups:
        weight = weight_of[group]
        if weight == 0:
            yield warning(
                "weightless_group",
                f"group {group} has no weight and does not count: give one of its servers a weight",
                *sids,
            )
        elif weight % 2 == 0:
            yield warning(
                "even_group_weight",
                f"group {group} has an even weight, {weight}: half of it is not enough, so one less would "
                "do; make it odd",
                *sids,
            )
    yield from _useless_weights(ensemble, verifier)


def _useless_weights(ensemble: Ensemble, verifier: Hierarchical) -> Iterator[Finding]:
    for group, sids in verifier.groups:
        for sid in sids:
            if sid not in ensemble.voters:
                yield warning(
                    "observer_in_group",
                    f"server {sid} does not vote, but its weight counts in the total of group {group}: "
                    "take it out of the group",
                    sid,
                )
    idle = tuple(sorted(sid for sid in ensemble.voters if not verifier.weight(sid)))
    if idle:
        yield warning(
            "weightless_voter",
            f"{named(idle)}: weight 0, so the vote counts for nothing, and it is never elected: make it an "
            "observer, or give it a weight",
            *idle,
        )


def _dependence_findings(quorums: Quorums) -> Iterator[Finding]:
    alone = [sids[0] for sids in quorums.minimal or () if len(sids) == 1]
    for sid in alone:
        yield warning(
            "heavy_server",
            f"server {sid} is a quorum by itself, whatever the others say: lower its weight, or raise theirs",
            sid,
        )
    for sids in quorums.fatal or ():
        if len(sids) == 1 and len(quorums.voters) > 1:
            yield warning(
                "single_failure",
                f"without server {sids[0]} there is no quorum: lower its weight, or change the groups",
                *sids,
            )


def _host_findings(ensemble: Ensemble, names: Names) -> Iterator[Finding]:
    """Voters on one machine fail together; whether names tell so is not certain, so it is a warning."""
    left = sorted(ensemble.voters)
    while left:
        first, *left = left
        together = (first, *(sid for sid in left if _share_host(ensemble, names, first, sid)))
        left = [sid for sid in left if sid not in together]
        if len(together) > 1:
            survives = ensemble.verifier.contains_quorum(ensemble.voters - set(together))
            hosts = dict.fromkeys(each.host for sid in together for each in ensemble.servers[sid].addresses)
            yield warning(
                "same_host",
                f"{named(together)} are on one host, {' or '.join(hosts)}: its failure takes them all"
                f"{'' if survives else ', and the quorum with them'}; use one host for each",
                *together,
            )


def _share_host(ensemble: Ensemble, names: Names, one: int, other: int) -> bool:
    return any(
        names.same(mine.host, theirs.host)
        for mine in ensemble.servers[one].addresses
        for theirs in ensemble.servers[other].addresses
    )
