"""What is suspicious about who votes."""

from pathlib import Path

import pytest
from checked import THREE, codes, configured

from trio_fle.check.finding import Finding, Severity
from trio_fle.check.quorums import explain
from trio_fle.check.voters import voter_findings
from trio_fle.peers.names import Names


def found(directory: Path, lines: str, names: Names | None = None) -> list[Finding]:
    ensemble = configured(directory, lines).ensemble
    return list(voter_findings(ensemble, explain(ensemble.verifier), names or Names()))


def servers(*roles: str) -> str:
    lines = (f"server.{sid}=zk{sid}:2888:3888:{role}\n" for sid, role in enumerate(roles, 1))
    return "".join(lines)


VOTER, OBSERVER = "participant", "observer"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (THREE, []),
        (servers(VOTER), [("one_voter", ())]),
        (servers(VOTER, VOTER, OBSERVER), [("two_voters", ())]),
        (servers(*[VOTER] * 4), [("even_voters", ())]),
        (servers(VOTER, VOTER, VOTER, OBSERVER), []),
        (servers(*[VOTER] * 3) + "group.1=1\ngroup.2=2\ngroup.3=3\n", []),
        (
            servers(*[VOTER] * 4) + "group.1=1:2:3\ngroup.2=4\n",
            [("two_groups", ()), ("single_failure", (4,))],
        ),
        (
            servers(*[VOTER] * 5) + "group.1=1:2\ngroup.2=3\ngroup.3=4\ngroup.4=5\n",
            [("even_groups", ()), ("even_group_weight", (1, 2))],
        ),
        (
            THREE + "group.1=1:2:3\nweight.3=5\n",
            [("heavy_server", (3,)), ("single_failure", (3,))],
        ),
        (
            servers(*[VOTER] * 4) + "group.1=1:2:3\ngroup.2=4\nweight.4=0\n",
            [("weightless_group", (4,)), ("weightless_voter", (4,))],
        ),
        (
            servers(VOTER, VOTER, VOTER, OBSERVER) + "group.1=1:2:3:4\nweight.4=2\n",
            [
                ("observer_in_group", (4,)),
                ("single_failure", (1,)),
                ("single_failure", (2,)),
                ("single_failure", (3,)),
            ],
        ),
    ],
)
def test_voters_groups_and_weights(
    lines: str, expected: list[tuple[str, tuple[int, ...]]], tmp_path: Path
) -> None:
    assert codes(found(tmp_path, lines)) == expected


@pytest.mark.parametrize(
    "lines",
    [
        THREE + "group.1=1:2:3\nweight.1=0\nweight.2=0\nweight.3=0\n",
        servers(VOTER, OBSERVER) + "standaloneEnabled=false\ngroup.1=1:2\nweight.2=5\n",
    ],
)
def test_where_no_quorum_is_possible_that_is_an_error(lines: str, tmp_path: Path) -> None:
    first, *others = found(tmp_path, lines)
    assert (first.code, first.severity) == ("no_quorum", Severity.ERROR)
    assert "nobody can ever be elected" in first.message
    assert all(other.severity is Severity.WARNING for other in others)


def test_voters_on_one_host_fail_together_and_perhaps_with_the_quorum(tmp_path: Path) -> None:
    lines = servers(*[VOTER] * 5, OBSERVER).replace("zk2", "zk1").replace("zk6", "zk1")
    (same,) = found(tmp_path, lines)
    assert (same.code, same.servers) == ("same_host", (1, 2))
    assert "the quorum" not in same.message
    (same,) = found(tmp_path, lines.replace("zk3", "ZK1"))
    assert same.servers == (1, 2, 3)
    assert "its failure takes them all, and the quorum with them" in same.message


def test_two_names_of_one_machine_are_one_host(tmp_path: Path) -> None:
    names = Names({"zk1": ("10.0.0.1",), "zk2": ("10.0.0.2",), "zk3": ("10.0.0.1",)})
    (same,) = found(tmp_path, THREE, names)
    assert (same.code, same.servers) == ("same_host", (1, 3))
    assert "on one host, zk1 or zk3" in same.message
