"""Leading: the quorum port's other side, from the gates to the last answer that the lease rests on.

Source: ``Leader``. What differs is the lease: a Java leader is one until it finds out; this one only as long
as a quorum's promises last (ARCHITECTURE.md, "The lease").
"""

import math
from collections.abc import Callable, Sequence
from typing import Final

import attrs
import structlog
import trio
from trio.abc import Listener, Stream

from trio_fle.config import MemberConfig
from trio_fle.election.electorate import Electorate
from trio_fle.ensemble import HostPort
from trio_fle.errors import PeerError
from trio_fle.member.admission import Admission
from trio_fle.member.alone import Alone
from trio_fle.member.commitments import Commitments
from trio_fle.member.decisions import QuorumPort
from trio_fle.member.feeds import Signal
from trio_fle.member.learner_handler import LearnerHandler
from trio_fle.member.learner_link import LearnerLink
from trio_fle.member.learners import Learners
from trio_fle.member.looking import LookingVoters
from trio_fle.member.membership import Membership
from trio_fle.member.offered import Offered
from trio_fle.member.oracle import Oracle
from trio_fle.member.patience import Patience
from trio_fle.member.status import Phase
from trio_fle.member.term import Leadership, until_unneeded
from trio_fle.member.together import said
from trio_fle.peers import Transport
from trio_fle.peers.listening import accept_all, close_all
from trio_fle.peers.streams import close
from trio_fle.vote import StateSummary, make_zxid
from trio_fle.wire.packet import PacketType, QuorumPacket
from trio_fle.zab import Discovery, Lease

DOUBT_AT: Final = 2 / 3
"""Part of the lease after which a leader that no quorum has answered gives up: what runs under it has the
rest of the lease to end."""
HAND_OVER_S: Final = 0.1
"""How long a leader that stops keeps its election connections: its followers, which know, elect meanwhile."""


