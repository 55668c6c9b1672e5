"""Following or observing a leader: this member's side of the quorum port, from the dial to the last ping.

Source: ``Learner``, ``Follower``, ``Observer``. A member stores no transactions: it acknowledges what
brought it none, and an observer takes note of the others' zxids.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Final, NoReturn

import attrs
import structlog
import trio

from trio_fle.config import MemberConfig
from trio_fle.ensemble import Ensemble
from trio_fle.errors import ConnectionLostError, FleError, MalformedMessageError, PeerError
from trio_fle.member.commitments import Commitments
from trio_fle.member.learner_link import LearnerLink, LinkLostError, SilentLinkError
from trio_fle.member.membership import Membership
from trio_fle.member.patience import Patience
from trio_fle.member.status import Phase
from trio_fle.member.together import first_of
from trio_fle.peers import Transport
from trio_fle.peers.streams import close
from trio_fle.storage import Followed
from trio_fle.vote import LearnerType, StateSummary, epoch_of, make_zxid
from trio_fle.wire.packet import (
    LearnerInfo,
    PacketType,
    QuorumPacket,
    decode_leader_info,
    encode_learner_info,
)
from trio_fle.wire.snapshot import read_snapshot
from trio_fle.wire.transaction import reconfiguration

CONNECT_PAUSES_S: Final = (*[0.001] * 5, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.1, 0.1, 0.1)
"""Between tries to reach a leader that does not listen yet: it may need a moment longer to know that it is
elected (ZooKeeper: four times 100 ms)."""

GOODBYE_S: Final = 1.0

TRANSACTIONS: Final = (PacketType.PROPOSAL, PacketType.INFORM, PacketType.INFORMANDACTIVATE)
"""Packets that bring one."""


class UnstoredError(FleError):
    """The leader has a history that this member does not store: it must not acknowledge it."""


class ResignedError(FleError):
    """The leader says that its leadership has ended; ``stops``: that it has no part in the next election."""

    def __init__(self, *, stops: bool) -> None:
        """Say so."""
        super().__init__("it stops" if stops else "it resigned")
        self.stops = stops


class ReconfiguredError(FleError):
    """A new configuration gives this member another role: it has to look for its leader as what it is now."""


@attrs.frozen
class Synchronized:
    """What a leader sent up to NEWLEADER: how, up to which zxid, and whether all of it is held here.

    ``ensemble`` is the configuration under which it leads, where that is newer than ours; ``strange`` says
    that it is newer, has other servers, and can't be adopted here.
    """

    sync: PacketType
    zxid: int
    held: bool
    ensemble: Ensemble | None = None
    strange: bool = False


@attrs.define(eq=False)
class Learner:
    """One attempt at following ``leader``.

    ``tell_phase`` and ``tell_epoch`` are told how far it has come, and the leader's epoch once known; what
    the leader says of the configuration goes to ``membership``.
    """

    config: MemberConfig
    membership: Membership
    transport: Transport
    commitments: Commitments
    leader: int
    log: structlog.typing.FilteringBoundLogger
    patience: Patience
    tell_phase: Callable[[Phase], None]
    tell_epoch: Callable[[int], None]
    zxid: int
    """The last zxid that this member knows of; an observer's grows with what it is told."""
    behind_s: float = 0.0
    """How much later than this member the leader may know that it is elected: a wait that only it waits."""
    epoch: int = attrs.field(default=-1, init=False)
    synced: bool = attrs.field(default=False, init=False)
    left_by_leader: bool = attrs.field(default=False, init=False)
    """Whether the link ended at the leader's end."""
    absent: bool = attrs.field(default=False, init=False)
    """Whether the leader takes no part in the next election: it was silent for too long, or it stops."""
    _lease_s: float | None = attrs.field(default=None, init=False)
    _busy: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    """What is cancelled where this member stops."""
    _why: str = attrs.field(default="", init=False)
    """Why this member leaves, once it does."""
    _proposed: Ensemble | None = attrs.field(default=None, init=False)
    """A reconfiguration whose commit is still to come."""

    @property
    def keeps_promise(self) -> bool:
        """Whether it follows an established leader of ours, and has promised to follow no other one."""
        return self.synced and self._lease_s is not None and not self._observes

    @property
    def _observes(self) -> bool:
        return self.config.learner_type is LearnerType.OBSERVER

    async def run(self) -> str:
        """Follow until that ends, and say why.

        Raises ``UnstoredError`` where the leader has what this member can't store, ``StorageError`` where an
        epoch can't be made durable.
        """
        try:
            link = await self._connect()
            if link is None:
                return self._why
            try:
                self._busy = link.scope
                if self._why:
                    link.scope.cancel()
                with link.scope:
                    await self._converse(link)
                link.check_heard()
                return await self._part(link)
            finally:
                await close(link.stream)
        except ResignedError as error:
            self.absent = error.stops
            self.commitments.release(self.leader)
            return f"the leader left: {error}"
        except LinkLostError as error:
            self.left_by_leader = True
            return f"the leader left: {error}"
        except SilentLinkError as error:
            self.absent = True
            return f"the leader is lost: {error}"
        except PeerError as error:
            return f"the leader is lost: {error}"
        except ReconfiguredError as error:
            return str(error)

    def stop(self, why: str = "this member stops") -> None:
        """Leave the leader in good order: ``run`` then ends by itself."""
        self._why = self._why or why
        self._busy.cancel()

    async def _connect(self) -> LearnerLink | None:
        """Dial the leader until it listens; None where this member leaves."""
        addresses = [address.quorum for address in self.config.servers[self.leader].addresses]
        longer = (CONNECT_PAUSES_S[-1],) * math.ceil(self.behind_s / CONNECT_PAUSES_S[-1])
        last = trio.current_time() + self.config.connect_s
        for pause_s in (*CONNECT_PAUSES_S, *longer, 0.0):
            if self._why:
                return None
            failure = "no answer"
            # not for longer: its name may lead elsewhere by then
            end = min(trio.current_time() + self.config.transport.cnx_timeout_s, last)
            with trio.CancelScope(deadline=end) as self._busy:
                try:
                    stream = await self.transport.dial(addresses)
                except ConnectionLostError as error:
                    failure = str(error)
                else:
                    return LearnerLink(
                        stream, self.transport.remote(stream), self.config.init_s, self.patience
                    )
                self._busy.deadline = min(trio.current_time() + pause_s, last)
                await trio.sleep_forever()
            if trio.current_time() >= last:
                raise ConnectionLostError(f"no connection in {self.config.connect_s:g} s")
        raise ConnectionLostError(failure)

    async def _converse(self, link: LearnerLink) -> NoReturn:
        await self._discover(link)
        self.tell_phase(Phase.SYNCHRONIZATION)
        synchronized = await self._synchronize(link)
        link.patience_s = self.config.sync_s
        self.tell_epoch(self.epoch)
        await self._acknowledge(link, synchronized)
        self.synced = True
        self.tell_phase(Phase.BROADCAST)
        facts = {"leader": self.leader, "epoch": self.epoch}
        self.log.info("following.synced", **facts, sync=synchronized.sync.name)
        while True:
            await self._take(link, await link.receive())

    async def _discover(self, link: LearnerLink) -> None:
        """Learn the new epoch, once no promise to another leader stands against it.

        Nothing is told before that: else the new epoch would be settled, and accepted by others, while its
        leader can't be followed yet; whoever accepted it could follow no leader of a lower one either.
        One of ours sends NEWLEADER at once, so the epoch is accepted together with that.
        """
        await self._wait_free(link)
        kind = PacketType.OBSERVERINFO if self._observes else PacketType.FOLLOWERINFO
        summary = StateSummary(self.commitments.stored.epoch, self.zxid)
        known, highest = self.commitments.stored.accepted_epoch, self.commitments.highest_epoch
        told = self.commitments.told_epoch(self.leader)
        info = LearnerInfo(
            self.config.myid,
            config_version=self.config.ensemble.version,
            summary=summary,
            accepted_epoch=None if known == highest else known,
        )
        await link.send(QuorumPacket(kind, make_zxid(told, 0), encode_learner_info(info)))
        packet = await link.receive()
        if packet.type != PacketType.LEADERINFO:
            raise MalformedMessageError(f"it sent packet {packet.type}, not LEADERINFO")
        self.epoch = epoch_of(packet.zxid)
        self._lease_s = decode_leader_info(packet.data).lease_s
        self.commitments.refuse_older(self.epoch)
        self.commitments.meet_leader(self.leader, self.epoch)
        await self._wait_free(link)
        if self._lease_s is None:
            is_new = self.epoch > highest
            await self.commitments.accept(self.leader, self.epoch)
            await link.send(self._ackepoch(is_new))

    def _ackepoch(self, counts: bool) -> QuorumPacket:
        epoch = self.commitments.stored.epoch if counts else -1
        return QuorumPacket(PacketType.ACKEPOCH, self.zxid, epoch.to_bytes(4, "big", signed=True))

    async def _wait_free(self, link: LearnerLink) -> None:
        if not self.commitments.binds(self.leader):
            return  # as mostly: the leader before was found gone during the election
        with trio.move_on_after(self.config.init_s):
            lost = await first_of(partial(self.commitments.wait_free, self.leader), link.until_lost)
            if lost:
                raise LinkLostError(lost)
        if self.commitments.binds(self.leader):
            raise ConnectionLostError("the lease of the leader before it has not run out")

    async def _synchronize(self, link: LearnerLink) -> Synchronized:
        """Take in what the leader sends up to NEWLEADER."""
        packet = await link.receive()
        if packet.type not in (PacketType.DIFF, PacketType.TRUNC, PacketType.SNAP):
            raise MalformedMessageError(f"it sent packet {packet.type}, not DIFF, TRUNC or SNAP")
        sync = PacketType(packet.type)
        zxid, held = packet.zxid, sync is PacketType.DIFF and packet.zxid == self.zxid
        if sync is PacketType.SNAP:
            await link.read(read_snapshot())
        while (packet := await link.receive()).type != PacketType.NEWLEADER:
            if packet.type in TRANSACTIONS:
                zxid, held = max(zxid, packet.zxid), False
            await self._reconfigure(packet)
        if epoch_of(packet.zxid) != self.epoch:
            raise MalformedMessageError(
                f"it sent NEWLEADER of epoch {epoch_of(packet.zxid)}, after LEADERINFO of epoch {self.epoch}"
            )
        ensemble = self.membership.read(packet.data)
        seen = await self.membership.see(ensemble)
        strange = ensemble is not None and seen is None and self.membership.is_strange(ensemble)
        return Synchronized(sync, zxid, held, seen, strange)

    async def _acknowledge(self, link: LearnerLink, synchronized: Synchronized) -> None:
        """Acknowledge NEWLEADER, as far as that is the truth, and wait until a quorum has done so."""
        arrived = self.commitments.clock()
        if synchronized.strange and not self._observes:
            raise MalformedMessageError(
                "it leads under a newer configuration with other servers, and reconfigEnabled is false here"
            )
        if not synchronized.held and not self._observes:
            raise UnstoredError(f"{synchronized.sync.name} up to 0x{synchronized.zxid:x}")
        acknowledgement = QuorumPacket(PacketType.ACK, make_zxid(self.epoch, 0))
        acknowledgements = [acknowledgement]
        if self._lease_s is not None:
            followed = None if self._observes else Followed(self.leader, self.epoch, self._lease_s)
            first = await self.commitments.accept(self.leader, self.epoch, followed)
            acknowledgements.insert(0, self._ackepoch(first))
        elif not self._observes:
            await self.commitments.begin(self.epoch)
        self.zxid = synchronized.zxid
        self._promise(link, arrived)
        await link.send(*acknowledgements)
        while (packet := await link.receive()).type != PacketType.UPTODATE:
            await self._take(link, packet)
        await self._adopt(synchronized.ensemble)
        if self._lease_s is not None and not self._observes:
            self.commitments.begin_soon(self.epoch)
        await link.send(acknowledgement)

    def _promise(self, link: LearnerLink, arrived: float) -> None:
        if self._lease_s is not None and not self._observes:
            self.commitments.renew(self.leader, self.epoch, self._lease_s, arrived, link.address)

    async def _take(self, link: LearnerLink, packet: QuorumPacket) -> None:
        """Take in one packet of an established leader; what a member has no use for is ignored."""
        arrived = self.commitments.clock()
        if packet.type == PacketType.PING:
            self._promise(link, arrived)
            # a Java leader expects the sessions that were touched here: none, which is not null
            await link.send(QuorumPacket(PacketType.PING, packet.zxid, packet.data or b""))
            return
        if packet.type == PacketType.RESIGNATION:
            raise ResignedError(stops=packet.data == b"\x01")
        await self._reconfigure(packet)
        if packet.type in TRANSACTIONS:
            if not self._observes:
                raise UnstoredError(f"transaction 0x{packet.zxid:x}")
            self.zxid = max(self.zxid, packet.zxid)

    async def _reconfigure(self, packet: QuorumPacket) -> None:
        """Take in what a packet says of the configuration: observers are told of it once it is committed."""
        if packet.type == PacketType.PROPOSAL and (text := reconfiguration(packet)) is not None:
            self._proposed = await self.membership.see(self.membership.read(text))
        elif packet.type == PacketType.COMMITANDACTIVATE:
            await self._adopt(self._proposed)
        elif packet.type == PacketType.INFORMANDACTIVATE:
            await self._adopt(self.membership.read(reconfiguration(packet)))

    async def _adopt(self, ensemble: Ensemble | None) -> None:
        await self.membership.commit(ensemble, self.leader)
        if self.membership.config.learner_type is not self.config.learner_type:
            raise ReconfiguredError("the configuration gives this member another role")

    async def _part(self, link: LearnerLink) -> str:
        """Leave in good order: once the leader has closed too, it counts on our promise no more."""
        with trio.move_on_after(GOODBYE_S):
            # of another leader, to whom we may be bound, this link says nothing
            if self.synced and await link.say_goodbye():
                await self.commitments.forget()
        return self._why
