"""The decisions of a real ZooKeeper 3.8.0 server in scripted elections, made by our core as well."""

import json
from pathlib import Path
from typing import Any

import pytest
from core_driver import Driver, ensemble_of, facts, signed

from trio_fle.vote import PeerState, Vote
from trio_fle.wire import Layout, Notification, decode_notification, encode_notification

SCENARIOS = json.loads((Path(__file__).parents[1] / "data" / "fle-scenarios.json").read_text())["scenarios"]
STARTED_BEFORE_S = 0.93
"""The election began so long before the script (recorded: 0.9 to 1.0 s)."""
LEFT_LOOKING_S = 2.3
LAYOUTS = {
    "version 2 with config": Layout.CONFIG,
    "40 bytes (version 1)": Layout.VERSIONED,
    "28 bytes": Layout.ZXID_ONLY,
}


def message(step: dict[str, Any]) -> Notification:
    vote = Vote(step["leader"], signed(step["zxid"]), step["peerEpoch"])
    sent = Notification(PeerState[step["state"]], vote, step["round"], config=b"")
    return decode_notification(encode_notification(sent, LAYOUTS[step["form"]]))


def play(scenario: dict[str, Any]) -> Driver:
    roles = {sid: scenario["roles"].get(str(sid), "participant") for sid in scenario["members"]}
    driver = Driver(scenario["myid"], ensemble_of(roles, *(scenario["groups"] or "").split()))
    driver.look().wait(STARTED_BEFORE_S)
    for step in scenario["script"]:
        if "sleep" in step:
            driver.wait(step["sleep"])
        else:
            driver.hear(step["from"], message(step))
    return driver.wait(LEFT_LOOKING_S)


def folded(rows: list[list[Any]]) -> list[list[Any]]:
    return [row for at, row in enumerate(rows) if at == 0 or rows[at - 1] != row]


def in_order(rows: list[list[Any]], *, within: list[list[Any]]) -> bool:
    rest = iter(within)
    return all(row in rest for row in rows)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario["name"])
def test_the_real_decision_is_ours_and_at_the_same_time(scenario: dict[str, Any]) -> None:
    driver = play(scenario)
    decided = driver.decided()
    assert (decided and decided.state.name.lower()) == scenario["decision"]["3.8.0"]
    took_ms = scenario["election_took_ms"]["3.8.0"]
    if decided and took_ms:
        assert 1000 * decided.duration_s == pytest.approx(took_ms, abs=70)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario["name"])
def test_what_was_sent_until_then_is_what_a_real_server_sent(scenario: dict[str, Any]) -> None:
    driver = play(scenario)
    recorded = [
        [sent["state"], sent["leader"], signed(sent["zxid"]), sent["round"], sent["peerEpoch"], sent["to"]]
        for sent in scenario["sent_by_3.8.0"]
    ]
    for to in {row[-1] for row in recorded}:
        # later rounds are those after a leader that was never there
        theirs = [row[:-1] for row in recorded if row[-1] == to and row[3] <= driver.fle.round]
        ours = [facts(told) for told in driver.sent(to, since=STARTED_BEFORE_S)]
        ends = [facts(told) for told in driver.ends_of_bursts(to, since=STARTED_BEFORE_S)]
        # of a burst a peer may get all or only the last, since a sender's queue holds one
        assert in_order(folded(theirs), within=folded(ours))
        assert in_order(folded(ends), within=folded(theirs))
