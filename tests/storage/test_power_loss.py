"""Power loss at any moment of a write: the epoch on disk is the old one or the new one, never a lower one."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from crash_model import FaultyOs, materialize
from datadirs import Directory

from trio_fle.errors import StorageError
from trio_fle.storage import DurableStorage, Followed, StoredVote, epochs, files, load_stored_vote
from trio_fle.storage.epochs import write_epoch

OLD, NEW = 9999, 10000
"""A beginning of the new one is a lower epoch."""


Votes = Callable[[list[dict[str, Any]]], list[StoredVote]]

CALLS = 25
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
    files.sync_directory(path.parent)


def write_late(path: Path, data: bytes) -> None:
    """Take the name before the content is durable."""
    descriptor = files.os.open(path.with_name(path.name + ".tmp"), files.os.O_WRONLY | files.os.O_CREAT)
    files.os.write(descriptor, data)
    files.os.rename(path.with_name(path.name + ".tmp"), path)
    files.os.fsync(descriptor)
    files.os.close(descriptor)
    files.sync_directory(path.parent)


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
    harmed = set()
    for number, states in enumerate(faulty.moments):
        for state in states:
            try:
                (vote,) = votes([state])
            except StorageError:
                harmed.add(number)
                continue
            last = number == len(faulty.moments) - 1
            if vote.epoch not in ({NEW} if last else {OLD, NEW}):
                harmed.add(number)
    assert harmed
    assert (len(faulty.moments) - 1 in harmed) == at_the_end


async def epoch_after_epoch(storage: DurableStorage, faulty: FaultyOs) -> dict[str, int]:
    """Accept an epoch and begin it; return how many calls each had made on return."""
    returned = {}
    await storage.accept_epoch(NEW)
    returned["accepted"] = len(faulty.moments) - 1
    await storage.begin_epoch(NEW, Followed(3, NEW, 2.5))
    returned["begun"] = len(faulty.moments) - 1
    await storage.remember_followed(None)
    returned["forgotten"] = len(faulty.moments) - 1
    return returned


async def test_a_crash_between_the_two_epochs_is_a_normal_start(
    directory: Directory, monkeypatch: pytest.MonkeyPatch, votes: Votes
) -> None:
    """ZOOKEEPER-2307 and -4269: and whom the member follows is known by the time anything is acknowledged."""
    directory.put(f"snapshot.{OLD << 32:x}").epochs(str(OLD), str(OLD)).put("fle.followed", "1 9999 2500\n")
    old, new = Followed(1, OLD, 2.5), Followed(3, NEW, 2.5)
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
            assert vote.followed == new or number != returned["begun"]
    assert seen == {
        (OLD, OLD, old), (NEW, OLD, old), (NEW, OLD, new), (NEW, NEW, old), (NEW, NEW, new),
        (NEW, NEW, None),
    }  # fmt: skip


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
    await storage.begin_epoch(NEW, None)
    storage.close()
    kept = [{vote.epoch for vote in votes(states)} for states in faulty.moments]
    assert all(epochs <= {OLD, NEW} for epochs in kept)
    assert kept[-1] == {NEW}
