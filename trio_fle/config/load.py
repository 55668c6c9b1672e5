"""zoo.cfg -> one frozen ``MemberConfig``, or one line that says what to mend."""

import difflib
import itertools
import math
import os
from collections.abc import Mapping
from pathlib import Path

from trio_fle.config.admin import admin_options
from trio_fle.config.belonging import ACCEPT, check_belonging
from trio_fle.config.checks import check_other_keys, session_timeouts_ms, warn_relative
from trio_fle.config.keys import BARE_PROPERTIES, KNOWN, UNSUPPORTED, is_known, is_member_key
from trio_fle.config.member_config import MemberConfig, TransportOptions
from trio_fle.config.myid import read_myid
from trio_fle.config.properties import put_below, read_properties
from trio_fle.config.rewriting import next_path, read_pending
from trio_fle.config.servers import load_ensemble
from trio_fle.config.settings import BYTE_ORDER_MARK, Settings
from trio_fle.election.options import ElectionOptions
from trio_fle.ensemble import Ensemble
from trio_fle.errors import ConfigError
from trio_fle.vote import LearnerType

_DEFAULT_TICK_MS = 3000
_DEFAULT_BIND_RETRIES = 3
_RENEWAL_TICKS = 1
"""Half a tick until the next ping, and half a tick for its answer."""


