"""Reaching other servers: names looked up afresh at every dial, sockets tuned to notice a dead peer."""

import errno
import os
import socket
from collections.abc import Sequence
from typing import Any, Final, Protocol

import attrs
import trio
from trio.abc import Listener, Stream

from trio_fle.config import TransportOptions
from trio_fle.ensemble import HostPort, is_loopback, is_numeric, is_wildcard
from trio_fle.errors import ConnectionLostError, RefusedError
from trio_fle.peers.names import look_up

HEAD_START_S: Final = 0.25
"""How long each address of a name has before the next one is tried beside it (RFC 8305)."""

_LOOKUPS_OF_A_NAME: Final = 4
_OWN_NAME_S: Final = 1.0
"""How long a dial waits for the own name, which it only tells."""

_BACKLOG: Final = 0xFFFF
"""Callers that may wait to be accepted; the kernel has a limit of its own."""

_MAX_KEEP_ALIVE_S: Final = 32_767
_MAX_INT: Final = 2**31 - 1


class Transport(Protocol):
    """How streams come into being: TCP in a member, memory in tests and simulations."""

    async def dial(self, addresses: Sequence[HostPort]) -> Stream:
        """Connect to the first of ``addresses`` that answers.

        Raises ``RefusedError`` where each of them refused, ``ConnectionLostError`` where none answers.
        """

    async def listen(self, addresses: Sequence[HostPort]) -> Sequence[Listener[Stream]]:
        """Listen on all of ``addresses``; ``OSError`` where one can't be had."""

    async def numeric(self, address: HostPort) -> HostPort:
        """Return ``address`` with its host resolved, or as it is where that is impossible now."""

    async def hosts(self, addresses: Sequence[HostPort]) -> frozenset[str]:
        """Return all hosts (numeric) that ``addresses`` stand for now; none where that can't be found out."""

    def remote(self, stream: Stream) -> HostPort:
        """Say where the other end of ``stream`` is."""


def _said(error: OSError) -> str:
    """Return the plain words for an error, without the address that trio adds to them."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)


def socket_to(ip: str, port: int) -> tuple[socket.socket, tuple[Any, ...]]:
    """Return a new socket, and how a numeric address is written for it: a zone has a number there.

    Raises ``socket.gaierror``, as for a name that does not resolve, where there is no such interface.
    """
    try:
        found = socket.getaddrinfo(ip, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except UnicodeError:  # Python takes a zone with two dots in a row for part of a name
        raise socket.gaierror(socket.EAI_NONAME, "no such interface") from None
    return socket.socket(found[0][0]), found[0][4]


async def _connect_to(ip: str, port: int) -> trio.SocketStream:
    """Connect to a numeric address in two steps: trio's way takes names, and many of them, into account."""
    await trio.lowlevel.checkpoint_if_cancelled()
    sock, address = socket_to(ip, port)
    try:
        sock.setblocking(False)
        failed = sock.connect_ex(address)
        if failed == errno.EINPROGRESS:
            await trio.lowlevel.wait_writable(sock)
            failed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failed:
            raise OSError(failed, os.strerror(failed))
        if sock.getsockname() == sock.getpeername():
            # a dial to a free port of this host may, by chance, be its own answer
            raise ConnectionRefusedError(errno.ECONNREFUSED, "nobody listens")
        return trio.SocketStream(trio.socket.from_stdlib_socket(sock))
    except BaseException:
        sock.close()
        raise


def _listener(ip: str, port: int) -> trio.SocketListener:
    """Listen at a numeric address: without the turns that trio takes for names, while followers dial."""
    sock, address = socket_to(ip, port)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
        return trio.SocketListener(trio.socket.from_stdlib_socket(sock))
    except BaseException:
        sock.close()
        raise


def _listen_on(ips: Sequence[str], port: int) -> list[trio.SocketListener]:
    """Listen on every address of a name that is this host's; ``OSError`` where none is."""
    listeners: list[trio.SocketListener] = []
    foreign: list[OSError] = []
    try:
        for ip in ips:
            try:
                listeners.append(_listener(ip, port))
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL:
                    raise
                foreign.append(error)
        if not listeners and foreign:
            raise foreign[0]
    except BaseException:
        for listener in listeners:
            listener.socket.close()
        raise
    return listeners


