"""The vote that a data directory gives: the one that a real server restarted on it cast."""

from pathlib import Path

import pytest
from datadirs import CASES, Directory, listing, log, unpack
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trio_fle.errors import MemberStoppedError, StorageError
from trio_fle.storage import StoredVote, load_stored_vote
from trio_fle.storage.record import SLOT_BYTES, Record, encode_record

VOTING = [name for name, case in CASES.items() if "vote" in case]
REFUSING = {
    "crc_corrupt_last": "log.100000047: the record at byte 790 is damaged (its checksum is wrong)",
    "payload_corrupt_last": "log.100000047: the record at byte 790 is damaged (its checksum is wrong)",
    "len_minus1": "log.100000047: the record at byte 790 is damaged (its length -1 is wrong)",
    "len_huge": "log.100000047: the record at byte 790 is damaged (its length 2147483647 is wrong)",
    "garbage_after_last": "log.100000047: the record at byte 891 is damaged (its length 286331153 is wrong)",
    "extra_log_partial_header": "log.200000100: does not begin as a transaction log does",
    "extra_log_bad_magic": "log.200000100: does not begin as a transaction log does",
    "middle_log_empty_0_bytes": "log.100000046: does not begin as a transaction log does",
    "all_snapshots_crc_bad": "snapshot.100000045: is damaged, and so is every other snapshot",
    "no_snapshots": "holds transaction logs, but",
    "currentEpoch_behind_zxid": "currentEpoch: epoch 1 is older than that of the last zxid, 0x200000006",
    "acceptedEpoch_behind_current": "acceptedEpoch: epoch 1 is less than the current epoch 2",
    "epoch_trailing_space": "currentEpoch: holds '2 ', which is no epoch",
    "epoch_empty": "currentEpoch: holds '', which is no epoch",
}
EMPTY_NEWEST_LOG = "extra_empty_log_file_0_bytes"
NO_AUTOCREATE = "autocreate_false_empty"


def load(name: str, root: Path) -> StoredVote:
    return load_stored_vote(root, root, autocreate=name != NO_AUTOCREATE)


def test_all_recorded_directories_are_there_and_each_is_tested() -> None:
    assert len(CASES) == 42
    assert {*VOTING, *REFUSING, EMPTY_NEWEST_LOG} == set(CASES)
    assert {*REFUSING, EMPTY_NEWEST_LOG} == {
        name for name, case in CASES.items() if "refuses_to_start" in case
    }


@pytest.mark.parametrize("name", VOTING)
def test_the_vote_is_the_one_that_a_real_server_cast(name: str, tmp_path: Path) -> None:
    vote = load(name, unpack(name, tmp_path))
    real = CASES[name]["vote"]
    assert (vote.zxid % 2**64, vote.epoch) == (int(real["zxid"], 16), real["peerEpoch"])


@pytest.mark.parametrize("name", REFUSING)
def test_a_directory_that_a_real_server_refused_is_refused(name: str, tmp_path: Path) -> None:
    root = unpack(name, tmp_path)
    with pytest.raises(StorageError) as caught:
        load(name, root)
    assert str(caught.value).startswith(f"{root / 'version-2'}")
    assert REFUSING[name] in str(caught.value)
    assert "restore" in str(caught.value)


def test_an_empty_newest_log_holds_nothing_as_zookeeper_3_9_3_has_it_and_3_8_not(tmp_path: Path) -> None:
    vote = load(EMPTY_NEWEST_LOG, unpack(EMPTY_NEWEST_LOG, tmp_path))
    assert vote == StoredVote(0x2_0000_0006, 2, 2)


def test_an_epoch_of_minus_one_beside_a_zxid_of_0_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="epoch -1 is older than that of the last zxid, 0x0"):
        load_stored_vote(unpack(NO_AUTOCREATE, tmp_path), tmp_path)


@pytest.mark.parametrize("name", CASES)
def test_reading_changes_nothing(name: str, tmp_path: Path) -> None:
    root = unpack(name, tmp_path)
    before = listing(root)
    try:
        load(name, root)
    except StorageError:
        assert name in REFUSING
    assert listing(root) == before


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
        pytest.param("snapshot.300000001", None, None, StoredVote(0x3_0000_0001, 3, 3), id="no epoch files"),
        pytest.param("snapshot.100000045", None, "2", StoredVote(0x1_0000_0045, 1, 2), id="no currentEpoch"),
        pytest.param("snapshot.100000045", "3", None, StoredVote(0x1_0000_0045, 3, 3), id="no acceptedEpoch"),
        pytest.param("snapshot.200000006", "2", "2", StoredVote(0x2_0000_0006, 2, 2), id="all the same"),
        pytest.param("snapshot.200000006", "2", "9", StoredVote(0x2_0000_0006, 2, 9), id="accepted ahead"),
        pytest.param("snapshot.200000006", "7", "9", StoredVote(0x2_0000_0006, 7, 9), id="current ahead"),
        pytest.param("snapshot.200000006.gz", "2", "2", StoredVote(0x2_0000_0006, 2, 2), id="compressed"),
        pytest.param("snapshot.200000006.snappy", "2", "2", StoredVote(0x2_0000_0006, 2, 2), id="snappy"),
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
    assert directory.load() == StoredVote(0x2_0000_0006, 2, 2)


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
    assert directory.load() == StoredVote(0x1_0000_0001, 1, 1)


def test_an_heir_without_a_promise_has_been_promised_nothing(directory: Directory) -> None:
    """Versions before could write that as they stopped; nobody accepts anything of the heir then."""
    directory.put("fle.record", encode_record(Record(2, 4, 4, None, 2)) + bytes(SLOT_BYTES))
    assert directory.load() == StoredVote(0, 4, 4)


def test_a_directory_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert load_stored_vote(tmp_path / "none", tmp_path / "neither") == StoredVote(0, 0, 0)
    assert list(tmp_path.iterdir()) == []


def test_logs_may_lie_elsewhere(directory: Directory) -> None:
    directory.put("snapshot.100000001").epochs("1", "1")
    (directory.logs / "version-2" / "log.100000002").write_bytes(log(0x1_0000_0002, 0x1_0000_0003))
    assert load_stored_vote(directory.data, directory.logs) == StoredVote(0x1_0000_0003, 1, 1)


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
    assert directory.error() == (
        f"{name}: can't be read: Is a directory; something else lies in its place: move that away"
    )


def test_a_file_in_the_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "version-2").touch()
    with pytest.raises(StorageError, match=r"version-2/fle\.record: can't be read: Not a directory"):
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
