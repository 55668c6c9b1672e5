"""Both listeners, HTTP and the client port: bound when they can be, served until cancelled."""

from collections.abc import Awaitable, Callable
from typing import Final

import attrs
import structlog
import trio
from trio.abc import Listener, Stream

from trio_fle.admin.four_letter import FourLetterWords
from trio_fle.admin.http import HttpServer
from trio_fle.admin.response import Response
from trio_fle.admin.routes import respond
from trio_fle.config import MemberConfig
from trio_fle.ensemble import HostPort
from trio_fle.member.status import MemberStatus
from trio_fle.peers.listening import accept_all
from trio_fle.peers.quiet import OncePerInterval
from trio_fle.peers.transport import TcpTransport, Transport

_FIRST_RETRY_S: Final = 1.0
_MAX_RETRY_S: Final = 30.0
_QUIET_S: Final = 60.0

Serve = Callable[[Stream, str], Awaitable[None]]
"""Serves a caller, whose host it is told, to its end."""


async def serve_admin(
    config: MemberConfig,
    status: Callable[[], MemberStatus],
    clock: Callable[[], float],
    log: structlog.typing.FilteringBoundLogger,
    *,
    transport: Transport | None = None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer whoever asks the member, until cancelled.

    Nothing is asked of the member but ``status``, a frozen value, and ``clock``, the clock of its lease. A
    port that can't be bound is a warning and tried again, never an error: the member elects without it. So
    this has started at once.
    """
    options = config.admin
    # these addresses are listened on as written, whatever is said of those between servers
    net = transport or TcpTransport(attrs.evolve(config.transport, listen_on_all_ips=False))

    async with trio.open_nursery() as nursery:
        if options.enabled:
            door = _Door("http", options.address, net, log)
            answers = _Answers(status, clock)
            http = HttpServer(answers.answer, door.reject, options.idle_timeout_s)
            nursery.start_soon(door.keep_open, http.serve)
        if options.client_address is not None:
            door = _Door("four_letter", options.client_address, net, log)
            words = FourLetterWords(options, status, clock, door.reject)
            nursery.start_soon(door.keep_open, words.serve)
        task_status.started()
        await trio.sleep_forever()


@attrs.define(eq=False)
class _Answers:
    """Answers by what the member is, and in the same words while that holds: whoever polls asks the same."""

    status: Callable[[], MemberStatus]
    clock: Callable[[], float]
    _question: tuple[str, str, str] = attrs.field(default=("", "", ""), init=False)
    _status: MemberStatus | None = attrs.field(default=None, init=False)
    _response: Response = attrs.field(factory=lambda: Response(503), init=False)

    def answer(self, method: str, path: str, query: str) -> Response:
        """Answer one question."""
        status = self.status()  # before the clock: a lease may only look shorter than it is
        question = method, path, query
        # without a lease nothing that is told depends on the time
        if status.lease_end is None and question == self._question and status == self._status:
            return self._response
        self._response = respond(method, path, query, status, self.clock())
        self._question, self._status = question, status
        return self._response


@attrs.define(eq=False)
class _Door:
    """One address, bound with patience, and the callers that come through it."""

    what: str
    address: HostPort
    transport: Transport
    log: structlog.typing.FilteringBoundLogger
    _noise: OncePerInterval = attrs.field(
        factory=lambda: OncePerInterval(_QUIET_S, trio.current_time), init=False
    )

    def reject(self, source: str, reason: str) -> None:
        """Log a caller that broke a rule: once a minute for each source."""
        suppressed = self._noise.admit(source)
        if suppressed is not None:
            self.log.info(
                "admin.rejected", what=self.what, address=source, reason=reason, suppressed=suppressed
            )

    async def keep_open(self, serve: Serve) -> None:
        """Bind, however long it takes, and serve each caller in a task of its own."""
        wait_s = _FIRST_RETRY_S
        while True:
            try:
                listeners = await self.transport.listen([self.address])
            except OSError as error:
                self._unavailable(error)
                await trio.sleep(wait_s)
                wait_s = min(2 * wait_s, _MAX_RETRY_S)
            else:
                break
        self.log.info("admin.listening", what=self.what, address=str(self.address))
        async with trio.open_nursery() as nursery:
            for listener in listeners:
                nursery.start_soon(self._accept_all, listener, nursery, serve)

    async def _accept_all(self, listener: Listener[Stream], nursery: trio.Nursery, serve: Serve) -> None:
        async def serve_from(stream: Stream) -> None:
            await serve(stream, self.transport.remote(stream).host)

        async with listener:
            await accept_all(listener, nursery, serve_from, self._cant_accept)

    def _cant_accept(self, error: OSError) -> None:
        if self._noise.admit(error.errno) is not None:
            self._unavailable(error)

    def _unavailable(self, error: OSError) -> None:
        reason = error.strerror or str(error)
        self.log.warning("admin.unavailable", what=self.what, address=str(self.address), reason=reason)
