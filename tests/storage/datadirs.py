"""Data directories for tests: those that real servers left, and made ones."""

import gzip
import json
import tarfile
import zlib
from pathlib import Path
from typing import Any

import pytest

from trio_fle.errors import StorageError
from trio_fle.storage import StoredVote, load_stored_vote

DATA = Path(__file__).parents[1] / "data"
CASES: dict[str, dict[str, Any]] = {
    Path(case["archive"]).name.removesuffix(".tar.gz"): case
    for case in json.loads((DATA / "datadirs.json").read_text())["cases"]
}


def unpack(name: str, root: Path) -> Path:
    with tarfile.open(DATA / CASES[name]["archive"]) as archive:
        archive.extractall(root, filter="data")
    return root


def listing(root: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        str(path.relative_to(root)): (
            path.stat().st_mode,
            path.stat().st_mtime_ns,
            b"" if path.is_dir() else path.read_bytes(),
        )
        for path in sorted(root.rglob("*"))
    }


def seal(content: bytes) -> bytes:
    return content + zlib.adler32(content).to_bytes(8, "big") + b"\0\0\0\1/"


SNAPSHOT = seal(seal(b"ZKSN" + (2).to_bytes(4, "big") + b"\xff" * 8 + b"any tree" + b"\0\0\0\1/") + bytes(20))
GZIPPED = gzip.compress(SNAPSHOT, mtime=0)
SNAPPY = b"\x82SNAPPY\0" + bytes([0, 0, 0, 1, 0, 0, 0, 1]) + bytes([0, 0, 0, 3]) + b"any"
LOG_HEADER = b"ZKLG" + (2).to_bytes(4, "big") + bytes(8)


def record(zxid: int, txn: bytes = b"any transaction") -> bytes:
    payload = bytes(12) + zxid.to_bytes(8, "big", signed=True) + bytes(12) + txn
    return zlib.adler32(payload).to_bytes(8, "big") + len(payload).to_bytes(4, "big") + payload + b"B"


def log(*zxids: int, padding: int = 100) -> bytes:
    return LOG_HEADER + b"".join(record(zxid) for zxid in zxids) + bytes(padding)


class Directory:
    """A data directory, and one for its logs."""

    def __init__(self, root: Path) -> None:
        self.data = root / "data"
        self.logs = root / "logs"
        self.version = self.data / "version-2"
        self.version.mkdir(parents=True)
        (self.logs / "version-2").mkdir(parents=True)

    def put(self, name: str, content: str | bytes | None = None) -> "Directory":
        """Add a file; a snapshot is a whole one unless its content is given."""
        if content is None:
            content = GZIPPED if name.endswith(".gz") else SNAPPY if name.endswith(".snappy") else SNAPSHOT
        (self.version / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return self

    def epochs(self, current: str | bytes | None, accepted: str | bytes | None) -> "Directory":
        for name, content in (("currentEpoch", current), ("acceptedEpoch", accepted)):
            if content is not None:
                self.put(name, content)
        return self

    def load(self, **settings: bool) -> StoredVote:
        return load_stored_vote(self.data, self.data, **settings)

    def error(self, **settings: bool) -> str:
        before = listing(self.data)
        with pytest.raises(StorageError) as caught:
            self.load(**settings)
        assert listing(self.data) == before
        return str(caught.value).replace(str(self.version) + "/", "")
