"""Paths and their answers, as values; the clock decides who leads, whatever the member believes."""

import json
import math
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_fle.admin.routes import METHODS, respond
from trio_fle.election.stalled import Because, Stalled
from trio_fle.member.status import MemberStatus, PeerStatus, Phase
from trio_fle.vote import MAX_LONG, MIN_LONG, PeerState, Vote

NOW = 1000.0

LOOKING = MemberStatus(
    myid=1,
    state=PeerState.LOOKING,
    phase=Phase.ELECTION,
    leader=None,
    epoch=4,
    accepted_epoch=4,
    zxid=0x4_0000_0007,
    round=9,
    vote=Vote(leader=3, zxid=0x4_0000_0007, epoch=4),
    config_version=0x1_0000_0000,
    config_text="server.3=h:1:2:participant\nversion=100000000",
)
FOLLOWING = attrs.evolve(
    LOOKING,
    state=PeerState.FOLLOWING,
    phase=Phase.BROADCAST,
    leader=3,
    epoch=5,
    accepted_epoch=5,
    synced=True,
)
OBSERVING = attrs.evolve(FOLLOWING, state=PeerState.OBSERVING)
JOINING = attrs.evolve(FOLLOWING, phase=Phase.SYNCHRONIZATION, synced=False)
LEADING = attrs.evolve(FOLLOWING, state=PeerState.LEADING, leader=1, lease_end=NOW + 1.5)
ALONE = attrs.evolve(LEADING, lease_end=math.inf)
ELECTED = attrs.evolve(LEADING, phase=Phase.DISCOVERY, lease_end=None, synced=False)
AT_ITS_END = attrs.evolve(LEADING, lease_end=NOW)
PAST = attrs.evolve(LEADING, lease_end=NOW - 0.001)
UP_TO_NOW = attrs.evolve(LEADING, lease_end=math.nextafter(NOW, math.inf))


def ask(target: str, status: MemberStatus, method: str = "GET") -> tuple[int, str]:
    path, _, query = target.partition("?")
    response = respond(method, path, query, status, NOW)
    return response.status, response.body.decode()


def told(target: str, status: MemberStatus) -> dict[str, Any]:
    body = json.loads(ask(target, status)[1])
    assert isinstance(body, dict)
    return body


@pytest.mark.parametrize(
    ("status", "livez", "readyz", "noleader", "leader", "follower"),
    [
        pytest.param(LOOKING, 200, 503, 200, 503, 503, id="looking"),
        pytest.param(FOLLOWING, 200, 200, 200, 503, 200, id="following"),
        pytest.param(OBSERVING, 200, 200, 200, 503, 503, id="observing"),
        pytest.param(JOINING, 200, 503, 200, 503, 503, id="following, not yet synchronized"),
        pytest.param(LEADING, 200, 200, 200, 200, 503, id="leading"),
        pytest.param(ALONE, 200, 200, 200, 200, 503, id="leading alone"),
        pytest.param(ELECTED, 200, 503, 200, 503, 503, id="elected, not yet established"),
        pytest.param(UP_TO_NOW, 200, 200, 200, 200, 503, id="leading to the last moment"),
        pytest.param(AT_ITS_END, 200, 503, 200, 503, 503, id="leading, the lease ends now"),
        pytest.param(PAST, 200, 503, 200, 503, 503, id="leading, the lease has ended"),
    ],
)
def test_the_status_code_is_the_answer(
    status: MemberStatus, livez: int, readyz: int, noleader: int, leader: int, follower: int
) -> None:
    paths = {
        "/livez": livez,
        "/livez?verbose": livez,
        "/readyz": readyz,
        "/readyz?verbose": readyz,
        "/readyz?noleader": noleader,
        "/readyz?exclude=leader": noleader,
        "/readyz?exclude=loop": readyz,
        "/leader": leader,
        "/follower": follower,
        "/status": 200,
    }
    for method in METHODS:
        assert {path: ask(path, status, method)[0] for path in paths} == paths


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/leader", "/follower", "/status", "*"])
def test_options_has_the_status_of_get_and_says_what_is_allowed(path: str) -> None:
    response = respond("OPTIONS", path, "", LOOKING, NOW)
    assert response.body == b""
    assert ("Allow", "GET, HEAD, OPTIONS") in response.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "TRACE", "CONNECT", "get", "X"])
def test_another_method_is_told_which_there_are(method: str) -> None:
    response = respond(method, "/leader", "", LEADING, NOW)
    assert response.status == 405
    assert response.headers == (("Allow", "GET, HEAD, OPTIONS"),)


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "POST"])
@pytest.mark.parametrize("path", ["", "/", "/leader/", "/Leader", "//leader", "/commands/srvr", "/nowhere"])
def test_an_unknown_path_is_told_which_there_are(path: str, method: str) -> None:
    assert ask(path, LEADING, method) == (
        404,
        "no such path; there are /livez, /readyz, /leader, /follower, /status\n",
    )


