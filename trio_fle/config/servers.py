"""The server, group and weight lines, in zoo.cfg or in the dynamic file that it names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from trio_fle.config.checks import check_voters
from trio_fle.config.keys import MEMBER_PREFIXES, is_member_key
from trio_fle.config.settings import Setting, Settings
from trio_fle.ensemble import Ensemble, build_ensemble
from trio_fle.ensemble.ensemble import line_number, parse_version
from trio_fle.errors import ConfigError

_SEVERAL_ADDRESSES: Final = "zookeeper.multiAddress.enabled"


def load_ensemble(settings: Settings) -> Ensemble:
    """Read the server lines, from zoo.cfg or from the dynamic file that it names (relative: to where we run).

    ``version`` may stand in zoo.cfg, and must not in a dynamic file. Source: ``QuorumPeerConfig.parse``.
    """
    by_property = _is_true(settings.properties.get(_SEVERAL_ADDRESSES))
    oracle = settings.text("oraclePath") is not None
    several = by_property or settings.boolean("multiAddress.enabled", False)
    members = _members(settings)
    source = settings
    if (dynamic := settings.text("dynamicConfigFile")) is not None:
        if members:
            raise settings.error(
                next(iter(members)), f"belongs into the dynamic file, {dynamic}, and not here"
            )
        source = Settings.read(Path(dynamic))
        settings.warnings += source.warnings
        _refuse_others(source)
        members = _members(source)
    version = _version(settings, dynamic)
    if not any(key.startswith("server.") for key in members):
        raise ConfigError(
            f"{source.source}: names no servers; add a line server.N=host:quorumPort:electionPort for each"
        )
    try:
        _refuse_twice(members)
        ensemble = build_ensemble(members, version, several_addresses=several, oracle=oracle)
    except ConfigError as error:
        key = str(error).partition(":")[0]
        place = source.place(key) if key in source else source.source
        raise ConfigError(f"{place}: {error}") from None
    check_voters(settings, source, ensemble)
    if not by_property:
        _warn_of_several_addresses(settings, ensemble)
    if oracle:
        _warn_beside_an_oracle(settings, source, ensemble)
    return ensemble


def _refuse_others(dynamic: Settings) -> None:
    for key in dynamic.items():
        if key == "version":
            raise dynamic.error(
                key, "does not belong into a dynamic file; its name ends with it, as in zoo.cfg.dynamic.1f"
            )
        if not is_member_key(key):
            raise dynamic.error(key, "does not belong into a dynamic file; move it to zoo.cfg")


def _refuse_twice(members: Mapping[str, str]) -> None:
    """Refuse ``server.1`` beside ``server.01``: which of them counts is an accident of Java's hash order."""
    seen: dict[tuple[str, int], str] = {}
    for key in members:
        kind = next(prefix for prefix in MEMBER_PREFIXES if key.startswith(prefix))
        first = seen.setdefault((kind, line_number(key)), key)
        if first != key:
            raise ConfigError(f"{key}: has the number of {first}; leave one of them")


def _warn_beside_an_oracle(settings: Settings, source: Settings, ensemble: Ensemble) -> None:
    """Name what has no effect: the oracle where not exactly two vote, and other quorums than a majority."""
    if (voters := len(ensemble.voters)) != 2:
        place = settings.place("oraclePath")
        settings.warnings.append(
            f"{place}: oraclePath: has an effect for 2 voters only, and here are {voters}"
        )
    if grouped := [key for key in source.items() if key.startswith(MEMBER_PREFIXES[1:])]:
        what = "has no effect beside oraclePath: a majority counts"
        settings.warnings.append(f"{source.place(grouped[0])}: {grouped[0]}: {what}")


def _warn_of_several_addresses(settings: Settings, ensemble: Ensemble) -> None:
    """Warn where Java servers would not start: for server lines they look at the system property alone."""
    if any(len(server.addresses) > 1 for server in ensemble.servers.values()):
        key = "multiAddress.enabled"
        settings.warnings.append(
            f"{settings.place(key)}: {key}: Java servers allow several addresses by their JVMFLAGS alone, "
            f"-D{_SEVERAL_ADDRESSES}=true; with this line alone they don't start"
        )


def _members(settings: Settings) -> dict[str, str]:
    return {key: value for key, value in settings.items().items() if is_member_key(key)}


def _version(settings: Settings, dynamic: str | None) -> int:
    """Version of the configuration: a line in zoo.cfg, or what the name of the dynamic file ends in.

    That is a hex number behind the last dot (``zoo.cfg.dynamic.100000000``); any other name is version 0.
    """
    key = "version" if dynamic is None else "dynamicConfigFile"
    text = (settings.text("version") or "0") if dynamic is None else dynamic.rpartition(".")[2]
    try:
        version = parse_version(text)
    except ConfigError as error:
        if dynamic is not None:
            return 0
        raise settings.error(key, str(error)) from None
    if version < 0:
        raise settings.error(key, f"version {text} is negative; give 0 or more")
    return version


def _is_true(setting: Setting | None) -> bool:
    return setting is not None and setting.value.lower() == "true"
