"""Four-letter words: ZooKeeper's texts, to a caller that says one, and nothing to any other."""

import math
import re

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.abc import Stream
from trio.testing import MockClock, lockstep_stream_pair, memory_stream_pair, wait_all_tasks_blocked

from trio_fle.admin.four_letter import JAVA_WORDS, FourLetterWords, Traffic, answer_word
from trio_fle.config import AdminOptions
from trio_fle.member.status import MemberStatus, Phase
from trio_fle.vote import PeerState

NOW = 1000.0
ALL = AdminOptions(whitelist=frozenset({"*"}))
NOT_SERVING = "This ZooKeeper instance is not currently serving requests\n"

LOOKING = MemberStatus(
    myid=1,
    state=PeerState.LOOKING,
    phase=Phase.ELECTION,
    leader=None,
    epoch=4,
    accepted_epoch=4,
    zxid=0x1_0000_0006,
    round=9,
    vote=None,
    config_version=0,
)
FOLLOWING = attrs.evolve(LOOKING, state=PeerState.FOLLOWING, phase=Phase.BROADCAST, leader=3, synced=True)
OBSERVING = attrs.evolve(FOLLOWING, state=PeerState.OBSERVING)
JOINING = attrs.evolve(FOLLOWING, phase=Phase.SYNCHRONIZATION, synced=False)
LEADING = attrs.evolve(FOLLOWING, state=PeerState.LEADING, leader=1, lease_end=NOW + 1)
ALONE = attrs.evolve(LEADING, lease_end=math.inf)
ELECTED = attrs.evolve(LEADING, phase=Phase.DISCOVERY, lease_end=None)
AT_ITS_END = attrs.evolve(LEADING, lease_end=NOW)


def ask(word: str, status: MemberStatus, options: AdminOptions = ALL) -> str | None:
    return answer_word(word, options, status, NOW, Traffic(received=7, connections=2))


@pytest.mark.parametrize(
    ("status", "mode"),
    [(LEADING, "leader"), (ALONE, "leader"), (FOLLOWING, "follower"), (OBSERVING, "observer")],
)
def test_srvr_is_written_as_zookeeper_writes_it(status: MemberStatus, mode: str) -> None:
    first, *lines = (ask("srvr", status) or "").splitlines()
    assert re.fullmatch(r"Zookeeper version: 3\.8\.0-trio-fle-[\w.-]+, built on 1970-01-01 00:00 UTC", first)
    assert lines[:8] == [
        "Latency min/avg/max: 0/0.0/0",
        "Received: 7",
        "Sent: 0",
        "Connections: 2",
        "Outstanding: 0",
        "Zxid: 0x100000006",
        f"Mode: {mode}",
        "Node count: 0",
    ]
    assert lines[8:] == (["Proposal sizes last/min/max: -1/-1/-1"] if mode == "leader" else [])


@pytest.mark.parametrize(
    "pattern",
    [
        r"Zookeeper version: (\d+)\.(\d+)\.(\d+)-.*",
        r"Zookeeper version: ([^.]+)\.([^.]+)\.([^-]+)",
        r"Zookeeper version: ([A-Za-z0-9\.\-]+), built on (\S+ \S+ [A-Za-z0-9:\+\-]+)$",
        r".*: (\d+\.\d+\.\d+)-.*",
    ],
)
def test_programs_that_read_the_version_can(pattern: str) -> None:
    """Patterns as clients and exporters have them."""
    assert re.search(pattern, (ask("srvr", LEADING) or "").splitlines()[0])


def test_a_negative_zxid_is_written_as_java_writes_it() -> None:
    assert "Zxid: 0xffffffffffffffff\n" in (ask("srvr", attrs.evolve(FOLLOWING, zxid=-1)) or "")


@pytest.mark.parametrize("status", [LOOKING, JOINING, ELECTED, AT_ITS_END])
def test_a_member_that_has_no_role_does_not_serve(status: MemberStatus) -> None:
    assert ask("srvr", status) == NOT_SERVING
    assert ask("isro", status) == "null"
    assert ask("ruok", status) == "imok"


@pytest.mark.parametrize("status", [LEADING, ALONE, FOLLOWING, OBSERVING])
def test_a_member_that_has_one_does(status: MemberStatus) -> None:
    assert ask("isro", status) == "rw"
    assert ask("ruok", status) == "imok"


@pytest.mark.parametrize("status", [LOOKING, LEADING])
@pytest.mark.parametrize("word", sorted(JAVA_WORDS - {"srvr"}))
def test_a_word_that_is_not_allowed_is_told_so(word: str, status: MemberStatus) -> None:
    answer = ask(word, status, AdminOptions())
    assert answer == f"{word} is not executed because it is not in the whitelist.\n"


def test_srvr_is_allowed_unless_told_otherwise_and_others_by_name() -> None:
    assert ask("srvr", LOOKING, AdminOptions()) == NOT_SERVING
    assert ask("isro", LEADING, AdminOptions(whitelist=frozenset({"isro"}))) == "rw"