@attrs.define(eq=False)
class Leading:
    """One attempt at leading, and what comes of it.

    ``tell_phase`` is told how far it has come, ``began`` gets the leadership once it is established,
    ``changed`` is called when that has ended, and ``leave`` before anybody else can know of it.
    ``connected`` tells who has an election connection, ``reject`` gets callers that came to nothing,
    ``credible`` says whether a learner is the voter that it claims to be, and ``retire`` is told for how long
    those that elected this member can't follow it. An ``oracle`` may let one of two voters lead alone.
    """

    membership: Membership
    transport: Transport
    port: QuorumPort
    commitments: Commitments
    electorate: Electorate
    looking: LookingVoters
    log: structlog.typing.FilteringBoundLogger
    tell_phase: Callable[[Phase], None]
    changed: Callable[[], None]
    began: Callable[[Leadership], None]
    leave: Callable[[], None]
    connected: Callable[[], frozenset[int]]
    reject: Callable[[HostPort, str], None]
    credible: Callable[[LearnerHandler], bool]
    retire: Callable[[float], None]
    patience: Patience
    oracle: Oracle | None = None
    offered: Offered | None = None
    config: MemberConfig = attrs.field(init=False)
    discovery: Discovery = attrs.field(init=False)
    alone: Alone = attrs.field(init=False)
    lease: Lease = attrs.field(init=False)
    leadership: Leadership | None = attrs.field(default=None, init=False)
    learners: Learners = attrs.field(init=False)
    _granted: float = attrs.field(default=-math.inf, init=False)
    """The latest end of a lease that any answers allowed: past it, no follower keeps its promise to us."""
    _admission: Admission = attrs.field(init=False)
    _proposed: trio.Event = attrs.field(factory=trio.Event, init=False)
    """Set once the new epoch is settled."""
    _changed: Signal = attrs.field(factory=Signal, init=False)
    _establishing: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    _why: str = attrs.field(default="", init=False)
    """Why it is to end, once it is."""
    _stops: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        me, stored, config = self.electorate.me, self.commitments.stored, self.membership.config
        self.config, self.learners = config, Learners(self._lost)
        self._admission = Admission(
            self.membership, self.commitments, self.credible, self.retire, self.give_up, self.log
        )
        self.discovery = Discovery(self.electorate, StateSummary(stored.epoch, stored.zxid))
        self.alone = Alone(self.electorate, self.clock, self.oracle, self._present, config.tick_s)
        self.lease = Lease(me, self._is_quorum, config.sync_s, config.lease_margin, self.alone.until)

    def _is_quorum(self, sids: frozenset[int]) -> bool:
        return self.electorate.is_quorum(sids)  # of the configuration of the moment

    # What handlers ask of it

    @property
    def lease_s(self) -> float:
        """How long followers are to keep their promise."""
        return self.config.sync_s

    @property
    def config_text(self) -> bytes:
        """The configuration that NEWLEADER carries."""
        return self.membership.config.seen.text.encode()

    def clock(self) -> float:
        """Return the time of the lease clock."""
        return self.commitments.clock()

    @property
    def zxid(self) -> int:
        """The last zxid here."""
        return self.discovery.summary.zxid

    async def wait_proposed(self, handler: LearnerHandler) -> int:
        """Pass the first gate; return the new epoch. Raises ``AheadError``."""
        accepted_epoch, summary = handler.accepted_epoch, handler.info.summary
        assert summary is not None, "it was admitted without one"
        if self.discovery.proposed.open:
            self._admission.check_past(handler, self.discovery.new_epoch, leads=self.leadership is not None)
        # whom no configuration names raises no epoch
        known = handler.sid in self.config.servers
        self.discovery.propose(handler.sid, accepted_epoch if known else -1, summary)
        self._changed.give()
        if self.membership.lacks_version or not self.discovery.proposed.open:
            await self._proposed.wait()
        return self.discovery.new_epoch

    def synchronized(self, handler: LearnerHandler, zxid: int, sent_at: float, *, first: bool) -> None:
        """Note that one has come to the second gate: its acknowledgement counts like the answer to a ping."""
        self.learners.end_others(handler, lambda older: True)
        self.learners.expected.discard(handler.sid)
        self.learners.came.add(handler.sid)
        if zxid == make_zxid(self.discovery.new_epoch, 0):
            self.answered(handler, sent_at)
        self.discovery.synchronize(handler.sid, zxid, first=first)
        if not (first or self.discovery.synchronized.open):
            self._admission.meet_spent(handler, self.discovery.new_epoch, self.electorate, self._present())
        self._changed.give()
        if self.leadership is not None:
            handler.up_to_date()

    def offer_accepted(self, sid: int) -> None:
        """Note that a voter has accepted what was offered; one that has come since may have left too."""
        fresh = (offered := self.offered) and offered.stands and sid not in self.learners.came
        if offered and fresh and self.discovery.accept_offer(sid):
            self.learners.expected.add(sid)
            self.lease.answered(sid, offered.at)
            self._recount()

    def answered(self, handler: LearnerHandler, sent_at: float) -> None:
        """Note the answer to what was sent at ``sent_at``."""
        if not handler.observes:
            self.lease.answered(handler.sid, sent_at)
            self.alone.answered(handler.sid, sent_at)
            self._renew()
            if self.leadership is None:
                self._changed.give()

    def _renew(self) -> None:
        self._granted = max(self._granted, self.lease.end())
        if self.leadership is not None:
            self.leadership.renew(self.lease.end())

    def _recount(self) -> None:
        self._renew()
        self._changed.give()

    # The leader's own way

    def give_up(self, reason: str, *, stops: bool = False) -> None:
        """Ask it to end its leadership; ``run`` then ends by itself. ``stops``: so does this member."""
        self._why, self._stops = self._why or reason, self._stops or stops
        self._establishing.cancel()
        self._changed.give()

    async def run(self) -> str:
        """Lead until that ends, and say why. Raises ``StorageError`` where an epoch can't be made durable."""
        try:
            listeners = await self.port.take()
        except OSError as error:
            return self.port.tell_refused(error, self.retire)
        async with trio.open_nursery() as links:
            async with trio.open_nursery() as beside:
                for listener in listeners:
                    beside.start_soon(accept_all, listener, links, self._serve, self._cant_accept)
                self.alone.begin(beside, self.config.ensemble, self.transport, self._recount)
                beside.start_soon(self._ping)
                beside.start_soon(self._doubt)
                stops = True
                try:
                    reason = await self._lead()
                    stops = self._stops
                finally:
                    beside.cancel_scope.cancel()
                    told = await self._part(listeners, stops=stops)
            links.cancel_scope.cancel()
        if stops and told:
            await trio.sleep(HAND_OVER_S)
        return reason

    async def _part(self, listeners: Sequence[Listener[Stream]], *, stops: bool) -> bool:
        """Have all know that this leadership has ended, before the tasks that serve them do.

        Returns whether any followers were told.
        """
        self.alone.end()
        self.leave()
        # before the links: whoever loses its link and finds nobody listening knows that we ended
        await close_all(listeners)
        await self.learners.hang_up(QuorumPacket(PacketType.RESIGNATION, -1, bytes([stops])))
        return bool(self.learners.followers)

    async def _lead(self) -> str:
        try:
            with self._establishing:
                self._why = await self._establish() or self._why
            return self._why if self.leadership is None else await self._keep()
        finally:
            if (leadership := self.leadership) is not None:
                leadership.end("the member stops")
                # in a hurry too: as long as we listen, nobody believes that we are gone
                left_s = min(max(0.0, self._granted - self.clock()), self.config.sync_s)
                with trio.move_on_after(left_s) as scope:
                    scope.shield = True
                    await leadership.wait_vacated()

    async def _establish(self) -> str | None:
        """Pass both gates with a quorum; return why that failed, where it did."""
        me, discovery, passes = self.electorate.me, self.discovery, self.alone.passes
        began = trio.current_time()
        if self.commitments.binds(me):  # seldom: the leader before was found gone during the election
            with trio.move_on_after(self.config.init_s):
                await self.commitments.wait_free(me)
            if self.commitments.binds(me):
                return "the lease of the leader before has not run out"
        known = self.commitments.highest_epoch
        if (offered := self.offered) and offered.propose(discovery, self.port, self.commitments):
            known = offered.epoch - 1
            for sid in offered.accepted_by:
                self.offer_accepted(sid)
        discovery.propose(me, max(known, self.commitments.heard_epoch), discovery.summary)
        if not await self._until(lambda: passes(discovery.proposed)):
            return f"no quorum told its epoch in {self.config.init_s:g} s"
        await self.membership.propose(discovery.new_epoch)
        # learners go on while our own disk works: we pass the next gate ourselves once that is done
        self._proposed.set()
        self.tell_phase(Phase.SYNCHRONIZATION)
        if discovery.new_epoch > self.commitments.stored.accepted_epoch:
            await self.commitments.accept(me, discovery.new_epoch)
        discovery.synchronize(me, make_zxid(discovery.new_epoch, 0), first=True)
        if not await self._until(lambda: passes(discovery.synchronized) and self._doubt_in_s() > 0):
            return f"no quorum was synchronized in {self.config.init_s:g} s"
        if why := await self.membership.commit_pending() or self._why:
            return why  # maybe at the very moment at which nothing else was missing
        self.electorate = self.electorate.under(self.membership.config.ensemble)
        self.commitments.begin_soon(discovery.new_epoch)
        self._begin_leadership(trio.current_time() - began)
        return None

    async def _until(self, done: Callable[[], bool]) -> bool:
        """Wait until learners have made something come true; False where ``initLimit`` ran out."""
        if done():
            return True
        with trio.move_on_after(self.config.init_s):
            while not done():
                await self._changed.wait()
        return done()

    def _begin_leadership(self, took_s: float) -> None:
        lease_end = self.lease.end()
        self._granted = max(self._granted, lease_end)  # that of a quorum by itself was granted by no answer
        self.leadership = Leadership(self.electorate.me, self.discovery.new_epoch, self.clock, lease_end)
        self.log.info(
            "leading.established",
            epoch=self.discovery.new_epoch,
            followers=sorted(self.learners.followers | self.learners.expected),
            duration_ms=round(1000 * took_s, 3),
        )
        self.learners.up_to_date()
        self.tell_phase(Phase.BROADCAST)
        self.began(self.leadership)
        self._ping_all()  # the lease counts from NEWLEADER: the next ping may come too late for it

    async def _ping(self) -> None:
        """Ping all learners every half tick, as long as this member has a link to them."""
        while True:
            self._ping_all()
            await trio.sleep(self.config.tick_s / 2)

    def _ping_all(self) -> None:
        self.learners.ping(make_zxid(self.discovery.new_epoch, 0), self.clock())

    async def _keep(self) -> str:
        """Lead as long as a quorum is linked and answers; then end the leadership, and what runs in it."""
        assert self.leadership is not None
        reason = await self._until_lost()
        overdue_s = max(0.0, self.clock() - self.leadership.lease_end)
        self.leadership.end(reason)
        self.changed()
        tell = self.log.warning if overdue_s else self.log.info
        tell(
            "leading.lost",
            epoch=self.leadership.epoch,
            reason=reason,
            overdue_ms=round(1000 * overdue_s, 3),
        )
        while self.clock() < self._granted:
            # pings go on meanwhile: nobody is told, nor lets go, before what we guard has ended
            with trio.move_on_after(self.config.tick_s / 2):
                await self.leadership.wait_vacated()
                return reason
        return reason

    async def _until_lost(self) -> str:
        usable_s = self.lease.usable_s
        while True:
            if self._why:
                return self._why
            followers = self.learners.following(self.connected())
            if not self._is_quorum(followers | {self.electorate.me}) and not self.alone.may_lead():
                linked = ", ".join(map(str, sorted(followers)))
                return f"too few followers are linked: {linked or 'none'}"
            left_s = self._doubt_in_s()
            if left_s <= 0:
                if not self.learners.followers or not self.alone.may_lead():
                    return f"no quorum answered for {usable_s * DOUBT_AT:.3g} s"
                self.learners.end_followers()  # silent as they are, the oracle lets us lead without them
            with trio.move_on_after(min(max(left_s, 0.001), self.config.tick_s / 2)):
                await self._changed.wait()

    def _doubt_in_s(self) -> float:
        return self.lease.end() - (1 - DOUBT_AT) * self.lease.usable_s - self.clock()

    async def _doubt(self) -> None:
        """Give up where too many voters look for a leader before this member is one."""
        why = await self.looking.until_doubted(self.electorate, self._present, self.config.tick_s)
        if self.leadership is None:
            self.give_up(why)

    def _present(self) -> frozenset[int]:
        """Servers that may still become followers: those with a connection or a link."""
        return self.connected() | {self.electorate.me} | self.learners.sids

    # Learners

    def _cant_accept(self, error: OSError) -> None:
        self.reject(HostPort("accept", 0), error.strerror or str(error))

    async def _serve(self, stream: Stream) -> None:
        """Serve one caller to its end; whatever it does costs it its own link at most."""
        address = self.transport.remote(stream)
        link = LearnerLink(stream, address, self.config.init_s, self.patience)
        try:
            handler = await self._admission.receive(link)
            leads = self.leadership is not None
            self._admission.check(handler, self.electorate, len(self.learners), leads=leads)
            await self._lead_learner(handler)
        except* PeerError as group:
            self.reject(address, said(group))
        finally:
            await close(stream)

    async def _lead_learner(self, handler: LearnerHandler) -> None:
        self.learners.add(handler)
        reason = "another link of it, silence, or too much that it left unread"
        try:
            await handler.run(self)
        except* PeerError as group:
            reason = said(group)
            if not handler.synced:
                raise
        finally:
            self.learners.remove(handler)
            if handler.synced and not handler.observes:
                # a follower that stops in good order keeps its promise until it sees our end closed
                await until_unneeded(self.leadership, self.lease.end, self._granted, self.config.tick_s / 4)
        if handler.synced:
            self.log.info("leading.learner_lost", peer=handler.sid, reason=reason)

    def _lost(self, handler: LearnerHandler, has_another: bool) -> None:
        if not has_another and handler.sid not in self.learners.expected:
            self.lease.lost(handler.sid)
            self.discovery.lose(handler.sid)
        self._changed.give()
