"""HTTP/1.1: h11 reads and writes it, Trio carries it, and what is answered is somebody else's.

One caller is one task. Each may keep its connection and send the next request before it has the answer; none
may take long, or send much.
"""

import math
import time
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote, urlsplit

import attrs
import h11
import trio
from trio.abc import Stream

from trio_fle.admin.callers import Callers, hang_up
from trio_fle.admin.response import Response
from trio_fle.peers.streams import Arrivals, send_some

MAX_HEAD_BYTES: Final = 16 * 1024
MAX_BODY_BYTES: Final = 16 * 1024
REQUEST_S: Final = 10.0
"""For a request to arrive, from its first byte (the first one: from the connection)."""
RESPONSE_S: Final = 10.0
"""For a response to be taken."""

_READ_BYTES: Final = 4096

Answer = Callable[[str, str, str], Response]
"""What to say to method, path and query; does not wait for anything."""


@attrs.define(eq=False)
class HttpServer:
    """Serves streams, one task each. ``reject`` is told the source of those who broke a rule, and which."""

    answer: Answer
    reject: Callable[[str, str], None]
    idle_timeout_s: float = 30.0
    callers: Callers = attrs.field(factory=Callers)

    async def serve(self, stream: Stream, source: str) -> None:
        """Answer one caller until it leaves, is idle for too long or breaks a rule; closes ``stream``."""
        async with stream:
            with self.callers.admit() as scope:
                exchange = _Exchange(stream, scope)
                try:
                    await self._answer_all(exchange, scope)
                except h11.RemoteProtocolError as error:
                    self.reject(source, _what_was_wrong(error))
                    await exchange.refuse(error)
                except trio.BrokenResourceError:
                    return
                await hang_up(stream)

    async def _answer_all(self, exchange: "_Exchange", scope: trio.CancelScope) -> None:
        wait_s = REQUEST_S
        while (request := await exchange.receive(wait_s)) is not None:
            self.callers.asked(scope)
            if not await exchange.send(self.answer(*request)):
                return
            wait_s = self.idle_timeout_s


Question = tuple[str, str, str]
"""Method, path and query."""


def _split(target: bytes) -> tuple[str, str]:
    """Return path and query of a request target: ``/path?query``, ``http://host/path?query`` or ``*``."""
    text = target.decode("latin-1")
    if text.startswith(("http://", "https://")):
        try:
            parts = urlsplit(text)
        except ValueError:
            raise h11.RemoteProtocolError("no such request target") from None
        return unquote(parts.path) or "/", parts.query
    path, _, query = text.partition("?")
    return unquote(path), query


def _what_was_wrong(error: h11.RemoteProtocolError) -> str:
    """Return h11's words without the bytes that some of them quote behind a colon."""
    return str(error).partition(":")[0]


def _headers(response: Response, date: str) -> list[tuple[str, str]]:
    return [
        ("Date", date),
        ("Server", "trio-fle"),
        ("Content-Type", response.content_type),
        ("Content-Length", str(len(response.body))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        *response.headers,
    ]


@attrs.define
class _Before:
    """An exchange that another one may repeat: who polls asks the same again, and mostly is told the same.

    Most of an answer's time is h11's, on both ways, and more so where it has not run for a while: members
    are asked in the middle of an election too.
    """

    said: bytes
    """The whole request, which came in one piece, and after which another one may come."""
    question: Question
    response: Response
    second: int
    """Of the answer's date."""
    date: str
    answer: bytes

    def again(self, response: Response, second: int) -> bytes:
        """Return what h11 makes of a response to the same request."""
        if (second, response) == (self.second, self.response):
            return self.answer
        if second != self.second:
            self.second, self.date = second, formatdate(second, usegmt=True)
        lines = [f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in _headers(response, self.date)]
        head = "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")
        self.response = response
        self.answer = head if self.question[0] == "HEAD" else head + response.body
        return self.answer


