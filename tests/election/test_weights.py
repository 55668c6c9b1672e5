"""A hierarchical ensemble of cores: every subset of its servers elects exactly where it holds a quorum."""

import functools
from itertools import combinations

import pytest
from core_driver import ensemble_of
from core_network import Network
from hierarchies import GROUPED, WEIGHTLESS

from trio_fle.election.events import Settled
from trio_fle.election.options import ElectionOptions
from trio_fle.vote import PeerState

SERVERS = range(1, 10)
HIERARCHY = ensemble_of(9, *GROUPED)
EARLY, EXACT = ElectionOptions(), ElectionOptions(early_finalize=False)


def started(running: tuple[int, ...], options: ElectionOptions, *, ahead: int = 0) -> Network:
    """Elect with these servers; the one without weight has ``ahead`` transactions more than all others."""
    network = Network(HIERARCHY, options=options)
    for sid in running:
        network.start(sid, zxid=0x100000000 + (ahead if sid == WEIGHTLESS else 0), epoch=1)
    network.run(1)
    return network


@functools.cache
def quorums() -> frozenset[tuple[int, ...]]:
    subsets = [some for size in SERVERS for some in combinations(SERVERS, size)]
    return frozenset(some for some in subsets if HIERARCHY.verifier.contains_quorum(set(some)))


def check(network: Network, running: tuple[int, ...]) -> None:
    if running in quorums():
        assert network.leader() == max(sid for sid in running if sid != WEIGHTLESS), running
    else:
        assert {core.fle.state for core in network.cores.values()} == {PeerState.LOOKING}, running


@pytest.mark.parametrize("options", [EARLY, EXACT], ids=["early", "exact"])
@pytest.mark.parametrize("ahead", [0, 7])
@pytest.mark.parametrize("size", SERVERS)
def test_servers_elect_exactly_where_they_are_a_quorum_and_never_one_without_weight(
    size: int, ahead: int, options: ElectionOptions
) -> None:
    for running in combinations(SERVERS, size):
        check(started(running, options, ahead=ahead), running)


def test_about_half_of_the_subsets_are_quorums() -> None:
    """Else the test above would show little."""
    assert 150 < len(quorums()) < 350


def test_who_has_no_weight_learns_the_end_of_a_long_election_at_once() -> None:
    """As the others do: it votes with them, and not for itself until its next resend."""
    network = started((1, 2, 4, 8, WEIGHTLESS), EARLY, ahead=7)
    network.run(120)
    assert {core.fle.state for core in network.cores.values()} == {PeerState.LOOKING}
    network.start(7, zxid=0x100000001, epoch=1)
    network.run(0.3)
    assert network.leader() == 7


def test_who_has_no_weight_is_part_of_an_election_without_a_wait() -> None:
    network = started(tuple(SERVERS), EARLY)
    (settled,) = {core.decided().settled for core in network.cores.values()}
    assert settled is Settled.UNANIMOUS
