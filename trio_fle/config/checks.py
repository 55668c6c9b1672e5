"""What a Java server holds its zoo.cfg to at the start, beside what a member needs of it."""

from pathlib import Path

from trio_fle.config.keys import BOOLEANS, INTEGERS, LONGS
from trio_fle.config.settings import Settings
from trio_fle.ensemble import Ensemble, HostPort
from trio_fle.ensemble.java_text import parse_long
from trio_fle.errors import ConfigError

_SASL = "quorum.auth.enableSasl"
_LEARNER_SASL = "quorum.auth.learnerRequireSasl"
_SERVER_SASL = "quorum.auth.serverRequireSasl"
_CANONICAL = "kerberos.canonicalizeHostNames"


def check_other_keys(settings: Settings) -> None:
    """Refuse what a Java server's parser refuses in keys that say nothing to a member.

    Source: ``QuorumPeerConfig.parseProperties``.
    """
    for key in settings.items():
        if key in INTEGERS:
            settings.integer(key, 0)
        elif key in BOOLEANS:
            settings.boolean(key, False)
        elif key in LONGS and (text := settings.text(key)) is not None and parse_long(text) is None:
            raise settings.error(key, f'"{text[:40]}" is not a whole number')
    if settings.port("secureClientPort", 0, at_least=0) == 0 and "secureClientPortAddress" in settings:
        raise settings.error(
            "secureClientPortAddress",
            "is set, but secureClientPort is not; add a line such as secureClientPort=2281",
        )
    for key in (_SERVER_SASL, _LEARNER_SASL):
        if settings.boolean(key, False) and not settings.boolean(_SASL, False):
            raise settings.error(key, f"needs {_SASL}, which is not true; set this to false")
    if settings.property_boolean(_CANONICAL, False):
        settings.warnings.append(
            f"{settings.place(_CANONICAL)}: {_CANONICAL}: has no effect; host names stay as they are written"
        )


def session_timeouts_ms(settings: Settings, tick_ms: int) -> tuple[int, int]:
    """Return the least and the longest time-out of a client's session; -1 stands for 2 and 20 ticks."""
    least, longest = (
        default if (value := settings.integer(key, -1)) == -1 else value
        for key, default in (("minSessionTimeout", 2 * tick_ms), ("maxSessionTimeout", 20 * tick_ms))
    )
    if least > longest:
        key = "minSessionTimeout" if "minSessionTimeout" in settings else "maxSessionTimeout"
        raise settings.error(
            key, f"sessions of {least} ms at least and {longest} ms at most; let the first be the smaller one"
        )
    return least, longest


def warn_relative(settings: Settings) -> None:
    """Warn of paths that depend on where a member is started; ``./`` in front says: on purpose."""
    for key in ("dataDir", "dataLogDir", "dynamicConfigFile"):
        path = settings.text(key)
        if path is not None and not Path(path).is_absolute() and not path.startswith("./"):
            settings.warnings.append(
                f"{settings.place(key)}: {key}: {path[:100]} depends on where the member is started; "
                "write the whole path"
            )


def check_voters(settings: Settings, source: Settings, ensemble: Ensemble) -> None:
    """Refuse and warn as a Java server does for the number of voters; and of addresses that are there twice.

    Source: ``QuorumPeerConfig.parseDynamicConfig``.
    """
    voters = len(ensemble.voters)
    if voters == 1 and ensemble.observers and settings.boolean("standaloneEnabled", True):
        raise ConfigError(
            f"{source.source}: observers beside a single participant are refused by Java servers; "
            "add standaloneEnabled=false to zoo.cfg, or participants"
        )
    if voters == 2:
        if settings.text("oraclePath") is None:
            what = "two participants: neither may fail; have three or more"
            settings.warnings.append(f"{source.source}: {what}")
    elif voters % 2 == 0:
        settings.warnings.append(
            f"{source.source}: {voters} participants tolerate no more failures than {voters - 1}; "
            "have an odd number"
        )
    if not ensemble.verifier.contains_quorum(ensemble.voters):
        settings.warnings.append(
            f"{source.source}: all participants together are no quorum, so nobody is ever elected; "
            "look at the group and weight lines"
        )
    at: dict[HostPort, int] = {}
    for sid, server in sorted(ensemble.servers.items()):
        for address in server.addresses:
            first = at.setdefault(address.election, sid)
            if first != sid:
                settings.warnings.append(
                    f"{source.place(f'server.{sid}')}: server.{sid}: elects at {address.election}, "
                    f"and so does server.{first}"
                )
