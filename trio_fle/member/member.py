"""The member: LOOKING, then a role, then LOOKING again."""

import random
from typing import Final

import attrs
import structlog
import trio

from trio_fle import __version__
from trio_fle.config import MemberConfig
from trio_fle.election.events import Decided, Established, Leave, Look, Reserved, VoterLooking
from trio_fle.election.stalled import Because, Stalled, diagnose
from trio_fle.member.acquaintances import Acquaintances
from trio_fle.member.candidacy import Candidacy
from trio_fle.member.commitments import Commitments
from trio_fle.member.decisions import Decisions, QuorumPort
from trio_fle.member.electing import ElectionTask
from trio_fle.member.explaining import Explainer
from trio_fle.member.feeds import Changes, Signal, Terms
from trio_fle.member.following import Learner, UnstoredError
from trio_fle.member.gone import GoneLeader
from trio_fle.member.inquiring import Inquiry
from trio_fle.member.leading import Leading
from trio_fle.member.learner_handler import LearnerHandler
from trio_fle.member.looking import LookingVoters
from trio_fle.member.membership import Membership
from trio_fle.member.oracle import Oracle
from trio_fle.member.patience import Patience
from trio_fle.member.status import MemberStatus, Phase
from trio_fle.member.succession import Succession
from trio_fle.member.term import Leadership
from trio_fle.member.watching import Watch
from trio_fle.peers import ConnectionManager, Transport
from trio_fle.peers.quiet import Backoff
from trio_fle.vote import LearnerType, PeerState

PAUSE_FIRST_S: Final = 0.01
PAUSE_MAX_S: Final = 0.2


