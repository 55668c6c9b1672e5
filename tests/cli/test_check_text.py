"""What a person reads of the servers that were asked."""

from pathlib import Path

from checked import THREE, configured

from trio_fle.check.report import build_report
from trio_fle.cli.check_text import render
from trio_fle.ensemble import HostPort
from trio_fle.peers.asking import Answer
from trio_fle.peers.names import Names
from trio_fle.vote import MIN_LONG, PeerState, Vote
from trio_fle.wire import Hello, Notification

TEXT = "".join(f"server.{sid}=zk{sid}:2888:3888:participant\n" for sid in (1, 2, 3)) + "version=0"


def lines(directory: Path, *answers: Answer) -> list[str]:
    report = build_report(configured(directory, THREE), Names(), {each.server: each for each in answers})
    return [text for text, _ in render(report)]


def answer(sid: int, config: str | None, *, leader: int = 3, says: int | None = None) -> Answer:
    number = MIN_LONG if leader == MIN_LONG else 1
    zxid = MIN_LONG if leader == MIN_LONG else 0x100000002
    text = None if config is None else config.encode()
    heard = Notification(PeerState.FOLLOWING, Vote(leader, zxid, number), 4, config=text)
    hello = None if says is None else Hello(says, (HostPort("10.0.0.1", 3888),))
    return Answer(sid, HostPort(f"zk{sid}", 3888), heard, 0.0123, identity=hello)


def test_each_server_has_a_line_with_its_state_and_whether_it_knows_the_same_members(tmp_path: Path) -> None:
    said = lines(
        tmp_path,
        answer(1, TEXT, says=1),
        answer(2, None, leader=MIN_LONG),
        answer(3, TEXT.replace("zk2", "x")),
    )
    at = said.index("The servers now")
    settled = "leader 3, epoch 1, zxid 0x100000002, round 4"
    assert said[at + 1 : at + 4] == [
        f"  1  FOLLOWING, {settled}, the same members, 12.3 ms, says it is server 1",
        "  2  FOLLOWING, leader -, epoch -, zxid -, round 4, tells no members, 12.3 ms",
        f"  3  FOLLOWING, {settled}, other members, 12.3 ms",
    ]


def test_who_does_not_answer_has_a_reason_and_this_member_an_excuse(tmp_path: Path) -> None:
    refused = (Answer(sid, HostPort(f"zk{sid}", 3888), failure="refused", said="refused") for sid in (1, 2))
    said = lines(tmp_path, *refused)
    at = said.index("The servers now")
    assert (
        said[at + 1] == "  1  no answer: refused (this member; it does not run here, or not with this file)"
    )
    assert said[at + 2] == "  2  no answer: refused"


def test_what_a_server_tells_can_not_move_a_cursor(tmp_path: Path) -> None:
    evil = TEXT.replace("zk2", "zk2\x1b[2Jowned\x07" + "x" * 5000)
    said = "\n".join(lines(tmp_path, answer(3, evil)))
    assert "zk2\\x1b[2Jowned\\x07xxx" in said
    assert max(map(len, said.splitlines())) < 1000
    assert "\x1b" not in said
