"""HTTP/1.1: h11 reads and writes it, Trio carries it, and what is answered is somebody else's.

One caller is one task. Each may keep its connection and send the next request before it has the answer; none
may take long, or send much.
"""

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
                exchange = _Exchange(stream)
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
            response = self.answer(request.method.decode(), *_split(request.target))
            if not await exchange.send(response):
                return
            wait_s = self.idle_timeout_s


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


@attrs.define(eq=False)
class _Exchange:
    """One request and its response, and then the next, over one stream."""

    stream: Stream
    _http: h11.Connection = attrs.field(init=False)
    _method: bytes = attrs.field(default=b"", init=False)

    def __attrs_post_init__(self) -> None:
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)

    async def receive(self, wait_s: float) -> h11.Request | None:
        """Return the next request, its body read and dropped; None where none comes within ``wait_s``.

        Raises ``h11.RemoteProtocolError`` for one that is too slow, too long or malformed.
        """
        self._method = b""
        if not self._http.trailing_data[0]:
            with trio.move_on_after(wait_s) as scope:
                await self._read()
            if scope.cancelled_caught:
                return None
        with trio.move_on_after(REQUEST_S):
            return await self._receive()
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
        self._http.receive_data(bytes(await self.stream.receive_some(_READ_BYTES)))

    async def send(self, response: Response) -> bool:
        """Send the response; return whether another request may follow.

        Raises ``trio.BrokenResourceError`` where the caller is gone or does not take it.
        """
        last = self._http.their_state is not h11.DONE
        await self._send(response, last=last)
        if not last:
            self._http.start_next_cycle()
        return not last

    async def refuse(self, error: h11.RemoteProtocolError) -> None:
        """Tell the caller what it did wrong, if it still listens."""
        response = Response(error.error_status_hint, f"{_what_was_wrong(error)}\n".encode())
        try:
            await self._send(response, last=True)
        except trio.BrokenResourceError:
            return

    async def _send(self, response: Response, *, last: bool) -> None:
        headers = [
            ("Date", formatdate(usegmt=True)),
            ("Server", "trio-fle"),
            ("Content-Type", response.content_type),
            ("Content-Length", str(len(response.body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            *response.headers,
            *([("Connection", "close")] if last else []),
        ]
        events: list[h11.Event] = [
            h11.Response(
                status_code=response.status, headers=headers, reason=HTTPStatus(response.status).phrase
            )
        ]
        if self._method != b"HEAD":
            events.append(h11.Data(data=response.body))
        events.append(h11.EndOfMessage())
        data = b"".join(self._http.send(event) or b"" for event in events)
        with trio.move_on_after(RESPONSE_S):
            await self.stream.send_all(data)  # a turn for others: one caller may ask a hundred times at once
            return
        raise trio.BrokenResourceError("the response was not taken in time")
