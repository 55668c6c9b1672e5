"""The configuration of one member, as the rest of the program sees it."""

from collections.abc import Mapping
from pathlib import Path

import attrs

from trio_fle.election.options import ElectionOptions
from trio_fle.ensemble import Ensemble, Server
from trio_fle.vote import LearnerType


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
    reconfig_enabled: bool = False
    observer_election_delay_ms: int = 200
    lease_margin: float = 0.1
    """Part of the leader's lease that is not counted on (``fle.leaseMargin``)."""
    advertise: Mapping[int, str] = attrs.field(factory=dict)
    """Address of the user's own service on each server (``fle.advertise.N``)."""
    settings: Mapping[str, str] = attrs.field(factory=dict)
    """Every key as it was read, overrides applied."""
    warnings: tuple[str, ...] = ()

    @property
    def me(self) -> Server:
        """The own server line."""
        return self.ensemble.servers[self.myid]