@attrs.define(eq=False, repr=False)
class Member:
    """A member of an ensemble; made by ``open_member``."""

    membership: Membership
    transport: Transport
    commitments: Commitments
    election: ElectionTask
    manager: ConnectionManager
    log: structlog.typing.FilteringBoundLogger
    rng: random.Random = attrs.field(factory=random.Random)
    changed: Signal = attrs.field(factory=Signal, init=False)
    """Given whenever the status may have changed."""
    leadership: Leadership | None = attrs.field(default=None, init=False)
    """The leadership of this member, while it has one."""
    oracle: Oracle | None = attrs.field(default=None, init=False)
    """Where it has one, which may let one of two voters lead alone."""
    looking: LookingVoters = attrs.field(factory=LookingVoters, init=False)
    explainer: Explainer = attrs.field(init=False)
    inquiry: Inquiry = attrs.field(init=False)
    gone: GoneLeader = attrs.field(init=False)
    patience: Patience = attrs.field(factory=Patience, init=False)
    _acquaintances: Acquaintances = attrs.field(init=False)
    _phase: Phase = attrs.field(default=Phase.ELECTION, init=False)
    _learner: Learner | None = attrs.field(default=None, init=False)
    _leading: Leading | None = attrs.field(default=None, init=False)
    _electing: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    _lost: int | None = attrs.field(default=None, init=False)
    """The leader that was given up for its silence, or that stops, until we have looked for another."""
    _zxid: int = attrs.field(init=False)
    _stopping: bool = attrs.field(default=False, init=False)
    _stopped: trio.Event = attrs.field(factory=trio.Event, init=False)
    _pauses: Backoff = attrs.field(factory=lambda: Backoff(PAUSE_FIRST_S, PAUSE_MAX_S), init=False)
    """Before the outcome of an election is acted on, where those before came to nothing."""
    _candidacy: Candidacy = attrs.field(init=False)
    _port: QuorumPort = attrs.field(init=False)
    _decisions: Decisions = attrs.field(init=False)
    _succession: Succession = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.inquiry = Inquiry(self.membership, self.transport)
        self.explainer = Explainer(self._diagnose, self.changed, self.inquiry.begin, self.log)
        self.gone = GoneLeader(self.commitments, lambda: self.config.servers, self.transport, self.log)
        self.membership.changed = self.changed.give
        self._acquaintances = Acquaintances(self.config.myid, self.manager)
        self._zxid = self.commitments.stored.zxid
        self._port = QuorumPort(
            self.transport, lambda: [each.quorum for each in self.config.me.addresses], self.log
        )
        self._decisions = Decisions(self._port, self.config.election.finalize_wait_s)
        self._candidacy = Candidacy(lambda: self.config.election.candidate)
        self._succession = Succession(
            self.membership,
            self.commitments,
            self.election,
            self._decisions,
            self.rng,
            self.changed,
            lambda: (self._learner, self._leading),
        )
        self.election.decided, self.election.favoured = self._decisions.decided, self._decisions.favoured
        self.election.adopted = self.membership.adopted
        self.election.voter_looking, self.election.heard_looking = (
            self._voter_looking,
            self.gone.heard_looking,
        )

    def __repr__(self) -> str:
        return f"<Member {self.config.myid} {self.election.fle.state.name}>"

    # What users ask of it

    @property
    def config(self) -> MemberConfig:
        """What this member was configured to be, under the present configuration of the ensemble."""
        return self.membership.config

    @property
    def status(self) -> MemberStatus:
        """What this member is at this moment."""
        fle, stored, ensemble = self.election.fle, self.commitments.stored, self.config.ensemble
        settled = fle.election is None and fle.state is not PeerState.LOOKING
        vote = fle.current_vote if fle.election is None else fle.election.proposal
        leadership, learner = self.leadership, self._learner
        # who only observes or votes does not make its leader's epoch its own, and tells it all the same
        led = learner is not None and self._phase is Phase.BROADCAST
        return MemberStatus(
            myid=self.config.myid,
            state=fle.state,
            phase=self._phase,
            leader=vote.leader if settled and vote is not None else None,
            epoch=learner.epoch if learner is not None and led else stored.epoch,
            accepted_epoch=self.commitments.highest_epoch,
            zxid=self._zxid if learner is None else learner.zxid,
            round=fle.round,
            vote=vote,
            config_version=ensemble.version,
            config_text=ensemble.text,
            listed=self.config.myid in ensemble.servers,
            peers=self._acquaintances.under(ensemble),
            synced=self._phase is Phase.BROADCAST and (learner is None or learner.synced),
            lease_end=leadership.lease_end if leadership is not None and leadership.live else None,
            stalled=None if self._phase is Phase.BROADCAST else self.explainer.stalled,
        )

    def clock(self) -> float:
        """Return the time of the lease clock (seconds; it counts on while the machine sleeps)."""
        return self.commitments.clock()

    def terms(self) -> Terms:
        """Return the terms of our leadership, from the present one on."""
        return Terms(self)

    def changes(self) -> Changes:
        """Return the status now, and whenever it changes."""
        return Changes(self)

    async def wait_for_leader(self) -> MemberStatus:
        """Wait until an established leader is known, this member or another; return the status."""
        await trio.lowlevel.checkpoint()
        while not (status := self.status).has_leader(self.clock()):
            await self.changed.wait()
        return status

    async def resign(self) -> None:
        """Give up leading in good order, and wait until that is done; nothing for one that does not lead.

        Whatever runs in the term ends first. For ``initLimit`` ticks, or until another one leads, this
        member is no candidate.
        """
        await trio.lowlevel.checkpoint()
        if (leading := self._leading) is not None:
            self._candidacy.retire(self.config.init_s)
            leading.give_up("resigned")
            while self._leading is leading:
                await self.changed.wait()

    async def stop(self) -> None:
        """End the member in good order, and wait until that is done: a leader resigns, a follower leaves."""
        self._stopping = True
        self._electing.cancel()
        if self._leading is not None:
            self._leading.give_up("this member stops", stops=True)
        if self._learner is not None:
            self._learner.stop()
        await self._stopped.wait()

    # How it lives

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Elect, play a role, and elect again, until stopped or cancelled; started once listening.

        Raises ``ListenError`` where the election port can't be had, ``StorageError`` where an epoch can't
        be made durable.
        """
        self._look()  # before anybody can be heard: a vote must find its election begun
        async with trio.open_nursery() as nursery:
            for part in (self.gone, self.membership, self.inquiry):
                part.nursery = nursery
            await nursery.start(self.manager.run, *self.membership.peers())
            self.log.info(
                "member.started",
                version=__version__,
                config=str(self.config.path),
                servers=[f"server.{sid}={server}" for sid, server in sorted(self.config.servers.items())],
                zxid=self._zxid,
                epoch=self.commitments.stored.epoch,
                accepted_epoch=self.commitments.highest_epoch,
            )
            task_status.started()
            for run in (self.election.run, self.explainer.run, self.patience.run, self._succession.run):
                nursery.start_soon(run)
            nursery.start_soon(self.changed.pass_on, self.manager.wait_changed)
            if self.oracle is not None:
                nursery.start_soon(self.oracle.run)
            self.gone.find_out()
            try:
                await self._live()
            finally:
                await self._port.close()
            nursery.cancel_scope.cancel()
        self._stopped.set()

    async def _live(self) -> None:
        while (decided := await self._elect()) is not None:
            self._log_state(PeerState.LOOKING, decided.state, decided.vote.leader, decided.vote.epoch)
            self.looking.begin(decided.round)
            await self.membership.settle()
            reason = await self._play(decided)
            if self._phase is Phase.BROADCAST:
                self._pauses.reset()
            self._set_phase(Phase.ELECTION)
            stored = self.commitments.stored
            self._log_state(decided.state, PeerState.LOOKING, None, stored.epoch, reason=reason)
            if self._stopping:
                return
            if decided.state is PeerState.OBSERVING:
                await trio.sleep(self.rng.uniform(0, self.config.observer_election_delay_ms / 1000))
            # of a leader that is only silent it may never be known that it has ended
            ended = self.gone.suspected or self.commitments.promise is None
            self._look(reserved=await self._succession.reserved(ended))
            if self.gone.suspected:
                self.gone.find_out()

    def _look(self, *, again: bool = False, reserved: Reserved | None = None) -> None:
        stored, lost, self._lost = self.commitments.stored, self._lost, None
        look = Look(stored.zxid, stored.epoch, self._candidacy.decide(), again, lost, reserved)
        self.election.put(self.config.myid, look)

    async def _elect(self) -> Decided | None:
        """Wait for the outcome of the election; None where this member stops."""
        while not self._stopping:
            with trio.CancelScope() as self._electing:
                if (pause_s := self._pauses.next()) > 0:
                    await trio.sleep(pause_s)
                if self._candidacy.abstains:
                    self._electing.deadline = self._candidacy.until
                decided = await self.explainer.explain(self._decisions.next)
                return None if self._stopping else decided
            if not self._stopping:
                self._look(again=True)  # nobody else was elected: stand for election
        return None

    async def _play(self, decided: Decided) -> str:
        """Play the role that the election gave this member; return why it ended."""
        self._set_phase(Phase.DISCOVERY)
        if self.commitments.binds(decided.vote.leader):
            self.gone.find_out()
        if decided.state is PeerState.LEADING:
            return await self._lead()
        await self._port.close()
        return await self._follow(decided)

    async def _lead(self) -> str:
        self._leading = Leading(
            self.membership,
            self.transport,
            self._port,
            self.commitments,
            self.election.fle.electorate,
            self.looking,
            self.log,
            self._set_phase,
            self.changed.give,
            self._begin_leadership,
            lambda: self.election.put(self.config.myid, Leave()),
            lambda: self.manager.connected,
            self.manager.reject,
            self._is_credible,
            self._candidacy.retire,
            self.patience,
            self.oracle,
            self._succession.offered,
        )
        try:
            return await self.explainer.explain(self._leading.run)
        finally:
            self._leading = self.leadership = None
            self.changed.give()

    def _begin_leadership(self, leadership: Leadership) -> None:
        self.leadership = leadership
        self._candidacy.prove()
        self._tell_epoch(leadership.epoch)
        self.changed.give()

    def _is_credible(self, handler: LearnerHandler) -> bool:
        """Whether a learner comes from the host of the voter that it claims to be."""
        voter = handler.sid in self.config.voters and not handler.observes
        return voter and self._acquaintances.is_at(handler.sid, handler.link.host)

    async def _follow(self, decided: Decided) -> str:
        leader = decided.vote.leader
        self._learner = learner = Learner(
            self.config,
            self.membership,
            self.transport,
            self.commitments,
            leader,
            self.log,
            self.patience,
            self._set_phase,
            self._tell_epoch,
            self._zxid,
            self.config.election.finalize_wait_s if decided.settled.is_early else 0.0,
        )
        try:
            reason = await self.explainer.explain(self._learn)
        except UnstoredError as error:
            self.log.warning(
                "following.unsynced",
                leader=leader,
                epoch=learner.epoch,
                reason=f"the leader has what this member does not store ({error}): it votes, and no more",
            )
            return await self._watch(leader)
        finally:
            self._learner = None
        if learner.synced:
            self.log.info("following.lost", leader=leader, epoch=learner.epoch, reason=reason)
        return reason

    async def _learn(self) -> str:
        learner = self._learner
        assert learner is not None
        try:
            return await learner.run()
        finally:
            if self.config.learner_type is LearnerType.OBSERVER:
                self._zxid = learner.zxid
            self.gone.suspected = learner.left_by_leader
            if learner.absent:
                self._lost = learner.leader

    async def _watch(self, leader: int) -> str:
        self._set_phase(Phase.BROADCAST)
        with trio.CancelScope() as self._electing:
            if self._stopping:
                self._electing.cancel()
            return await Watch(
                self.config, self.membership, self.transport, self.manager, self.looking, leader
            ).run()
        return "this member stops"

    # What it is told

    def _voter_looking(self, voter: VoterLooking) -> None:
        if (connection := self.manager.connection(voter.sender)) is not None:
            self.looking.note(voter, connection.promoted_at)
        learner, again = self._learner, voter.round > self.election.fle.voted_in
        if learner is not None and again and voter.sender == learner.leader and not learner.synced:
            learner.stop("the leader looks for one itself")  # it has given up, and may never have listened

    def _tell_epoch(self, epoch: int) -> None:
        self.election.put(self.config.myid, Established(epoch))

    def _set_phase(self, phase: Phase) -> None:
        self._phase = phase
        if phase is Phase.BROADCAST:
            self.membership.belong()
        self.changed.give()

    # What it says

    def _diagnose(self) -> Stalled | None:
        promise = self.commitments.promise
        if self._leading is not None and (waits_for := self._leading.alone.waits_for()) is not None:
            return Stalled(Because.WAITING_LEASE, (waits_for,), self.election.fle.round)
        if self._phase is Phase.DISCOVERY and promise is not None:
            towards = self.status.leader
            if towards is not None and self.commitments.binds(towards):
                return Stalled(Because.WAITING_LEASE, (promise.leader,), self.election.fle.round)
        return diagnose(self.election.fle, self.manager.connected)

    def _log_state(
        self, before: PeerState, after: PeerState, leader: int | None, epoch: int, **more: str
    ) -> None:
        states = {"from": before.name, "to": after.name}
        self.log.info("member.state", **states, leader=leader, epoch=epoch, **more)
