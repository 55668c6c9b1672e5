"""What a new configuration makes of the files: the dynamic one beside zoo.cfg, and zoo.cfg itself.

::

    zoo.cfg.dynamic.<hex version>   a committed configuration: its lines but ``version``, sorted, no newline
                                    at the end
    zoo.cfg.dynamic.next            one that a leader proposed, with ``version``: pending until committed
    zoo.cfg                         names the committed one (``dynamicConfigFile``)

Source: ``QuorumPeerConfig.writeDynamicConfig``, ``editStaticConfig``. A real server drops comments and the
order of zoo.cfg; here, all that need not change stays as it was written.
"""

from io import StringIO
from pathlib import Path
from typing import Final

import javaproperties

from trio_fle.config.keys import is_member_key
from trio_fle.ensemble import Ensemble, parse_ensemble
from trio_fle.errors import ConfigError
from trio_fle.quorum import OracleMajority

CHARSET: Final = "iso-8859-1"
"""Of Java properties files."""

_CLIENT_KEYS: Final = frozenset({"clientPort", "clientPortAddress"})
_POINTER: Final = "dynamicConfigFile"
_MOVED: Final = frozenset({"peerType", "version"})
"""What the dynamic file and its name tell as well."""


def dynamic_path(path: Path, version: int) -> Path:
    """Return the name of the file that holds the configuration of that version."""
    return path.with_name(f"{path.name}.dynamic.{version & (2**64 - 1):x}")


def next_path(path: Path) -> Path:
    """Return the name of the file that holds a pending configuration."""
    return path.with_name(f"{path.name}.dynamic.next")


def read_pending(path: Path, current: Ensemble) -> Ensemble:
    """Return the configuration that was proposed when this member ended; ``current`` where none is pending.

    Blocking. Raises ``ConfigError`` for a file that can't be read, or holds none.
    """
    pending = next_path(path.resolve())
    try:
        text = pending.read_bytes().decode(CHARSET)
    except FileNotFoundError:
        return current
    except OSError as error:
        raise ConfigError(f"{pending}: can't be read: {error.strerror}") from error
    try:
        oracle = isinstance(current.verifier, OracleMajority)
        seen = parse_ensemble(text, several_addresses=True, oracle=oracle)
    except ConfigError as error:
        raise ConfigError(f"{pending}: {error}") from None
    return seen if seen.version > current.version else current


def dynamic_text(ensemble: Ensemble, *, with_version: bool = False) -> str:
    """Return what such a file holds."""
    lines = ensemble.text.split("\n")
    return "\n".join(sorted(line for line in lines if with_version or not line.startswith("version=")))


def static_text(text: str, dynamic: Path, *, without_client: bool) -> str:
    """Return zoo.cfg with its servers moved to ``dynamic``; ``text`` is in ISO-8859-1, as bytes are.

    ``without_client``: the own server line has a client address, which takes the place of ``clientPort``.
    """
    kept: list[str] = []
    written = False
    for element in javaproperties.parse(StringIO(text, newline="")):
        source = element.source
        if isinstance(element, javaproperties.KeyValue):
            key = element.key
            if is_member_key(key) or key in _MOVED:
                continue
            if without_client and key in _CLIENT_KEYS:
                continue
            if key == _POINTER:
                source, written = ("" if written else _pointer(dynamic)), True
        if kept and kept[-1][-1:] not in ("", "\n", "\r"):
            kept.append("\n")
        kept.append(source)
    if not written:
        if kept and kept[-1][-1:] not in ("", "\n", "\r"):
            kept.append("\n")
        kept.append(_pointer(dynamic))
    return "".join(kept)


def _pointer(dynamic: Path) -> str:
    return javaproperties.join_key_value(_POINTER, str(dynamic), separator="=") + "\n"
