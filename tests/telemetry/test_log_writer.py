"""Lines to a file or pipe that may be slow, stuck or closed."""

import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TextIO

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_fle.telemetry import LogWriter, build_logger

LIMIT_S = 10


class Gate(io.StringIO):
    """A file that takes nothing in until it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = threading.Event()
        self.entered = threading.Event()

    def write(self, text: str, /) -> int:
        self.entered.set()
        assert self.opened.wait(LIMIT_S)
        return super().write(text)


@attrs.define
class Pipe:
    """Both ends of a pipe; the reading one as a descriptor."""

    reader: int
    file: TextIO

    def stop_reading(self) -> None:
        if self.reader >= 0:
            os.close(self.reader)
            self.reader = -1


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    reader, writer = os.pipe()
    # closed by hand: what is still in its buffer has nowhere to go
    ends = Pipe(reader, open(writer, "w", encoding="utf-8"))  # noqa: SIM115, PTH123
    yield ends
    ends.stop_reading()  # ends the thread that may still wait in a write
    with suppress(OSError):
        ends.file.close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what a thread does."""
    while not condition():  # noqa: ASYNC110
        await trio.sleep(0.001)


async def until_entered(gate: Gate) -> None:
    await trio.to_thread.run_sync(gate.entered.wait, LIMIT_S)
    await wait_all_tasks_blocked()


def test_without_a_loop_lines_are_written_at_once() -> None:
    file = io.StringIO()
    writer = LogWriter(file)
    writer.write("one")
    assert file.getvalue() == "one\n"
    writer.write("two")
    assert (file.getvalue(), writer.dropped) == ("one\ntwo\n", 0)


async def test_lines_are_written_in_their_order() -> None:
    file = io.StringIO()
    writer = LogWriter(file)
    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(writer.run)
            for number in range(2000):
                writer.write(str(number))
                if number % 100 == 0:
                    await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
    assert file.getvalue().split() == [str(number) for number in range(2000)]
    assert writer.dropped == 0


async def test_lines_are_written_while_the_loop_runs_not_only_at_its_end() -> None:
    file = Gate()
    file.opened.set()
    writer = LogWriter(file)
    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(writer.run)
            for number in range(3):
                writer.write(str(number))
                await until(lambda: file.getvalue().count("\n") > number)  # noqa: B023
            nursery.cancel_scope.cancel()


async def test_a_pipe_nobody_reads_does_not_hold_up_the_loop(pipe: Pipe) -> None:
    writer = LogWriter(pipe.file)
    worst = 0.0
    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(writer.run)
            for _ in range(100):
                began = time.monotonic()
                for _ in range(50):
                    writer.write("x" * 1000)
                await trio.lowlevel.checkpoint()
                worst = max(worst, time.monotonic() - began)
            nursery.cancel_scope.cancel()
    assert worst < 1


async def test_at_the_end_a_pipe_nobody_reads_is_waited_for_about_a_second(pipe: Pipe) -> None:
    writer = LogWriter(pipe.file)
    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(writer.run)
            for _ in range(1000):
                writer.write("x" * 1000)
            await trio.sleep(0.05)
            began = time.monotonic()
            nursery.cancel_scope.cancel()
    assert 0.9 < time.monotonic() - began < 3


async def test_the_flush_at_the_end_takes_a_second_at_most(autojump_clock: MockClock) -> None:
    file = Gate()
    writer = LogWriter(file)
    async with trio.open_nursery() as nursery:
        await nursery.start(writer.run)
        writer.write("one")
        await trio.sleep(5)
        writer.write("two")
        began = trio.current_time()
        nursery.cancel_scope.cancel()
    assert trio.current_time() - began == pytest.approx(1.0)
    file.opened.set()


async def test_the_flush_at_the_end_writes_what_is_left_behind_what_is_being_written() -> None:
    file = Gate()
    writer = LogWriter(file)
    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(writer.run)
            writer.write("one")
            await until_entered(file)
            for word in ("two", "three"):
                writer.write(word)
            nursery.cancel_scope.cancel()
            writer.write("four")
            file.opened.set()
    assert file.getvalue().split() == ["one", "two", "three", "four"]
    assert writer.dropped == 0


async def test_lines_of_those_who_end_while_it_flushes_are_written_too() -> None:
    file = io.StringIO()
    writer = LogWriter(file)

    async def say_goodbye() -> None:
        try:
            await trio.sleep_forever()
        finally:
            writer.write("goodbye")

    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(writer.run)
            nursery.start_soon(say_goodbye)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert file.getvalue() == "goodbye\n"


async def test_after_the_end_lines_are_written_at_once_again() -> None:
    file = io.StringIO()
    writer = LogWriter(file)
    for word in ("one", "two"):
        async with trio.open_nursery() as nursery:
            await nursery.start(writer.run)
            nursery.cancel_scope.cancel()
        writer.write(word)
    assert file.getvalue() == "one\ntwo\n"


