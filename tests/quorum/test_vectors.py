"""Random configurations: quorums as ZooKeeper's own classes say, as the definition says, and what follows."""

import json
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_fle.ensemble import Ensemble, build_ensemble
from trio_fle.errors import ConfigError
from trio_fle.quorum import Hierarchical, all_quorums

ROWS = json.loads((Path(__file__).parents[1] / "data" / "quorum-vectors.json").read_text())["rows"]
TAKEN = [row for row in ROWS if "refused" not in row]
REFUSED = [row for row in ROWS if "refused" in row]


def ensemble_of(row: dict[str, Any]) -> Ensemble:
    """Build the configuration of a row, as from the lines of zoo.cfg."""
    lines = {
        f"server.{sid}": f"h{sid}:2888:3888:{role}"
        for role, sids in (("participant", row["voters"]), ("observer", row["observers"]))
        for sid in sids
    }
    groups = {f"group.{group}": ":".join(map(str, sids)) for group, sids in row.get("groups", {}).items()}
    weights = {f"weight.{sid}": str(weight) for sid, weight in row.get("weights", {}).items()}
    return build_ensemble(lines | groups | weights, 0)


def sets_of(row: dict[str, Any], answer: str) -> Iterator[frozenset[int]]:
    """Return the sets of a row that got an answer: in hex, bit N stands for the Nth id."""
    for mask in row[answer].split():
        yield frozenset(sid for at, sid in enumerate(row["ids"]) if int(mask, 16) >> at & 1)


def test_the_vectors_are_many_and_of_all_kinds() -> None:
    assert (len(TAKEN), len(REFUSED)) == (362, 18)
    assert sum("groups" in row for row in TAKEN) > 300
    assert sum(len(row["quorums"].split()) for row in TAKEN) > 6000
    assert sum(len(row["others"].split()) for row in TAKEN) > 10_000
    zero = sum(0 in row["weights"].values() for row in TAKEN if "groups" in row)
    observed = sum(bool(row["observers"]) for row in TAKEN)
    assert zero > 150
    assert observed > 40


def test_every_set_is_a_quorum_exactly_where_the_real_class_says_so() -> None:
    for row in TAKEN:
        verifier = ensemble_of(row).verifier
        assert [each for each in sets_of(row, "quorums") if not verifier.contains_quorum(each)] == [], row
        assert [each for each in sets_of(row, "others") if verifier.contains_quorum(each)] == [], row


def test_every_server_weighs_what_it_weighs_for_the_real_class() -> None:
    for row in TAKEN:
        verifier = ensemble_of(row).verifier
        for sid, weight in zip(row["ids"], row["weigh"], strict=True):
            # where the real class has none, and throws, ours says 0
            assert (verifier.weight(sid), verifier.has_weight(sid)) == (weight or 0, weight is not None), row


@pytest.mark.parametrize("row", [pytest.param(row, id=str(ROWS.index(row))) for row in REFUSED])
def test_what_the_real_class_refuses_is_refused(row: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"server -?\d+ is in (no|a|more than one) group"):
        ensemble_of(row)


@attrs.frozen
class Placed:
    """A server as it is drawn: its group, its weight (None: no weight line), and whether it votes."""

    group: int
    weight: int | None
    votes: bool


placed = st.builds(
    Placed,
    group=st.integers(1, 5),
    weight=st.one_of(st.none(), st.integers(0, 5), st.just(10**9)),
    votes=st.sampled_from([True, True, True, False]),
)
drawn = st.dictionaries(st.integers(1, 12), placed, min_size=1).filter(
    lambda servers: any(server.votes for server in servers.values())
)
some_sids = st.frozensets(st.integers(-1, 14))


def configured(servers: dict[int, Placed]) -> Ensemble:
    groups: dict[int, list[int]] = {}
    for sid, server in servers.items():
        if server.votes or server.weight is not None:
            groups.setdefault(server.group, []).append(sid)
    return ensemble_of(
        {
            "voters": [sid for sid, server in servers.items() if server.votes],
            "observers": [sid for sid, server in servers.items() if not server.votes],
            "groups": groups,
            "weights": {sid: server.weight for sid, server in servers.items() if server.weight is not None},
        }
    )


def is_quorum_by_definition(servers: dict[int, Placed], acks: AbstractSet[int]) -> bool:
    """Say it in the words of the definition: more than half of what counts, of each and of all groups."""
    weight = {
        sid: float(server.votes if server.weight is None else server.weight)
        for sid, server in servers.items()
    }
    members = {
        group: {sid for sid in servers if servers[sid].group == group and weight[sid] > 0}
        for group in range(1, 6)
    }
    counted = [sids for sids in members.values() if sids]
    won = [
        sids
        for sids in counted
        if sum(weight[sid] for sid in sids & acks) > sum(weight[sid] for sid in sids - acks)
    ]
    return len(won) > len(counted) - len(won)


@given(drawn, some_sids)
def test_a_quorum_is_more_than_half_of_the_weight_in_more_than_half_of_the_groups_that_count(
    servers: dict[int, Placed], acks: frozenset[int]
) -> None:
    assert configured(servers).verifier.contains_quorum(acks) is is_quorum_by_definition(servers, acks)


@given(drawn, some_sids, some_sids)
def test_two_sets_without_a_common_voter_are_never_both_quorums(
    servers: dict[int, Placed], acks: frozenset[int], more: frozenset[int]
) -> None:
    verifier = configured(servers).verifier
    assert not (all_quorums([verifier], acks) and all_quorums([verifier], more - (acks & verifier.voters)))
    assert not (all_quorums([verifier], acks) and all_quorums([verifier], verifier.voters - acks))


@given(drawn, some_sids, some_sids)
def test_what_holds_a_quorum_still_does_with_more_in_it(
    servers: dict[int, Placed], acks: frozenset[int], more: frozenset[int]
) -> None:
    verifier = configured(servers).verifier
    assert verifier.contains_quorum(acks | more) >= verifier.contains_quorum(acks)
    assert verifier.contains_quorum(acks) >= verifier.contains_quorum(acks - more)


@given(drawn, some_sids, st.integers(1, 12))
def test_a_server_of_weight_0_makes_no_difference(
    servers: dict[int, Placed], acks: frozenset[int], sid: int
) -> None:
    ensemble = configured({**servers, sid: Placed(1, 0, votes=True)})
    assert isinstance(ensemble.verifier, Hierarchical)
    quorum = ensemble.verifier.contains_quorum
    assert quorum(acks | {sid}) is quorum(acks - {sid})
