"""Which of two votes is better, and when two count for the same outcome."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_fle.vote import MAX_LONG, MIN_LONG, CastVote, PeerState, Vote, epoch_of, make_zxid

EQUALITY = json.loads((Path(__file__).parents[1] / "data" / "vote-equality.json").read_text())["rows"]
CHANGED = {"leader": "leader id", "zxid": "zxid", "round": "electionEpoch", "epoch": "peerEpoch"}

longs = st.integers(MIN_LONG, MAX_LONG)
close = st.one_of(longs, st.integers(-2, 2))
votes = st.builds(Vote, close, close, close)
cast_votes = st.builds(CastVote, votes, close, st.sampled_from(PeerState), st.integers(-1, 3))


def test_the_truth_table_has_720_rows() -> None:
    assert len(EQUALITY) == 720


def casts(row: list[object]) -> tuple[CastVote, CastVote]:
    version_a, version_b, state_a, state_b, difference, _ = row
    fields = {"leader": 2, "zxid": 5, "round": 3, "epoch": 1}
    other = {name: value + (difference == f"{CHANGED[name]} differs") for name, value in fields.items()}

    def cast(numbers: dict[str, int], state: object, version: object) -> CastVote:
        vote = Vote(numbers["leader"], numbers["zxid"], numbers["epoch"])
        return CastVote(vote, numbers["round"], PeerState[str(state)], int(str(version)))

    first, second = cast(fields, state_a, version_a), cast(other, state_b, version_b)
    assert (fields == other) == (difference == "same in all four fields")
    return first, second


@pytest.mark.parametrize("state_a", [state.name for state in PeerState])
@pytest.mark.parametrize("state_b", [state.name for state in PeerState])
@pytest.mark.parametrize("versions", [(a, b) for a in range(3) for b in range(3)])
def test_votes_agree_exactly_when_those_of_a_real_server_do(
    state_a: str, state_b: str, versions: tuple[int, int]
) -> None:
    rows = [row for row in EQUALITY if row[:4] == [*versions, state_a, state_b]]
    assert len(rows) == 5
    for row in rows:
        first, second = casts(row)
        assert first.agrees_with(second) is row[5], row
        assert second.agrees_with(first) is row[5], row


@given(cast_votes, cast_votes)
def test_agreement_is_symmetric(one: CastVote, other: CastVote) -> None:
    assert one.agrees_with(other) is other.agrees_with(one)


@given(cast_votes)
def test_a_cast_vote_agrees_with_itself(one: CastVote) -> None:
    assert one.agrees_with(one)


def test_agreement_is_not_transitive() -> None:
    old = CastVote(Vote(2, 0, 1), 1, PeerState.FOLLOWING, version=0)
    one = CastVote(Vote(2, 0, 1), 1, PeerState.FOLLOWING, version=2)
    two = CastVote(Vote(2, 0, 7), 1, PeerState.FOLLOWING, version=2)
    assert one.agrees_with(old)
    assert old.agrees_with(two)
    assert not one.agrees_with(two)


@given(votes)
def test_no_vote_beats_itself(vote: Vote) -> None:
    assert not vote.beats(vote)


@given(votes, votes)
def test_of_two_differing_votes_exactly_one_beats_the_other(one: Vote, other: Vote) -> None:
    assert one.beats(other) + other.beats(one) == (one != other)


@given(votes, votes, votes)
def test_beating_is_transitive(one: Vote, two: Vote, three: Vote) -> None:
    if one.beats(two) and two.beats(three):
        assert one.beats(three)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        pytest.param(Vote(4, 0, 0), Vote(3, 0, 0), id="a higher id, all else equal"),
        pytest.param(Vote(0, 1, 0), Vote(9, 0, 0), id="a newer zxid, against a higher id"),
        pytest.param(Vote(0, 0, 1), Vote(9, MAX_LONG, 0), id="a newer epoch, against a newer zxid"),
        pytest.param(
            Vote(1, 0x2_0000_0000, 2), Vote(1, 0x1_FFFF_FFFF, 2), id="a zxid past the counter's end"
        ),
        pytest.param(Vote(1, 0, 0), Vote(1, -1, 0), id="an empty history, against an untrustworthy one"),
        pytest.param(Vote(1, 0, 0), Vote(1, MIN_LONG, 0), id="any zxid, against an observer's"),
        pytest.param(Vote(1, 0, 0), Vote(MIN_LONG, 0, 0), id="any id, against nobody"),
        pytest.param(Vote(1, 0, 0), Vote(9, 9, -1), id="epoch 0, against epoch -1"),
        pytest.param(Vote(1, MAX_LONG, 0), Vote(1, MIN_LONG, 0), id="zxids are signed"),
        pytest.param(Vote(300, 0, 0), Vote(255, 0, 0), id="ids above 255"),
    ],
)
def test_better_is(better: Vote, worse: Vote) -> None:
    assert better.beats(worse)
    assert not worse.beats(better)


@pytest.mark.parametrize(
    ("zxid", "epoch"),
    [(0x1_0000_0002, 1), (0xFFFFFFFF, 0), (-1, -1), (MIN_LONG, -(2**31)), (MAX_LONG, 2**31 - 1), (0, 0)],
)
def test_the_epoch_of_a_zxid_is_its_signed_high_half(zxid: int, epoch: int) -> None:
    assert epoch_of(zxid) == epoch


@given(st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**32 - 1))
def test_a_zxid_is_put_together_and_taken_apart(epoch: int, counter: int) -> None:
    zxid = make_zxid(epoch, counter)
    assert MIN_LONG <= zxid <= MAX_LONG
    assert epoch_of(zxid) == epoch
    assert zxid & 0xFFFFFFFF == counter


@given(longs)
def test_a_zxid_is_its_epoch_and_its_counter(zxid: int) -> None:
    assert make_zxid(epoch_of(zxid), zxid) == zxid


def test_the_states_have_the_numbers_of_the_wire() -> None:
    assert [(state.name, int(state)) for state in PeerState] == [
        ("LOOKING", 0),
        ("FOLLOWING", 1),
        ("LEADING", 2),
        ("OBSERVING", 3),
    ]
