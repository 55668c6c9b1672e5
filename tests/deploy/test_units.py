"""The systemd units: systemd itself finds nothing wrong, and they say what a member relies on."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from trio_fle.cli.run import run

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
PLAIN, GUARDED = "trio-fle.service", "trio-fle-guarded@.service"
INSTALLED = "/opt/trio-fle/bin/trio-fle"
MEANING = {
    "${MYID}": ["1"],
    "$OPTIONS": [],
    "$COMMAND": ["/usr/local/bin/backup", "--all"],
}


def settings(name: str) -> dict[str, list[str]]:
    """The unit's settings; one that is repeated has several values."""
    found: dict[str, list[str]] = {}
    for line in (UNITS / name).read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def arguments(name: str) -> list[str]:
    """The command line, as systemd would expand it."""
    (line,) = settings(name)["ExecStart"]
    words: list[str] = []
    for word in shlex.split(line.replace("%S", "/var/lib").replace("%i", "backup")):
        words += MEANING.get(word, [word])
    return words


@pytest.mark.parametrize("name", [PLAIN, GUARDED])
def test_both_keep_to_what_the_member_promises_systemd(name: str) -> None:
    unit = {key: values[-1] for key, values in settings(name).items()}
    assert unit["Type"] == "notify"
    assert unit["NotifyAccess"] == "main"
    assert int(unit["WatchdogSec"]) > 0
    assert unit["Restart"] == "on-failure"
    assert unit["RestartPreventExitStatus"] == "2"
    assert unit["KillMode"] == "mixed"
    assert int(unit["TimeoutStopSec"]) >= 30
    assert unit["StandardOutput"] == unit["StandardError"] == "journal"
    assert unit["NoNewPrivileges"] == "yes"


@pytest.mark.parametrize("name", [PLAIN, GUARDED])
def test_the_command_line_is_one_that_the_command_takes(name: str) -> None:
    program, command, *rest = arguments(name)
    assert (program, command) == (INSTALLED, "run")
    own = rest[: rest.index("--")] if "--" in rest else rest
    with run.make_context("run", list(own)) as context:
        assert context.params["myid"] == 1
        assert context.params["data_dir"].startswith("/var/lib/trio-fle")
        assert context.params["config"].startswith("/etc/trio-fle/")
    assert rest[len(own) :] == ([] if name == PLAIN else ["--", "/usr/local/bin/backup", "--all"])


def test_the_data_directory_is_the_units_state_directory() -> None:
    for name in (PLAIN, GUARDED):
        (state,) = settings(name)["StateDirectory"]
        assert f"--data-dir %S/{state}" in settings(name)["ExecStart"][0]


def test_the_plain_unit_has_no_user_that_must_be_made_and_no_right_to_write() -> None:
    unit = settings(PLAIN)
    assert unit["DynamicUser"] == ["yes"]
    assert unit["ProtectSystem"] == ["strict"]
    assert unit["CapabilityBoundingSet"] == [""]


@pytest.fixture(params=[PLAIN, GUARDED])
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A unit as it would be installed, with a program that is there."""
    text = (UNITS / request.param).read_text()
    path = tmp_path / request.param
    path.write_text(text.replace(INSTALLED, str(Path(sys.executable))))
    return path


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)


@pytest.mark.systemd
def test_systemd_finds_nothing_wrong(unit: Path) -> None:
    done = analyze("verify", "--man=no", "--recursive-errors=no", str(unit))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.systemd
def test_a_mistake_in_a_unit_would_be_found(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("KillMode=mixed", "KillMode=gentle"))
    assert "kill mode" in analyze("verify", "--man=no", "--recursive-errors=no", str(unit)).stderr


@pytest.mark.systemd
def test_systemd_rates_the_plain_unit_as_well_locked_up() -> None:
    done = analyze("security", "--offline=true", "--threshold=15", str(UNITS / PLAIN))
    assert done.returncode == 0, done.stdout
