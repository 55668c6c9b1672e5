"""Old bugs of the data directory: starts that were refused or must have been, and votes that were wrong."""

import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scenario import scenario, survives

from trio_fle.errors import StorageError
from trio_fle.storage import StoredVote, load_stored_vote
from trio_fle.storage.durable import DurableStorage
from trio_fle.vote import make_zxid

LOGGED = make_zxid(2, 1)


@contextmanager
def directory(**files: bytes) -> Iterator[Path]:
    """A data directory with these files; ``_`` stands for the dot in a name."""
    with tempfile.TemporaryDirectory() as made:
        version_dir = Path(made) / "version-2"
        version_dir.mkdir()
        for name, data in files.items():
            (version_dir / name.replace("_", ".")).write_bytes(data)
        yield Path(made)


def log(zxid: int) -> bytes:
    """A transaction log with one record."""
    payload = bytes(12) + zxid.to_bytes(8, "big") + bytes(12) + b"any transaction"
    head = zlib.adler32(payload).to_bytes(8, "big") + len(payload).to_bytes(4, "big")
    return b"ZKLG" + (2).to_bytes(4, "big") + bytes(8) + head + payload + b"B"


def load(path: Path, *, trust_empty: bool = True) -> StoredVote:
    return load_stored_vote(path, path, trust_empty=trust_empty)


@scenario
async def a_crash_between_two_epoch_files() -> None:
    """A crash after currentEpoch was written, and before acceptedEpoch was, made every start fail."""
    with directory() as path:
        storage = DurableStorage(path, path)
        await storage.load()
        await storage.accept_epoch(1)
        await storage.begin_epoch(1)
        storage.close()
        (path / "version-2" / "currentEpoch").write_bytes(b"1")
        (path / "version-2" / "acceptedEpoch").write_bytes(b"0")
        with survives("the next start", StorageError):
            stored = load(path)
        assert (stored.epoch, stored.accepted_epoch) == (1, 1), f"it starts on {stored}"


@scenario
def a_rename_that_failed() -> None:
    """An epoch file that was written, but did not get its name, made every start fail."""
    epochs = {"currentEpoch": b"1", "currentEpoch_tmp": b"2", "acceptedEpoch": b"2"}
    with directory(log_200000001=log(LOGGED), **epochs) as path:
        with survives("the next start", StorageError):
            stored = load(path)
        assert stored.epoch == 2, f"it starts in epoch {stored.epoch}"


@scenario
def logs_without_a_snapshot() -> None:
    """A server whose snapshots were lost started on an empty database, and acknowledged with it."""
    with directory(log_200000001=log(LOGGED)) as path:
        try:
            stored = load(path, trust_empty=False)
        except StorageError:
            return
        raise AssertionError(f"it starts without its snapshot, on zxid 0x{stored.zxid:x}")


@scenario
def logs_without_a_snapshot_after_an_upgrade() -> None:
    """A server that an old release had left without a snapshot could not be upgraded."""
    with directory(log_200000001=log(LOGGED)) as path:
        with survives("a start that trusts it", StorageError):
            stored = load(path)
        assert stored.zxid == LOGGED, f"it starts on zxid 0x{stored.zxid:x}"


@scenario
def a_vote_without_the_log() -> None:
    """A restarted server voted with its snapshot's zxid, as if what it had logged later did not count."""
    with directory(log_200000001=log(LOGGED), currentEpoch=b"2", acceptedEpoch=b"2") as path:
        stored = load(path)
    assert stored.zxid == LOGGED, f"it votes with zxid 0x{stored.zxid:x} in place of 0x{LOGGED:x}"


@scenario
def an_empty_newest_log() -> None:
    """A log that a crash had left empty made every start fail."""
    epochs = {"currentEpoch": b"2", "acceptedEpoch": b"2"}
    with directory(log_200000001=log(LOGGED), log_200000002=b"", **epochs) as path:
        with survives("the next start", StorageError):
            stored = load(path)
        assert stored.zxid == LOGGED, f"it starts on zxid 0x{stored.zxid:x}"
