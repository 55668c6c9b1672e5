"""The vote that a data directory gives its server."""

from pathlib import Path

import attrs

from trio_fle.errors import StorageError
from trio_fle.storage.epochs import ACCEPTED, CURRENT, read_epoch
from trio_fle.storage.history import read_history
from trio_fle.vote import epoch_of


@attrs.frozen
class StoredVote:
    """What a server votes with: its last zxid, its current epoch, and the epoch it has promised.

    ``exact`` is False where the zxid is only a lower bound.
    """

    zxid: int
    epoch: int
    accepted_epoch: int
    exact: bool = True


def load_stored_vote(data_dir: Path, data_log_dir: Path) -> StoredVote:
    """Read the vote of a data directory, a Java server's too; one that is not there is empty. Blocking.

    A missing epoch file stands for the epoch of the last zxid. Raises ``StorageError`` where the files
    contradict each other or can't be read; nothing is ever written here.
    Source: ``QuorumPeer.loadDataBase``.
    """
    version_dir = data_dir / "version-2"
    history = read_history(version_dir, data_log_dir / "version-2")
    logged = epoch_of(history.last_zxid)
    current = read_epoch(version_dir, CURRENT)
    current = logged if current is None else current
    if logged > current:
        # a crash between writing the new epoch and giving it its name
        written = read_epoch(version_dir, f"{CURRENT}.tmp")
        if written is None or logged > written:
            raise StorageError(
                f"{version_dir / CURRENT}: epoch {current} is older than that of the last zxid, "
                f"0x{history.last_zxid:x}; it was lost or restored alone: restore the whole data directory"
            )
        current = written
    accepted = read_epoch(version_dir, ACCEPTED)
    accepted = max(logged, current) if accepted is None else accepted
    if accepted < current:
        raise StorageError(
            f"{version_dir / ACCEPTED}: epoch {accepted} is less than the current epoch {current}; the file "
            "was lost or restored alone: restore the whole data directory"
        )
    return StoredVote(history.last_zxid, current, accepted, history.exact)
