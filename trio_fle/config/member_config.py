"""The configuration of one member, as the rest of the program sees it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from trio_fle.election.options import ElectionOptions
from trio_fle.ensemble import Ensemble, HostPort, Server
from trio_fle.vote import LearnerType

_ADMIN_ADDRESS: Final = HostPort("0.0.0.0", 8080)  # noqa: S104 (ZooKeeper's default)


@attrs.frozen
class TransportOptions:
    """How election connections are made and watched (times in seconds)."""

    cnx_timeout_s: float = 5.0
    """For one dial (``cnxTimeout``)."""

    handshake_timeout_s: float = 10.0
    """For saying who one is (``quorumCnxnTimeoutMs``, else tickTime * syncLimit)."""

    bind_retries: int = 3
    """Tries to bind the election address, a second apart (``electionPortBindRetry``); 0: for ever."""

    keep_alive: bool = True
    """Whether the kernel watches idle connections (``tcpKeepAlive``; on unless set to false)."""

    user_timeout_s: float = 10.0
    """How long sent bytes may stay unacknowledged, and how long a silent host is believed alive."""

    listen_on_all_ips: bool = False
    """``quorumListenOnAllIPs``."""

    multi_address: bool = False
    """``multiAddress.enabled``: several addresses a server, told in a V2 handshake."""


@attrs.frozen
class AdminOptions:
    """Where the member may be asked, and what."""

    enabled: bool = True
    """Whether it answers over HTTP (``admin.enableServer``)."""

    address: HostPort = _ADMIN_ADDRESS
    """Where it does (``admin.serverAddress``, ``admin.serverPort``); a wildcard means every interface."""

    idle_timeout_s: float = 30.0
    """How long an HTTP connection may wait for its next request (``admin.idleTimeout``)."""

    client_address: HostPort | None = None
    """Where it answers four-letter words: the client part of the own server line, or ``clientPort``."""

    whitelist: frozenset[str] = frozenset({"srvr"})
    """Words that are answered (``4lw.commands.whitelist``); ``*`` among them stands for all."""

    def allows(self, word: str) -> bool:
        """Whether a four-letter word may be answered."""
        return word in self.whitelist or "*" in self.whitelist


@attrs.frozen
class MemberConfig:
    """One member of one ensemble. Units as in zoo.cfg: ``tick_time_ms``, limits in ticks."""

    path: Path
    myid: int
    data_dir: Path
    data_log_dir: Path
    tick_time_ms: int
    init_limit: int
    sync_limit: int
    ensemble: Ensemble
    learner_type: LearnerType
    election: ElectionOptions
    transport: TransportOptions
    standalone_enabled: bool = True
    """``standaloneEnabled``: one voter makes a Java server that runs alone, and a member all the same."""
    session_timeouts_ms: tuple[int, int] = (6000, 60_000)
    """Bounds for clients of a Java server (``minSessionTimeout``, ``maxSessionTimeout``)."""
    observer_election_delay_ms: int = 200
    lease_margin: float = 0.1
    """Part of the leader's lease that is not counted on (``fle.leaseMargin``)."""
    connect_limit: int = attrs.field(default=attrs.Factory(lambda self: self.init_limit, takes_self=True))
    """Ticks in which a learner has to reach its leader (``connectToLearnerMasterLimit``, else initLimit)."""
    admin: AdminOptions = AdminOptions()
    advertise: Mapping[int, str] = attrs.field(factory=dict)
    """Address of the user's own service on each server (``fle.advertise.N``)."""
    settings: Mapping[str, str] = attrs.field(factory=dict)
    """Every key as it was read, overrides applied."""
    warnings: tuple[str, ...] = ()
    oracle_path: Path | None = None
    """A file that begins with 1 where this one of two voters may lead alone (``oraclePath``); relative to the
    working directory."""
    trust_empty: bool = False
    """Whether logs without a snapshot are believed (``snapshot.trust.empty``)."""
    autocreate: bool = True
    """Whether an empty data directory stands for an empty history (``db.autocreate``)."""
    seen: Ensemble = attrs.field(default=attrs.Factory(lambda self: self.ensemble, takes_self=True))
    """The newest configuration that a leader proposed: pending where it is newer than ``ensemble``."""
    me: Server = attrs.field(
        default=attrs.Factory(lambda self: self.ensemble.servers[self.myid], takes_self=True)
    )
    """The own server line; the last one, where a configuration names this member no more."""

    def under(self, ensemble: Ensemble) -> "MemberConfig":
        """Return the same member in another configuration, which may give it another role, or none."""
        me = ensemble.servers.get(self.myid)
        client = self.admin.client_address if me is None else me.client or self.admin.client_address
        return attrs.evolve(
            self,
            admin=attrs.evolve(self.admin, client_address=client),
            ensemble=ensemble,
            seen=self.seen if self.seen.version > ensemble.version else ensemble,
            me=me or self.me,
            learner_type=LearnerType.PARTICIPANT if me is None else me.role,
        )

    @property
    def reconfig_enabled(self) -> bool:
        """Whether configurations may change while the member runs (``reconfigEnabled``)."""
        return self.election.reconfig

    @property
    def voters(self) -> frozenset[int]:
        """Ids of those who vote: now, or under the configuration that is pending."""
        return self.ensemble.voters | self.seen.voters

    @property
    def servers(self) -> Mapping[int, Server]:
        """All that are known; whom the present configuration does not name, the pending one may."""
        return {**self.seen.servers, **self.ensemble.servers}

    @property
    def tick_s(self) -> float:
        """One tick."""
        return self.tick_time_ms / 1000

    @property
    def init_s(self) -> float:
        """How long a learner may take to be synchronized (``initLimit`` ticks)."""
        return self.init_limit * self.tick_s

    @property
    def sync_s(self) -> float:
        """How long leader and learner may be silent; the length of the lease (``syncLimit`` ticks)."""
        return self.sync_limit * self.tick_s

    @property
    def connect_s(self) -> float:
        """How long a learner may try to reach its leader (``connectToLearnerMasterLimit`` ticks)."""
        return (self.connect_limit or self.init_limit) * self.tick_s
