"""The last zxid: which snapshot counts, which logs are read, and where a log ends."""

import gzip
import tracemalloc
from pathlib import Path

import pytest
from datadirs import GZIPPED, LOG_HEADER, SNAPPY, SNAPSHOT, Directory, log, record, seal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trio_fle.errors import StorageError
from trio_fle.storage import StoredVote, load_stored_vote

MIB = 1 << 20


def zxid_of(directory: Directory) -> int:
    return directory.load().zxid


@pytest.mark.parametrize(
    ("snapshot", "logs", "zxid"),
    [
        pytest.param(0, [[1, 2, 3]], 3, id="from the beginning"),
        pytest.param(5, [[1, 2, 3], [4, 5], [6, 7]], 7, id="logs go on from the snapshot"),
        pytest.param(5, [[4, 5, 6]], 6, id="a log reaches beyond the snapshot"),
        pytest.param(9, [[1, 2, 3], [4, 5]], 9, id="the snapshot is newer than the logs"),
        pytest.param(5, [[6, 7], [8]], 8, id="no log from before the snapshot"),
        pytest.param(3, [[7, 8]], 8, id="a hole is not seen"),
        pytest.param(0, [[1, 4, 2, 3]], 4, id="the highest counts, not the last"),
        pytest.param(0, [[1, 9], [2, 3]], 9, id="in the older log too"),
        pytest.param(4, [[5, 2**32 + 1], [2**32 + 2]], 2**32 + 2, id="two epochs in a log"),
        pytest.param(0, [[1], []], 1, id="a log that a crash left with its header alone"),
    ],
)
def test_the_last_zxid(directory: Directory, snapshot: int, logs: list[list[int]], zxid: int) -> None:
    directory.put(f"snapshot.{snapshot:x}")
    for zxids in logs:
        directory.put(f"log.{zxids[0] if zxids else 99:x}", log(*zxids))
    assert zxid_of(directory) == zxid


def test_a_log_from_before_the_snapshot_is_not_read(directory: Directory) -> None:
    directory.put("snapshot.5").put("log.1", "rubbish").put("log.4", log(4, 5)).put("log.6", log(6))
    assert zxid_of(directory) == 6


def test_the_log_that_begins_before_the_snapshot_is_read_even_if_another_begins_right_after_it(
    directory: Directory,
) -> None:
    directory.put("snapshot.5").put("log.4", "rubbish").put("log.6", log(6))
    assert directory.error().startswith("log.4: does not begin as a transaction log does")


@pytest.mark.parametrize(
    "tail",
    [
        pytest.param(b"", id="none"),
        pytest.param(bytes(50), id="zeros"),
        pytest.param(record(3)[:5], id="cut in the checksum"),
        pytest.param(record(3)[:10], id="cut in the length"),
        pytest.param(record(3)[:30], id="cut in the payload"),
        pytest.param(record(3)[:-1], id="cut before the end byte"),
        pytest.param(record(3)[:8] + bytes(99), id="checksum alone"),
        pytest.param(record(3)[:11] + bytes(99), id="half a length, read as none"),
        pytest.param(record(3)[:30] + bytes(99), id="half a payload, and zeros"),
        pytest.param(record(3)[:-1] + bytes(99), id="no end byte"),
        pytest.param(bytes(8) + (5).to_bytes(4, "big") + b"short", id="too short, and cut"),
        pytest.param(bytes(8) + (2 * 0xFFFFF).to_bytes(4, "big"), id="the longest length, and cut"),
    ],
)
def test_a_torn_tail_does_not_count(directory: Directory, tail: bytes) -> None:
    directory.put("snapshot.0").put("log.1", log(1, 2, padding=0) + tail)
    assert zxid_of(directory) == 2
    directory.put("log.4", log(4))
    assert zxid_of(directory) == 4


@pytest.mark.parametrize("at", range(12, len(record(3)) - 1))
def test_damage_to_a_payload_is_refused(directory: Directory, at: int) -> None:
    damaged = bytearray(record(3))
    damaged[at] ^= 1
    directory.put("snapshot.0").put("log.1", log(1, 2, padding=0) + damaged + record(4))
    assert f"the record at byte {len(log(1, 2, padding=0))} is damaged (its checksum" in directory.error()


@pytest.mark.parametrize("length", [-1, -(2**31), 2**31 - 1, 2 * 0xFFFFF + 1])
def test_a_length_that_no_server_writes_is_refused(directory: Directory, length: int) -> None:
    broken = bytes(8) + length.to_bytes(4, "big", signed=True) + bytes(99)
    directory.put("snapshot.0").put("log.1", log(1, padding=0) + broken)
    assert f"is damaged (its length {length} is wrong); restore the whole data directory" in directory.error()


