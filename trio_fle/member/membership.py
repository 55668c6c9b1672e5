"""Under which configuration this member lives, and what a newer one changes.

A configuration is *seen* once a leader has proposed it: from then on its quorum is needed as well. It is
*adopted* once it is known to be committed: the leader that this member follows says so, or, while it looks
for one, any configured server. Nothing of that happens unless ``reconfigEnabled``. Source: ``QuorumPeer``
(``setLastSeenQuorumVerifier``, ``processReconfig``), ``Leader.lead``, ``FastLeaderElection``.
"""

from collections.abc import Callable, Mapping, Sequence

import attrs
import structlog
import trio

from trio_fle.config import MemberConfig
from trio_fle.config.belonging import belonging_text
from trio_fle.election.events import ConfigCommitted, ConfigSeen
from trio_fle.election.round import OBSERVER_RESEND_MAX_S
from trio_fle.ensemble import Ensemble, HostPort
from trio_fle.member.config_texts import usable_ensemble
from trio_fle.member.electing import ElectionTask
from trio_fle.member.feeds import Signal
from trio_fle.peers import ConnectionManager, Identity
from trio_fle.peers.peer import REDIAL_MAX_S
from trio_fle.quorum import always_meet
from trio_fle.storage import ConfigFiles, Storage
from trio_fle.vote import LearnerType, hex64, make_zxid
from trio_fle.wire import Protocol


def identity_of(config: MemberConfig) -> Identity:
    """Return who a member is on its election port."""
    protocol = Protocol.V2 if config.transport.multi_address else Protocol.V1
    return Identity(config.myid, tuple(address.election for address in config.me.addresses), protocol)


def redial_max_s(config: MemberConfig) -> float:
    """Return the longest wait between two dials of a voter: none dials an observer unasked."""
    return OBSERVER_RESEND_MAX_S if config.learner_type is LearnerType.OBSERVER else REDIAL_MAX_S


