"""Which server of the list this is."""

import re
from pathlib import Path
from typing import Final

from trio_fle.ensemble.java_text import parse_long
from trio_fle.errors import ConfigError
from trio_fle.vote import MAX_LONG

_ORDINAL: Final = re.compile(r".*-([0-9]{1,9})", re.ASCII | re.DOTALL)
_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_NO_IDS: Final = {-1: "unset", MAX_LONG: "an observer without an id, on the wire"}


def read_myid(data_dir: Path) -> int:
    """Read ``dataDir/myid``: its first line, a decimal number without blanks.

    Raises ``ConfigError``. Source: ``QuorumPeerConfig.setupMyId``.
    """
    path = data_dir / "myid"
    try:
        content = path.read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        raise ConfigError(f"{path}: is missing; write this server's number N of server.N into it") from None
    except (OSError, ValueError) as error:  # ValueError: no file system has such a name
        raise ConfigError(f"{path}: can't be read: {getattr(error, 'strerror', error)}") from error
    text = _LINE_END.split(content, maxsplit=1)[0]
    if (sid := parse_long(text)) in _NO_IDS or sid is None:
        raise ConfigError(
            f'{path}: "{text[:40]}" is no server id; write the N of server.N alone on the first line'
        )
    return sid


def myid_from_hostname(hostname: str, offset: int = 1) -> int:
    """Return the ordinal at the end of a Kubernetes pod name plus ``offset``: ``zk-0`` is server 1."""
    match = _ORDINAL.fullmatch(hostname.partition(".")[0])
    if match is None:
        raise ConfigError(f'--myid-from-hostname: "{hostname}" does not end in an ordinal, as zk-0 does')
    return int(match[1]) + offset
