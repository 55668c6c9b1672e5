"""System properties, where the start scripts of Java servers have them: ``JVMFLAGS``, ``SERVER_JVMFLAGS``.

``zkServer.sh`` puts ``SERVER_JVMFLAGS`` in front of ``JVMFLAGS``; of two equal ``-D`` a JVM takes the last.
It splits them at blanks and leaves quotes to Java, which can't start with most; here they mean what they say.
"""

import difflib
import shlex
from collections.abc import Mapping
from typing import Final

from trio_fle.config.keys import BARE_PROPERTIES, BOOLEANS, FILE_ONLY, PROPERTIES, SWITCHES_BY_PROPERTY
from trio_fle.config.settings import Setting, Settings
from trio_fle.errors import ConfigError

_VARIABLES: Final = ("SERVER_JVMFLAGS", "JVMFLAGS")
_PREFIX: Final = "zookeeper."
_READ: Final = PROPERTIES | SWITCHES_BY_PROPERTY


def read_properties(environ: Mapping[str, str]) -> dict[str, Setting]:
    """Return every ``-DNAME=VALUE`` of the environment by its name. An open quote is a ``ConfigError``."""
    properties = {}
    for variable in _VARIABLES:
        try:
            words = shlex.split(environ.get(variable, ""))
        except ValueError as error:
            raise ConfigError(
                f"{variable}: {str(error).lower()}; quote each option as a whole, as in '-Dname=a value'"
            ) from None
        for word in words:
            name, _, value = word.removeprefix("-D").partition("=")
            if word.startswith("-D"):
                # without the value: some are secrets
                properties[name] = Setting(value, f"{variable}: -D{name}=...")
    return properties


def put_below(settings: Settings, properties: Mapping[str, Setting]) -> None:
    """Put the properties that somebody reads below ``settings``; warn of those that were meant, and are not.

    Most names that we don't know are somebody's: a warning needs a known name that is near.
    """
    settings.properties = properties
    for name, setting in properties.items():
        key = name.removeprefix(_PREFIX)
        if name in BARE_PROPERTIES:
            settings.put(name, setting)
        elif key == name:
            if key in _READ:
                settings.warnings.append(
                    f"{setting.place}: nobody reads that; did you mean -D{_PREFIX}{key}?"
                )
        elif key in _READ:
            if key not in settings:
                settings.put(key, _as_in_file(settings, key, setting))
        elif key in FILE_ONLY:
            settings.warnings.append(
                f"{setting.place}: is no property that anybody reads; write {key}=... into zoo.cfg"
            )
        elif near := _near(key):
            settings.warnings.append(f"{setting.place}: unknown property; did you mean -D{near}?")


def _as_in_file(settings: Settings, key: str, setting: Setting) -> Setting:
    """Write true or false where zoo.cfg has the same switch: what is not true is false for a property."""
    if key not in BOOLEANS or setting.value.lower() in ("true", "false"):
        return setting
    settings.warnings.append(f"{setting.place}: neither true nor false; false is taken")
    return Setting("false", setting.place)


def _near(key: str) -> str | None:
    """Return the property that ``zookeeper.KEY`` may have been meant for."""
    if key in BARE_PROPERTIES:
        return key
    near = difflib.get_close_matches(key, sorted(_READ), n=1, cutoff=0.85)
    return f"{_PREFIX}{near[0]}" if near else None
