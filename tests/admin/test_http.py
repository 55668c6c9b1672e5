"""HTTP over memory streams and virtual time: kept rules are answered, broken ones cost one connection."""

import re
from collections.abc import Callable, Sequence

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.abc import Stream
from trio.testing import MockClock, lockstep_stream_pair, memory_stream_pair, wait_all_tasks_blocked

from trio_fle.admin.callers import Callers
from trio_fle.admin.http import HttpServer
from trio_fle.admin.response import JSON, TEXT, Response

HOST = b"Host: member\r\n"
GET = b"GET /%d HTTP/1.1\r\n" + HOST + b"\r\n"


def echo(method: str, path: str, query: str) -> Response:
    return Response(200, f"{method} {path} {query}\n".encode())


class Site:
    """A server, its callers, and who was turned away for what."""

    def __init__(
        self,
        nursery: trio.Nursery,
        answer: Callable[[str, str, str], Response] = echo,
        idle_timeout_s: float = 30.0,
        limit: int = 64,
    ) -> None:
        self.nursery = nursery
        self.rejected: list[tuple[str, str]] = []
        self.server = HttpServer(
            answer,
            lambda source, reason: self.rejected.append((source, reason)),
            idle_timeout_s,
            Callers(limit),
        )

    def call(self, pair: tuple[Stream, Stream] | None = None) -> Stream:
        near, far = pair or memory_stream_pair()
        self.nursery.start_soon(self.server.serve, far, "192.0.2.9")
        return near


async def read_all(stream: Stream) -> bytes:
    """Read until the server closes, then close too."""
    data = b""
    while chunk := await stream.receive_some():
        data += chunk
    await stream.aclose()
    return data


async def say(data: bytes) -> tuple[bytes, list[tuple[str, str]]]:
    """What a server answers to ``data`` until it closes, and whom it turned away."""
    async with trio.open_nursery() as nursery:
        site = Site(nursery)
        stream = site.call()
        await stream.send_all(data)
        return await read_all(stream), site.rejected
    raise AssertionError


def statuses(data: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d+) ", data)]


