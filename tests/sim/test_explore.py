"""Exhaustive exploration: within small bounds all is well, and what is planted is found."""

import attrs
import pytest

from trio_fle.election.electorate import Electorate
from trio_fle.sim.explore.bounds import HEIRS, Bounds
from trio_fle.sim.explore.breadth_first import explore
from trio_fle.sim.explore.heirs import Successor
from trio_fle.sim.explore.replica import Out, Replica
from trio_fle.sim.invariants import ONE_ACTS, PROMISES_ARE_KEPT, VOTE_HAS_QUORUM, ViolationError


def test_the_first_elections() -> None:
    report = explore(Bounds(elections=1, crashes=0, settled=False, states=25_000))
    assert report.states >= 25_000
    assert report.transitions > report.states
    assert report.depth > 10


@pytest.mark.parametrize("early_finalize", [True, False])
def test_a_crash_of_anybody(early_finalize: bool) -> None:
    report = explore(Bounds(elections=2, crashes=1, states=25_000, early_finalize=early_finalize))
    assert report.states >= 25_000
    assert report.led > 1


def test_it_is_the_same_each_time() -> None:
    bounds = Bounds(elections=2, crashes=1, losses=1, states=5_000)
    assert explore(bounds) == explore(bounds)


def test_an_election_without_a_quorum_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Electorate, "agree", lambda *_: True)
    with pytest.raises(ViolationError) as violation:
        explore(Bounds(elections=1, crashes=0, settled=False))
    assert violation.value.invariant == VOTE_HAS_QUORUM
    assert "hears the next notification" in violation.value.what or "silence" in violation.value.what


def test_a_disk_that_forgets_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    crash = Replica.crash

    def forgetful(replica: Replica, kept: bool) -> list[Out]:
        replica.accepted = replica.epoch = 0
        return crash(replica, kept)

    monkeypatch.setattr(Replica, "crash", forgetful)
    with pytest.raises(ViolationError) as violation:
        explore(Bounds(elections=2, crashes=1))
    assert violation.value.invariant == PROMISES_ARE_KEPT
    assert len(violation.value.what.splitlines()) == 3, "a crash and a restart"


@pytest.mark.parametrize("bounds", HEIRS)
def test_an_epoch_that_rides_on_votes(bounds: Bounds) -> None:
    report = explore(attrs.evolve(bounds, states=15_000))
    assert report.states >= 15_000


def test_what_was_accepted_with_a_vote_and_is_forgotten_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Successor, "highest", property(lambda server: server.accepted))
    with pytest.raises(ViolationError) as violation:
        explore(HEIRS[0])
    assert violation.value.invariant == PROMISES_ARE_KEPT
    assert "frees 3" in violation.value.what


def test_an_heir_whose_port_refuses_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Successor, "listens", Replica.listens)
    with pytest.raises(ViolationError) as violation:
        explore(HEIRS[0])
    assert violation.value.invariant == ONE_ACTS


def test_a_leader_that_was_not_proven_to_have_ended_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    proven = Successor._accept_reserved

    def unproven(replica: Successor, heir: int, epoch: int, *, own: bool = False) -> bool:
        replica.promised, replica.ended = None, replica.accepted
        return proven(replica, heir, epoch, own=own)

    monkeypatch.setattr(Successor, "_accept_reserved", unproven)
    with pytest.raises(ViolationError) as violation:
        explore(HEIRS[1])
    assert violation.value.invariant in (PROMISES_ARE_KEPT, ONE_ACTS)
