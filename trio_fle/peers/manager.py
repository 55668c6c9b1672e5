"""The connection manager: who dials whom, and which connection survives.

The server with the higher id is the initiator of the one connection that a pair of servers keeps. A
lower one dials only to be dialled back: it *knocks*. Source: ``QuorumCnxManager``; where ours differs
(knocks prove nothing, connections come back by themselves) see decisions 14 and 15 in ARCHITECTURE.md.
"""

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final

import attrs
import structlog
import trio
from trio.abc import Stream

from trio_fle.config import TransportOptions
from trio_fle.ensemble import HostPort
from trio_fle.errors import ConnectionLostError, MalformedMessageError, PeerError, RefusedError
from trio_fle.peers.connection import Connection, Deliver, Direction, Promote, run_connection
from trio_fle.peers.listening import Listening
from trio_fle.peers.names import dialable
from trio_fle.peers.peer import PROBES_S, REDIAL_FIRST_S, REDIAL_MAX_S, Peer
from trio_fle.peers.quiet import OncePerInterval, TokenBucket
from trio_fle.peers.streams import close, until_ended
from trio_fle.peers.transport import Transport
from trio_fle.vote import MAX_LONG
from trio_fle.wire import Hello, Protocol, encode_frame, encode_hello

MAX_STRANGERS: Final = 64
"""Connections kept of servers that no configuration names (status commands, observers without an id)."""

TOLD_PER_MINUTE: Final = 20
"""Connections from one host under one id that the log tells of: anybody may claim an id, and hang up."""

KNOCK_PATIENCE_S: Final = 0.25
"""How long a lower id leaves it to the higher one to renew a lost connection, before it knocks: a knock
that crosses the renewed connection makes a Java server drop it."""

_MINUTE_S: Final = 60.0
_PROBE_EVERY_S: Final = 1.0


@attrs.frozen
class Identity:
    """Who this server is on its election port."""

    sid: int
    addresses: tuple[HostPort, ...]
    protocol: Protocol = Protocol.V1


