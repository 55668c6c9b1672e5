"""The election connections of one server, as ``peers`` keeps them: one for each pair, by the id rule.

The higher id dials and the lower one knocks. Of what a peer is to be told one notification waits; the last
one sent, or the greeting, begins a new connection. A lost peer that refuses a dial is told of as ``Gone``.
"""

from collections.abc import Callable
from typing import Any

import attrs

from trio_fle.peers.manager import KNOCK_PATIENCE_S
from trio_fle.peers.peer import PROBES_S, REDIAL_FIRST_S, REDIAL_MAX_S, STABLE_S
from trio_fle.peers.quiet import Backoff
from trio_fle.sim.cores.world import Process, Stream, World
from trio_fle.wire import Notification


@attrs.define(eq=False)
class Peer:
    """One other server, and the notifications for it."""

    sid: int
    stream: Stream | None = attrs.field(default=None, init=False)
    side: int = attrs.field(default=0, init=False)
    since: float = attrs.field(default=0.0, init=False)
    met: bool = attrs.field(default=False, init=False)
    heard: bool = attrs.field(default=False, init=False)
    unsent: Notification | None = attrs.field(default=None, init=False)
    last: Notification | None = attrs.field(default=None, init=False)
    greeting: Notification | None = attrs.field(default=None, init=False)
    backoff: Backoff = attrs.field(factory=lambda: Backoff(REDIAL_FIRST_S, REDIAL_MAX_S), init=False)
    probes: list[float] = attrs.field(factory=list, init=False)
    probed_at: float = attrs.field(default=-STABLE_S, init=False)
    dialling: bool = attrs.field(default=False, init=False)
    waits: int = attrs.field(default=0, init=False)
    """Which wait for the next dial is the one that counts."""


