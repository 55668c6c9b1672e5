"""The record: its bytes, which of two slots counts, and what a damaged one costs."""

import zlib

import pytest
from datadirs import Directory

from trio_fle.storage import Followed, StoredVote
from trio_fle.storage.record import (
    SLOT_BYTES,
    Record,
    decode_slot,
    encode_record,
    prepare_record,
    read_record,
    write_record,
)

PROMISED = Followed(3, 7, 2.25)


@pytest.mark.parametrize(
    ("record", "facts"),
    [
        (Record(1, 2, 3), b"fle1 1 2 3 - - -"),
        (Record(1, -1, -1, PROMISED), b"fle1 1 -1 -1 3 7 2250"),
        (
            Record(2**63 - 1, 2**31, 9, Followed(-1, 0, 1.1)),
            b"fle1 9223372036854775807 2147483648 9 -1 0 1100",
        ),
        (Record(1, 2, 3, Followed(0, 0, 0.0001)), b"fle1 1 2 3 0 0 1"),
        (Record(1, 2, 3, Followed(0, 0, 0.0)), b"fle1 1 2 3 0 0 0"),
        (Record(1, -2, -3, Followed(4, -2, 1.0)), b"fle1 1 -2 -3 4 -2 1000"),
        (Record(1, 2, 3, PROMISED, 5), b"fle2 1 2 3 3 7 2250 5"),
        (Record(1, 2, 3, None, -1), b"fle2 1 2 3 - - - -1"),
    ],
)
def test_a_slot_is_a_line_with_a_checksum_and_a_lease_gets_no_shorter(record: Record, facts: bytes) -> None:
    slot = encode_record(record)
    assert slot.rstrip(b"\0") == b"%b %08x\n" % (facts, zlib.crc32(facts))
    assert len(slot) == SLOT_BYTES
    read = decode_slot(slot)
    assert read is not None
    assert encode_record(read) == slot


def test_the_newer_of_two_slots_counts(directory: Directory) -> None:
    prepare_record(directory.version)
    assert read_record(directory.version) is None
    assert directory.load() == StoredVote(0, 0, 0)
    for number in range(1, 6):
        write_record(directory.version, Record(number, number, 0, PROMISED))
        assert directory.load() == StoredVote(0, 0, number, PROMISED)
        prepare_record(directory.version)
    assert (directory.version / "fle.record").stat().st_size == 2 * SLOT_BYTES


@pytest.mark.parametrize("at", [0, 5, 10, 27])
def test_a_slot_with_a_flipped_bit_does_not_count(directory: Directory, at: int) -> None:
    newer = bytearray(encode_record(Record(5, 5, 5)))
    newer[at] ^= 1
    directory.put("fle.record", encode_record(Record(4, 4, 4)) + newer)
    assert directory.load() == StoredVote(0, 4, 4)


@pytest.mark.parametrize(
    ("record", "in_files", "stored"),
    [
        ((6, 5), ("5", "6"), (5, 6)),
        ((6, 6), ("5", "6"), (6, 6)),
        ((6, 6), ("5", "5"), (6, 6)),
        ((6, 6), (None, None), (6, 6)),
        ((6, 5), ("7", "8"), (7, 8)),  # a Java server has been here
        ((9, 5), ("7", "8"), (7, 9)),
    ],
)
def test_the_higher_of_record_and_epoch_files_counts(
    directory: Directory,
    record: tuple[int, int],
    in_files: tuple[str | None, str | None],
    stored: tuple[int, int],
) -> None:
    directory.epochs(*in_files).put("fle.record", encode_record(Record(4, *record)) + bytes(SLOT_BYTES))
    assert directory.load() == StoredVote(0, *stored)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"anything",
        b"\0" * SLOT_BYTES,
        b"fle1 1 2 3 - - - 00000000\n".ljust(2 * SLOT_BYTES, b"\0"),
        encode_record(Record(4, 4, 4))[:20].ljust(2 * SLOT_BYTES, b"\0"),
        encode_record(Record(4, 4, 4)),
        encode_record(Record(4, 4, 4)) + encode_record(Record(5, 5, 5))[:-1],
    ],
)
def test_a_record_of_which_nothing_is_whole_is_refused(directory: Directory, content: bytes) -> None:
    assert directory.put("fle.record", content).error() == (
        "fle.record: is damaged, and nothing else knows what this member promised last; give the server an "
        "empty dataDir and a new id, in every server's configuration"
    )


def test_a_first_record_that_is_torn_was_told_to_nobody(directory: Directory) -> None:
    torn = encode_record(Record(1, 2, 3))[:20].ljust(SLOT_BYTES, b"\0")
    directory.epochs("1", "1").put("fle.record", bytes(SLOT_BYTES) + torn)
    assert directory.load() == StoredVote(0, 1, 1)


@pytest.mark.parametrize("facts", [b"fle1 1 2 3 3 7 2250 5", b"fle2 1 2 3 3 7 2250", b"fle2 1 2 3 - - -"])
def test_an_heir_belongs_to_the_second_form_alone(facts: bytes) -> None:
    assert decode_slot(b"%b %08x\n" % (facts, zlib.crc32(facts)) + bytes(SLOT_BYTES)) is None


def test_a_reserved_epoch_is_known_after_a_restart(directory: Directory) -> None:
    prepare_record(directory.version)
    write_record(directory.version, Record(1, 4, 3, PROMISED, 2))
    assert directory.load() == StoredVote(0, 3, 4, PROMISED, 2)


def test_a_java_server_that_went_on_has_overtaken_what_was_reserved(directory: Directory) -> None:
    prepare_record(directory.version)
    write_record(directory.version, Record(1, 4, 3, PROMISED, 2))
    directory.epochs("6", "6")
    assert directory.load() == StoredVote(0, 6, 6, PROMISED)
