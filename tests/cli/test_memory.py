"""A member starts itself anew for huge pages: once, where it may, and nobody else has them from it."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ports import free_ports

from trio_fle.cli import memory
from trio_fle.cli.memory import ALLOCATOR, STARTED_ANEW, ask_for_huge_pages

MAY_HAVE = Path("/sys/kernel/mm/transparent_hugepage/enabled")


class StartedAnewError(Exception):
    """Stands for the process that another one takes the place of."""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """Environments that a process was started anew with, on a machine that has what it takes."""
    found: list[dict[str, str]] = []

    def execve(path: str, argv: list[str], environ: dict[str, str]) -> None:
        assert [path, *argv] == [sys.executable, *sys.orig_argv]
        found.append(dict(environ))
        raise StartedAnewError

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.setattr(memory, "_glibc", lambda: (2, 36))
    monkeypatch.setattr(memory, "_may_have", lambda: True)
    monkeypatch.setattr(sys, "orig_argv", [sys.executable, "-m", "trio_fle", "run", "zoo.cfg"])
    monkeypatch.setattr(sys, "argv", ["trio-fle", "run", "zoo.cfg"])
    monkeypatch.delitem(sys.modules, "threading")  # the test runner may have threads of its own
    for name in (*ALLOCATOR, STARTED_ANEW):
        monkeypatch.delenv(name, raising=False)
    return found


def test_it_starts_anew_once_and_leaves_nothing_to_what_it_starts(
    started: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dict(os.environ)
    with pytest.raises(StartedAnewError):
        ask_for_huge_pages()
    [environ] = started
    assert environ == {**before, **ALLOCATOR, STARTED_ANEW: "1"}
    for name in (*ALLOCATOR, STARTED_ANEW):
        monkeypatch.setenv(name, environ[name])
    ask_for_huge_pages()
    assert dict(os.environ) == before
    assert len(started) == 1


@pytest.mark.parametrize("name", list(ALLOCATOR))
def test_who_sets_one_of_the_variables_keeps_it(
    started: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "mine")
    ask_for_huge_pages()
    assert not started
    assert os.environ[name] == "mine"


@pytest.mark.parametrize(("what", "value"), [("_glibc", ()), ("_glibc", (2, 34)), ("_may_have", False)])
def test_without_a_kernel_and_a_library_that_have_them_it_goes_on(
    started: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch, what: str, value: object
) -> None:
    monkeypatch.setattr(memory, what, lambda: value)
    ask_for_huge_pages()
    assert not started


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("executable", ""),
        ("executable", None),
        ("executable", "/bin/sh"),
        ("executable", "/no/such/file"),
        ("abiflags", "t"),
        ("argv", ["wrapper", "run", "other.cfg"]),
        ("orig_argv", ["python3", "-", "run", "zoo.cfg"]),
        ("orig_argv", ["python3", "/dev/fd/63", "run", "zoo.cfg"]),
    ],
)
def test_what_could_not_be_repeated_goes_on(
    started: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch, what: str, value: object
) -> None:
    """Another interpreter, another program, a program read from the standard input."""
    monkeypatch.setattr(sys, what, value)
    ask_for_huge_pages()
    assert not started


def test_a_process_with_threads_goes_on(
    started: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "threading", threading)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()
        ask_for_huge_pages()
    assert not started


@pytest.mark.parametrize("error", [PermissionError, ValueError])
def test_who_may_start_nothing_goes_on(
    started: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def forbidden(*_: object) -> None:
        raise error

    monkeypatch.setattr(os, "execve", forbidden)
    before = dict(os.environ)
    ask_for_huge_pages()
    assert dict(os.environ) == before


def test_a_member_does_not_carry_what_only_other_commands_need() -> None:
    code = (
        "import sys; from trio_fle.cli.memory import load_structlog; load_structlog()\n"
        "import trio_fle.cli.run; print('rich' in sys.modules)\n"
        "import rich.table; print('rich' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["False", "True"]


def test_a_member_has_huge_pages_and_its_command_does_not_inherit_them(tmp_path: Path) -> None:
    quorum, election = free_ports(2)
    config = tmp_path / "zoo.cfg"
    config.write_text(
        f"initLimit=10\nsyncLimit=5\ndataDir={tmp_path}/data\nserver.1=127.0.0.1:{quorum}:{election}\n"
    )
    ours = (*ALLOCATOR, STARTED_ANEW)
    show = [
        "-c",
        f"import os, time; print([k for k in os.environ if k in {ours}], flush=True); time.sleep(60)",
    ]
    command = [sys.executable, "-m", "trio_fle", "run", str(config), "--myid", "1", "--log-format", "json"]
    clean = {name: value for name, value in os.environ.items() if name not in ours}
    with subprocess.Popen(
        [*command, "--", sys.executable, *show], stdout=subprocess.PIPE, text=True, env=clean
    ) as member:
        assert member.stdout is not None
        lines = []
        while not lines or not lines[-1].startswith("[]"):
            lines.append(member.stdout.readline())
            assert lines[-1], lines
        sizes = Path(f"/proc/{member.pid}/smaps_rollup").read_text().splitlines()
        [huge] = [int(line.split()[1]) for line in sizes if line.startswith("AnonHugePages:")]
        member.terminate()
        assert member.wait(10) == 0
    may_have = "[never]" not in MAY_HAVE.read_text()
    assert (huge >= 10 * 1024) is may_have, f"{huge} KiB"
