"""Asking every server of an ensemble at once: what it says, why it says nothing, and who it says it is."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Final

import attrs
import trio

from trio_fle.ensemble import HostPort, Server
from trio_fle.errors import MalformedMessageError, PeerError, RefusedError
from trio_fle.peers.ask import STRANGER_BASE, converse
from trio_fle.peers.listening import read_hello
from trio_fle.peers.names import Names
from trio_fle.peers.transport import Transport
from trio_fle.wire import Hello, Notification, encode_hello

KNOCKER_BASE: Final = -(1 << 62)
"""First of the ids that a knock is made under: lower than any server's, so that it is dialled back."""

_FIRST_OFFSET: Final = 1 << 32
_OFFSETS: Final = 256
"""From so many ids one is drawn: a Java server remembers each that ever asked."""

_DIAL_BACK_S: Final = 2.0
_ANSWER_S: Final = 2.0
_ACROSS: Final = ("refused", "silent", "closed", "malformed")
"""Failures that a server with its two ports the other way round may be the cause of."""


@attrs.frozen
class Answer:
    """What became of asking one server."""

    server: int
    address: HostPort
    notification: Notification | None = None
    latency_s: float | None = None
    """From the dial to the answer."""
    failure: str | None = None
    """Why there is no answer: refused, unresolved, unreachable, timeout, silent (connected, and no word in
    time), closed (likewise, and it hung up), malformed."""
    said: str = ""
    """The failure in words."""
    on_quorum_port: bool = False
    """Whether it was the port written as quorum port that answered what belongs on an election port."""
    identity: Hello | None = None
    """Who it says it is, if it dialled back."""


@attrs.frozen
class Asking:
    """How to ask. ``mine`` is an address that is told as ours, and never dialled."""

    transport: Transport
    mine: HostPort
    within_s: float
    names: Names = attrs.field(factory=Names)

    async def all(self, servers: Mapping[int, Server], *, identify: bool = False) -> dict[int, Answer]:
        """Ask all ``servers`` at once; ``identify`` also knocks, to be told their ids (TCP only)."""
        answers: dict[int, Answer] = {}
        identities: dict[int, Hello] = {}
        # an id of its own for each: two lines may lead to one server
        offset = _FIRST_OFFSET + secrets.randbelow(_OFFSETS)

        async def one(server: Server, asker: int) -> None:
            answers[server.sid] = await self._one(server, asker)

        async def knock(server: Server, knocker: int) -> None:
            hello = await identify_server(self.transport, _election(server), knocker, self.within_s)
            if hello is not None:
                identities[server.sid] = hello

        async with trio.open_nursery() as nursery:
            for at, server in enumerate(servers.values(), offset):
                nursery.start_soon(one, server, STRANGER_BASE + at)
                if identify:
                    nursery.start_soon(knock, server, KNOCKER_BASE - at)
        return {sid: attrs.evolve(answers[sid], identity=identities.get(sid)) for sid in sorted(answers)}

    async def _one(self, server: Server, asker: int) -> Answer:
        answer = await self._ask(server.sid, _election(server), asker)
        if answer.failure in _ACROSS:
            # whoever answers there has its two ports the other way round
            crossed = await self._ask(server.sid, [each.quorum for each in server.addresses], asker)
            if crossed.notification is not None:
                return attrs.evolve(crossed, on_quorum_port=True)
        return answer

    async def _ask(self, sid: int, addresses: Sequence[HostPort], asker: int) -> Answer:
        nothing = Answer(sid, addresses[0])
        unresolved = [
            self.names.failures[each.host] for each in addresses if each.host in self.names.failures
        ]
        if len(unresolved) == len(addresses):
            return attrs.evolve(nothing, failure="unresolved", said=unresolved[0])
        began = trio.current_time()
        try:
            with trio.fail_after(self.within_s):
                stream = await self.transport.dial(addresses)
        except trio.TooSlowError:
            return attrs.evolve(nothing, failure="timeout", said=f"no connection in {self.within_s:g} s")
        except RefusedError as error:
            return attrs.evolve(nothing, failure="refused", said=str(error))
        except PeerError as error:
            return attrs.evolve(nothing, failure="unreachable", said=str(error))
        try:
            with trio.fail_after(_ANSWER_S):
                heard, came = await converse(stream, asker, self.mine)
        except trio.TooSlowError:
            return attrs.evolve(
                nothing, failure="silent", said=f"connected, and no answer in {_ANSWER_S:g} s"
            )
        except MalformedMessageError as error:
            return attrs.evolve(nothing, failure="malformed", said=str(error))
        except PeerError as error:
            return attrs.evolve(nothing, failure="closed", said=str(error))
        return attrs.evolve(nothing, notification=heard, latency_s=came - began)


def _election(server: Server) -> list[HostPort]:
    return [address.election for address in server.addresses]


async def identify_server(
    transport: Transport, addresses: Sequence[HostPort], knocker: int, within_s: float
) -> Hello | None:
    """Knock as the low id ``knocker``, and return the handshake with which the server dials back.

    That is the one message in which a server tells its own id. None where nobody is there within
    ``within_s``, or does not dial back soon: it can't reach us, or it is older than 3.5.8 and dials nobody
    that it does not know.
    """
    with trio.move_on_after(within_s) as dialling:
        try:
            stream = await transport.dial(addresses)
        except PeerError:
            return None
    if dialling.cancelled_caught:
        return None
    assert isinstance(stream, trio.SocketStream)
    async with stream:
        host = str(stream.socket.getsockname()[0])
        try:
            with trio.move_on_after(_DIAL_BACK_S):
                (listener,) = await trio.open_tcp_listeners(0, host=host)
                async with listener:
                    back = HostPort(host, int(listener.socket.getsockname()[1]))
                    await stream.send_all(encode_hello(Hello(knocker, (back,))))
                    return await _first_hello(listener)
        except (OSError, trio.BrokenResourceError):
            pass  # it hung up, or this host has no port to spare
    return None


async def _first_hello(listener: trio.SocketListener) -> Hello:
    """Return the first handshake of those who call; who says none had only found the port."""
    while True:
        caller = await listener.accept()
        async with caller:
            try:
                return await read_hello(caller)
            except PeerError:
                continue