def load_config(
    path: str | os.PathLike[str],
    *,
    overrides: Mapping[str, str] | None = None,
    myid: int | None = None,
    data_dir: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> MemberConfig:
    """Read a zoo.cfg, the dynamic file it names, and ``dataDir/myid``. Blocking; no name is looked up.

    ``overrides`` stand above the file, ``myid`` above the file of that name, ``data_dir`` above
    ``dataDir``; below the file are the system properties in ``JVMFLAGS`` and ``SERVER_JVMFLAGS`` of
    ``environ``, where a Java server reads them. Nothing is created or written. Raises ``ConfigError``: one
    line that names file, line and key, and says what to do.
    """
    settings = _read_settings(Path(path), overrides or {}, data_dir, environ or {})
    data = Path(settings.required("dataDir", "/var/lib/zookeeper"))
    ensemble = load_ensemble(settings)
    if not settings.boolean(ACCEPT, False):
        unknown = [text for text in settings.warnings if ": unknown key" in text]
        check_belonging(data, ensemble, settings.source, unknown)
    sid = _known(settings, ensemble, read_myid(data) if myid is None else myid)
    return _member_config(Path(path), sid, data, settings, ensemble)


def _member_config(path: Path, sid: int, data: Path, settings: Settings, ensemble: Ensemble) -> MemberConfig:
    tick_ms = settings.integer("tickTime", _DEFAULT_TICK_MS, at_least=1, hint="give milliseconds, as in 2000")
    init_limit = _required_ticks(settings, "initLimit", "10")
    sync_limit = _required_ticks(settings, "syncLimit", "5")
    learner_type = _learner_type(settings, ensemble, sid)
    election = _election_options(settings)
    check_other_keys(settings)
    return MemberConfig(
        path=path,
        myid=sid,
        data_dir=data,
        data_log_dir=Path(settings.text("dataLogDir") or data),
        tick_time_ms=tick_ms,
        init_limit=init_limit,
        sync_limit=sync_limit,
        ensemble=ensemble,
        learner_type=learner_type,
        election=election,
        transport=_transport_options(settings, tick_ms * sync_limit / 1000),
        standalone_enabled=settings.boolean("standaloneEnabled", True),
        session_timeouts_ms=session_timeouts_ms(settings, tick_ms),
        observer_election_delay_ms=settings.property_integer(
            "observer.election.DelayMs", 200, at_least=0, is_long=True
        ),
        lease_margin=_lease_margin(settings, sync_limit if _may_lead(election, learner_type) else None),
        connect_limit=settings.integer("connectToLearnerMasterLimit", 0, at_least=0) or init_limit,
        admin=admin_options(settings, ensemble.servers[sid]),
        advertise=_advertised(settings, ensemble),
        settings=settings.items(),
        oracle_path=_oracle_path(settings),
        trust_empty=settings.property_boolean("snapshot.trust.empty", False),
        autocreate=settings.property_boolean("db.autocreate", True),
        seen=_pending(path, ensemble, election.reconfig),
        warnings=tuple(settings.warnings),  # the last, when all have been found
    )


def _pending(path: Path, ensemble: Ensemble, reconfig: bool) -> Ensemble:
    """Return what a leader proposed before this start; refuse to forget it."""
    pending = read_pending(path, ensemble)
    if not reconfig and not pending.same_members(ensemble):
        raise ConfigError(
            f"{next_path(path.resolve())}: holds a configuration with other servers that was proposed, and "
            "not committed here; set reconfigEnabled=true, or remove it if it came to nothing"
        )
    return pending if reconfig else ensemble


def _read_settings(
    path: Path, overrides: Mapping[str, str], data_dir: str | None, environ: Mapping[str, str]
) -> Settings:
    """Read the file; put above it what the command line says, and below it the system properties."""
    settings = Settings.read(path)
    for key, value in overrides.items():
        settings.override(key, value, "--set")
    if data_dir is not None:
        settings.override("dataDir", data_dir, "--data-dir")
    _refuse_unsupported(settings)
    _refuse_overridden_servers(settings, overrides)
    _warn_unknown(settings)
    warn_relative(settings)
    put_below(settings, read_properties(environ))
    return settings


def _refuse_overridden_servers(settings: Settings, overrides: Mapping[str, str]) -> None:
    if settings.boolean("reconfigEnabled", False):
        for key in filter(is_member_key, overrides):
            raise settings.error(
                key, "stands above every file, and reconfigEnabled=true changes these: write it into one"
            )


def _refuse_unsupported(settings: Settings) -> None:
    for key, what in UNSUPPORTED.items():
        if settings.boolean(key, False):
            raise settings.error(key, f"{what} is not supported by this version of trio-fle; set it to false")
    if settings.integer("electionAlg", 3) != 3:
        raise settings.error("electionAlg", "only 3, fast leader election, exists; remove this line")


def _warn_unknown(settings: Settings) -> None:
    """Name keys that nobody reads: ZooKeeper turns them into system properties without a word."""
    for key in settings.items():
        if key in BARE_PROPERTIES:
            settings.warnings.append(
                f"{settings.place(key)}: {key}: has no effect here; it is a system property, -D{key}=..."
            )
        elif not is_known(key):
            bare = key.removeprefix("zookeeper.")
            near = [bare] if bare in KNOWN else difflib.get_close_matches(key, sorted(KNOWN), n=1)
            kind, _, number = key.partition(".")
            if number.isdecimal() and difflib.get_close_matches(kind, ["server"]):
                near = [f"server.{number}"]
            meant = f"; did you mean {near[0]}?" if near else ""
            if key.startswith(BYTE_ORDER_MARK):
                meant = ", since the file begins with a byte order mark; save it without one"
            settings.warnings.append(f"{settings.place(key)}: {key}: unknown key{meant}")


def _known(settings: Settings, ensemble: Ensemble, sid: int) -> int:
    if sid not in ensemble.servers:
        known = ", ".join(str(each) for each in sorted(ensemble.servers))
        raise ConfigError(f"{settings.source}: there is no server.{sid}, only {known}; is myid right?")
    return sid


def _oracle_path(settings: Settings) -> Path | None:
    return None if (text := settings.text("oraclePath")) is None else Path(text)


def _required_ticks(settings: Settings, key: str, example: str) -> int:
    settings.required(key, example)
    return settings.integer(key, 0, at_least=1, hint=f"give a number of ticks, as in {example}")


def _may_lead(election: ElectionOptions, learner_type: LearnerType) -> bool:
    return election.candidate and learner_type is LearnerType.PARTICIPANT


def _lease_margin(settings: Settings, sync_limit: int | None) -> float:
    """Return the margin; refuse one with which a lease of ``sync_limit`` ticks ends before it is renewed.

    A ping is sent every half tick, and its answer may take another half: that tick and the margin have to
    be less than the lease.
    """
    margin = settings.fraction("fle.leaseMargin", 0.1)

    def is_enough(ticks: int) -> bool:
        return _RENEWAL_TICKS + margin * ticks < ticks

    if sync_limit is None or is_enough(sync_limit):
        return margin
    at_least = math.floor(_RENEWAL_TICKS / (1 - margin))
    needed = next(ticks for ticks in itertools.count(at_least) if is_enough(ticks))
    what = f"a lease of {sync_limit} ticks, less a margin of {100 * margin:g} %, leaves no time to renew it"
    if "fle.leaseMargin" in settings and sync_limit > _RENEWAL_TICKS:
        below = 1 - _RENEWAL_TICKS / sync_limit
        raise settings.error(
            "fle.leaseMargin", f"{what}; give less than {100 * below:g} %, or a syncLimit of {needed} or more"
        )
    raise settings.error("syncLimit", f"{what}; give {needed} or more")


def _learner_type(settings: Settings, ensemble: Ensemble, sid: int) -> LearnerType:
    listed = ensemble.servers[sid].role
    text = settings.text("peerType")
    if text is None:
        return listed
    try:
        wanted = LearnerType(text.lower())
    except ValueError:
        raise settings.error("peerType", f'"{text[:40]}" is neither participant nor observer') from None
    if wanted is not listed:
        settings.warnings.append(
            f"{settings.place('peerType')}: peerType={wanted.value}, but server.{sid} is listed as "
            f"{listed.value}, which counts"
        )
    return listed


def _election_options(settings: Settings) -> ElectionOptions:
    first_ms = settings.property_integer("fastleader.minNotificationInterval", 200, at_least=1)
    last_ms = settings.property_integer("fastleader.maxNotificationInterval", 60_000, at_least=first_ms)
    return ElectionOptions(
        resend_min_s=first_ms / 1000,
        resend_max_s=last_ms / 1000,
        finalize_wait_s=settings.duration_s("fle.finalizeWait", 0.2),
        early_finalize=settings.boolean("fle.earlyFinalize", True),
        candidate=settings.boolean("fle.candidate", True),
        reconfig=settings.boolean("reconfigEnabled", False),
    )


def _transport_options(settings: Settings, sync_s: float) -> TransportOptions:
    handshake_ms = settings.property_integer("quorumCnxnTimeoutMs", -1)
    retries = settings.property_integer("electionPortBindRetry", _DEFAULT_BIND_RETRIES)
    return TransportOptions(
        cnx_timeout_s=settings.integer("cnxTimeout", 5000, at_least=1) / 1000,
        handshake_timeout_s=handshake_ms / 1000 if handshake_ms > 0 else sync_s,
        bind_retries=retries if retries >= 0 else _DEFAULT_BIND_RETRIES,
        keep_alive=settings.property_boolean("tcpKeepAlive", True),
        user_timeout_s=sync_s,
        listen_on_all_ips=settings.boolean("quorumListenOnAllIPs", False),
        multi_address=settings.boolean("multiAddress.enabled", False),
    )


def _advertised(settings: Settings, ensemble: Ensemble) -> dict[int, str]:
    advertised = {}
    for key, value in settings.items().items():
        if key.startswith("fle.advertise."):
            number = key.removeprefix("fle.advertise.")
            if not number.isdecimal():
                raise settings.error(key, f"there is no server {number[:40]}")
            if int(number) in ensemble.servers:
                advertised[int(number)] = value
            else:  # a reconfiguration may have removed it
                settings.warnings.append(f"{settings.place(key)}: {key}: there is no server {number[:40]}")
    return advertised
