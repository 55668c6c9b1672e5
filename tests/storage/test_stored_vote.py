"""The vote that a data directory gives: by names and epoch files, as a real server restarted on it voted.

Left out are directories whose vote depends on what is inside the logs and snapshots.
"""

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trio_fle.errors import MemberStoppedError, StorageError
from trio_fle.storage import StoredVote, load_stored_vote

DATA = Path(__file__).parents[1] / "data"
CASES = [
    case
    for case in json.loads((DATA / "datadirs.json").read_text())["cases"]
    if (DATA / case["archive"]).exists()
]
NAMED = [pytest.param(case, id=Path(case["archive"]).name.removesuffix(".tar.gz")) for case in CASES]
VOTING = [param for param, case in zip(NAMED, CASES, strict=True) if "vote" in case]
REFUSING = [param for param, case in zip(NAMED, CASES, strict=True) if "refuses_to_start" in case]
SNAPSHOTS_ALONE_COUNT = {
    f"datadirs/{name}.tar.gz"
    for name in (
        "no_logs no_logs_no_currentEpoch snapshot_newer_than_logs empty_data_dir fresh_gz_snapshot "
        "fresh_snappy_snapshot"
    ).split()
}
WHOLLY_TOLD_BY_NAMES = [
    param for param, case in zip(NAMED, CASES, strict=True) if case["archive"] in SNAPSHOTS_ALONE_COUNT
]


def unpack(case: dict[str, Any], root: Path) -> Path:
    with tarfile.open(DATA / case["archive"]) as archive:
        archive.extractall(root, filter="data")
    return root


def test_the_recorded_directories_are_there() -> None:
    assert (len(CASES), len(REFUSING), len(WHOLLY_TOLD_BY_NAMES)) == (16, 3, 6)


def listing(root: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        str(path.relative_to(root)): (
            path.stat().st_mode,
            path.stat().st_mtime_ns,
            b"" if path.is_dir() else path.read_bytes(),
        )
        for path in sorted(root.rglob("*"))
    }


@pytest.mark.parametrize("case", VOTING)
def test_the_epoch_is_the_one_that_a_real_server_voted(case: dict[str, Any], tmp_path: Path) -> None:
    root = unpack(case, tmp_path)
    assert load_stored_vote(root, root).epoch == case["vote"]["peerEpoch"]


@pytest.mark.parametrize("case", VOTING)
def test_the_zxid_is_never_above_the_one_that_a_real_server_voted(
    case: dict[str, Any], tmp_path: Path
) -> None:
    root = unpack(case, tmp_path)
    real = int(case["vote"]["zxid"], 16)
    vote = load_stored_vote(root, root)
    assert vote.zxid == real if vote.exact else vote.zxid <= real


@pytest.mark.parametrize("case", WHOLLY_TOLD_BY_NAMES)
def test_the_zxid_of_the_newest_snapshot_is_the_one_that_a_real_server_voted(
    case: dict[str, Any], tmp_path: Path
) -> None:
    root = unpack(case, tmp_path)
    assert load_stored_vote(root, root).zxid == int(case["vote"]["zxid"], 16)


@pytest.mark.parametrize("case", REFUSING)
def test_a_directory_that_a_real_server_refused_is_refused(case: dict[str, Any], tmp_path: Path) -> None:
    root = unpack(case, tmp_path)
    with pytest.raises(StorageError) as caught:
        load_stored_vote(root, root)
    told = case["refuses_to_start"]["error"]
    name = "acceptedEpoch" if told.startswith("The accepted epoch") else "currentEpoch"
    assert str(caught.value).startswith(f"{root / 'version-2' / name}: ")


@pytest.mark.parametrize("case", NAMED)
def test_reading_changes_nothing(case: dict[str, Any], tmp_path: Path) -> None:
    root = unpack(case, tmp_path)
    before = listing(root)
    try:
        load_stored_vote(root, root)
    except StorageError:
        assert "refuses_to_start" in case
    assert listing(root) == before


