"""Writing epochs: the bytes, what is refused, and what a failing disk leaves."""

import errno
import os
import stat
from pathlib import Path

import pytest
from crash_model import FaultyOs
from datadirs import Directory

from trio_fle.errors import StorageError
from trio_fle.storage import StoredVote, files
from trio_fle.storage.epochs import read_epoch, write_epoch
from trio_fle.storage.files import make_directory
from trio_fle.storage.record import Record, write_record

CALLS = ["open", "write", "fsync file", "close", "rename", "open", "fsync directory", "close"]


@pytest.mark.parametrize("epoch", [0, 7, -1, 2**63 - 1])
def test_an_epoch_is_written_as_zookeeper_does(directory: Directory, epoch: int) -> None:
    write_epoch(directory.version, "currentEpoch", epoch)
    assert (directory.version / "currentEpoch").read_bytes() == str(epoch).encode()
    assert [path.name for path in directory.version.iterdir()] == ["currentEpoch"]
    assert read_epoch(directory.version, "currentEpoch") == epoch


def test_a_missing_version_directory_is_made(tmp_path: Path) -> None:
    write_epoch(tmp_path / "data" / "version-2", "acceptedEpoch", 1)
    assert read_epoch(tmp_path / "data" / "version-2", "acceptedEpoch") == 1


def test_a_directory_that_another_made_meanwhile_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty = FaultyOs(
        tmp_path, before=lambda call, _: (tmp_path / "data").mkdir() if call == "mkdir" else None
    )
    monkeypatch.setattr(files, "os", faulty)
    make_directory(tmp_path / "data")
    assert faulty.calls[-2:] == ["fsync directory", "close"]


def test_the_umask_says_who_may_read_an_epoch(directory: Directory) -> None:
    before = os.umask(0o027)
    try:
        write_epoch(directory.version, "currentEpoch", 1)
    finally:
        os.umask(before)
    assert stat.S_IMODE((directory.version / "currentEpoch").stat().st_mode) == 0o640


def test_an_epoch_never_goes_back(directory: Directory) -> None:
    directory.epochs("7", "9")
    write_epoch(directory.version, "currentEpoch", 7)
    with pytest.raises(StorageError) as caught:
        write_epoch(directory.version, "currentEpoch", 6)
    assert str(caught.value) == (
        f"{directory.version}/currentEpoch: holds epoch 7, and was to be set back to 6; find out which other "
        "process writes there, or restore the whole data directory: an epoch must never go back"
    )
    assert directory.load() == StoredVote(0, 7, 9)


def test_no_epoch_is_written_over_what_is_none(directory: Directory) -> None:
    directory.put("currentEpoch", "two")
    with pytest.raises(StorageError, match="holds 'two', which is no epoch"):
        write_epoch(directory.version, "currentEpoch", 6)
    assert (directory.version / "currentEpoch").read_bytes() == b"two"


@pytest.mark.parametrize("fails_at", range(len(CALLS)))
def test_a_write_that_fails_leaves_the_old_epoch(
    directory: Directory, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    directory.epochs("9999", "10000")

    def fail(_call: str, number: int) -> None:
        if number == fails_at:
            raise OSError(errno.ENOSPC, "No space left on device")

    faulty = FaultyOs(directory.data, before=fail)
    monkeypatch.setattr(files, "os", faulty)
    with pytest.raises(StorageError) as caught:
        write_epoch(directory.version, "currentEpoch", 10000)
    assert str(caught.value) == (
        f"{directory.version}/currentEpoch: can't be written: No space left on device; "
        "free some space on its file system"
    )
    named = fails_at > CALLS.index("rename")
    assert directory.load().epoch == (10000 if named else 9999)
    faulty.before = lambda _call, _number: None
    write_epoch(directory.version, "currentEpoch", 10000)
    assert faulty.calls[-len(CALLS) :] == CALLS
    assert directory.load().epoch == 10000


@pytest.mark.parametrize(
    ("number", "cure"),
    [
        (errno.ENOSPC, "free some space on its file system"),
        (errno.EDQUOT, "free some space on its file system"),
        (errno.EROFS, "mount its file system for writing"),
        (errno.EACCES, "give the user of this process the right to do that"),
        (errno.EIO, "the disk fails: read the kernel's log, and replace it"),
        (errno.EMFILE, "raise the limit of open files (ulimit -n)"),
        (errno.EBADMSG, "check its disk and file system"),
    ],
)
def test_an_error_says_what_to_do(
    directory: Directory, monkeypatch: pytest.MonkeyPatch, number: int, cure: str
) -> None:
    def fail(_call: str, _number: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files, "os", FaultyOs(directory.data, before=fail))
    for write in (
        lambda: write_epoch(directory.version, "currentEpoch", 1),
        lambda: write_record(directory.version, Record(1, 2, 3)),
        lambda: make_directory(directory.data / "new"),
    ):
        with pytest.raises(StorageError) as caught:
            write()
        path, done, told = str(caught.value).split(": ", 2)
        assert path.startswith(str(directory.data))
        assert done in ("can't be written", "can't be created")
        assert told == f"{os.strerror(number)}; {cure}"


def test_a_full_disk_is_told_and_the_old_epoch_stays(directory: Directory) -> None:
    directory.epochs("1", "2")
    (directory.version / "currentEpoch.tmp").symlink_to("/dev/full")
    with pytest.raises(StorageError, match="No space left on device; free some space"):
        write_epoch(directory.version, "currentEpoch", 2)
    assert directory.load() == StoredVote(0, 1, 2)


def test_a_directory_in_the_place_of_the_temporary_file_is_told(directory: Directory) -> None:
    directory.epochs("1", "2").version.joinpath("currentEpoch.tmp").mkdir()
    with pytest.raises(StorageError, match="Is a directory; something else lies in its place"):
        write_epoch(directory.version, "currentEpoch", 2)
    assert directory.load() == StoredVote(0, 1, 2)


def test_a_file_in_the_place_of_the_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "version-2").touch()
    with pytest.raises(StorageError, match="Not a directory; something else lies in its place"):
        write_epoch(tmp_path / "version-2", "currentEpoch", 2)
    with pytest.raises(StorageError, match=r"version-2: can't be created: File exists; something else"):
        make_directory(tmp_path / "version-2")