async def test_beyond_the_capacity_the_oldest_lines_go_and_are_counted() -> None:
    file = Gate()
    writer = LogWriter(file, capacity=10)
    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(writer.run)
            writer.write("first")
            await until_entered(file)
            for number in range(25):
                writer.write(str(number))
            assert writer.dropped == 15
            file.opened.set()
            nursery.cancel_scope.cancel()
    assert file.getvalue().split() == ["first", *map(str, range(15, 25))]
    assert writer.dropped == 15


async def test_once_it_catches_up_the_log_tells_how_many_lines_it_lost() -> None:
    file = Gate()
    writer = LogWriter(file, capacity=10)
    log = build_logger(3, writer, "json")
    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(writer.run)
            log.info("member.state")
            await until_entered(file)
            for _ in range(25):
                log.info("member.state")
            file.opened.set()
            await until(lambda: "log.dropped" in file.getvalue())
            log.info("member.stopped")
            nursery.cancel_scope.cancel()
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    assert [line["event"] for line in lines] == [*["member.state"] * 11, "log.dropped", "member.stopped"]
    assert (lines[-2]["level"], lines[-2]["myid"], lines[-2]["dropped"]) == ("warning", 3, 15)


async def test_a_reader_that_has_gone_is_not_told_of_its_losses(pipe: Pipe) -> None:
    writer = LogWriter(pipe.file)
    log = build_logger(3, writer, "json")
    pipe.stop_reading()
    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(writer.run)
            log.info("member.state")
            await until(lambda: writer.dropped > 0)
            await trio.sleep(0.05)
            nursery.cancel_scope.cancel()
    assert writer.dropped == 1


async def test_a_pipe_that_nobody_reads_any_more_costs_the_lines_and_raises_nothing(pipe: Pipe) -> None:
    writer = LogWriter(pipe.file)
    pipe.stop_reading()
    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(writer.run)
            for number in range(5):
                writer.write(str(number))
                await until(lambda: writer.dropped > number)  # noqa: B023
            writer.write("last")
            nursery.cancel_scope.cancel()
    assert writer.dropped == 6


def test_a_pipe_that_nobody_reads_any_more_raises_nothing_without_a_loop_either(pipe: Pipe) -> None:
    writer = LogWriter(pipe.file)
    pipe.stop_reading()
    writer.write("one")
    writer.write("two")
    assert writer.dropped == 2


def test_a_closed_file_costs_the_lines_and_raises_nothing() -> None:
    file = io.StringIO()
    writer = LogWriter(file)
    file.close()
    writer.write("one")
    assert writer.dropped == 1


async def test_one_member_s_stuck_log_does_not_hold_up_another_s() -> None:
    stuck, free = Gate(), io.StringIO()
    stuck_writer, free_writer = LogWriter(stuck), LogWriter(free)
    first, second = build_logger(1, stuck_writer, "json"), build_logger(2, free_writer, "json")
    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(stuck_writer.run)
            await nursery.start(free_writer.run)
            for _ in range(100):
                first.info("member.state")
                second.info("member.state")
            await until_entered(stuck)
            await until(lambda: free.getvalue().count("\n") == 100)
            assert stuck.getvalue() == ""
            stuck.opened.set()
            nursery.cancel_scope.cancel()
    for myid, file in ((1, stuck), (2, free)):
        assert [json.loads(line)["myid"] for line in file.getvalue().splitlines()] == [myid] * 100


async def test_a_line_that_the_file_s_encoding_lacks_does_not_cost_the_lines_around_it() -> None:
    raw = io.BytesIO()
    writer = LogWriter(io.TextIOWrapper(raw, encoding="ascii"))
    log = build_logger(1, writer, "json")
    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(writer.run)
            log.info("member.started", config="zoo.cfg")
            log.info("member.started", config="caf\u00e9/zoo.cfg")
            log.info("member.state")
            nursery.cancel_scope.cancel()
    lines = [json.loads(line) for line in raw.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["member.started", "member.started", "member.state"]
    assert lines[1]["config"] == "caf\u00e9/zoo.cfg"


def test_a_process_whose_log_nobody_reads_ends_in_good_order() -> None:
    code = (
        "import sys, trio\n"
        "from trio_fle.telemetry import LogWriter\n"
        "async def main():\n"
        "    writer = LogWriter(sys.stdout)\n"
        "    async with trio.open_nursery() as nursery:\n"
        "        await nursery.start(writer.run)\n"
        "        for _ in range(1000):\n"
        "            writer.write('x' * 1000)\n"
        "        await trio.sleep(0.1)\n"
        "        nursery.cancel_scope.cancel()\n"
        "trio.run(main)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            status = process.wait(LIMIT_S)
            assert process.stderr is not None
            assert (status, process.stderr.read()) == (0, b"")
        finally:
            process.kill()