class Directory:
    """A data directory, and one for its logs."""

    def __init__(self, root: Path) -> None:
        self.data = root / "data"
        self.logs = root / "logs"
        self.version = self.data / "version-2"
        self.version.mkdir(parents=True)
        (self.logs / "version-2").mkdir(parents=True)

    def put(self, name: str, content: str | bytes = b"") -> "Directory":
        (self.version / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return self

    def epochs(self, current: str | bytes | None, accepted: str | bytes | None) -> "Directory":
        for name, content in (("currentEpoch", current), ("acceptedEpoch", accepted)):
            if content is not None:
                self.put(name, content)
        return self

    def load(self) -> StoredVote:
        return load_stored_vote(self.data, self.data)

    def error(self) -> str:
        before = listing(self.data)
        with pytest.raises(StorageError) as caught:
            self.load()
        assert listing(self.data) == before
        return str(caught.value).replace(str(self.version) + "/", "")


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    return Directory(tmp_path)


@pytest.mark.parametrize("content", ["2", "+2", "2\n", "2\r\n", "02", "2\nanything else", "2\r"])
def test_an_epoch_file_is_its_first_line(directory: Directory, content: str) -> None:
    directory.epochs(content, content)
    assert directory.load() == StoredVote(0, 2, 2)


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (b"2 ", "'2 '"),
        (b" 2", "' 2'"),
        (b"", "''"),
        (b"\n2", "''"),
        (b"two", "'two'"),
        (b"0x2", "'0x2'"),
        (b"2.0", "'2.0'"),
        (b"1_0", "'1_0'"),
        (b"9223372036854775808", "'9223372036854775808'"),
        (b"\xff2", "'\ufffd2'"),
        (b"2\x0b", r"'2\x0b'"),
        (b"2\x1c3", r"'2\x1c3'"),
        (b"1" * 100, "'" + "1" * 40 + "'"),
    ],
)
@pytest.mark.parametrize("name", ["currentEpoch", "acceptedEpoch"])
def test_an_epoch_file_of_anything_else_is_refused(
    directory: Directory, name: str, content: bytes, shown: str
) -> None:
    directory.epochs("1", "1").put(name, content)
    assert directory.error() == (
        f"{name}: holds {shown}, which is no epoch; restore it from a backup, or restore the "
        "whole data directory: an epoch must never go back"
    )


@pytest.mark.parametrize(
    ("newest", "current", "accepted", "vote"),
    [
        pytest.param("snapshot.0", None, None, StoredVote(0, 0, 0), id="a fresh server"),
        pytest.param(
            "snapshot.300000001", None, None, StoredVote(0x3_0000_0001, 3, 3, False), id="no epoch files"
        ),
        pytest.param(
            "snapshot.100000045", None, "2", StoredVote(0x1_0000_0045, 1, 2, False), id="no currentEpoch"
        ),
        pytest.param(
            "snapshot.100000045", "3", None, StoredVote(0x1_0000_0045, 3, 3, False), id="no acceptedEpoch"
        ),
        pytest.param(
            "snapshot.200000006", "2", "2", StoredVote(0x2_0000_0006, 2, 2, False), id="all the same"
        ),
        pytest.param(
            "snapshot.200000006", "2", "9", StoredVote(0x2_0000_0006, 2, 9, False), id="accepted ahead"
        ),
        pytest.param(
            "snapshot.200000006", "7", "9", StoredVote(0x2_0000_0006, 7, 9, False), id="current ahead"
        ),
        pytest.param(
            "snapshot.200000006.gz", "2", "2", StoredVote(0x2_0000_0006, 2, 2, False), id="compressed"
        ),
        pytest.param(
            "snapshot.200000006.snappy", "2", "2", StoredVote(0x2_0000_0006, 2, 2, False), id="snappy"
        ),
    ],
)
def test_the_vote_of(
    directory: Directory, newest: str, current: str | None, accepted: str | None, vote: StoredVote
) -> None:
    directory.put("snapshot.0").put(newest).epochs(current, accepted)
    assert directory.load() == vote


def test_an_epoch_behind_the_last_zxid_is_refused(directory: Directory) -> None:
    directory.put("snapshot.200000006").epochs("1", "2")
    assert directory.error() == (
        "currentEpoch: epoch 1 is older than that of the last zxid, 0x200000006; "
        "it was lost or restored alone: restore the whole data directory"
    )


def test_an_accepted_epoch_behind_the_current_one_is_refused(directory: Directory) -> None:
    directory.epochs("2", "1")
    assert directory.error() == (
        "acceptedEpoch: epoch 1 is less than the current epoch 2; the file "
        "was lost or restored alone: restore the whole data directory"
    )


