"""The last zxid that a data directory holds: the newest snapshot, and what the logs add to it."""

import re
from pathlib import Path
from typing import Final

from trio_fle.errors import StorageError
from trio_fle.storage.files import explained
from trio_fle.storage.snapshots import newest_snapshot
from trio_fle.storage.txnlog import last_logged
from trio_fle.vote import UNTRUSTED_ZXID

INITIALIZE: Final = "initialize"
"""File in a data directory that says: this one is meant to be empty."""

_Files = list[tuple[int, Path]]

_HEX: Final = "0|[1-9a-f][0-9a-f]{0,14}|[1-7][0-9a-f]{15}"
_LOG: Final = re.compile(rf"log\.({_HEX})", re.ASCII)
_SNAPSHOT: Final = re.compile(rf"snapshot\.({_HEX})(?:\.gz|\.snappy)?", re.ASCII)


def read_last_zxid(data_dir: Path, data_log_dir: Path, *, trust_empty: bool, autocreate: bool) -> int:
    """Find the last zxid of a data directory; nothing is written.

    One without a history has zxid 0, and -1 (the server must not elect) where neither ``autocreate`` nor a
    file ``initialize`` says that it may be new. ZooKeeper looks for that file in ``dataLogDir``, and its
    script puts it into ``dataDir``: here both do.

    Raises ``StorageError`` where files are damaged or can't be read, where logs and snapshots lie in each
    other's place (``dataDir`` and ``dataLogDir`` exchanged), and where logs have no snapshot to start from,
    unless ``trust_empty``. Source: ``FileTxnSnapLog.restore``.
    """
    snapshots, logs = _find_files(data_dir / "version-2", data_log_dir / "version-2")
    base = newest_snapshot(snapshots)
    if base is not None:
        return last_logged(logs, base)
    if logs and not trust_empty:
        raise StorageError(
            f"{data_log_dir / 'version-2'}: holds transaction logs, but {data_dir / 'version-2'} no snapshot "
            "that is whole; restore the whole data directory, or set snapshot.trust.empty=true once if a "
            "ZooKeeper before 3.5.3 left it like this"
        )
    if logs:
        return last_logged(logs, 0)
    zxid, path = max(snapshots, default=(0, data_dir))
    if zxid > 0 and not trust_empty:  # stricter than ZooKeeper, which would start at 0
        raise StorageError(
            f"{path}: is cut short, and there is nothing else; restore the whole data directory"
        )
    with explained(data_dir / INITIALIZE, "read"):
        new = autocreate or any((path / INITIALIZE).exists() for path in (data_dir, data_log_dir))
    return 0 if new else UNTRUSTED_ZXID


def _find_files(version_dir: Path, log_version_dir: Path) -> tuple[_Files, _Files]:
    """Find snapshots and logs by the zxid in their names."""
    logs = _find(log_version_dir, _LOG)
    snapshots = _find(version_dir, _SNAPSHOT)
    if version_dir != log_version_dir:
        if _find(version_dir, _LOG):
            raise StorageError(f"{version_dir}: holds transaction logs, which belong into {log_version_dir}")
        if _find(log_version_dir, _SNAPSHOT):
            raise StorageError(f"{log_version_dir}: holds snapshots, which belong into {version_dir}")
    return snapshots, logs


def _find(directory: Path, pattern: re.Pattern[str]) -> _Files:
    """Find the files of one kind by the zxid in their names, a non-negative Java ``long``."""
    with explained(directory, "read"):
        try:
            paths = list(directory.iterdir())
        except FileNotFoundError:
            return []
    return [(int(match[1], 16), path) for path in paths if (match := pattern.fullmatch(path.name))]