async def test_an_answer_says_how_long_it_is_and_is_not_to_be_kept(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        site = Site(
            nursery, lambda *_: Response(503, b'{"leads": false}\n', JSON, (("X-Leader-Epoch", "5"),))
        )
        stream = site.call()
        await stream.send_all(b"GET /leader HTTP/1.1\r\n" + HOST + b"\r\n")
        await wait_all_tasks_blocked()
        head, _, body = bytes(await stream.receive_some()).partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        assert lines[0] == "HTTP/1.1 503 Service Unavailable"
        assert re.fullmatch(r"Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", lines[1])
        assert lines[2:] == [
            "Server: trio-fle",
            "Content-Type: application/json",
            "Content-Length: 17",
            "Cache-Control: no-store",
            "X-Content-Type-Options: nosniff",
            "X-Leader-Epoch: 5",
        ]
        assert body == b'{"leads": false}\n'
        nursery.cancel_scope.cancel()


async def test_a_connection_is_kept_for_the_next_request(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        stream = Site(nursery).call()
        for number in range(3):
            await stream.send_all(GET % number)
            assert bytes(await stream.receive_some()).endswith(b"GET /%d \n" % number)
            await trio.sleep(29)
        nursery.cancel_scope.cancel()


async def test_requests_that_did_not_wait_are_answered_in_order(autojump_clock: MockClock) -> None:
    requests = b"".join(GET % number for number in range(100))
    data, rejected = await say(requests + b"GET /last HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\n")
    assert re.findall(rb"GET /(\w+) \n", data) == [b"%d" % number for number in range(100)] + [b"last"]
    assert statuses(data) == [200] * 101
    assert rejected == []


async def test_a_request_may_come_one_byte_at_a_time(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        stream = Site(nursery).call()
        for byte in b"POST /x?y=1 HTTP/1.1\r\nContent-Length: 3\r\n" + HOST + b"\r\nabc" + GET % 2:
            await stream.send_all(bytes([byte]))
            await wait_all_tasks_blocked()
        data = bytes(await stream.receive_some())
        assert statuses(data) == [200, 200]
        assert re.findall(rb"\n(\w+ /\S* \S*)\n", data) == [b"POST /x y=1", b"GET /2 "]
        nursery.cancel_scope.cancel()


async def test_an_answer_to_head_has_the_length_of_a_body_and_none(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        stream = Site(nursery).call()
        await stream.send_all(b"HEAD /x HTTP/1.1\r\n" + HOST + b"\r\n")
        data = bytes(await stream.receive_some())
        assert b"Content-Length: 9\r\n" in data
        assert data.endswith(b"\r\n\r\n")
        await stream.send_all(GET % 1)
        assert bytes(await stream.receive_some()).endswith(b"GET /1 \n")
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("target", "answer"),
    [
        (b"/a/b?c=d?e", b"GET /a/b c=d?e\n"),
        (b"/%6cive%7A?%20", b"GET /livez %20\n"),
        (b"/%ff", "GET /\ufffd \n".encode()),
        (b"http://member:8080/livez?x", b"GET /livez x\n"),
        (b"http://member", b"GET / \n"),
        (b"*", b"GET * \n"),
    ],
)
async def test_a_target_is_a_path_and_a_query(
    target: bytes, answer: bytes, autojump_clock: MockClock
) -> None:
    data, _ = await say(b"GET " + target + b" HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\n")
    assert data.endswith(b"\r\n\r\n" + answer)


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET /1 HTTP/1.0\r\n\r\n",
        b"GET /1 HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\n",
        b"GET /1 HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n" + HOST + b"\r\n",
        b"POST /1 HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 9000000\r\n" + HOST + b"\r\n",
    ],
    ids=["HTTP/1.0", "close", "another protocol", "a body that nobody wants"],
)
async def test_some_requests_are_answered_and_are_the_last(
    request_head: bytes, autojump_clock: MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        site = Site(nursery)
        stream = site.call()
        await stream.send_all(request_head)
        data = await read_all(stream)
        assert statuses(data) == [200]
        assert b"Connection: close\r\n" in data
        assert site.rejected == []
        assert trio.current_time() == 0


@pytest.mark.parametrize(
    "framing",
    [
        (b"Content-Length: 16384\r\n", b"x" * 16384),
        (b"Transfer-Encoding: chunked\r\n", b"1000\r\n" + b"x" * 4096 + b"\r\n0\r\n\r\n"),
    ],
    ids=["whole", "in chunks"],
)
async def test_a_body_is_read_and_dropped(framing: tuple[bytes, bytes], autojump_clock: MockClock) -> None:
    head, body = framing
    async with trio.open_nursery() as nursery:
        stream = Site(nursery).call()
        await stream.send_all(b"POST /x HTTP/1.1\r\n" + head + HOST + b"\r\n" + body + GET % 7)
        await wait_all_tasks_blocked()
        data = bytes(await stream.receive_some())
        assert re.findall(rb"\n(\w+ /\S* \S*)\n", data) == [b"POST /x ", b"GET /7 "]
        nursery.cancel_scope.cancel()


def padded(length: int) -> bytes:
    head = b"GET /x HTTP/1.1\r\nConnection: close\r\n" + HOST + b"A: "
    return head + b"a" * (length - len(head) - 4) + b"\r\n\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status", "reason"),
    [
        (padded(16 * 1024), 200, None),
        (padded(32 * 1024), 431, "Receive buffer too long"),
        (b"x" * 100_000, 431, "Receive buffer too long"),
        (
            b"POST /x HTTP/1.1\r\nContent-Length: 16385\r\n" + HOST + b"\r\n" + b"x" * 16385,
            413,
            "body too long",
        ),
        (
            b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + HOST + b"\r\n" + b"1\r\nx\r\n" * 16385,
            413,
            "body too long",
        ),
        (b"POST /x HTTP/1.1\r\nTransfer-Encoding: gzip\r\n" + HOST + b"\r\n", 501, "Only Transfer-Encoding"),
        (b"GET /x HTTP/1.1\r\n\r\n", 400, "Missing mandatory Host"),
        (b"GET /x HTTP/1.1\r\n" + HOST * 2 + b"\r\n", 400, "Found multiple Host"),
        (b"GET http://[/x HTTP/1.1\r\n" + HOST + b"\r\n", 400, "no such request target"),
        (
            b"GET /x HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n" + HOST + b"\r\n",
            400,
            "bad Content-Length",
        ),
        (b"GET /x HTTP/1.1\r\nContent-Length: -1\r\n" + HOST + b"\r\n", 400, "bad Content-Length"),
        (
            b"GET /x HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n" + HOST + b"\r\n",
            400,
            "conflicting",
        ),
        (b"GET /x\r\n\r\n", 400, "illegal request line"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "illegal request line"),
        (b"secret /x HTTP/1.1 secret\r\n\r\n", 400, "illegal request line"),
        (b"GET /x HTTP/1.1\r\n secret: secret\r\n\r\n", 400, "continuation line"),
        (
            b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + HOST + b"\r\nsecret\r\n",
            400,
            "illegal chunk",
        ),
        (b"CONNECT secret:1 HTTP/1.1\r\n" + HOST + b"\r\n", 501, "this is no proxy"),
        (b"CONNECT", 408, "no whole request within 10 s"),
    ],
)
async def test_a_broken_rule_costs_the_connection(
    request_bytes: bytes, status: int, reason: str | None, autojump_clock: MockClock
) -> None:
    data, rejected = await say(request_bytes)
    assert statuses(data) == [status]
    assert b"Connection: close\r\n" in data
    assert [source for source, _ in rejected] == (["192.0.2.9"] if reason else [])
    for _, why in rejected:
        assert why.startswith(reason or "")
        assert "secret" not in why, "what callers send is not for the log"
    assert b"secret" not in data


