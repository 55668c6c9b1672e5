"""Why an election takes long: one verdict, from what this member can see."""

import enum
from collections.abc import Set as AbstractSet

import attrs

from trio_fle.election.fle import FastLeaderElection
from trio_fle.vote import UNTRUSTED_ZXID


class Because(enum.Enum):
    """Verdict codes: the same in the log, in status answers and in metrics."""

    NO_QUORUM_REACHABLE = "no_quorum_reachable"
    """Too few voters have a connection to this member."""

    CONFIG_MISMATCH = "config_mismatch"
    """Voters with another member list, so that no quorum means the same to all."""

    WAITING_LEASE = "waiting_lease"
    """A leader is elected, and the lease of the one before may still run: its promise is kept."""

    UNTRUSTED_HISTORY = "untrusted_history"
    """This member's data are lost or not to be trusted: it may not vote."""

    SILENT_VOTERS = "silent_voters"
    """Connected voters said nothing in this round (hung, or of another protocol)."""

    AHEAD_UNREACHABLE = "ahead_unreachable"
    """The best vote names a server that this member can't reach."""

    NO_CANDIDATE = "no_candidate"
    """Nobody who was heard may be elected."""

    SPLIT_VOTES = "split_votes"
    """A quorum is heard, and disagrees."""


@attrs.frozen
class Stalled:
    """Why no leader is known yet, and which voters it depends on."""

    because: Because
    missing: tuple[int, ...]
    round: int


def diagnose(fle: FastLeaderElection, connected: AbstractSet[int]) -> Stalled | None:
    """Say why the running election has not ended; None where none runs.

    ``connected`` are the servers with a live election connection. The first verdict that applies, from
    the outside in, is the answer: without connections, votes say nothing.
    """
    election = fle.election
    if election is None:
        return None
    electorate, me = fle.electorate, fle.electorate.me
    others = electorate.voters - {me}
    here = (electorate.voters & connected) | ({me} & electorate.voters)

    def verdict(because: Because, missing: AbstractSet[int]) -> Stalled:
        return Stalled(because, tuple(sorted(missing)), fle.round)

    if not electorate.is_quorum(here):
        return verdict(Because.NO_QUORUM_REACHABLE, others - here)
    if fle.configs:
        return verdict(Because.CONFIG_MISMATCH, fle.configs.keys())
    if election.initial.zxid == UNTRUSTED_ZXID:
        return verdict(Because.UNTRUSTED_HISTORY, {me})
    heard = election.votes.keys() | election.claims.keys()
    if not electorate.is_quorum(heard | ({me} & electorate.voters)):
        return verdict(Because.SILENT_VOTERS, here - heard - {me})
    leaders = {claim.vote.leader for claim in election.claims.values()}
    if electable := electorate.electable(election.proposal):  # else it names somebody for the sake of form
        leaders.add(election.proposal.leader)
    unreachable = (leaders & electorate.voters) - here
    if unreachable:
        return verdict(Because.AHEAD_UNREACHABLE, unreachable)
    if not electable:
        return verdict(Because.NO_CANDIDATE, others - heard)
    dissent = {sid for sid, cast in election.votes.items() if cast.vote != election.proposal}
    return verdict(Because.SPLIT_VOTES, dissent or others - heard)