def test_a_payload_without_a_whole_header_is_refused(directory: Directory) -> None:
    directory.put("snapshot.0").put(
        "log.1", LOG_HEADER + bytes([0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]) + b"\0B"
    )
    assert "its length 1 is wrong" in directory.error()


def test_a_checksum_with_its_upper_half_set_is_refused(directory: Directory) -> None:
    damaged = b"\xff" * 4 + record(3)[4:]
    directory.put("snapshot.0").put("log.1", log(1, padding=0) + damaged)
    assert "its checksum is wrong" in directory.error()


@pytest.mark.parametrize("head", [LOG_HEADER[:15], b"ZKSN" + LOG_HEADER[4:], b"Z", bytes(16)])
def test_a_log_without_its_header_is_refused(directory: Directory, head: bytes) -> None:
    directory.put("snapshot.0").put("log.1", head)
    assert directory.error().startswith("log.1: does not begin as a transaction log does")


def test_only_the_newest_log_may_be_of_0_bytes(directory: Directory) -> None:
    directory.put("snapshot.0").put("log.1", log(1)).put("log.2", "")
    assert zxid_of(directory) == 1
    directory.put("log.3", "")
    assert directory.error().startswith("log.2: does not begin as a transaction log does")


def test_a_long_record_of_a_server_with_a_larger_jute_maxbuffer_counts(directory: Directory) -> None:
    directory.put("snapshot.0").put("log.1", LOG_HEADER + record(1, bytes(3 * MIB)) + record(2))
    assert zxid_of(directory) == 2


def test_memory_is_bounded_whatever_the_size(directory: Directory) -> None:
    tree = b"ZKSN" + bytes(20 * MIB)
    directory.put("snapshot.0", seal(tree)).put("snapshot.1.gz", gzip.compress(seal(tree), 1))
    directory.put("log.2", LOG_HEADER + record(2, bytes(20 * MIB)) + record(3, bytes(20 * MIB)))
    del tree
    tracemalloc.start()
    try:
        assert zxid_of(directory) == 3
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("snapshot.5", b"", id="empty"),
        pytest.param("snapshot.5", SNAPSHOT[:-1], id="cut"),
        pytest.param("snapshot.5", b"\0\0\0\1/", id="shorter than any"),
        pytest.param("snapshot.5", SNAPSHOT[:20] + b"?" + SNAPSHOT[21:], id="damaged"),
        pytest.param("snapshot.5", SNAPSHOT[1:], id="without its magic"),
        pytest.param("snapshot.5.gz", b"", id="empty gz"),
        pytest.param("snapshot.5.gz", SNAPSHOT, id="gz that is none"),
        pytest.param("snapshot.5.gz", GZIPPED[: len(GZIPPED) // 2], id="cut gz"),
        pytest.param("snapshot.5.gz", GZIPPED[:2], id="gz of two bytes"),
        pytest.param("snapshot.5.gz", GZIPPED[:20] + b"?" + GZIPPED[21:], id="damaged gz"),
        pytest.param("snapshot.5.gz", gzip.compress(SNAPSHOT[:-1]), id="gz of a cut one"),
        pytest.param("snapshot.5.snappy", b"", id="empty snappy"),
        pytest.param("snapshot.5.snappy", SNAPSHOT, id="snappy that is none"),
        pytest.param("snapshot.5.snappy", SNAPPY[:16], id="snappy without blocks"),
        pytest.param("snapshot.5.snappy", SNAPPY[:-1], id="cut snappy"),
        pytest.param("snapshot.5.snappy", SNAPPY + bytes(8), id="snappy with zeros"),
    ],
)
def test_a_broken_snapshot_leaves_the_next_older_one(directory: Directory, name: str, content: bytes) -> None:
    directory.put(name, content).put("snapshot.3")
    assert zxid_of(directory) == 3
    directory.put("log.4", log(4, 5, 6))
    assert zxid_of(directory) == 6


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(seal(SNAPSHOT + bytes(8)), id="with a last zxid, as 3.9 has it"),
        pytest.param(seal(b"ZKSN" + bytes(99)), id="without a digest, as before 3.6"),
        pytest.param(seal(b"ZKSN" + bytes(1 << 16)), id="longer than is read at once"),
    ],
)
def test_the_last_seal_vouches_for_a_snapshot(directory: Directory, content: bytes) -> None:
    assert zxid_of(directory.put("snapshot.5", content)) == 5
    assert zxid_of(directory.put("snapshot.6.gz", gzip.compress(content))) == 6


@pytest.mark.parametrize(
    "tail", [GZIPPED[:-8], GZIPPED[:-1] + b"?", GZIPPED + b"rubbish", GZIPPED + bytes(9)]
)
def test_what_follows_the_seal_in_a_gz_does_not_matter(directory: Directory, tail: bytes) -> None:
    assert zxid_of(directory.put("snapshot.5.gz", tail)) == 5


