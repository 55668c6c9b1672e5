"""The roles of a server that is explored, and what the future of a role, or of an election core, rests on."""

from typing import Any

import attrs

from trio_fle.election.fle import FastLeaderElection
from trio_fle.zab import Discovery


@attrs.define(eq=False)
class Lead:
    """A would-be leader: ``stage`` counts the gates passed, ``learners`` say how far each has come.

    Stages: 0 nothing, 1 the epoch is settled, 2 accepted here, 3 established.
    """

    discovery: Discovery
    stage: int = 0
    learners: dict[int, int] = attrs.field(factory=dict)
    """0 has said who it is, 1 was told all up to NEWLEADER, 2 has acknowledged, 3 is up to date."""


@attrs.frozen
class Follow:
    """A learner.

    Stages: 0 dials, 1 has said who it is, 2 accepts, 3 has accepted, 4 is synchronized.
    """

    leader: int
    stage: int = 0
    epoch: int = -1


def role_key(role: Lead | Follow | None) -> Any:
    """Return what the future of a role depends on."""
    if not isinstance(role, Lead):
        return role
    discovery = role.discovery
    gates = (discovery.proposed, discovery.synchronized)
    return (
        role.stage,
        discovery.new_epoch,
        tuple(sorted(role.learners.items())),
        tuple((gate.open, tuple(sorted(gate.passed))) for gate in gates),
    )


def core_key(core: FastLeaderElection | None) -> Any:
    """Return what a core's future depends on; when things happened, and how often, is left out."""
    if core is None:
        return None
    election = core.election
    inner = None
    if election is not None:
        inner = (
            election.proposal,
            election.initial,
            election._agreed_since is None,
            tuple(sorted(election.votes.items(), key=lambda item: item[0])),
            tuple(sorted(election.claims.items(), key=lambda item: item[0])),
            frozenset(election._looking) if election.holds_back else None,
            election.was_heard,
            core._left,
            tuple(sorted(core._said.items(), key=lambda item: item[0])),
        )
    early = tuple((sid, heard) for sid, (_, heard) in core._early.items())
    return (
        core.state,
        core.round,
        core.current_vote,
        core.voted_in,
        core.leaving,
        frozenset(core.gone),
        frozenset(core.present),
        early,
        inner,
    )


def succession_key(core: FastLeaderElection) -> Any:
    """Return what a core's future depends on where epochs ride on votes."""
    succession, election = core.succession, core.election
    rides = (
        succession.reserved,
        frozenset(succession.accepted_by),
        succession.acceptance,
        succession._offer,
        succession._heard,
        succession._asked,
        None if core.untold is None else frozenset(core.untold),
    )
    return rides if election is None else (rides, election.is_quiet)