@attrs.define(eq=False)
class Connections:
    """Keeps a connection to each of ``voters``, and takes those of others.

    ``heard`` gets each notification with its sender, ``present`` a voter that has connected (True) or that
    was there and refuses a dial now (False).
    """

    me: int
    process: Process
    world: World
    voters: frozenset[int]
    heard: Callable[[int, Notification], None]
    present: Callable[[int, bool], None]
    lost: Callable[[int], None]
    peers: dict[int, Peer] = attrs.field(factory=dict, init=False)

    def start(self, *, dial: bool = True) -> None:
        """Keep connected with all voters, from now on; without ``dial`` others connect them at first."""
        for sid in sorted(self.voters - {self.me}, reverse=True):
            self.peers[sid] = Peer(sid)
            if dial:
                self._dial(self.peers[sid])

    def adopt(self, stream: Stream, side: int) -> None:
        """Take a connection that is there already."""
        self._promote(self.peers[stream.sid(1 - side)], stream, side)

    @property
    def connected(self) -> frozenset[int]:
        """Those with a connection."""
        return frozenset(sid for sid, peer in self.peers.items() if peer.stream is not None)

    def since(self, sid: int) -> float | None:
        """Return since when ``sid`` is connected; None where it is not."""
        peer = self.peers.get(sid)
        return None if peer is None or peer.stream is None else peer.since

    # Telling

    def tell(self, to: int, notification: Notification) -> None:
        """Queue a notification; it takes the place of an unsent one."""
        if (peer := self.peers.get(to)) is not None:
            peer.greeting, peer.unsent = None, notification

    def greet_with(self, notification: Notification | None) -> None:
        """Begin later connections with this, or with nothing."""
        for peer in self.peers.values():
            peer.greeting = notification
            if notification is None:
                peer.last = peer.unsent = None

    def flush(self, at: float) -> None:
        """Send what waits; it leaves at ``at``."""
        for peer in self.peers.values():
            if peer.unsent is not None and peer.stream is not None:
                peer.last, peer.unsent = peer.unsent, None
                self._send(peer, peer.last, at)

    def _send(self, peer: Peer, notification: Notification, at: float) -> None:
        assert peer.stream is not None
        self.world.messages += 1
        self.world.send(peer.stream, peer.side, (notification,), at)

    # Dialling

    def _dial(self, peer: Peer) -> None:
        if not peer.dialling and peer.stream is None:
            peer.dialling = True
            self.world.dial(self.process, peer.sid, lambda *answer: self._answered(peer, *answer))

    def _answered(self, peer: Peer, stream: Stream | None, refused: bool) -> None:
        peer.dialling = False
        if stream is None:
            if refused:
                self._tell_gone(peer)
            self._wait(peer, peer.probes.pop(0) if peer.probes else max(REDIAL_FIRST_S, peer.backoff.next()))
        elif peer.sid > self.me:
            self.world.close(stream, 0)  # knocked
            self._wait(peer, KNOCK_PATIENCE_S + peer.backoff.next())
        else:
            self._promote(peer, stream, 0)

    def _wait(self, peer: Peer, seconds: float) -> None:
        peer.waits += 1
        self.world.after(self.process, seconds, self._waited, peer, peer.waits)

    def _waited(self, peer: Peer, wait: int) -> None:
        if wait == peer.waits and peer.sid in self.voters:
            self._dial(peer)

    def accept(self, stream: Stream) -> None:
        """Keep the connection of a higher id; dial a lower one, or probe the connection that it has."""
        sid = stream.sid(0)
        peer = self.peers.setdefault(sid, Peer(sid))
        if sid > self.me:
            self._promote(peer, stream, 1)
            return
        self.world.close(stream, 1)
        if peer.stream is None:
            self._dial(peer)
        elif (again := peer.unsent or peer.greeting or peer.last) is not None:
            self._send(peer, again, self.world.now)

    def _promote(self, peer: Peer, stream: Stream, side: int) -> None:
        if peer.stream is not None:
            self.world.close(peer.stream, peer.side)
        if not stream.open[side]:
            self._wait(peer, REDIAL_FIRST_S)
            return
        peer.stream, peer.side, peer.since, peer.met, peer.heard = stream, side, self.world.now, True, False
        peer.waits += 1

        def receive(notification: Notification, *_: Any) -> None:
            if peer.stream is stream:
                peer.heard = True
                self.heard(peer.sid, notification)

        stream.receive[side] = receive
        stream.ended[side] = lambda: self._ended(peer, stream)
        self.present(peer.sid, True)
        if peer.greeting is not None:
            peer.unsent = None
            self._send(peer, peer.greeting, self.world.now)
        elif peer.unsent is not None:
            self.flush(self.world.now)
        elif peer.last is not None:
            self._send(peer, peer.last, self.world.now)

    # Losing

    def _ended(self, peer: Peer, stream: Stream) -> None:
        if peer.stream is not stream:
            return
        peer.stream, now = None, self.world.now
        self.lost(peer.sid)
        if peer.sid not in self.voters:
            del self.peers[peer.sid]
            return
        if stable := now - peer.since >= STABLE_S:
            peer.backoff.reset()
        if (stable or peer.heard) and now - peer.probed_at >= STABLE_S:
            peer.probed_at, peer.probes = now, list(PROBES_S)
        if peer.sid > self.me:
            self._probe(peer, 0)
            self._wait(peer, KNOCK_PATIENCE_S)
        else:
            self._wait(peer, peer.probes.pop(0) if peer.probes else peer.backoff.next())

    def _probe(self, peer: Peer, tries: int) -> None:
        """Leave it to the higher id to come back; meanwhile find out whether it is gone."""

        def answered(refused: bool) -> None:
            if refused:
                self._tell_gone(peer)
            else:
                self._probe(peer, tries + 1)

        def dial() -> None:
            if peer.stream is None:
                self.world.probe(self.process, peer.sid, answered, quorum=False, patience_s=KNOCK_PATIENCE_S)

        if tries < len(PROBES_S) and peer.stream is None:
            self.world.after(self.process, PROBES_S[tries], dial)

    def _tell_gone(self, peer: Peer) -> None:
        if peer.met and peer.stream is None and peer.sid in self.voters:
            self.present(peer.sid, False)