def test_of_two_snapshots_of_a_zxid_one_is_enough(directory: Directory) -> None:
    directory.put("snapshot.5").put("snapshot.5.gz", "broken").put("snapshot.3")
    assert zxid_of(directory) == 5


def test_when_all_snapshots_are_damaged_nothing_is_guessed(directory: Directory) -> None:
    damaged = SNAPSHOT[:20] + b"?" + SNAPSHOT[21:]
    directory.put("snapshot.5", damaged).put("snapshot.0", damaged)
    assert directory.error(trust_empty=True) == (
        "snapshot.5: is damaged, and so is every other snapshot; restore the whole data directory"
    )


def test_a_hundred_damaged_snapshots_are_enough(directory: Directory) -> None:
    damaged = SNAPSHOT[:20] + b"?" + SNAPSHOT[21:]
    for zxid in range(1, 101):
        directory.put(f"snapshot.{zxid:x}", damaged).put(f"snapshot.{zxid + 100:x}", "cut short")
    directory.put("snapshot.0")
    assert directory.error().startswith("snapshot.64: is damaged")
    directory.put("snapshot.1")
    assert zxid_of(directory) == 1


def test_a_first_snapshot_cut_short_by_a_crash_is_a_new_directory(directory: Directory) -> None:
    directory.put("snapshot.0", SNAPSHOT[:-3])
    assert directory.load() == StoredVote(0, 0, 0)


def test_a_later_snapshot_cut_short_and_alone_is_refused(directory: Directory) -> None:
    directory.put("snapshot.5", SNAPSHOT[:-3]).put("snapshot.0", "")
    assert directory.error() == (
        "snapshot.5: is cut short, and there is nothing else; restore the whole data directory"
    )
    assert directory.load(trust_empty=True).zxid == 0


@pytest.mark.parametrize("content", [log(1, 2), LOG_HEADER, b""])
def test_logs_without_a_snapshot_are_refused_unless_trusted(directory: Directory, content: bytes) -> None:
    directory.put("log.1", content)
    assert directory.error().startswith(f"{directory.version}: holds transaction logs, but ")
    assert "snapshot.trust.empty=true" in directory.error()
    assert directory.load(trust_empty=True).zxid == (2 if len(content) > 16 else 0)


def test_without_autocreate_an_empty_directory_must_not_elect(directory: Directory) -> None:
    assert directory.load(autocreate=False) == StoredVote(-1, -1, -1)
    assert directory.put("snapshot.0").load(autocreate=False) == StoredVote(0, 0, 0)


@pytest.mark.parametrize("place", ["data", "logs"])
def test_a_marker_says_that_a_directory_is_meant_to_be_empty(directory: Directory, place: str) -> None:
    marker = directory.data.parent / place / "initialize"
    marker.touch()
    assert load_stored_vote(directory.data, directory.logs, autocreate=False) == StoredVote(0, 0, 0)
    assert marker.exists()


def test_a_zxid_that_is_no_java_long_is_no_zxid(directory: Directory) -> None:
    directory.put("snapshot.8000000000000000").put("log.ffffffffffffffff", "rubbish").put("snapshot.3")
    assert zxid_of(directory) == 3
    assert zxid_of(directory.put("snapshot.7fffffffffffffff").epochs("2147483647", "2147483647")) == 2**63 - 1


@pytest.mark.parametrize("name", ["log.1", "snapshot.0", "snapshot.0.gz", "snapshot.0.snappy"])
def test_a_file_that_can_not_be_read_is_refused(directory: Directory, name: str) -> None:
    (directory.version / name).mkdir()
    error = directory.error(trust_empty=True)
    assert f"{name}: can't be read: Is a directory; something else lies in its place" in error


@given(st.binary(max_size=80), st.integers(0, 300), st.integers(0, 300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_log_is_read_to_an_end_or_refused(
    directory: Directory, rubbish: bytes, begin: int, end: int
) -> None:
    whole = log(*range(1, 6))
    directory.put("snapshot.0").put("log.1", whole[:begin] + rubbish + whole[end:])
    try:
        vote = directory.load()
    except StorageError:
        return
    assert 0 <= vote.zxid <= 5 or rubbish


@given(st.binary(max_size=80), st.sampled_from(["", ".gz", ".snappy"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_snapshot_counts_or_not(directory: Directory, rubbish: bytes, suffix: str) -> None:
    for path in Path(directory.version).iterdir():
        path.unlink()
    directory.put("snapshot.0")
    for begin in (SNAPSHOT, GZIPPED, SNAPPY, b""):
        directory.put(f"snapshot.5{suffix}", begin[: len(rubbish)] + rubbish)
        assert zxid_of(directory) in (0, 5)