@attrs.frozen
class TcpTransport:
    """TCP, with limiters of its own for look-ups, one for each name.

    A resolver that hangs must hold up neither fsyncs nor names that it is not asked for (those of a hosts
    file): a look-up that was given up keeps its thread, and its place here, until it ends.
    """

    options: TransportOptions
    _lookups: dict[str, trio.CapacityLimiter] = attrs.field(factory=dict)

    async def dial(self, addresses: Sequence[HostPort]) -> Stream:
        """Try all addresses at once and keep the first connection.

        An ICMP or echo probe beforehand, as ZooKeeper has it, would only refuse peers that can be reached.
        """
        failures: list[tuple[HostPort, OSError]] = []
        stream = await self._first(addresses, failures)
        if stream is None:
            refused = failures and all(isinstance(error, ConnectionRefusedError) for _, error in failures)
            said = "; ".join(f"{address}: {_said(error)}" for address, error in failures)
            raise (RefusedError if refused else ConnectionLostError)(said or "no address is known")
        self._tune(stream.socket)
        return stream

    async def _first(
        self, addresses: Sequence[HostPort], failures: list[tuple[HostPort, OSError]]
    ) -> trio.SocketStream | None:
        """Return the first connection of all; None where each of them is in ``failures``."""
        winners: list[trio.SocketStream] = []

        async def attempt(address: HostPort) -> None:
            try:
                winners.append(await self._connect(address))
            except OSError as error:
                failures.append((address, error))

        async def race(address: HostPort, scope: trio.CancelScope) -> None:
            await attempt(address)
            if winners:
                scope.cancel()

        if len(addresses) == 1:  # as nearly always
            await attempt(addresses[0])
            return winners[0] if winners else None
        try:
            async with trio.open_nursery() as nursery:
                for address in addresses:
                    nursery.start_soon(race, address, nursery.cancel_scope)
            return winners.pop(0) if winners else None
        finally:
            for late in winners:
                late.socket.close()

    async def _connect(self, address: HostPort) -> trio.SocketStream:
        """Try the addresses of a name one after the other, each with a head start before the next."""
        errors: list[OSError] = []
        winners: list[trio.SocketStream] = []

        async def attempt(ip: str, failed: trio.Event, scope: trio.CancelScope) -> None:
            try:
                winners.append(await _connect_to(ip, address.port))
                scope.cancel()
            except OSError as failure:
                errors.append(failure)
                failed.set()

        ips = await self._resolve(address.host)
        if len(ips) == 1:
            return await _connect_to(ips[0], address.port)
        try:
            async with trio.open_nursery() as nursery:
                for ip in ips:
                    failed = trio.Event()
                    nursery.start_soon(attempt, ip, failed, nursery.cancel_scope)
                    with trio.move_on_after(HEAD_START_S):
                        await failed.wait()
            if winners:
                return winners.pop(0)
        finally:
            for late in winners:
                late.socket.close()
        # refused only where nothing else went wrong: it is a proof that nobody is there
        errors.sort(key=lambda error: isinstance(error, ConnectionRefusedError))
        raise errors[0] if errors else OSError("the name has no address")

    async def _resolve(self, host: str) -> list[str]:
        if is_numeric(host):
            return [host]
        limiter = self._lookups.setdefault(host, trio.CapacityLimiter(_LOOKUPS_OF_A_NAME))
        return await look_up(host, limiter)

    async def listen(self, addresses: Sequence[HostPort]) -> Sequence[Listener[Stream]]:
        """Bind own addresses; a wildcard, or ``quorumListenOnAllIPs``, stands for every interface."""
        listeners: list[trio.SocketListener] = []
        hosts = [
            (
                None if self.options.listen_on_all_ips or is_wildcard(address.host) else address.host,
                address.port,
            )
            for address in addresses
        ]
        try:
            for host, port in dict.fromkeys(hosts):
                if host is None:
                    listeners += await trio.open_tcp_listeners(port)
                    continue
                listeners += _listen_on(await self._resolve(host), port)
        except BaseException:
            for listener in listeners:
                listener.socket.close()
            raise
        for listener in listeners:
            self._tune(listener.socket)
        return listeners

    async def numeric(self, address: HostPort) -> HostPort:
        """Return ``address`` with its host resolved, or as it is where that is impossible or no use.

        Many hosts resolve their own name to 127.0.1.1, which would lead a peer to itself.
        """
        found = address
        try:
            with trio.move_on_after(_OWN_NAME_S):
                found = HostPort((await self._resolve(address.host))[0], address.port)
        except (OSError, IndexError):
            return address
        return address if is_loopback(found.host) else found

    async def hosts(self, addresses: Sequence[HostPort]) -> frozenset[str]:
        """Return all hosts that ``addresses`` stand for now; none where a name does not resolve in time."""
        found: list[str] = []
        try:
            with trio.move_on_after(self.options.cnx_timeout_s) as scope:
                for address in addresses:
                    found += await self._resolve(address.host)
        except OSError:
            return frozenset()
        return frozenset() if scope.cancelled_caught else frozenset(found)

    def remote(self, stream: Stream) -> HostPort:
        """Say where the other end of ``stream`` is; an IPv4 caller by its IPv4 address."""
        assert isinstance(stream, trio.SocketStream)
        try:
            host, port = stream.socket.getpeername()[:2]
        except OSError:
            return HostPort("disconnected", 0)
        return HostPort(host.removeprefix("::ffff:"), port)

    def _tune(self, sock: trio.socket.SocketType) -> None:
        """Have the kernel notice a peer whose host went away: nothing else does on an idle connection.

        Sockets accepted from a listening one inherit what it was told.
        """
        if not self.options.keep_alive:
            return
        seconds = max(1, round(self.options.user_timeout_s / 4))
        seconds = min(seconds, _MAX_KEEP_ALIVE_S)
        wanted = {"TCP_KEEPIDLE": seconds, "TCP_KEEPINTVL": seconds, "TCP_KEEPCNT": 3}
        wanted["TCP_USER_TIMEOUT"] = min(max(1, round(self.options.user_timeout_s * 1000)), _MAX_INT)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in wanted.items():
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
