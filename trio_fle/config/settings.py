"""Settings and where each was written, so that a wrong one can be pointed at."""

import difflib
import re
from collections.abc import Mapping
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Final

import attrs
import javaproperties

from trio_fle.config.keys import is_known
from trio_fle.ensemble.java_text import BLANKS, decode_long, fits_int, parse_int
from trio_fle.errors import ConfigError

_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*(ms|s)?", re.ASCII)
_PERCENT: Final = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)\s*%", re.ASCII)
_PORT_MAX: Final = 0xFFFF

BYTE_ORDER_MARK: Final = "\xef\xbb\xbf"
"""That of UTF-8, as it is read: a properties file is ISO 8859-1."""


@attrs.frozen
class Setting:
    """One value and its place: ``zoo.cfg:7``, ``--set`` or ``JVMFLAGS: -Dname=...``."""

    value: str
    place: str


@attrs.define
class Settings:
    """Keys and values of one or more sources; reading a wrong one raises ``ConfigError``."""

    source: str
    _settings: dict[str, Setting] = attrs.field(factory=dict)
    warnings: list[str] = attrs.field(factory=list)
    repeated: list[str] = attrs.field(factory=list)
    """What to say of each key that one file gives twice, where that is an error."""
    properties: Mapping[str, Setting] = attrs.field(factory=dict)
    """System properties of the environment, by their names, whether anybody reads them or not."""

    @classmethod
    def read(cls, path: Path) -> "Settings":
        """Read a Java properties file: ISO-8859-1, blanks at both ends cut, the last of equal keys wins.

        Raises ``ConfigError`` where the file can't be read or has a malformed escape.
        """
        try:
            data = path.read_bytes()
        except (OSError, ValueError) as error:  # ValueError: no file system has such a name
            raise ConfigError(f"{path}: can't be read: {getattr(error, 'strerror', error)}") from error
        settings = cls(str(path))
        line = 1
        try:
            # the newline as written: line numbers are those an editor shows
            for element in javaproperties.parse(TextIOWrapper(BytesIO(data), "iso-8859-1", newline="")):
                if isinstance(element, javaproperties.KeyValue):
                    settings._add(element.key.strip(BLANKS), element.value.strip(BLANKS), f"{path}:{line}")
                line += len(re.findall(r"\r\n|\r|\n", element.source))
        except javaproperties.InvalidUEscapeError as error:
            raise ConfigError(f"{path}:{line}: {error}; write \\uXXXX with four hex digits") from error
        return settings

    def _add(self, key: str, value: str, place: str) -> None:
        if key in self._settings:
            self.warnings.append(
                f"{place}: {key} is given twice (first at {self._settings[key].place}); this one counts"
            )
            self.repeated.append(
                f"{place}: {key}: is given twice, first at {self._settings[key].place}; remove one of the two"
            )
        self._settings[key] = Setting(value, place)

    def override(self, key: str, value: str, place: str) -> None:
        """Set ``key`` from outside the file."""
        self.put(key, Setting(value.strip(), place))

    def put(self, key: str, setting: Setting) -> None:
        """Set ``key`` to a value with a place of its own."""
        self._settings[key] = setting

    def items(self) -> Mapping[str, str]:
        """Return all keys with their values."""
        return {key: setting.value for key, setting in self._settings.items()}

    def __contains__(self, key: str) -> bool:
        return key in self._settings

    def place(self, key: str) -> str:
        """Say where ``key`` was written."""
        return self._settings[key].place if key in self._settings else self.source

    def error(self, key: str, message: str) -> ConfigError:
        """Return (not raise) an error that names place and key."""
        return ConfigError(f"{self.place(key)}: {key}: {message}")

    def text(self, key: str) -> str | None:
        """Return a value that is there and not empty."""
        setting = self._settings.get(key)
        return setting.value or None if setting else None

    def required(self, key: str, example: str) -> str:
        """Return a value that has to be there."""
        if (value := self.text(key)) is None:
            unknown = [each for each in self._settings if not is_known(each)]
            if near := difflib.get_close_matches(key, unknown, n=1):
                marked = near[0].startswith(BYTE_ORDER_MARK)
                why = "the file begins with a byte order mark: save it without one" if marked else ""
                why = why or f"did you mean {key}? That has to be set"
                raise self.error(near[0], f"unknown key; {why}")
            raise ConfigError(f"{self.source}: {key} is not set; add a line such as {key}={example}")
        return value

    def integer(self, key: str, default: int, *, at_least: int | None = None, hint: str = "") -> int:
        """Return a whole number (a Java int)."""
        if (value := self.text(key)) is None:
            return default
        if (number := parse_int(value)) is None:
            raise self.error(key, f'"{value[:40]}" is not a whole number{hint and f"; {hint}"}')
        return self._at_least(key, number, at_least)

    def property_integer(
        self, key: str, default: int, *, at_least: int | None = None, is_long: bool = False
    ) -> int:
        """Return a whole number as ``Integer.getInteger`` does: what is none is a warning, and the default.

        ``0x1f4`` and ``0764`` (octal) are numbers there.
        """
        if (value := self.text(key)) is None:
            return default
        number = decode_long(value)
        if number is None or not (is_long or fits_int(number)):
            self.warnings.append(
                f'{self.place(key)}: {key}: "{value[:40]}" is not a whole number; {default} is taken'
            )
            return default
        if value.lstrip("+-").startswith("0") and number:
            self.warnings.append(f'{self.place(key)}: {key}: "{value[:40]}" is {number}, as Java reads it')
        return self._at_least(key, number, at_least)

    def _at_least(self, key: str, number: int, at_least: int | None) -> int:
        if at_least is not None and number < at_least:
            raise self.error(key, f"{number} is too small; give {at_least} or more")
        return number

    def port(self, key: str, default: int, *, at_least: int = 1) -> int:
        """Return a port, or 0 where that means something."""
        return self._up_to_port_max(key, self.integer(key, default, at_least=at_least))

    def property_port(self, key: str, default: int) -> int:
        """Return a port that is read as ``property_integer`` reads."""
        return self._up_to_port_max(key, self.property_integer(key, default, at_least=1))

    def _up_to_port_max(self, key: str, number: int) -> int:
        if number > _PORT_MAX:
            raise self.error(key, f"{number} is no port; give one up to {_PORT_MAX}")
        return number

    def boolean(self, key: str, default: bool) -> bool:
        """Return a truth value; nothing but true and false, in any case."""
        if (value := self.text(key)) is None:
            return default
        if value.lower() not in ("true", "false"):
            raise self.error(key, f'"{value[:40]}" is neither true nor false')
        return value.lower() == "true"

    def property_boolean(self, key: str, default: bool) -> bool:
        """Return a truth value as ``Boolean.getBoolean`` does: whatever is not true is false."""
        if key not in self:
            return default
        value = self._settings[key].value
        if value.lower() not in ("true", "false"):
            self.warnings.append(
                f'{self.place(key)}: {key}: "{value[:40]}" is neither true nor false; false is taken'
            )
        return value.lower() == "true"

    def duration_s(self, key: str, default_s: float) -> float:
        """Return a duration in seconds: ``200``, ``200 ms`` or ``0.2 s``."""
        if (value := self.text(key)) is None:
            return default_s
        if not (match := _DURATION.fullmatch(value)):
            raise self.error(key, f'"{value[:40]}" is not a duration; write it as in 200 ms or 0.2 s')
        return float(match[1]) / (1 if match[2] == "s" else 1000)

    def fraction(self, key: str, default: float) -> float:
        """Return a percentage as a fraction: ``10 %`` is 0.1."""
        if (value := self.text(key)) is None:
            return default
        if not (match := _PERCENT.fullmatch(value)) or not 0 <= float(match[1]) < 100:
            raise self.error(key, f'"{value[:40]}" is not a percentage below 100; write it as in 10 %')
        return float(match[1]) / 100