@attrs.define(eq=False)
class _Exchange:
    """One request and its response, and then the next, over one stream."""

    stream: Stream
    scope: trio.CancelScope
    """The caller's, in which all is done: its end moves where it is idle."""
    _arrivals: Arrivals = attrs.field(init=False)
    _http: h11.Connection = attrs.field(init=False)
    _method: bytes = attrs.field(default=b"", init=False)
    _said: bytes = attrs.field(default=b"", init=False)
    """What began the present request."""
    _question: Question = attrs.field(default=("", "", ""), init=False)
    _before: _Before | None = attrs.field(default=None, init=False)
    _repeats: bool = attrs.field(default=False, init=False)
    """Whether the present request is the one before once more; then h11 knows nothing of it."""

    def __attrs_post_init__(self) -> None:
        self._arrivals = Arrivals(self.stream)
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)

    async def receive(self, wait_s: float) -> Question | None:
        """Return the next request, its body read and dropped; None at the end of the stream.

        Where nothing comes within ``wait_s``, ``scope`` is cancelled. Raises ``h11.RemoteProtocolError`` for
        one that is too slow, too long or malformed.
        """
        self._said, self._repeats = b"", False
        if not self._http.trailing_data[0]:
            self.scope.deadline = trio.current_time() + wait_s
            self._said = await self._arrivals.receive_some(_READ_BYTES)
            self.scope.deadline = math.inf
            if self._before is not None and self._said == self._before.said:
                self._repeats = True
                return self._before.question
            self._http.receive_data(self._said)
        self._method = b""
        with trio.move_on_after(REQUEST_S):
            if (request := await self._receive()) is None:
                return None
            self._question = (request.method.decode(), *_split(request.target))
            return self._question
        raise h11.RemoteProtocolError(
            f"no whole request within {REQUEST_S:g} s", error_status_hint=HTTPStatus.REQUEST_TIMEOUT
        )

    async def _receive(self) -> h11.Request | None:
        request = None
        body_bytes = 0
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                await self._read()
            elif isinstance(event, h11.Request):
                request, self._method = event, event.method
                if request.method == b"CONNECT":  # "200" to it would end HTTP on this connection
                    raise h11.RemoteProtocolError(
                        "this is no proxy", error_status_hint=HTTPStatus.NOT_IMPLEMENTED
                    )
            elif isinstance(event, h11.Data):
                body_bytes += len(event.data)
            else:
                assert isinstance(event, h11.EndOfMessage | h11.ConnectionClosed)
                return request
            if body_bytes > MAX_BODY_BYTES:
                raise h11.RemoteProtocolError(
                    "body too long", error_status_hint=HTTPStatus.REQUEST_ENTITY_TOO_LARGE
                )
            if self._http.they_are_waiting_for_100_continue:
                return request  # nobody wants the body: the answer comes without it, and ends the connection

    async def _read(self) -> None:
        self._said = b""  # it comes in pieces
        self._http.receive_data(await self._arrivals.receive_some(_READ_BYTES))

    async def send(self, response: Response) -> bool:
        """Send the response; return whether another request may follow.

        Raises ``trio.BrokenResourceError`` where the caller is gone or does not take it.
        """
        second = int(time.time())
        if self._repeats and self._before is not None:
            await self._write(self._before.again(response, second))
            return True
        date, last = formatdate(second, usegmt=True), self._http.their_state is not h11.DONE
        data = self._render(response, date, last=last)
        await self._write(data)
        if not last:
            whole = self._said and not self._http.trailing_data[0]
            before = _Before(self._said, self._question, response, second, date, data)
            self._before = before if whole else None
            self._http.start_next_cycle()
        return not last

    async def refuse(self, error: h11.RemoteProtocolError) -> None:
        """Tell the caller what it did wrong, if it still listens."""
        response = Response(error.error_status_hint, f"{_what_was_wrong(error)}\n".encode())
        try:
            await self._write(self._render(response, formatdate(usegmt=True), last=True))
        except trio.BrokenResourceError:
            return

    def _render(self, response: Response, date: str, *, last: bool) -> bytes:
        headers = [*_headers(response, date), *([("Connection", "close")] if last else [])]
        events: list[h11.Event] = [
            h11.Response(
                status_code=response.status, headers=headers, reason=HTTPStatus(response.status).phrase
            )
        ]
        if self._method != b"HEAD":
            events.append(h11.Data(data=response.body))
        events.append(h11.EndOfMessage())
        return b"".join(self._http.send(event) or b"" for event in events)

    async def _write(self, data: bytes) -> None:
        if self._http.trailing_data[0]:  # a turn for others: one caller may ask a hundred times at once
            await trio.lowlevel.checkpoint()
        if rest := await send_some(self.stream, data):
            with trio.move_on_after(RESPONSE_S):
                await self.stream.send_all(rest)
                return
            raise trio.BrokenResourceError("the response was not taken in time")