@pytest.mark.parametrize(
    ("target", "status", "body"),
    [
        ("/livez", LOOKING, "ok\n"),
        ("/livez?verbose", LOOKING, "[+]loop ok\nlivez check passed\n"),
        ("/livez?verbose&exclude=loop", LOOKING, "[+]loop excluded: ok\nlivez check passed\n"),
        ("/readyz", FOLLOWING, "ok\n"),
        ("/readyz?noleader", LOOKING, "ok\n"),
        ("/readyz?verbose", FOLLOWING, "[+]loop ok\n[+]leader ok\nreadyz check passed\n"),
        (
            "/readyz?verbose&noleader",
            LOOKING,
            "[+]loop ok\n[+]leader excluded: ok\nreadyz check passed\n",
        ),
        (
            "/readyz?verbose=1&exclude=loop&exclude=leader",
            LOOKING,
            "[+]loop excluded: ok\n[+]leader excluded: ok\nreadyz check passed\n",
        ),
        ("/readyz", LOOKING, "[+]loop ok\n[-]leader failed: looking for one\nreadyz check failed\n"),
        ("/readyz", PAST, "[+]loop ok\n[-]leader failed: looking for one\nreadyz check failed\n"),
        (
            "/readyz?exclude=other",
            JOINING,
            "[+]loop ok\n[-]leader failed: FOLLOWING, still in synchronization\nreadyz check failed\n",
        ),
        (
            "/readyz",
            attrs.evolve(LOOKING, stalled=Stalled(Because.NO_QUORUM_REACHABLE, (2, 3), 9)),
            (
                "[+]loop ok\n[-]leader failed: looking for one: no_quorum_reachable, missing 2, 3\n"
                "readyz check failed\n"
            ),
        ),
        (
            "/readyz",
            attrs.evolve(JOINING, stalled=Stalled(Because.SILENT_VOTERS, (), 9)),
            (
                "[+]loop ok\n[-]leader failed: FOLLOWING, still in synchronization: silent_voters\n"
                "readyz check failed\n"
            ),
        ),
    ],
)
def test_health_says_what_it_looked_at(target: str, status: MemberStatus, body: str) -> None:
    assert ask(target, status)[1] == body


@pytest.mark.parametrize(
    ("path", "status", "body", "epoch"),
    [
        (
            "/leader",
            LEADING,
            {"leads": True, "lease_left_ms": 1500, "myid": 1, "leader": 1, "epoch": 5},
            "5",
        ),
        (
            "/leader",
            ALONE,
            {"leads": True, "lease_left_ms": None, "myid": 1, "leader": 1, "epoch": 5},
            "5",
        ),
        (
            "/leader",
            AT_ITS_END,
            {"leads": False, "lease_left_ms": 0, "myid": 1, "leader": None, "epoch": None},
            None,
        ),
        (
            "/leader",
            FOLLOWING,
            {"leads": False, "lease_left_ms": 0, "myid": 1, "leader": 3, "epoch": 5},
            None,
        ),
        ("/follower", FOLLOWING, {"follows": True, "myid": 1, "leader": 3, "epoch": 5}, "5"),
        ("/follower", OBSERVING, {"follows": False, "myid": 1, "leader": 3, "epoch": 5}, None),
        ("/follower", LEADING, {"follows": False, "myid": 1, "leader": 1, "epoch": 5}, None),
        ("/follower", JOINING, {"follows": False, "myid": 1, "leader": None, "epoch": None}, None),
        ("/follower", LOOKING, {"follows": False, "myid": 1, "leader": None, "epoch": None}, None),
    ],
)
def test_a_role_comes_with_its_epoch(
    path: str, status: MemberStatus, body: dict[str, Any], epoch: str | None
) -> None:
    response = respond("GET", path, "", status, NOW)
    assert response.content_type == "application/json"
    assert json.loads(response.body) == body
    assert dict(response.headers).get("X-Leader-Epoch") == epoch


