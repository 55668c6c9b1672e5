"""The member: LOOKING, then a role, then LOOKING again."""

import random
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Final

import attrs
import structlog
import trio

from trio_fle.config import MemberConfig
from trio_fle.election.electorate import Electorate
from trio_fle.election.events import Decided, Look, VoterLooking
from trio_fle.election.fle import FastLeaderElection
from trio_fle.election.round import OBSERVER_RESEND_MAX_S
from trio_fle.election.stalled import diagnose
from trio_fle.errors import FleError
from trio_fle.member.electing import ElectionTask
from trio_fle.member.roles import LookingVoters, follow, lead
from trio_fle.peers import ConnectionManager, Identity, Transport
from trio_fle.storage import StoredVote
from trio_fle.vote import LearnerType, PeerState
from trio_fle.wire import Protocol

STALLED_FIRST_S: Final = 2.0
"""An election that takes longer says why, and again each time this wait has doubled."""


LoadVote = Callable[[], Awaitable[StoredVote]]
"""Reads the vote of the data directory; injected, so that simulations keep it in memory."""


async def run_member(
    config: MemberConfig,
    transport: Transport,
    load_vote: LoadVote,
    log: structlog.typing.FilteringBoundLogger,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Be a member of the ensemble until cancelled; started once listening.

    Raises ``StorageError`` where the data directory can't be used, ``ListenError`` where the election
    port can't be had. Any other error is a bug, and ends the member rather than leave it half alive.
    """
    stored = await load_vote()
    member = Member.build(config, transport, stored, log)
    try:
        await member.run(task_status=task_status)
    except BaseExceptionGroup as group:
        if (cause := _only_fle_error(group)) is not None:
            raise cause from group
        raise


@attrs.define(eq=False)
class Member:
    """One member: the election, the connections, and the role between elections."""

    config: MemberConfig
    stored: StoredVote
    election: ElectionTask
    manager: ConnectionManager
    looking: LookingVoters
    log: structlog.typing.FilteringBoundLogger
    rng: random.Random = attrs.field(factory=random.Random)
    _send: trio.MemorySendChannel[Decided] = attrs.field(init=False)
    _decisions: trio.MemoryReceiveChannel[Decided] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._send, self._decisions = trio.open_memory_channel[Decided](1)
        self.election.decided = self._send.send_nowait
        self.election.voter_looking = self._voter_looking
        self.election.leader_left = self.looking.note_left

    @classmethod
    def build(
        cls,
        config: MemberConfig,
        transport: Transport,
        stored: StoredVote,
        log: structlog.typing.FilteringBoundLogger,
    ) -> "Member":
        """Put a member's parts together; nothing runs yet."""
        electorate = Electorate(
            config.myid, config.learner_type, config.election.candidate, config.ensemble, config.ensemble
        )
        looking = LookingVoters()
        fle = FastLeaderElection(electorate, config.election)
        election = ElectionTask(fle, log)
        protocol = Protocol.V2 if config.transport.multi_address else Protocol.V1
        addresses = tuple(address.election for address in config.me.addresses)
        identity = Identity(config.myid, addresses, protocol)
        manager = ConnectionManager(identity, config.transport, transport, election.deliver, log)
        if config.learner_type is LearnerType.OBSERVER:
            manager.redial_max_s = OBSERVER_RESEND_MAX_S  # no voter dials an observer unasked
        election.manager = manager
        return cls(config, stored, election, manager, looking, log)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Elect, play a role, and elect again, until cancelled."""
        ensemble = self.config.ensemble
        configured = {
            sid: tuple(address.election for address in server.addresses)
            for sid, server in ensemble.servers.items()
        }
        self._look()  # before anybody can be heard: a vote must find its election begun
        async with trio.open_nursery() as nursery:
            await nursery.start(self.manager.run, sorted(ensemble.voters), configured)
            self.log.info(
                "member.started",
                version=version("trio-fle"),
                config=str(self.config.path),
                servers=[f"server.{sid}={server}" for sid, server in sorted(ensemble.servers.items())],
                zxid=self.stored.zxid,
                epoch=self.stored.epoch,
            )
            task_status.started()
            nursery.start_soon(self.election.run)
            await self._live()

    async def _live(self) -> None:
        state = PeerState.LOOKING
        while True:
            decided = await self._elect()
            self._log_state(state, decided.state, decided.vote.leader, decided.vote.epoch)
            self.looking.begin(decided.round)
            reason = await self._play(decided)
            self._log_state(decided.state, PeerState.LOOKING, None, decided.vote.epoch, reason=reason)
            if decided.state is PeerState.OBSERVING:
                await trio.sleep(self.rng.uniform(0, self.config.observer_election_delay_ms / 1000))
            self._look()

    def _voter_looking(self, voter: VoterLooking) -> None:
        connection = self.manager.connection(voter.sender)
        if connection is not None:
            self.looking.note(voter, connection.promoted_at)

    def _look(self) -> None:
        self.election.put(self.config.myid, Look(self.stored.zxid, self.stored.epoch))

    async def _elect(self) -> Decided:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._explain)
            decided = await self._decisions.receive()
            nursery.cancel_scope.cancel()
        return decided

    async def _explain(self) -> None:
        """Say why an election takes long: after a while, and whenever that has doubled."""
        wait_s = STALLED_FIRST_S
        while True:
            await trio.sleep(wait_s)
            stalled = diagnose(self.election.fle, self.manager.connected)
            if stalled is not None:
                self.log.warning(
                    "election.stalled",
                    because=stalled.because.value,
                    missing=list(stalled.missing),
                    round=stalled.round,
                )
            wait_s *= 2

    async def _play(self, decided: Decided) -> str:
        tick_s = self.config.tick_time_ms / 1000
        if decided.state is PeerState.LEADING:
            init_s = tick_s * self.config.init_limit
            return await lead(self.election.fle, self.manager, self.looking, tick_s, init_s)
        return await follow(decided.vote.leader, self.manager, self.looking, tick_s)

    def _log_state(
        self, before: PeerState, after: PeerState, leader: int | None, epoch: int, **more: str
    ) -> None:
        facts = {"from": before.name, "to": after.name, "leader": leader, "epoch": epoch}
        self.log.info("member.state", **facts, **more)


def _only_fle_error(group: BaseExceptionGroup[BaseException]) -> FleError | None:
    """Return the one thing that went wrong, if it was foreseen and nothing else did."""
    if len(group.exceptions) != 1:
        return None
    (error,) = group.exceptions
    if isinstance(error, BaseExceptionGroup):
        return _only_fle_error(error)
    return error if isinstance(error, FleError) else None
