"""The storage that a member holds: one process, one write after the other, each whole."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from crash_model import FaultyOs
from datadirs import Directory, listing, log

from trio_fle.errors import StorageError
from trio_fle.sim.members.disk import VirtualDisk
from trio_fle.storage import DurableStorage, Followed, Storage, StoredVote, files
from trio_fle.storage.durable import FOLLOW_AFTER_S
from trio_fle.storage.epochs import read_epoch
from trio_fle.storage.record import Record, read_record

HOLD = """
import sys, trio
from pathlib import Path
from trio_fle.errors import StorageError
from trio_fle.storage import DurableStorage

storage = DurableStorage(Path(sys.argv[1]), Path(sys.argv[1]))
try:
    trio.run(storage.load)
except StorageError as error:
    print(error, flush=True)
else:
    exec(sys.argv[2])
"""
WAIT = "print('locked', flush=True); sys.stdin.read()"
START = """
import subprocess
child = "import sys; print('started', flush=True); sys.stdin.read(); print('ended', flush=True)"
subprocess.run([sys.executable, "-c", child], close_fds=False)
"""
LIMIT_S = 60


@pytest.fixture(params=["durable", "memory"])
def storage(request: pytest.FixtureRequest, directory: Directory) -> Iterator[Storage]:
    """Each storage that a member can be given: what tests rely on is what production does."""
    made: Storage = (
        DurableStorage(directory.data, directory.data) if request.param == "durable" else VirtualDisk()
    )
    yield made
    made.close()


def recorded(storage: Storage) -> Record | StoredVote:
    """What a process would find that takes the directory while this one has it (it is locked)."""
    if isinstance(storage, VirtualDisk):
        return storage.stored
    assert isinstance(storage, DurableStorage)
    record = read_record(storage.data_dir / "version-2")
    assert record is not None
    return record


async def test_what_is_reserved_is_read_after_a_restart_until_another_epoch_is_accepted(
    storage: Storage,
) -> None:
    followed = Followed(2, 3, 2.5)
    await storage.load()
    await storage.accept_epoch(3, followed)
    assert await storage.reserve(1, 4, followed)
    assert await storage.load() == StoredVote(0, 0, 3, followed, 1)
    await storage.accept_epoch(4, followed)
    assert await storage.load() == StoredVote(0, 0, 4, followed)
    await storage.reserve(1, 5, followed)
    await storage.remember_followed(None)
    assert await storage.load() == StoredVote(0, 0, 4)


@pytest.mark.parametrize(("epoch", "followed"), [(3, Followed(2, 3, 2.5)), (4, Followed(1, 3, 2.5))])
async def test_nothing_is_reserved_once_that_is_no_longer_promised(
    epoch: int, followed: Followed, storage: Storage
) -> None:
    await storage.load()
    await storage.accept_epoch(3, Followed(2, 3, 2.5))
    assert not await storage.reserve(1, epoch, followed)
    assert recorded(storage).heir is None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(storage.remember_followed, None)
        await trio.testing.wait_all_tasks_blocked()
        assert not await storage.reserve(1, 4, Followed(2, 3, 2.5)), "it waited for its turn to write"
    assert (recorded(storage).followed, recorded(storage).heir) == (None, None)


async def test_what_was_accepted_as_reserved_is_written_with_whatever_is_next(storage: Storage) -> None:
    followed, heir = Followed(2, 3, 2.5), Followed(1, 4, 2.5)
    await storage.load()
    await storage.accept_epoch(3, followed)
    await storage.reserve(1, 4, followed)
    storage.accept_reserved(4, heir)
    assert (await storage.load()).heir == 1, "a crash knows no more than what was reserved"
    storage.accept_reserved(4, heir)
    storage.begin_epoch_soon(4)
    await storage.settle()
    assert await storage.load() == StoredVote(0, 4, 4, heir)
    storage.accept_reserved(4, None)  # once more, of the process before
    await storage.accept_epoch(5, followed)
    assert await storage.load() == StoredVote(0, 4, 5, followed)


async def test_whoever_reads_the_epoch_files_after_an_orderly_stop_knows_what_may_have_been_accepted(
    directory: Directory,
) -> None:
    """A crash leaves that open; a Java server that has the directory next must not accept it of another."""
    storage = DurableStorage(directory.data, directory.data)
    await storage.load()
    await storage.accept_epoch(3, Followed(2, 3, 2.5))
    await storage.reserve(1, 4, Followed(2, 3, 2.5))
    storage.close()
    again = DurableStorage(directory.data, directory.data)
    assert (await again.load()).heir == 1
    await again.settle()
    assert read_epoch(directory.version, "acceptedEpoch") == 4
    assert await again.load() == StoredVote(0, 0, 4, Followed(2, 3, 2.5))
    again.close()


async def test_what_is_written_is_read_after_a_restart(storage: Storage) -> None:
    assert await storage.load() == StoredVote(0, 0, 0)
    await storage.accept_epoch(3, Followed(2, 3, 2.5))
    assert await storage.load() == StoredVote(0, 0, 3, Followed(2, 3, 2.5))
    await storage.begin_epoch(3)
    assert await storage.load() == StoredVote(0, 3, 3, Followed(2, 3, 2.5))
    await storage.accept_epoch(5)
    storage.close()
    assert await storage.load() == StoredVote(0, 3, 5)
    await storage.remember_followed(Followed(1, 5, 0.5))
    await storage.begin_epoch(5)
    await storage.remember_followed(None)
    assert await storage.load() == StoredVote(0, 5, 5)


async def test_an_epoch_that_begins_soon_is_written_at_the_end_at_the_latest(storage: Storage) -> None:
    await storage.load()
    await storage.accept_epoch(3, Followed(2, 3, 2.5))
    storage.begin_epoch_soon(3)
    assert await storage.load() == StoredVote(0, 0, 3, Followed(2, 3, 2.5)), "nothing has been written yet"
    await storage.settle()
    assert await storage.load() == StoredVote(0, 3, 3, Followed(2, 3, 2.5))
    await storage.settle()
    storage.begin_epoch_soon(2)
    await storage.settle()
    assert await storage.load() == StoredVote(0, 3, 3, Followed(2, 3, 2.5))


async def test_an_epoch_that_begins_soon_goes_along_with_what_is_written_next(storage: Storage) -> None:
    await storage.load()
    await storage.accept_epoch(3)
    storage.begin_epoch_soon(3)
    await storage.accept_epoch(4)
    assert await storage.load() == StoredVote(0, 3, 4)


async def test_an_epoch_that_begins_soon_is_written_while_it_is_tended(storage: Storage) -> None:
    await storage.load()
    await storage.accept_epoch(3)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(storage.tend)
        storage.begin_epoch_soon(3)
        with trio.fail_after(LIMIT_S):
            while recorded(storage).epoch != 3:  # noqa: ASYNC110
                await trio.sleep(FOLLOW_AFTER_S)
        nursery.cancel_scope.cancel()
    assert await storage.load() == StoredVote(0, 3, 3)


async def test_to_begin_an_epoch_is_to_have_accepted_it(storage: Storage) -> None:
    await storage.load()
    await storage.begin_epoch(4)
    assert await storage.load() == StoredVote(0, 4, 4)
    await storage.accept_epoch(9)
    await storage.begin_epoch(4)
    assert await storage.load() == StoredVote(0, 4, 9)


async def test_no_epoch_goes_back(storage: Storage) -> None:
    await storage.load()
    await storage.begin_epoch(4)
    with pytest.raises(StorageError, match="acceptedEpoch: holds epoch 4, and was to be set back to 3"):
        await storage.accept_epoch(3)
    with pytest.raises(StorageError, match="currentEpoch: holds epoch 4, and was to be set back to 3"):
        await storage.begin_epoch(3)
    assert await storage.load() == StoredVote(0, 4, 4)


async def test_every_call_is_a_checkpoint_and_cancelled_before_it_begins_does_nothing(
    storage: Storage,
) -> None:
    await storage.load()
    for call in (
        lambda: storage.load(),
        lambda: storage.accept_epoch(7),
        lambda: storage.begin_epoch(7),
        lambda: storage.remember_followed(Followed(1, 2, 3)),
    ):
        with trio.testing.assert_checkpoints():
            await storage.load()
        with trio.CancelScope() as scope:
            scope.cancel()
            await call()
        assert scope.cancelled_caught
    assert await storage.load() == StoredVote(0, 0, 0)


async def test_storage_in_memory_fails_when_told_to() -> None:
    storage = VirtualDisk()
    await storage.accept_epoch(1)
    storage.fails = StorageError("full")
    for call in (storage.load(), storage.accept_epoch(2), storage.begin_epoch(2)):
        with pytest.raises(StorageError, match="full"):
            await call
    assert (storage.stored, storage.writes) == (StoredVote(0, 0, 1), 1)


async def test_nothing_is_written_without_the_lock(directory: Directory) -> None:
    storage = DurableStorage(directory.data, directory.data)
    with pytest.raises(RuntimeError, match="not loaded, or closed"):
        await storage.accept_epoch(1)
    await storage.load()
    storage.close()
    storage.close()
    with pytest.raises(RuntimeError, match="not loaded, or closed"):
        await storage.begin_epoch(1)
    assert read_record(directory.version) is None


async def test_a_missing_data_directory_is_made_and_an_empty_record_in_it(tmp_path: Path) -> None:
    storage = DurableStorage(tmp_path / "some" / "data", tmp_path / "logs")
    assert await storage.load() == StoredVote(0, 0, 0)
    storage.close()
    made = ["some", "some/data", "some/data/version-2", "some/data/version-2/fle.record"]
    assert list(listing(tmp_path)) == made


async def test_the_settings_reach_the_reader(directory: Directory) -> None:
    strict = DurableStorage(directory.data, directory.data, autocreate=False)
    assert (await strict.load()).zxid == -1
    strict.close()
    trusting = DurableStorage(directory.put("log.1", log(1, 2)).data, directory.data, trust_empty=True)
    assert (await trusting.load()).zxid == 2
    trusting.close()


def epoch_files(directory: Directory) -> tuple[int | None, int | None]:
    accepted, current = (read_epoch(directory.version, name) for name in ("acceptedEpoch", "currentEpoch"))
    return accepted, current


async def test_the_epoch_files_follow_while_it_is_tended_and_at_the_end(directory: Directory) -> None:
    storage = DurableStorage(directory.data, directory.data)
    await storage.load()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(storage.tend)
        await storage.accept_epoch(3)
        assert epoch_files(directory) == (None, None)
        with trio.fail_after(LIMIT_S):
            while epoch_files(directory) != (3, None):  # noqa: ASYNC110
                await trio.sleep(FOLLOW_AFTER_S)
        await storage.begin_epoch(4)
        nursery.cancel_scope.cancel()
    await storage.settle()
    assert epoch_files(directory) == (4, 4)
    storage.close()


@pytest.mark.parametrize(
    ("accepted", "current", "files_then"), [(5, 4, (5, 4)), (5, 5, (5, 5)), (4, 0, (4, None))]
)
async def test_what_a_crash_kept_from_the_epoch_files_the_next_start_writes(
    directory: Directory, accepted: int, current: int, files_then: tuple[int | None, int | None]
) -> None:
    crashed = DurableStorage(directory.data, directory.data)
    await crashed.load()
    if current:
        await crashed.begin_epoch(current)
    await crashed.accept_epoch(accepted)
    crashed.close()
    assert epoch_files(directory) == (None, None)
    storage = DurableStorage(directory.data, directory.data)
    assert await storage.load() == StoredVote(0, current, accepted)
    storage.close()
    assert epoch_files(directory) == files_then


async def test_a_start_without_a_record_leaves_the_epoch_files_as_they_are(directory: Directory) -> None:
    directory.epochs("3", None)
    storage = DurableStorage(directory.data, directory.data)
    assert await storage.load() == StoredVote(0, 3, 3)
    storage.close()
    assert epoch_files(directory) == (None, 3)


async def test_what_a_java_server_would_refuse_is_completed(directory: Directory) -> None:
    directory.epochs("3", None)  # no acceptedEpoch: to ZooKeeper that is 0, and less than the current one
    storage = DurableStorage(directory.data, directory.data)
    await storage.load()
    await storage.begin_epoch(3)
    await storage.settle()
    storage.close()
    assert epoch_files(directory) == (3, 3)


async def test_another_process_that_raises_an_epoch_file_meanwhile_is_noticed(directory: Directory) -> None:
    storage = DurableStorage(directory.data, directory.data)
    await storage.load()
    await storage.accept_epoch(3)
    directory.epochs(None, "9")
    with trio.fail_after(LIMIT_S), pytest.raises(StorageError, match="acceptedEpoch: holds epoch 9, and was"):
        await storage.tend()
    storage.close()


@attrs.define(eq=False)
class SlowDisk:
    """Holds up the first write of the record until it is told to go on."""

    reached: threading.Event = attrs.field(factory=threading.Event)
    go_on: threading.Event = attrs.field(factory=threading.Event)

    def before(self, call: str, _number: int) -> None:
        if call == "fdatasync" and not self.reached.is_set():
            self.reached.set()
            assert self.go_on.wait(LIMIT_S)


async def test_a_write_that_has_begun_is_finished_whoever_cancels_it(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, slow = DurableStorage(directory.data, directory.data), SlowDisk()
    await storage.load()
    monkeypatch.setattr(files, "os", FaultyOs(directory.data, before=slow.before))
    ended = trio.Event()

    async def begin() -> None:
        try:
            await storage.accept_epoch(7, Followed(2, 7, 2.5))
        finally:
            ended.set()

    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(begin)
            await trio.to_thread.run_sync(slow.reached.wait)
            nursery.start_soon(storage.accept_epoch, 9)  # waits for its turn, and never gets it
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                await trio.testing.wait_all_tasks_blocked()
                assert not ended.is_set()
                slow.go_on.set()
                await ended.wait()
        assert await storage.load() == StoredVote(0, 0, 7, Followed(2, 7, 2.5))
    storage.close()


async def test_the_event_loop_goes_on_while_a_disk_is_slow(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, slow = DurableStorage(directory.data, directory.data), SlowDisk()
    await storage.load()
    monkeypatch.setattr(files, "os", FaultyOs(directory.data.parent, before=slow.before))
    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            for epoch in (1, 2, 3):
                nursery.start_soon(storage.accept_epoch, epoch)
                await trio.testing.wait_all_tasks_blocked()
            assert (await other_directory(directory)).accepted_epoch == 0
            slow.go_on.set()
        assert (await storage.load()).accepted_epoch == 3
    storage.close()


async def other_directory(directory: Directory) -> StoredVote:
    other = DurableStorage(directory.logs, directory.logs)
    try:
        return await other.load()
    finally:
        other.close()


async def test_a_directory_is_taken_once(directory: Directory) -> None:
    first = DurableStorage(directory.data, directory.data)
    second = DurableStorage(directory.data, directory.logs)
    await first.load()
    with pytest.raises(StorageError) as caught:
        await second.load()
    assert str(caught.value) == (
        f"{directory.data}: in use by another trio-fle process; stop it or give this one its own dataDir"
    )
    first.close()
    await second.load()
    second.close()


def hold(directory: Directory, then: str = WAIT) -> subprocess.Popen[str]:
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", HOLD, str(directory.data), then], **pipes)


@pytest.mark.interop
async def test_another_process_is_told_who_has_the_directory_and_gets_it_when_that_is_killed(
    directory: Directory,
) -> None:
    with hold(directory) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        storage = DurableStorage(directory.data, directory.data)
        with pytest.raises(StorageError, match="in use by another trio-fle process"):
            await storage.load()
        holder.kill()
        holder.wait()
        assert await storage.load() == StoredVote(0, 0, 0)
        with hold(directory) as late:
            assert late.stdout is not None
            assert "in use by another trio-fle process; stop it or give" in late.stdout.readline()
        storage.close()
    assert [path.name for path in directory.version.iterdir()] == ["fle.record"]
    assert [path.name for path in directory.data.iterdir()] == ["version-2"]


@pytest.mark.interop
async def test_a_command_that_a_member_left_behind_does_not_hold_its_directory(directory: Directory) -> None:
    with hold(directory, START) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "started\n"
        holder.kill()
        holder.wait()
        storage = DurableStorage(directory.data, directory.data)
        await storage.load()
        storage.close()
        holder.stdin.close()
        assert holder.stdout.read() == "ended\n", "it was there all the time"


async def test_a_command_that_is_being_started_does_not_hold_the_directory(directory: Directory) -> None:
    """Between fork and exec it has every descriptor of its parent."""
    storage = DurableStorage(directory.data, directory.data)
    await storage.load()
    assert storage._lock is not None
    inherited = os.dup(storage._lock._descriptor)
    storage.close()
    await storage.load()
    storage.close()
    os.close(inherited)
