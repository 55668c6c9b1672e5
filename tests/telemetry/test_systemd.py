"""What a service manager hears, on a real datagram socket."""

import math
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from trio_fle.telemetry.systemd import Notifier


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(str(tmp_path / "notify"))
        bound.setblocking(False)
        yield bound


def heard(manager: socket.socket) -> list[str]:
    messages = []
    while True:
        try:
            messages.append(manager.recv(65536).decode())
        except BlockingIOError:
            return messages


def notifier(manager: socket.socket, **more: str) -> Notifier:
    return Notifier.from_environ({"NOTIFY_SOCKET": manager.getsockname(), **more})


def test_fields_arrive_in_one_datagram_a_line_each(manager: socket.socket) -> None:
    ours = notifier(manager)
    assert ours.notify(ready=1, status="LEADING in epoch 7")
    assert ours.notify(stopping=1)
    assert heard(manager) == ["READY=1\nSTATUS=LEADING in epoch 7", "STOPPING=1"]


def test_a_text_of_several_lines_can_not_make_up_a_field(manager: socket.socket) -> None:
    notifier(manager).notify(status="a\nREADY=1\r\nb")
    assert heard(manager) == ["STATUS=a READY=1 b"]


def test_an_abstract_address_is_understood() -> None:
    name = f"trio-fle-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(f"\0{name}")
        assert Notifier.from_environ({"NOTIFY_SOCKET": f"@{name}"}).notify(ready=1)
        assert bound.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "relative/path"])
def test_without_an_address_that_we_can_send_to_nothing_is_sent(address: str) -> None:
    assert Notifier.from_environ({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"}) == Notifier()
    assert not Notifier.from_environ({}).notify(ready=1)


@pytest.mark.parametrize("address", ["/nowhere/at/all", "/" + 200 * "x", "@nobody-listens-here"])
def test_a_manager_that_is_not_there_costs_nothing(address: str) -> None:
    assert not Notifier.from_environ({"NOTIFY_SOCKET": address}).notify(ready=1)


def test_a_manager_that_does_not_read_does_not_hold_us_up(manager: socket.socket) -> None:
    ours = notifier(manager)
    taken = [ours.notify(status="x" * 1000) for _ in range(10_000)]
    assert taken[0]
    assert not taken[-1]
    heard(manager)
    assert ours.notify(ready=1)


async def test_the_watchdog_hears_from_the_event_loop_at_half_of_its_time(
    manager: socket.socket, autojump_clock: MockClock
) -> None:
    ours = notifier(manager, WATCHDOG_USEC="3000000", WATCHDOG_PID=str(os.getpid()))
    assert ours.watchdog_interval_s == 1.5
    with trio.move_on_after(10):
        await ours.run_watchdog()
    assert heard(manager) == ["WATCHDOG=1"] * 7


async def test_a_loop_that_is_held_up_is_silent(manager: socket.socket) -> None:
    ours = notifier(manager, WATCHDOG_USEC="20000")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ours.run_watchdog)
        await trio.testing.wait_all_tasks_blocked()
        assert heard(manager) == ["WATCHDOG=1"]
        end = trio.current_time() + 0.1
        while trio.current_time() < end:
            pass
        assert heard(manager) == []
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "-5"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "9" * 5000},
        {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getppid())},
    ],
)
async def test_where_nobody_watches_us_the_watchdog_says_nothing(
    variables: dict[str, str], manager: socket.socket, autojump_clock: MockClock
) -> None:
    ours = notifier(manager, **variables)
    assert ours.watchdog_interval_s == math.inf
    with trio.move_on_after(1000):
        await ours.run_watchdog()
    assert heard(manager) == []
