"""The demo, with real processes, as somebody sees it who pipes it into a file."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.interop


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