@attrs.define(eq=False)
class Membership:
    """The present ``config`` of a member, and the way to the next: durable first, then lived by.

    ``changed`` is called after each change, and ``nursery`` is set before an election runs.
    """

    config: MemberConfig
    files: ConfigFiles
    storage: Storage
    election: ElectionTask
    manager: ConnectionManager
    log: structlog.typing.FilteringBoundLogger
    changed: Callable[[], None] = lambda: None
    nursery: trio.Nursery = attrs.field(init=False)
    _undurable: Ensemble | None = attrs.field(default=None, init=False)
    """What the election has adopted, until it is durable."""
    _before: Ensemble = attrs.field(init=False)
    """The configuration that is on disk."""
    reconfigured: Signal = attrs.field(factory=Signal, init=False)
    """Given whenever this member lives under another configuration."""
    _remembered: Ensemble | None = attrs.field(default=None, init=False)
    _writing: trio.Lock = attrs.field(factory=trio.Lock, init=False)

    def __attrs_post_init__(self) -> None:
        self._before = self.config.ensemble

    def peers(self) -> tuple[Sequence[int], Mapping[int, tuple[HostPort, ...]]]:
        """Return all voters, to stay connected with, and the election addresses of every server."""
        config = self.config
        addresses = {
            sid: tuple(address.election for address in server.addresses)
            for sid, server in config.servers.items()
        }
        return sorted(config.voters), addresses

    def belong(self) -> None:
        """Keep, in good time, that this member belongs to the ensemble: it has a leader there."""
        if self.config.ensemble is not self._remembered:
            self._remembered = self.config.ensemble
            self.nursery.start_soon(self.storage.remember_ensemble, belonging_text(self._remembered))

    def read(self, text: bytes | None) -> Ensemble | None:
        """Return the configuration of a text that somebody sent; None where it is of no use."""
        if text == self.config.ensemble.text.encode():
            return self.config.ensemble  # as nearly always, and in the middle of an election
        return usable_ensemble(text, oracle=self.config.oracle_path is not None)

    def adopted(self, sender: int, ensemble: Ensemble) -> None:
        """Take in what the election has adopted: it has begun anew; what it decides waits for the disk."""
        self._undurable = ensemble
        self._live_under(ensemble, sender)
        self.nursery.start_soon(self.settle)

    async def settle(self) -> None:
        """Wait until what was adopted is durable. Raises ``StorageError`` where that is impossible."""
        while self._undurable is not None:
            async with self._writing:
                ensemble = self._undurable
                if ensemble is not None:
                    await self._commit(ensemble)
                    if self._undurable is ensemble:
                        self._undurable = None

    async def see(self, ensemble: Ensemble | None) -> Ensemble | None:
        """Note a configuration that a leader proposes; return it, or None where it is no newer one.

        Its quorum is needed too from now on, whatever becomes of the leader.
        """
        if ensemble is None or not self._is_newer(ensemble):
            return None
        if ensemble.version > self.config.seen.version:
            async with self._writing:
                await self.files.keep_pending(ensemble)
            self.config = attrs.evolve(self.config, seen=ensemble)
            self.election.put(self.config.myid, ConfigSeen(ensemble))
            self.election.live_under(self.config.ensemble, ensemble)
            self.manager.set_peers(*self.peers())
        return ensemble

    async def commit(self, ensemble: Ensemble | None, sender: int) -> bool:
        """Adopt a configuration that is committed, as the leader ``sender`` says; whether that was news."""
        if ensemble is None or not self._is_newer(ensemble):
            return False
        async with self._writing:
            await self._commit(ensemble)
        self.election.put(self.config.myid, ConfigCommitted(ensemble))
        self._live_under(ensemble, sender)
        self.belong()
        return True

    @property
    def lacks_version(self) -> bool:
        """Whether the configuration never changed, so that its first version is yet to be given."""
        return self.config.reconfig_enabled and self.config.seen.version == 0

    async def propose(self, epoch: int) -> None:
        """Propose what this member leads under: its first version is of ``epoch``."""
        if self.lacks_version:
            await self.see(attrs.evolve(self.config.ensemble, version=make_zxid(epoch, 0)))

    async def commit_pending(self) -> str | None:
        """Adopt what is pending, as quorums of both follow this member; return why it can't lead then."""
        before = self.config
        await self.commit(before.seen, before.myid)
        me, voters = self.config.me, self.config.ensemble.voters
        if before.myid not in voters:
            return "the configuration gives this member no vote"
        if [each.quorum for each in me.addresses] != [each.quorum for each in before.me.addresses]:
            return "the configuration gives this member another quorum address"
        return None

    def is_strange(self, ensemble: Ensemble) -> bool:
        """Whether a configuration is newer than ours, and a quorum of it and one of ours need not meet.

        Where it can't be adopted (``reconfigEnabled`` is false), who leads under it must not be acknowledged.
        """
        ours = self.config.ensemble
        return ensemble.version > ours.version and not always_meet(ensemble.verifier, ours.verifier)

    def _is_newer(self, ensemble: Ensemble) -> bool:
        return self.config.reconfig_enabled and ensemble.version > self.config.ensemble.version

    async def _commit(self, ensemble: Ensemble) -> None:
        config = self.config.under(ensemble)
        me = ensemble.servers.get(config.myid)
        # a start in the middle of this may find either of them
        await self.storage.remember_ensemble(belonging_text(self._before, ensemble))
        self._before = ensemble
        await self.files.commit(
            ensemble,
            own_client=me is not None and me.client is not None,
            drop_pending=config.seen is ensemble,
        )

    def _live_under(self, ensemble: Ensemble, sender: int) -> None:
        before, self.config = self.config, self.config.under(ensemble)
        self.log.info("config.adopted", version=hex64(ensemble.version), from_peer=sender)
        if ensemble.servers.get(self.config.myid) is None:
            self.log.warning(
                "config.not_a_member",
                version=hex64(ensemble.version),
                ours=hex64(before.ensemble.version),
                from_peer=sender,
            )
        several = any(len(server.addresses) > 1 for server in ensemble.servers.values())
        if several and not self.config.transport.multi_address:
            self.log.warning(
                "config.warning",
                reason="servers have several addresses now: the next start refuses that, unless zoo.cfg says "
                "multiAddress.enabled=true",
            )
        self.election.live_under(ensemble, self.config.seen)
        self.manager.redial_max_s = redial_max_s(self.config)
        self.manager.set_peers(*self.peers())
        if identity_of(self.config) != identity_of(before):
            self.manager.move(identity_of(self.config))
        self.reconfigured.give()
        self.changed()