async def trickle(stream: Stream, data: bytes) -> None:
    """Send a byte a second for as long as the connection lasts."""
    try:
        for byte in data:
            await stream.send_all(bytes([byte]))
            await trio.sleep(1)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return


async def test_a_head_that_trickles_in_is_given_ten_seconds(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        site = Site(nursery)
        stream = site.call()
        await trio.sleep(9)
        nursery.start_soon(trickle, stream, b"GET /x HTTP/1.1\r\n" + b"A: b\r\n" * 1000)
        assert statuses(await read_all(stream)) == [408]
        assert trio.current_time() == 19
        assert site.rejected == [("192.0.2.9", "no whole request within 10 s")]


async def test_a_body_that_trickles_in_has_no_more_time_than_its_head(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        stream = Site(nursery).call()
        await stream.send_all(b"POST /x HTTP/1.1\r\nContent-Length: 100\r\n" + HOST + b"\r\n")
        await trio.sleep(9)
        await stream.send_all(b"x")
        assert statuses(await read_all(stream)) == [408]
        assert trio.current_time() == 10


async def test_a_caller_that_says_nothing_is_closed_after_ten_seconds_without_a_word(
    autojump_clock: MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        site = Site(nursery)
        assert await read_all(site.call()) == b""
        assert trio.current_time() == 10
        assert site.rejected == []


async def test_a_connection_that_is_kept_is_closed_after_the_time_of_the_configuration(
    autojump_clock: MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        site = Site(nursery, idle_timeout_s=12)
        stream = site.call()
        await stream.send_all(GET % 1)
        assert statuses(bytes(await stream.receive_some())) == [200]
        assert await read_all(stream) == b""
        assert trio.current_time() == 12
        assert site.rejected == []


async def test_a_caller_that_takes_no_answer_is_given_ten_seconds(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        stream = Site(nursery).call(lockstep_stream_pair())
        await stream.send_all(GET % 1)
        nursery.cancel_scope.deadline = trio.current_time() + 11
    assert not nursery.cancel_scope.cancelled_caught
    assert trio.current_time() == 10


async def test_a_caller_that_never_closes_is_left_after_a_second(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        stream = Site(nursery).call()
        await stream.send_all(b"GET / HTTP/1.0\r\n\r\n")
    assert trio.current_time() == 1
    assert statuses(await read_all(stream)) == [200]


async def test_a_caller_that_goes_on_talking_is_left_at_once(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        stream = Site(nursery).call()
        await stream.send_all(b"GET / HTTP/1.0\r\n\r\n" + b"x" * 100_000)
    assert trio.current_time() == 0
    assert statuses(await read_all(stream)) == [200]


@pytest.mark.parametrize("data", [b"", b"GET /", b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"])
async def test_a_caller_may_be_gone_at_any_time(data: bytes, autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        stream = Site(nursery).call(lockstep_stream_pair())
        if data:
            await stream.send_all(data)
        await stream.aclose()
    assert trio.current_time() == 0


async def test_of_too_many_callers_the_one_that_asked_nothing_for_longest_is_closed(
    autojump_clock: MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        site = Site(nursery)
        callers = []
        for _ in range(64):
            callers.append(site.call())
            await wait_all_tasks_blocked()
        for number in (0, 2):
            await callers[number].send_all(GET % number)
            assert await callers[number].receive_some()
        for closed in (1, 3):
            site.call()
            assert await callers[closed].receive_some() == b""
        assert trio.current_time() == 0
        await callers[0].send_all(GET % 0)
        assert await callers[0].receive_some()
        nursery.cancel_scope.cancel()


async def test_a_thousand_callers_at_once_are_no_more_than_sixty_four(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        site = Site(nursery)
        closed = 0

        async def wait_closed(stream: Stream) -> None:
            nonlocal closed
            assert await stream.receive_some() == b""
            closed += 1

        for _ in range(1000):
            nursery.start_soon(wait_closed, site.call())
        await wait_all_tasks_blocked()
        assert (len(site.server.callers), closed) == (64, 936)
        nursery.cancel_scope.cancel()


requests = st.sampled_from(
    [
        GET % 1,
        b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"OPTIONS * HTTP/1.0\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nT: t\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nxx",
        b"GET http://[::1 HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ]
)


@st.composite
def torn_requests(draw: st.DrawFn) -> bytes:
    """Requests one after another, with a few bytes changed, put in or left out."""
    data = bytearray(b"".join(draw(st.lists(requests, min_size=1, max_size=4))))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 3))] = draw(
            st.binary(max_size=3) | st.sampled_from([b"\r\n", b":"])
        )
    return bytes(data)


def cut(data: bytes, sizes: Sequence[int]) -> list[bytes]:
    chunks = []
    for size in sizes:
        chunks.append(data[:size])
        data = data[size:]
    return [chunk for chunk in [*chunks, data] if chunk]


def whole_responses(data: bytes) -> bool:
    """Whether ``data`` is nothing but responses, one after another."""
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        length = re.search(rb"\r\nContent-Length: (\d+)", head)
        if not head.startswith(b"HTTP/1.1 ") or length is None:
            return False
        if not data.startswith(b"HTTP/1.1 "):  # as it does behind an answer to HEAD
            if len(data) < int(length[1]) and data:
                return False
            data = data[int(length[1]) :]
    return True


@given(st.binary(max_size=300) | torn_requests(), st.lists(st.integers(1, 40), max_size=8), st.booleans())
def test_any_bytes_are_answered_or_cost_their_own_connection(
    data: bytes, sizes: list[int], closes: bool
) -> None:
    received = b""

    async def main() -> None:
        nonlocal received
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                site = Site(nursery)
                stream = site.call()
                other = site.call()
                try:
                    for chunk in cut(data, sizes):
                        await stream.send_all(chunk)
                        await trio.testing.wait_all_tasks_blocked()
                    if closes:
                        await stream.send_eof()  # type: ignore[attr-defined]
                except trio.BrokenResourceError:
                    pass  # it has hung up already
                await other.send_all(GET % 5)
                assert bytes(await other.receive_some()).endswith(b"GET /5 \n")
                received = await read_all(stream)
                nursery.cancel_scope.cancel()

    trio.run(main, clock=MockClock(autojump_threshold=0))
    assert whole_responses(received)


async def exchange(stream: Stream, said: bytes) -> bytes:
    await stream.send_all(said)
    await wait_all_tasks_blocked()
    return bytes(await stream.receive_some())


def undated(answer: bytes) -> bytes:
    return re.sub(rb"Date: [^\r]*\r\n", b"", answer)


@pytest.mark.parametrize("verb", [b"GET", b"HEAD", b"POST"])
async def test_who_asks_the_same_again_is_told_what_holds_now(verb: bytes, autojump_clock: MockClock) -> None:
    """Each answer is that of a new connection, whatever was asked and answered before on this one."""
    told = [b"yes\n", b"yes\n", b"no, no\n", b"no, no\n", b"yes\n", b"yes\n"]
    asked: list[str] = []

    def answer(method: str, path: str, query: str) -> Response:
        asked.append(f"{method} {path} {query}")
        leads = len(asked) % 6 < 3
        headers = (("X-Leader-Epoch", "7"),) if leads else ()
        return Response(200 if leads else 503, told[len(asked) % 6], JSON if leads else TEXT, headers)

    body = b"abc" if verb == b"POST" else b""
    head = b"%b /leader?x=1 HTTP/1.1\r\n" % verb + HOST
    said = head + (b"Content-Length: 3\r\n" if body else b"") + b"\r\n" + body
    async with trio.open_nursery() as nursery:
        site = Site(nursery, answer)
        kept = site.call()
        answers = [undated(await exchange(kept, said)) for _ in range(12)]
        fresh = []
        for _ in range(12):
            fresh.append(undated(await exchange(stream := site.call(), said)))
            await stream.aclose()
        await kept.aclose()
    assert answers == fresh
    assert len(set(answers)) == 4
    assert asked == [f"{verb.decode()} /leader x=1"] * 24


async def test_the_same_request_may_come_in_pieces_or_with_others_at_any_time(
    autojump_clock: MockClock,
) -> None:
    said = GET % 1
    async with trio.open_nursery() as nursery:
        stream = Site(nursery).call()
        for pieces in (
            [said],
            [said],
            [said[:9], said[9:]],
            [said],
            [said + said],
            [said],
            [said + said[:20], said[20:]],
            [GET % 2],
            [said],
        ):
            for piece in pieces:
                await stream.send_all(piece)
                await wait_all_tasks_blocked()
            await wait_all_tasks_blocked()
            answered = bytes(await stream.receive_some(65536))
            expected = [b"GET /%d \n" % (2 if pieces == [GET % 2] else 1)] * b"".join(pieces).count(b"GET")
            assert re.findall(rb"GET /\d \n", answered) == expected, pieces
        await stream.aclose()


async def test_a_repeated_answer_has_the_date_of_its_second(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with trio.open_nursery() as nursery:
        stream = Site(nursery).call()
        dates = []
        for now in (1000.2, 1000.9, 1001.1, 1001.2):
            monkeypatch.setattr("time.time", lambda now=now: now)
            answer = await exchange(stream, GET % 1)
            dates.append(re.findall(rb"Date: .*(..) GMT", answer))
        await stream.aclose()
    assert dates == [[b"40"], [b"40"], [b"41"], [b"41"]]


async def test_a_repeated_answer_may_be_taken_slowly_too(autojump_clock: MockClock) -> None:
    """The idle time ends with the request: what is left of it is no time-out of the answer."""
    much = b"x" * 1_000_000
    async with trio.open_nursery() as nursery:
        site = Site(nursery, lambda *_: Response(200, much), idle_timeout_s=1.0)
        stream = site.call(lockstep_stream_pair())
        for _ in range(3):
            await trio.sleep(0.9)
            await stream.send_all(GET % 1)
            await trio.sleep(2)
            data = b""
            while not data.endswith(much):
                data += await stream.receive_some(65536)
                await trio.sleep(0.01)
        await stream.aclose()