@pytest.mark.parametrize(
    "word", ["SRVR", "srv\n", "xxxx", "GET ", "\0\0\0-", *sorted(JAVA_WORDS - {"srvr", "ruok", "isro"})]
)
def test_what_this_member_can_not_answer_has_no_answer(word: str) -> None:
    assert ask(word, LEADING) is None


class Port:
    """A client port, its callers, and who was turned away for what."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.now = NOW
        self.status = LEADING
        self.rejected: list[tuple[str, str]] = []
        self.words = FourLetterWords(
            ALL,
            lambda: self.status,
            lambda: self.now,
            lambda source, reason: self.rejected.append((source, reason)),
        )

    def call(self, pair: tuple[Stream, Stream] | None = None) -> Stream:
        near, far = pair or memory_stream_pair()
        self.nursery.start_soon(self.words.serve, far, "192.0.2.9")
        return near

    async def ask(self, data: bytes) -> bytes:
        stream = self.call()
        await stream.send_all(data)
        return await read_all(stream)


async def read_all(stream: Stream) -> bytes:
    """Read until the server closes, then close too."""
    data = b""
    while chunk := await stream.receive_some():
        data += chunk
    await stream.aclose()
    return data


@pytest.mark.parametrize("data", [b"ruok", b"ruok\n", b"ruok\r\n", b"ruok" + b"x" * 10_000])
async def test_four_bytes_are_a_question_whatever_follows(data: bytes, autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        port = Port(nursery)
        assert await port.ask(data) == b"imok"
        assert port.rejected == []
    assert trio.current_time() == 0


async def test_a_word_may_come_one_byte_at_a_time(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        port = Port(nursery)
        stream = port.call()
        for byte in b"ruok":
            await trio.sleep(2)
            await stream.send_all(bytes([byte]))
        assert await read_all(stream) == b"imok"


async def test_each_question_is_answered_by_the_clock_of_its_moment(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        port = Port(nursery)
        assert b"Mode: leader\n" in await port.ask(b"srvr")
        port.now = NOW + 1
        assert await port.ask(b"srvr") == NOT_SERVING.encode()
        port.status = FOLLOWING
        assert b"Mode: follower\n" in await port.ask(b"srvr")


async def test_srvr_counts_words_and_callers(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        port = Port(nursery)
        port.call()
        await port.ask(b"ruok")
        answer = await port.ask(b"srvr")
        assert b"Received: 2\n" in answer
        assert b"Connections: 2\n" in answer
        nursery.cancel_scope.cancel()


async def test_a_caller_that_says_nothing_is_closed_after_ten_seconds(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        port = Port(nursery)
        assert await port.call().receive_some() == b""
        assert trio.current_time() == 10
        assert port.rejected == []


async def test_half_a_word_is_given_ten_seconds(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        port = Port(nursery)
        assert await port.ask(b"sr") == b""
        assert trio.current_time() == 10
        assert len(port.rejected) == 1


async def test_anything_else_is_closed_at_once(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        port = Port(nursery)
        assert await port.ask(b"\0\0\0\x2d\0\0\0\0") == b""  # what a ZooKeeper client says first
        assert port.rejected == [("192.0.2.9", "no four-letter word that this member answers")]
    assert trio.current_time() == 0


async def test_a_caller_that_takes_no_answer_is_given_ten_seconds(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        stream = Port(nursery).call(lockstep_stream_pair())
        await stream.send_all(b"ruok")
    assert trio.current_time() == 10


async def test_a_caller_is_given_a_second_to_read_its_answer_and_close(autojump_clock: MockClock) -> None:
    """A close on top of bytes that nobody read, a newline say, could take the answer with it."""
    async with trio.open_nursery() as nursery:
        stream = Port(nursery).call()
        await stream.send_all(b"ruok\n")
    assert trio.current_time() == 1
    assert await read_all(stream) == b"imok"


@pytest.mark.parametrize("data", [b"", b"ru", b"ruok"])
async def test_a_caller_may_be_gone_at_any_time(data: bytes, autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        stream = Port(nursery).call(lockstep_stream_pair())
        if data:
            await stream.send_all(data)
        await stream.aclose()
    assert trio.current_time() == 0


async def test_of_too_many_silent_callers_the_one_that_waited_longest_is_closed(
    autojump_clock: MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        port = Port(nursery)
        callers = []
        for _ in range(64):
            callers.append(port.call())
            await wait_all_tasks_blocked()
        assert await port.ask(b"ruok") == b"imok"
        assert await callers[0].receive_some() == b""
        assert trio.current_time() == 0
        await callers[1].send_all(b"ruok")
        assert await callers[1].receive_some() == b"imok"
        nursery.cancel_scope.cancel()


@given(st.binary(max_size=12) | st.sampled_from(sorted(JAVA_WORDS)).map(str.encode))
def test_any_bytes_are_answered_or_cost_their_own_connection(data: bytes) -> None:
    async def main() -> bytes:
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                port = Port(nursery)
                answer = await port.ask(data) if data else await read_all(port.call())
                assert await port.ask(b"ruok") == b"imok"
                return answer
        raise AssertionError

    answer = trio.run(main, clock=MockClock(autojump_threshold=0))
    assert bool(answer) is (data[:4] in (b"srvr", b"ruok", b"isro"))