def test_the_status_of_a_leader_is_told_whole() -> None:
    peers = (
        PeerStatus(2, "participant", connected=True, address="192.0.2.2:3888", direction="out"),
        PeerStatus(4, "observer", connected=False),
    )
    assert told("/status", attrs.evolve(LEADING, peers=peers)) == {
        "myid": 1,
        "state": "LEADING",
        "phase": "broadcast",
        "leader": 1,
        "has_leader": True,
        "leads": True,
        "lease_left_ms": 1500,
        "synced": True,
        "epoch": 5,
        "accepted_epoch": 5,
        "zxid": "0x400000007",
        "round": 9,
        "vote": {"leader": 3, "epoch": 4, "zxid": "0x400000007"},
        "config_version": "0x100000000",
        "config": "server.3=h:1:2:participant\nversion=100000000",
        "listed": True,
        "peers": [
            {
                "sid": 2,
                "role": "participant",
                "connected": True,
                "address": "192.0.2.2:3888",
                "direction": "out",
            },
            {"sid": 4, "role": "observer", "connected": False, "address": None, "direction": None},
        ],
        "stalled": None,
    }


@pytest.mark.parametrize("status", [AT_ITS_END, PAST], ids=["at its end", "past it"])
def test_a_leader_past_its_lease_is_no_leader_in_its_status(status: MemberStatus) -> None:
    body = told("/status", status)
    assert (body["state"], body["phase"], body["leader"]) == ("LOOKING", "election", None)
    assert not body["leads"]
    assert not body["has_leader"]
    assert not body["synced"]
    assert body["lease_left_ms"] == 0


def test_one_that_was_elected_and_is_not_established_leads_nobody() -> None:
    body = told("/status", ELECTED)
    assert (body["state"], body["phase"]) == ("LEADING", "discovery")
    assert not body["leads"]
    assert not body["has_leader"]


def test_a_verdict_is_told() -> None:
    status = attrs.evolve(LOOKING, stalled=Stalled(Because.SPLIT_VOTES, (3,), 9))
    assert told("/status", status)["stalled"] == {"because": "split_votes", "missing": [3], "round": 9}


def test_no_vote_is_null_and_so_is_the_vote_of_one_that_does_not_vote() -> None:
    assert told("/status", attrs.evolve(LOOKING, vote=None))["vote"] is None
    nobody = attrs.evolve(LOOKING, vote=Vote(leader=MIN_LONG, zxid=MIN_LONG, epoch=MIN_LONG))
    assert told("/status", nobody)["vote"] == {"leader": None, "epoch": None, "zxid": None}


@pytest.mark.parametrize(("left_s", "left_ms"), [(0.0009, 0), (0.0019, 1), (2.9999, 2999), (math.inf, None)])
def test_the_lease_is_never_told_longer_than_it_is(left_s: float, left_ms: int | None) -> None:
    status = attrs.evolve(LEADING, lease_end=left_s)
    body = json.loads(respond("GET", "/status", "", status, 0.0).body)
    assert body["lease_left_ms"] == left_ms


@pytest.mark.parametrize(
    ("zxid", "text"), [(-1, "0xffffffffffffffff"), (0, "0x0"), (MAX_LONG, "0x7" + "f" * 15)]
)
def test_64_bits_are_text(zxid: int, text: str) -> None:
    assert told("/status", attrs.evolve(LOOKING, zxid=zxid))["zxid"] == text


longs = st.integers(MIN_LONG, MAX_LONG)
statuses = st.builds(
    MemberStatus,
    myid=longs,
    state=st.sampled_from(PeerState),
    phase=st.sampled_from(Phase),
    leader=st.none() | longs,
    epoch=longs,
    accepted_epoch=longs,
    zxid=longs,
    round=longs,
    vote=st.none() | st.builds(Vote, leader=longs, zxid=longs, epoch=longs),
    config_version=longs,
    synced=st.booleans(),
    lease_end=st.none() | st.floats(0, 10) | st.just(math.inf) | st.just(-math.inf),
    stalled=st.none() | st.builds(Stalled, st.sampled_from(Because), st.tuples(longs), longs),
)


def no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


@given(statuses, st.floats(0, 10))
def test_whatever_the_status_the_answers_are_json_and_agree_on_who_leads(
    status: MemberStatus, now: float
) -> None:
    """Two members that both claim a role would differ here first: every path must say the same."""
    bodies = {
        path: json.loads(respond("GET", path, "", status, now).body, parse_constant=no_constant)
        for path in ("/leader", "/follower", "/status")
    }
    leads = status.lease_end is not None and now < status.lease_end
    assert bodies["/leader"]["leads"] is leads
    assert bodies["/status"]["leads"] is leads
    assert respond("HEAD", "/leader", "", status, now).status == (200 if leads else 503)
    ready = respond("GET", "/readyz", "", status, now).status == 200
    assert bodies["/status"]["has_leader"] is ready
    assert ready or not leads


@given(st.sampled_from(["/livez", "/readyz", "/status"]), st.text())
def test_any_query_is_answered(path: str, query: str) -> None:
    assert respond("GET", path, query, FOLLOWING, NOW).status == 200
