"""The vote that a data directory gives its server."""

from pathlib import Path

import attrs

from trio_fle.errors import StorageError
from trio_fle.storage.epochs import ACCEPTED, CURRENT, read_epoch
from trio_fle.storage.files import TEMPORARY
from trio_fle.storage.history import read_last_zxid
from trio_fle.storage.record import Followed, read_record
from trio_fle.vote import epoch_of


@attrs.frozen
class StoredVote:
    """What a server votes with: its last zxid, its current epoch, and the epoch it has promised.

    ``followed`` is whom it last followed: a promise that a restart does not end. ``heir`` is for whom the
    epoch after the accepted one is reserved, None for nobody.
    """

    zxid: int
    epoch: int
    accepted_epoch: int
    followed: Followed | None = None
    heir: int | None = None


def load_stored_vote(
    data_dir: Path, data_log_dir: Path, *, trust_empty: bool = False, autocreate: bool = True
) -> StoredVote:
    """Read the vote of a data directory, a Java server's too; one that is not there is empty. Blocking.

    ``trust_empty`` and ``autocreate`` are the keys ``snapshot.trust.empty`` and ``db.autocreate``. A missing
    epoch file stands for the epoch of the last zxid, and one that is behind the record for what that says.
    Raises ``StorageError`` where files contradict each other, are damaged or can't be read; nothing is ever
    written here. Source: ``QuorumPeer.loadDataBase``.
    """
    version_dir = data_dir / "version-2"
    record = read_record(version_dir)
    zxid = read_last_zxid(data_dir, data_log_dir, trust_empty=trust_empty, autocreate=autocreate)
    logged = epoch_of(zxid)
    current = read_epoch(version_dir, CURRENT)
    current = logged if current is None else current
    if record is not None:
        current = max(current, record.epoch)
    if logged > current:
        # a crash between writing the new epoch and giving it its name
        written = read_epoch(version_dir, CURRENT + TEMPORARY)
        if written is None or logged > written:
            raise StorageError(
                f"{version_dir / CURRENT}: epoch {current} is older than that of the last zxid, "
                f"0x{zxid:x}; it was lost or restored alone: restore the whole data directory"
            )
        current = written
    accepted = read_epoch(version_dir, ACCEPTED)
    accepted = max(logged, current) if accepted is None else accepted
    if record is not None:
        accepted = max(accepted, record.accepted_epoch)
    if accepted < current:
        raise StorageError(
            f"{version_dir / ACCEPTED}: epoch {accepted} is less than the current epoch {current}; the file "
            "was lost or restored alone: restore the whole data directory"
        )
    if record is None:
        return StoredVote(zxid, current, accepted)
    # a Java server that had the directory meanwhile has gone beyond what was reserved, or known nothing of
    # it; and who follows no leader accepts nothing that is reserved (versions before could leave that here)
    is_open = accepted == record.accepted_epoch and record.followed is not None
    heir = record.heir if is_open else None
    return StoredVote(zxid, current, accepted, record.followed, heir)
