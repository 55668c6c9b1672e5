"""Power loss at any moment of a write: the epoch on disk is the old one or the new one, never a lower one."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from crash_model import FaultyOs, materialize
from datadirs import Directory

from trio_fle.errors import StorageError
from trio_fle.storage import DurableStorage, Followed, StoredVote, epochs, files, load_stored_vote, record
from trio_fle.storage.epochs import write_epoch
from trio_fle.storage.files import overwrite
from trio_fle.storage.record import SLOT_BYTES, Record, encode_record

OLD, NEW = 9999, 10000
"""A beginning of the new one is a lower epoch."""


Votes = Callable[[list[dict[str, Any]]], list[StoredVote]]

CALLS = 28
"""What ``epoch_after_epoch`` asks of the kernel."""


class Killed(BaseException):
    """The process ends here; what it has asked of the kernel stays."""


def power_off(faulty: FaultyOs, monkeypatch: pytest.MonkeyPatch) -> FaultyOs:
    monkeypatch.setattr(files, "os", faulty)
    return faulty


@pytest.fixture
def votes(tmp_path: Path) -> Votes:
    """Load what a power loss leaves, each state once."""
    known: list[tuple[dict[str, Any], StoredVote]] = []
    numbers = itertools.count()

    def load(states: list[dict[str, Any]]) -> list[StoredVote]:
        loaded = []
        for state in states:
            vote = next((vote for seen, vote in known if seen == state), None)
            if vote is None:
                root = materialize(state, tmp_path / f"disk{next(numbers)}")
                vote = load_stored_vote(root, root)
                known.append((state, vote))
            loaded.append(vote)
        return loaded

    return load


def begun_in(directory: Directory, state: str) -> Directory:
    """A data directory in which the old epoch is the current one, with what an earlier crash left."""
    if state == "no version-2":
        directory.version.rmdir()
        return directory
    directory.put(f"snapshot.{OLD << 32:x}").epochs(str(OLD), str(NEW))
    leftovers = {"torn": "1", "zeros": "\0\0\0", "longer": "123456789\n", "empty": ""}
    if state in leftovers:
        directory.put("currentEpoch.tmp", leftovers[state])
    return directory


@pytest.mark.parametrize("state", ["plain", "no version-2", "torn", "zeros", "longer", "empty"])
@pytest.mark.parametrize("bytes_at_once", [1, 99])
def test_a_power_loss_leaves_the_old_or_the_new_epoch(
    directory: Directory, monkeypatch: pytest.MonkeyPatch, votes: Votes, state: str, bytes_at_once: int
) -> None:
    begun_in(directory, state)
    old = directory.load().epoch
    faulty = power_off(FaultyOs(directory.data, bytes_at_once=bytes_at_once), monkeypatch)
    name = "acceptedEpoch" if state == "no version-2" else "currentEpoch"
    write_epoch(directory.version, name, NEW)
    kept = [
        {vote.accepted_epoch if name == "acceptedEpoch" else vote.epoch for vote in votes(states)}
        for states in faulty.moments
    ]
    assert kept[0] == {old}
    assert all(epochs <= {old, NEW} for epochs in kept)
    assert {old, NEW} in kept
    assert kept[-1] == {NEW}, "what was written before it returned must stay"
    assert sum(map(len, faulty.moments)) > 10


def write_in_place(path: Path, data: bytes) -> None:
    descriptor = files.os.open(path, files.os.O_WRONLY | files.os.O_CREAT | files.os.O_TRUNC, 0o666)
    files.os.write(descriptor, data)
    files.os.fsync(descriptor)
    files.os.close(descriptor)
    files.make_durable(path.parent)


def write_late(path: Path, data: bytes) -> None:
    """Take the name before the content is durable."""
    descriptor = files.os.open(path.with_name(path.name + ".tmp"), files.os.O_WRONLY | files.os.O_CREAT)
    files.os.write(descriptor, data)
    files.os.rename(path.with_name(path.name + ".tmp"), path)
    files.os.fsync(descriptor)
    files.os.close(descriptor)
    files.make_durable(path.parent)


@pytest.mark.parametrize(
    ("forgets", "writer", "at_the_end"),
    [
        pytest.param("fsync file", None, True, id="no fsync of the file"),
        pytest.param("fsync directory", None, True, id="no fsync of the directory"),
        pytest.param("", write_in_place, False, id="written in place"),
        pytest.param("", write_late, False, id="renamed before the fsync"),
    ],
)
def test_the_model_finds_a_writer_that_leaves_something_out(
    directory: Directory,
    monkeypatch: pytest.MonkeyPatch,
    votes: Votes,
    forgets: str,
    writer: Any,
    at_the_end: bool,
) -> None:
    begun_in(directory, "plain")
    faulty = power_off(FaultyOs(directory.data, forgets=frozenset({forgets})), monkeypatch)
    if writer is not None:
        monkeypatch.setattr(epochs, "write_atomically", writer)
    write_epoch(directory.version, "currentEpoch", NEW)
    assert harmed_at(faulty, votes, "epoch") == (at_the_end, True)


def harmed_at(faulty: FaultyOs, votes: Votes, which: str) -> tuple[bool, bool]:
    """Whether a power loss at the end, and whether one at any time, leaves an epoch that must not be."""
    harmed = set()
    for number, states in enumerate(faulty.moments):
        expected = {NEW} if number == len(faulty.moments) - 1 else {OLD, NEW}
        for state in states:
            try:
                (vote,) = votes([state])
            except StorageError:
                harmed.add(number)
                continue
            if getattr(vote, which) not in expected:
                harmed.add(number)
    return len(faulty.moments) - 1 in harmed, bool(harmed)


async def epoch_after_epoch(storage: DurableStorage, faulty: FaultyOs) -> dict[str, int]:
    """Accept an epoch and begin it; return how many calls each had made on return."""
    returned = {}
    await storage.accept_epoch(NEW, Followed(3, NEW, 2.5))
    returned["accepted"] = len(faulty.moments) - 1
    await storage.begin_epoch(NEW)
    returned["begun"] = len(faulty.moments) - 1
    await storage.settle()
    await storage.remember_followed(None)
    returned["forgotten"] = len(faulty.moments) - 1
    return returned


async def test_a_crash_between_the_two_epochs_is_a_normal_start(
    directory: Directory, monkeypatch: pytest.MonkeyPatch, votes: Votes
) -> None:
    """ZOOKEEPER-2307 and -4269: and whom the member follows is known by the time anything is acknowledged."""
    old, new = Followed(1, OLD, 2.5), Followed(3, NEW, 2.5)
    directory.put(f"snapshot.{OLD << 32:x}").epochs(str(OLD), str(OLD))
    directory.put("fle.record", encode_record(Record(8, OLD, OLD, old)) + bytes(SLOT_BYTES))
    faulty = power_off(FaultyOs(directory.data), monkeypatch)
    storage = DurableStorage(directory.data, directory.data)
    assert await storage.load() == StoredVote(OLD << 32, OLD, OLD, old)
    begin = len(faulty.calls)
    returned = await epoch_after_epoch(storage, faulty)
    assert len(faulty.calls) - begin == CALLS
    storage.close()
    seen = set()
    for number, states in enumerate(faulty.moments):
        for vote in votes(states):
            seen.add((vote.accepted_epoch, vote.epoch, vote.followed))
            assert vote.accepted_epoch == NEW or number < returned["accepted"]
            assert vote.epoch == NEW or number < returned["begun"]
            assert vote.followed is None or number < returned["forgotten"]
            assert vote.followed == new or not returned["accepted"] <= number <= returned["begun"]
    assert seen == {(OLD, OLD, old), (NEW, OLD, new), (NEW, NEW, new), (NEW, NEW, None)}


def without_record(state: dict[str, Any]) -> dict[str, Any]:
    """What a Java server sees of a data directory."""
    return {**state, "version-2": {k: v for k, v in state["version-2"].items() if k != "fle.record"}}


async def test_the_epoch_files_that_a_java_server_reads_follow_and_are_never_in_the_wrong_order(
    directory: Directory, monkeypatch: pytest.MonkeyPatch, votes: Votes
) -> None:
    directory.put(f"snapshot.{OLD << 32:x}").epochs(str(OLD), str(OLD))
    faulty = power_off(FaultyOs(directory.data), monkeypatch)
    storage = DurableStorage(directory.data, directory.data)
    await storage.load()
    await epoch_after_epoch(storage, faulty)
    storage.close()
    seen = [
        {(vote.accepted_epoch, vote.epoch) for vote in votes([without_record(each) for each in states])}
        for states in faulty.moments
        if all("version-2" in state for state in states)
    ]
    assert set().union(*seen) == {(OLD, OLD), (NEW, OLD), (NEW, NEW)}
    assert seen[-1] == {(NEW, NEW)}


def write_into_one_slot(path: Path, data: bytes, _offset: int) -> None:
    overwrite(path, data, 0)


@pytest.mark.parametrize(
    ("forgets", "writer", "at_the_end"),
    [
        pytest.param("fdatasync", overwrite, True, id="no fdatasync"),
        pytest.param("", write_into_one_slot, False, id="one slot"),
    ],
)
async def test_the_model_finds_a_record_that_is_written_wrongly(
    directory: Directory,
    monkeypatch: pytest.MonkeyPatch,
    votes: Votes,
    forgets: str,
    writer: Any,
    at_the_end: bool,
) -> None:
    storage = DurableStorage(directory.data, directory.data)
    await storage.load()
    await storage.accept_epoch(OLD - 1)
    await storage.accept_epoch(OLD)
    monkeypatch.setattr(record, "overwrite", writer)
    faulty = power_off(FaultyOs(directory.data, forgets=frozenset({forgets})), monkeypatch)
    await storage.accept_epoch(NEW)
    storage.close()
    assert harmed_at(faulty, votes, "accepted_epoch") == (at_the_end, True)


@pytest.mark.parametrize("killed_at", range(CALLS))
async def test_what_a_killed_process_left_and_the_next_one_read_outlives_a_power_loss(
    directory: Directory, monkeypatch: pytest.MonkeyPatch, votes: Votes, killed_at: int
) -> None:
    directory.put(f"snapshot.{OLD << 32:x}").epochs(str(OLD), str(OLD))
    faulty = power_off(FaultyOs(directory.data), monkeypatch)

    storage = DurableStorage(directory.data, directory.data)
    await storage.load()
    begin = len(faulty.calls)

    def kill(_call: str, number: int) -> None:
        if number - begin >= killed_at:
            raise Killed

    faulty.before = kill
    with pytest.raises(Killed):
        await epoch_after_epoch(storage, faulty)
    storage.close()
    faulty.before = lambda _call, _number: None
    restarted = DurableStorage(directory.data, directory.data)
    read = await restarted.load()
    restarted.close()
    assert set(votes(faulty.moments[-1])) == {read}


async def test_an_epoch_that_a_crash_left_unnamed_is_named_before_another_is_written(
    directory: Directory, monkeypatch: pytest.MonkeyPatch, votes: Votes
) -> None:
    directory.put(f"snapshot.{OLD << 32:x}").epochs("7", str(NEW)).put("currentEpoch.tmp", str(OLD))
    faulty = power_off(FaultyOs(directory.data), monkeypatch)
    storage = DurableStorage(directory.data, directory.data)
    assert (await storage.load()).epoch == OLD
    await storage.begin_epoch(NEW)
    storage.close()
    kept = [{vote.epoch for vote in votes(states)} for states in faulty.moments]
    assert all(epochs <= {OLD, NEW} for epochs in kept)
    assert kept[-1] == {NEW}
