"""Following a leader, as ``member.following`` does it, or watching one, as ``member.watching`` does."""

import math
from typing import TYPE_CHECKING, Any

import attrs

from trio_fle.election.events import Established
from trio_fle.member.following import CONNECT_PAUSES_S
from trio_fle.sim.cores.world import Stream
from trio_fle.storage import Followed
from trio_fle.vote import PeerState, StateSummary
from trio_fle.wire.packet import PacketType

if TYPE_CHECKING:
    from trio_fle.sim.cores.server import Server


@attrs.define(eq=False)
class Learner:
    """One attempt at following ``leader``."""

    server: "Server"
    leader: int
    behind_s: float
    """How much later than this server the leader may know that it is elected."""
    epoch: int = attrs.field(default=-1, init=False)
    lease_s: float = attrs.field(default=0.0, init=False)
    synced: bool = attrs.field(default=False, init=False)
    stream: Stream | None = attrs.field(default=None, init=False)
    _over: bool = attrs.field(default=False, init=False)
    _tries: int = attrs.field(default=0, init=False)
    _began: float = attrs.field(default=0.0, init=False)
    _heard_at: float = attrs.field(default=math.inf, init=False)
    _patience_s: float = attrs.field(default=0.0, init=False)
    _writes: bool = attrs.field(default=False, init=False)
    _left: bool = attrs.field(default=False, init=False)
    """Whether the link has ended while the disk worked: that is seen afterwards."""

    @property
    def established(self) -> int | None:
        """Whom it follows, once synchronized."""
        return self.leader if self.synced else None

    def start(self) -> None:
        """Dial the leader."""
        self._began, self._patience_s = self.server.world.now, self.server.world.settings.init_s
        self._dial()

    def _dial(self) -> None:
        world = self.server.world
        left_s = self._began + world.settings.init_s - world.now
        if left_s <= 0:
            self._end("no connection to the leader")
        elif not self._over:
            world.dial(self.server, self.leader, self._dialled, quorum=True, patience_s=left_s)

    def _dialled(self, stream: Stream | None, _: bool) -> None:
        pauses = len(CONNECT_PAUSES_S) + math.ceil(self.behind_s / CONNECT_PAUSES_S[-1])
        if stream is not None:
            self._linked(stream)
        elif self._tries >= pauses:
            self._end("no connection to the leader")
        else:
            pause_s = CONNECT_PAUSES_S[min(self._tries, len(CONNECT_PAUSES_S) - 1)]
            self._tries += 1
            self.server.world.after(self.server, pause_s, self._dial)

    def _linked(self, stream: Stream) -> None:
        if not stream.open[0]:
            self._lost()
            return
        self.stream = stream
        stream.receive[0], stream.ended[0] = self._receive, self._lost
        self.server.world.after(self.server, self.server.world.settings.init_s, self._not_free)
        self.server.promising.when_free(self.leader, self._free)

    def _not_free(self) -> None:
        if self._heard_at == math.inf:
            self._end("the lease of the leader before has not run out")

    def _free(self) -> None:
        """Tell our accepted epoch; nothing is told under a promise to another leader."""
        if not self._over:
            self._heard_at = self.server.world.now
            self._be_patient()
            kind = PacketType.OBSERVERINFO if self.server.observes else PacketType.FOLLOWERINFO
            stored = self.server.stored
            self._send(kind, (stored.accepted_epoch, StateSummary(stored.epoch, self.server.zxid)))

    def _send(self, kind: PacketType, zxid: Any = 0, data: float = 0) -> None:
        if self.stream is not None:
            self.server.world.send(self.stream, 0, (kind, zxid, data), self.server.world.now)

    def _receive(self, kind: PacketType, zxid: int, data: float) -> None:
        self._heard_at = self.server.world.now
        match kind:
            case PacketType.LEADERINFO:
                self._discover(zxid, data)
            case PacketType.NEWLEADER:
                self._synchronize(zxid, int(data))
            case PacketType.UPTODATE:
                self.synced = True
                if not self.server.observes:
                    self.server.begin_soon(self.epoch)
                if self.server.world.trace is not None:
                    self.server.world.say(self.server.sid, f"follows {self.leader} in epoch {self.epoch}")
            case PacketType.PING:
                self._promise(self.server.clock())
                self._send(PacketType.PING, zxid, data)

    def _discover(self, epoch: int, lease_s: float) -> None:
        """Learn the new epoch; NEWLEADER comes with it."""
        self.epoch, self.lease_s = epoch, lease_s
        if epoch < (accepted := self.server.stored.accepted_epoch):
            self._end(f"it proposes epoch {epoch}, and {accepted} has been accepted")

    def _synchronize(self, epoch: int, zxid: int) -> None:
        """Accept the epoch, durably, before acknowledging it; a voter only where all of it is held."""
        server, arrived = self.server, self.server.clock()
        if epoch != self.epoch:
            self._end(f"it sent NEWLEADER of epoch {epoch}")
            return
        self._patience_s = server.world.settings.sync_s
        server.put(Established(epoch))
        followed = None if server.observes else Followed(self.leader, epoch, self.lease_s)
        accepted = attrs.evolve(server.stored, accepted_epoch=epoch, followed=followed)
        if not server.observes and zxid != server.zxid:
            self._over = True
            self._close()
            server.watch(self.leader)
        elif accepted == server.stored:
            self._accepted(arrived, zxid)
        else:
            if epoch > server.stored.accepted_epoch:
                server.accepted_of = epoch, self.leader
            self._writes = True
            server.write(accepted, lambda: self._accepted(arrived, zxid))

    def _accepted(self, arrived: float, zxid: int) -> None:
        server, world = self.server, self.server.world
        self._writes = False
        self._promise(arrived)
        if self._see_end():
            return
        world.checker.acknowledged(server.sid, self.epoch)
        if first := server.accepted_of == (self.epoch, self.leader):
            world.checker.accepted(world.now, server.sid, self.epoch, self.leader)
        self._send(PacketType.ACKEPOCH, server.zxid, server.stored.epoch if first else -1)
        server.zxid = zxid
        self._send(PacketType.ACK, self.epoch)

    def _promise(self, arrived: float) -> None:
        if not self.server.observes:
            self.server.promising.renew(Followed(self.leader, self.epoch, self.lease_s), arrived)

    def _be_patient(self) -> None:
        world = self.server.world
        if self._over:
            return
        left_s = self._patience_s - (world.now - self._heard_at)
        if self._writes or left_s > 0:
            world.after(self.server, max(left_s, 0.001) + 1e-6, self._be_patient)
            return
        self.server.lost = self.leader
        self._end("the leader is silent")

    def _lost(self) -> None:
        self._left = True
        if not self._writes:
            self._see_end()

    def _see_end(self) -> bool:
        if self._left and not self._over:
            self.server.promising.find_out()
            self._end("the leader left")
        return self._over

    def _end(self, reason: str) -> None:
        if not self._over:
            self._over = True
            self._close()
            self.server.leave(f"follows {self.leader} no more: {reason}", came_far=self.synced)

    def _close(self) -> None:
        if self.stream is not None:
            self.server.world.close(self.stream, 0)

    def connections_changed(self) -> None:
        """Election connections say nothing of the link."""

    def voter_looks(self) -> None:
        """Nor do other voters."""