def test_an_epoch_that_was_written_but_not_yet_named_counts(directory: Directory) -> None:
    directory.put("snapshot.200000006").epochs("1", "2").put("currentEpoch.tmp", "2")
    assert directory.load() == StoredVote(0x2_0000_0006, 2, 2, False)


def test_an_epoch_that_was_written_but_not_yet_named_is_not_looked_at_without_need(
    directory: Directory,
) -> None:
    directory.put("snapshot.200000006").epochs("2", "2").put("currentEpoch.tmp", "7")
    assert directory.load().epoch == 2


def test_a_broken_temporary_file_does_not_mend_an_epoch(directory: Directory) -> None:
    directory.put("snapshot.200000006").epochs("1", "2").put("currentEpoch.tmp", "")
    assert directory.error().startswith("currentEpoch.tmp: holds '', which is no epoch")


def test_a_temporary_file_that_is_old_too_does_not_mend_an_epoch(directory: Directory) -> None:
    directory.put("snapshot.300000006").epochs("1", "3").put("currentEpoch.tmp", "2")
    assert directory.error().startswith("currentEpoch: epoch 1 is older than that of the last zxid")


@pytest.mark.parametrize(
    "name",
    [
        "snapshot.300000001.tmp",
        "snapshot.xyz",
        "snapshot.",
        "snapshot.3000000010000000000",
        "snapshot.300000001.zip",
        "snapshot.300000001\n",
        "Snapshot.300000001",
        "my-snapshot.300000001",
        "snapshot.30000000A",
        "updatingEpoch",
    ],
)
def test_any_other_file_is_ignored(directory: Directory, name: str) -> None:
    directory.put("snapshot.100000001").put(name).epochs("1", "1")
    assert directory.load() == StoredVote(0x1_0000_0001, 1, 1, False)


def test_a_directory_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert load_stored_vote(tmp_path / "none", tmp_path / "neither") == StoredVote(0, 0, 0)
    assert list(tmp_path.iterdir()) == []


def test_logs_may_lie_elsewhere(directory: Directory) -> None:
    directory.put("snapshot.100000001").epochs("1", "1")
    (directory.logs / "version-2" / "log.100000002").touch()
    assert load_stored_vote(directory.data, directory.logs).epoch == 1


@pytest.mark.parametrize(
    ("folder", "name", "what"),
    [("data", "log.1", "holds transaction logs"), ("logs", "snapshot.1", "holds snapshots")],
)
def test_logs_and_snapshots_in_each_others_place_are_refused(
    directory: Directory, folder: str, name: str, what: str
) -> None:
    place = directory.data.parent / folder / "version-2"
    (place / name).touch()
    with pytest.raises(StorageError, match=what) as caught:
        load_stored_vote(directory.data, directory.logs)
    assert str(caught.value).startswith(f"{place}: ")


@pytest.mark.parametrize("name", ["currentEpoch", "acceptedEpoch"])
def test_an_epoch_file_that_can_not_be_read_is_refused(directory: Directory, name: str) -> None:
    (directory.version / name).mkdir()
    assert directory.error() == f"{name}: can't be read: Is a directory"


def test_a_file_in_the_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "version-2").touch()
    with pytest.raises(StorageError, match="version-2: can't be read: Not a directory"):
        load_stored_vote(tmp_path, tmp_path)


def test_a_file_in_the_place_of_the_data_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(StorageError, match="can't be read: Not a directory"):
        load_stored_vote(tmp_path / "data", tmp_path / "data")


def test_a_storage_error_stops_the_member() -> None:
    assert issubclass(StorageError, MemberStoppedError)


@given(
    st.none() | st.binary(max_size=24), st.none() | st.binary(max_size=24), st.none() | st.binary(max_size=24)
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_epoch_files_are_a_vote_or_a_storage_error(
    directory: Directory, current: bytes | None, accepted: bytes | None, temporary: bytes | None
) -> None:
    contents = {"currentEpoch": current, "acceptedEpoch": accepted, "currentEpoch.tmp": temporary}
    directory.put("snapshot.100000001")
    for name, content in contents.items():
        (directory.version / name).unlink(missing_ok=True)
        if content is not None:
            directory.put(name, content)
    try:
        vote = directory.load()
    except StorageError:
        return
    assert vote.accepted_epoch >= vote.epoch >= 1
