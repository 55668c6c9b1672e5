"""The demo, with real processes, as somebody sees it who pipes it into a file."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pids import children

from trio_fle.cli.demo import demo
from trio_fle.cli.ensemble_processes import DemoFailedError
from trio_fle.cli.exits import Exit

pytestmark = [pytest.mark.interop, pytest.mark.beside]


def long_demo() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "trio_fle", "demo", "--rounds", "100"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_demo_shows_a_failover_in_plain_lines_and_exits_with_0() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "trio_fle", "demo"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert "\x1b" not in done.stdout
    told = [line.split("  ", 1)[1] for line in lines if "  -- " in line]
    assert told[1].endswith(" leads")
    assert any("killing the leader" in line for line in told)
    assert any("ms after the kill" in line for line in told)
    assert told[-1] == "-- done: stopping all members"


def test_two_members_are_too_few_to_lose_one() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "trio_fle", "demo", "--members", "2"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "take 3 or more" in done.stderr


def test_output_that_can_not_be_written_is_one_line_and_status_3() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "trio_fle", "demo"],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 3
    assert done.stderr == "trio-fle: the output can't be written: No space left on device\n"


def test_a_reader_that_goes_away_ends_it_and_every_member_without_a_word() -> None:
    with long_demo() as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "3 members started" in process.stdout.readline()
        members = children(process.pid)
        assert members
        process.stdout.close()
        assert process.wait(timeout=30) == 1
        assert process.stderr.read() == ""
    assert not any(Path(f"/proc/{pid}").exists() for pid in members)


@pytest.mark.parametrize(
    ("errors", "ends"),
    [
        ([SystemExit(1), DemoFailedError("ended by SIGINT")], Exit),
        ([OSError(28, "full"), BaseExceptionGroup("", [DemoFailedError("ended by SIGINT")])], Exit),
        ([SystemExit(1), OSError(28, "full")], OSError),
        ([SystemExit(1), SystemExit(1)], SystemExit),
        ([SystemExit(1), ValueError("a bug")], BaseExceptionGroup),
    ],
)
def test_of_several_things_that_end_it_at_once_one_is_told(
    errors: list[BaseException], ends: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise BaseExceptionGroup("", errors)

    monkeypatch.setattr("trio_fle.cli.demo._demo", fail)
    with pytest.raises(ends) as raised:
        demo.callback(3, 1)  # type: ignore[misc]
    assert type(raised.value) is ends


def test_on_a_terminal_it_draws_a_table() -> None:
    script = f"{sys.executable} -m trio_fle demo"
    done = subprocess.run(
        ["script", "--quiet", "--return", "--command", script, "/dev/null"],
        capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
        env={**os.environ, "TERM": "xterm-256color"},
    )  # fmt: skip
    assert done.returncode == 0
    for cell in ("LEADING", "FOLLOWING", "killed", "┏━━━━━━━━┳"):
        assert cell in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_demo_and_every_member_in_one_line(number: signal.Signals) -> None:
    with long_demo() as process:
        assert process.stdout is not None
        while "leads" not in process.stdout.readline():
            pass
        members = children(process.pid)
        assert len(members) >= 2
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
        assert process.returncode == 1
        assert said == f"trio-fle: ended by {number.name}; all members are stopped\n"
        assert not [pid for pid in members if Path(f"/proc/{pid}").exists()]