@attrs.define(eq=False)
class Watch:
    """Follows ``leader`` by vote alone, without a link."""

    server: "Server"
    leader: int
    _over: bool = attrs.field(default=False, init=False)

    @property
    def established(self) -> int | None:
        """Whom it follows."""
        return self.leader

    def start(self) -> None:
        """Watch its election connection, and ask it now and then."""
        world = self.server.world
        if self.leader not in self.server.connections.connected:
            world.after(self.server, world.settings.tick_s, self.connections_changed)
        world.after(self.server, world.settings.init_s, self._ask)

    def _ask(self) -> None:
        """Ask whether it leads: a short connection, of which only the answer is modelled."""
        world = self.server.world
        leader = world.machines[self.leader].process
        if not self._over:
            if leader is None or leader.state is not PeerState.LEADING:
                self._end("it does not lead")
            else:
                world.after(self.server, world.settings.init_s, self._ask)

    def connections_changed(self) -> None:
        """Give up where its election connection has broken."""
        if self.leader not in self.server.connections.connected:
            self._end("no connection to it")

    def voter_looks(self) -> None:
        """Give up, a tick later, where it looks for a leader itself."""
        if self.leader in self.server.looking:
            self.server.world.after(
                self.server, self.server.world.settings.tick_s, self._end, "it looks for a leader itself"
            )

    def _end(self, reason: str) -> None:
        if not self._over:
            self._over = True
            self.server.leave(f"watches {self.leader} no more: {reason}", came_far=True)
