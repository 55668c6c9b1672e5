"""What the servers of an ensemble answer, and what follows from it."""

from pathlib import Path

import pytest
from checked import THREE, codes, configured

from trio_fle.check.finding import Severity
from trio_fle.check.live import Told, answer_findings
from trio_fle.check.report import build_report
from trio_fle.config import MemberConfig
from trio_fle.ensemble import HostPort
from trio_fle.peers.asking import Answer
from trio_fle.peers.names import Names
from trio_fle.vote import MIN_LONG, PeerState, Vote
from trio_fle.wire import Hello, Notification

TEXT = "".join(f"server.{sid}=zk{sid}:2888:3888:participant\n" for sid in (1, 2, 3)) + "version=0"


def answer(
    sid: int, text: str | None = TEXT, *, says: int | None = None, told: str = "10.0.0.9", port: int = 3888
) -> Answer:
    config = None if text is None else text.encode()
    heard = Notification(PeerState.FOLLOWING, Vote(3, 0x100000002, 1), 4, config=config)
    hello = Hello(sid if says is None else says, (HostPort(told, port),))
    return Answer(sid, HostPort(f"zk{sid}", 3888), heard, 0.0123, identity=hello)


def silent(sid: int, failure: str) -> Answer:
    return Answer(sid, HostPort(f"zk{sid}", 3888), failure=failure, said="...")


def found(
    config: MemberConfig, *answers: Answer, names: Names | None = None
) -> list[tuple[str, tuple[int, ...]]]:
    by_server = {each.server: each for each in answers}
    return codes(list(answer_findings(config, by_server, Told.by(by_server), names or Names())))


def test_servers_that_agree_are_fine(tmp_path: Path) -> None:
    assert found(configured(tmp_path), *map(answer, (1, 2, 3))) == []


@pytest.mark.parametrize("failure", ["refused", "timeout", "unreachable", "silent", "closed", "malformed"])
def test_others_that_do_not_answer_are_told_with_advice(failure: str, tmp_path: Path) -> None:
    answers = {sid: silent(sid, failure) for sid in (1, 2)}
    (told,) = answer_findings(configured(tmp_path), answers, Told(), Names())
    assert (told.code, told.servers, told.severity) == ("no_answer", (2,), Severity.WARNING)
    assert f"zk2:3888 ({failure})" in told.message
    assert "?" in told.message


def test_a_name_without_address_is_told_once_elsewhere(tmp_path: Path) -> None:
    assert found(configured(tmp_path), silent(2, "unresolved")) == []


def test_an_id_that_is_another_ones_or_is_there_twice_is_an_error(tmp_path: Path) -> None:
    config = configured(tmp_path)
    assert found(config, answer(1), answer(2, says=7)) == [("wrong_id", (2,))]
    assert found(config, answer(1), answer(2, says=3), answer(3)) == [("duplicate_id", (2, 3))]
    assert found(config, answer(2, says=3), answer(3, says=2)) == [("wrong_id", (3,)), ("wrong_id", (2,))]


def test_an_answer_on_the_quorum_port_is_ports_the_other_way_round(tmp_path: Path) -> None:
    crossed = Answer(2, HostPort("zk2", 2888), answer(2).notification, 0.01, on_quorum_port=True)
    assert found(configured(tmp_path), crossed) == [("ports_swapped", (2,))]


@pytest.mark.parametrize("text", ["version=zz", "server.1=zk1:1\nversion=0", TEXT + "\\\n", "#" * 70_000])
def test_a_text_that_is_none_is_told_and_nothing_else_comes_of_it(text: str, tmp_path: Path) -> None:
    assert found(configured(tmp_path), answer(2, text)) == [("config_unreadable", (2,))]


def test_a_server_that_tells_no_members_is_compared_by_its_own_address(tmp_path: Path) -> None:
    config = configured(tmp_path)
    assert found(config, answer(2, None)) == []
    assert found(config, answer(2, None, port=3889)) == [("members_differ", (2,))]


def test_names_that_have_another_address_there_are_told(tmp_path: Path) -> None:
    names = Names({"zk2": ("10.0.0.2",), "zk3": ("127.0.0.1",)})
    config = configured(tmp_path)
    for told, differs in (("10.0.0.2", False), ("10.0.0.9", True), ("127.0.1.1", True), ("0.0.0.0", False)):
        expected = [("resolves_differently", (2,))] if differs else []
        assert found(config, answer(2, told=told), names=names) == expected
    assert found(config, answer(3, told="127.0.1.1"), names=names) == [], "each is loopback to itself"
    assert found(config, answer(2, told="zk2"), names=names) == [], "it was not looked up there"


def test_hosts_to_look_up_are_those_that_were_told_and_not_any_number_of_them() -> None:
    assert Told.by({2: answer(2)}).hosts() == {"zk1", "zk2", "zk3"}
    many = "".join(f"server.{sid}=h{sid}:1:2\n" for sid in range(1, 200)) + "version=0"
    assert len(Told.by({2: answer(2, many)}).hosts()) == 64


def test_the_document_has_a_row_for_each_server(tmp_path: Path) -> None:
    other = answer(3, TEXT.replace("zk1:2888", "zk1:2889"))
    nobody = Notification(PeerState.LOOKING, Vote(MIN_LONG, MIN_LONG, MIN_LONG), 1)
    answers = {1: answer(1), 2: silent(2, "refused"), 3: other}
    report = build_report(configured(tmp_path), Names(), answers)
    assert not report.ok
    rows = report.document()["live"]
    assert rows[0] == {
        "server": 1,
        "address": "zk1:3888",
        "failure": None,
        "said": None,
        "latency_ms": 12.3,
        "says_id": 1,
        "state": "FOLLOWING",
        "leader": 3,
        "epoch": 1,
        "zxid": "0x100000002",
        "round": 4,
        "version": "0",
        "same_members": True,
    }
    assert (rows[1]["failure"], rows[1]["state"], rows[1]["same_members"]) == ("refused", None, None)
    assert rows[2]["same_members"] is False
    unvoted = build_report(configured(tmp_path), Names(), {1: Answer(1, HostPort("zk1", 3888), nobody, 0.1)})
    (row,) = unvoted.document()["live"]
    assert (row["leader"], row["epoch"], row["zxid"], row["version"]) == (None, None, None, None)


def test_without_answers_there_is_no_live_part(tmp_path: Path) -> None:
    assert build_report(configured(tmp_path, THREE), Names()).document()["live"] is None