@attrs.define(eq=False)
class ConnectionManager:
    """Keeps one connection to each voter, accepts those of others, and reports every notification.

    ``run`` does the work; ``set_peers`` names the servers to stay connected with. ``deliver`` is called
    with every notification; ``wait_changed`` tells of each connection that came or went, and ``present`` is
    called with a voter and whether it is there: it has connected, or it was, and refuses a dial now.
    """

    me: Identity
    options: TransportOptions
    transport: Transport
    deliver: Deliver
    log: structlog.typing.FilteringBoundLogger
    present: Callable[[int, bool], None] = lambda sid, there: None
    linger: Callable[[int], Awaitable[None]] | None = None
    """Returns when the end of the connection with a server is to be dealt with; None: at once."""
    redial_max_s: float = REDIAL_MAX_S
    """Longest wait between two dials of a peer that does not answer; counts from ``set_peers`` on."""
    malformed: int = attrs.field(default=0, init=False)
    changes: int = attrs.field(default=0, init=False)
    """How many connections have come or gone."""
    own_id_claims: int = attrs.field(default=0, init=False)
    """How often somebody else claimed our own id: another server was given it, too."""
    _peers: dict[int, Peer] = attrs.field(factory=dict, init=False)
    _configured: dict[int, tuple[HostPort, ...]] = attrs.field(factory=dict, init=False)
    _keepers: dict[int, trio.CancelScope] = attrs.field(factory=dict, init=False)
    _listening: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    _changed: trio.Event = attrs.field(factory=trio.Event, init=False)
    _nursery: trio.Nursery | None = attrs.field(default=None, init=False)
    _next_anonymous: int = attrs.field(default=-1, init=False)
    _noise: OncePerInterval = attrs.field(init=False)
    _told: OncePerInterval = attrs.field(init=False)
    _probes: OncePerInterval = attrs.field(init=False)
    _strange_dials: TokenBucket = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        clock: Callable[[], float] = trio.current_time
        self._noise = OncePerInterval(_MINUTE_S, clock)
        self._told = OncePerInterval(_MINUTE_S, clock, burst=TOLD_PER_MINUTE)
        self._probes = OncePerInterval(_PROBE_EVERY_S, clock)
        self._strange_dials = TokenBucket(burst=10, per_s=1, clock=clock)

    # What others ask of it

    async def run(
        self,
        voters: Sequence[int],
        configured: Mapping[int, tuple[HostPort, ...]],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Listen, dial and serve until cancelled; started once the own addresses are bound.

        Raises ``ListenError`` where they can't be had after all retries.
        """
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self.set_peers(voters, configured)
            await nursery.start(self._listen, nursery)
            task_status.started()

    def set_peers(self, voters: Sequence[int], configured: Mapping[int, tuple[HostPort, ...]]) -> None:
        """Stay connected with ``voters``; ``configured`` names every server's election addresses."""
        assert self._nursery is not None
        before, self._configured = self._configured, dict(configured)
        for peer in self._peers.values():
            peer.backoff.max_s = self.redial_max_s
        wanted = set(voters) - {self.me.sid}
        for sid in self._keepers.keys() - wanted:
            self._keepers.pop(sid).cancel()
        for sid in before.keys() - self._configured.keys():
            if sid in self._peers:
                self._forget(self._peers[sid])
        for sid in sorted(wanted - self._keepers.keys(), reverse=True):
            scope = self._keepers[sid] = trio.CancelScope()
            self._nursery.start_soon(self._keep_connected, self._peer(sid), scope)
        for sid in before.keys() & self._keepers.keys():
            if before[sid] != self._configured.get(sid):
                self._peers[sid].moved()

    def move(self, me: Identity) -> None:
        """Listen at other addresses from now on; connections that are there stay."""
        self.me = me
        self._listening.cancel()

    async def _listen(
        self, callers: trio.Nursery, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Listen at the own addresses, wherever they have moved to."""
        moved = False
        while True:
            self._listening = trio.CancelScope()
            listening = Listening(
                self.me.addresses, self.options, self.transport, self._accept, self.reject, self.log, moved
            )
            with self._listening:
                await listening.run(callers, task_status=task_status)
            task_status, moved = trio.TASK_STATUS_IGNORED, True

    def tell(self, sid: int, frame: bytes) -> bool:
        """Queue the frame of a notification; False where an unsent one was replaced, or nobody is there."""
        peer = self._peers.get(sid)
        return peer is not None and peer.outbox.put(frame)

    def greet_with(self, body: bytes | None) -> None:
        """Tell this notification, or nothing, to each configured server that connects from now on."""
        frame = None if body is None else encode_frame(body)
        for sid, peer in self._peers.items():
            if sid in self._configured:
                peer.outbox.greet_with(frame)

    @property
    def connected(self) -> frozenset[int]:
        """Ids of the servers with a live connection."""
        return frozenset(sid for sid, peer in self._peers.items() if peer.connection is not None)

    def connection(self, sid: int) -> Connection | None:
        """Return the live connection to ``sid``."""
        peer = self._peers.get(sid)
        return None if peer is None else peer.connection

    async def wait_changed(self) -> None:
        """Wait until a connection has come or gone."""
        await self._changed.wait()

    # Dialling

    async def _keep_connected(self, peer: Peer, scope: trio.CancelScope) -> None:
        """Renew the connection to a voter whenever there is none, with growing waits."""
        with scope:
            while True:
                if (connection := peer.connection) is not None:
                    await connection.ended.wait()
                    if peer.sid > self.me.sid:
                        await self._leave_it_to(peer)
                    continue
                await peer.wait_nudged(peer.redial_in_s())
                if peer.connection is None:
                    await self._dial(peer)
        self._forget(peer)

    async def _leave_it_to(self, peer: Peer) -> None:
        """Give a higher id time to renew a lost connection; meanwhile find out whether it is gone."""
        with trio.move_on_after(KNOCK_PATIENCE_S):
            for pause_s in (*PROBES_S[2:], KNOCK_PATIENCE_S):
                if peer.connection is not None or (addresses := self._configured.get(peer.sid)) is None:
                    return  # it is back, or was removed meanwhile
                try:
                    stream = await self.transport.dial(addresses)
                except RefusedError:
                    self._tell_gone(peer)
                    break
                except ConnectionLostError:
                    await trio.sleep(pause_s)  # reset, mostly: it ends at this very moment
                else:
                    await until_ended(stream, trio.current_time() + pause_s)
            await peer.wait_nudged(math.inf)

    def _tell_gone(self, peer: Peer) -> None:
        if peer.met and peer.connection is None and peer.sid in self._keepers:
            self.present(peer.sid, False)

    async def _dial(self, peer: Peer) -> None:
        """Dial once: a lower id is served until that connection ends, at a higher one we only knock."""
        if peer.dialling:
            return
        peer.dialling, peer.dial_began = True, trio.current_time()
        try:
            stream, address = await self._open(peer)
        except PeerError as error:
            if isinstance(error, RefusedError):
                peer.probes.clear()
                self._tell_gone(peer)
            if peer.sid not in self._configured:
                asked_by = peer.asked_by or next(iter(peer.claimed), HostPort("a server that was removed", 0))
                self.reject(asked_by, f"server {peer.sid} asked to be dialled: {error}")
            elif not peer.unreachable:
                self.log.warning("peer.unreachable", peer=peer.sid, reason=str(error))
            peer.unreachable = True
            if not peer.probes:
                await trio.sleep(REDIAL_FIRST_S)  # whoever nudges, there are no more dials than this
            return
        finally:
            peer.dialling = False
        peer.unreachable = False
        if peer.sid > self.me.sid:
            await close(stream)
            await peer.wait_nudged(KNOCK_PATIENCE_S)
        else:
            await self._serve(peer, Connection(peer.sid, stream, address, Direction.DIALLED))

    async def _open(self, peer: Peer) -> tuple[Stream, HostPort]:
        """Connect and say who we are. Raises ``ConnectionLostError``."""
        addresses = self._configured.get(peer.sid, peer.claimed)
        try:
            with trio.fail_after(self.options.cnx_timeout_s) as peer.dial:
                mine = [await self.transport.numeric(address) for address in self.me.addresses]
                stream = await self.transport.dial(addresses)
        except trio.TooSlowError as error:
            raise ConnectionLostError(f"no answer in {self.options.cnx_timeout_s:g} s") from error
        try:
            with trio.fail_after(self.options.handshake_timeout_s):
                await stream.send_all(encode_hello(Hello(self.me.sid, tuple(mine), self.me.protocol)))
        except (trio.BrokenResourceError, trio.TooSlowError) as error:
            await close(stream)
            raise ConnectionLostError("connection lost in the handshake") from error
        except BaseException:
            await close(stream)
            raise
        return stream, self.transport.remote(stream)

    # Being dialled

    async def _accept(self, stream: Stream, hello: Hello, address: HostPort) -> None:
        """Keep a connection, dial back, or close it, by the id rule."""
        if hello.sid == self.me.sid:
            self.own_id_claims += 1
            self.reject(address, f"it claims our own server id, {hello.sid}: is the id given twice?")
        elif hello.sid < self.me.sid or hello.sid == MAX_LONG:
            await close(stream)
            await self._knocked(hello, address)
        elif self._known(hello.sid) or len(self._strangers()) < MAX_STRANGERS:
            peer = self._peer(hello.sid)
            await self._serve(peer, Connection(hello.sid, stream, address, Direction.ACCEPTED))
        else:
            self.reject(address, "too many servers that no configuration names")

    async def _knocked(self, hello: Hello, address: HostPort) -> None:
        """A lower id asks to be dialled.

        It may be anybody who says so: a configured server is dialled where the configuration says, and a
        living connection is left alone (a probe on it finds out whether it lives), unless its name leads
        elsewhere by now: then it came back there, and may have left a half-open connection behind.
        """
        known = self._peers.get(hello.sid)
        if known is not None and known.connection is not None:
            if self._probes.admit(hello.sid) is not None:
                known.outbox.repeat()
                if await self._has_moved(hello.sid, known.connection):
                    await self._dial(known)
        elif hello.sid in self._keepers:
            self._peers[hello.sid].knocked()
        elif hello.sid in self._configured:
            await self._dial(self._peer(hello.sid))
        elif not (claimed := dialable(hello.addresses, address)):
            self.reject(address, f"server {hello.sid} is not configured, and gives no address to dial back")
        elif len(self._strangers()) >= MAX_STRANGERS or not self._strange_dials.take():
            self.reject(address, "too many servers that no configuration names")
        else:
            await self._dial_stranger(hello.sid, claimed, address)

    async def _has_moved(self, sid: int, connection: Connection) -> bool:
        hosts = await self.transport.hosts(self._configured.get(sid, ()))
        return bool(hosts) and connection.address.host not in hosts

    async def _dial_stranger(self, sid: int, claimed: tuple[HostPort, ...], source: HostPort) -> None:
        if sid == MAX_LONG:
            sid, self._next_anonymous = self._next_anonymous, self._next_anonymous - 1
        peer = self._peer(sid)
        peer.claimed, peer.asked_by = claimed, source
        await self._dial(peer)
        self._forget(peer)

    def reject(self, address: HostPort, reason: str) -> None:
        """Log a connection that came to nothing: once a minute for each source."""
        suppressed = self._noise.admit(address.host)
        if suppressed is not None:
            self.log.info("peer.rejected", address=str(address), reason=reason, suppressed=suppressed)

    # Serving

    async def _serve(self, peer: Peer, connection: Connection) -> None:
        """Serve a connection to its end; where the peer has another, that one may end first."""

        async def promote(connection: Connection) -> None:
            await peer.promote(connection)
            self.present(peer.sid, True)
            self._tell_change()

        peer.served += 1
        peer.connections += 1
        connection.number = peer.connections
        connection.known, connection.linger = peer.sid in self._configured, self.linger
        source = (connection.address.host, peer.sid)
        connection.told = connection.known and self._told.admit(source) is not None
        serve = partial(
            run_connection, connection, peer.outbox, promote, self.deliver, self._count_malformed, self.log
        )
        try:
            if (incumbent := peer.connection) is None:
                await promote(connection)
                await serve()
            else:
                peer.challenge(connection)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._challenge, connection, incumbent, promote)
                    await serve()
                    nursery.cancel_scope.cancel()
        finally:
            peer.release(connection)
            if not connection.promoted.is_set() or not (connection.known or connection.heard):
                self.reject(connection.address, connection.reason)
            peer.served -= 1
            self._forget(peer)
            self._tell_change()

    async def _challenge(self, connection: Connection, incumbent: Connection, promote: Promote) -> None:
        """Let a second connection wait for the end of the first, for a while.

        Meanwhile it may prove itself better, by a notification.
        """
        with trio.move_on_after(self.options.handshake_timeout_s):
            await incumbent.ended.wait()
            await promote(connection)
        if not connection.promoted.is_set():
            connection.close(f"another connection of server {connection.peer} is alive")

    def _count_malformed(self, peer: int, error: MalformedMessageError) -> None:
        self.malformed += 1
        if (suppressed := self._noise.admit(("malformed", peer))) is not None:
            self.log.warning("peer.malformed", peer=peer, reason=str(error), suppressed=suppressed)

    # Whom it knows

    def _peer(self, sid: int) -> Peer:
        return self._peers.setdefault(sid, Peer(sid, self.redial_max_s))

    def _known(self, sid: int) -> bool:
        return sid in self._configured or sid in self._peers

    def _strangers(self) -> list[int]:
        return [sid for sid in self._peers if sid not in self._configured]

    def _forget(self, peer: Peer) -> None:
        """Keep nothing of a server that no configuration names, once it has gone."""
        if peer.sid not in self._configured and not peer.served and not peer.dialling:
            self._peers.pop(peer.sid, None)

    def _tell_change(self) -> None:
        self.changes += 1
        self._changed.set()
        self._changed = trio.Event()
