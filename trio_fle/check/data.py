"""The data directory: whether a member would start on it. Reads files: call it through a thread."""

import os
from collections.abc import Iterator
from pathlib import Path

from trio_fle.check.finding import Finding, error, warning
from trio_fle.config import MemberConfig
from trio_fle.errors import StorageError
from trio_fle.storage import load_stored_vote


def data_findings(config: MemberConfig) -> Iterator[Finding]:
    """Yield what keeps a member from its data directory; nothing for one that is not there yet.

    The member may be running, or another user's, or belong to another machine: what this user may not do is
    a warning.
    """
    directories = [config.data_dir, config.data_dir / "version-2"]
    if config.data_log_dir != config.data_dir:
        directories += [config.data_log_dir, config.data_log_dir / "version-2"]
    for path in directories:
        if lacking := _lacking(path):
            yield warning(
                "data_access",
                f"{path}: this user can't {lacking} there; the user that the member runs as must be able to",
                config.myid,
            )
            return
    if not config.data_dir.exists():
        return
    try:
        load_stored_vote(
            config.data_dir,
            config.data_log_dir,
            trust_empty=config.trust_empty,
            autocreate=config.autocreate,
        )
    except StorageError as damage:
        if isinstance(damage.__cause__, PermissionError):
            yield warning("data_access", str(damage), config.myid)
        else:
            yield error("data", str(damage), config.myid)


def _lacking(path: Path) -> str:
    try:
        if not path.exists():
            return ""
    except PermissionError:
        return "look"
    if not os.access(path, os.R_OK | os.X_OK):
        return "read"
    return "" if os.access(path, os.W_OK) else "write"
