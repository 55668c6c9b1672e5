"""The command: what it refuses and how, and how it stops."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from ports import free_ports

from trio_fle.cli.commands import commands as main

pytestmark = [pytest.mark.interop, pytest.mark.beside]


def run(*arguments: str, timeout: float = 30) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trio_fle", "run", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def write(directory: Path, *extra: str, myid: str = "1") -> Path:
    (directory / "myid").write_text(myid)
    ports = free_ports(4)
    servers = [f"server.{sid}=127.0.0.1:{ports[2 * sid - 2]}:{ports[2 * sid - 1]}" for sid in (1, 2)]
    path = directory / "zoo.cfg"
    path.write_text(
        "\n".join([f"dataDir={directory}", "initLimit=10", "syncLimit=5", *servers, *extra]) + "\n"
    )
    return path


@pytest.mark.parametrize(
    ("extra", "arguments", "message"),
    [
        (["tickTime=abc"], [], 'zoo.cfg:6: tickTime: "abc" is not a whole number'),
        (["sslQuorum=true"], [], "zoo.cfg:6: sslQuorum: TLS between servers is not supported"),
        (["server.3=127.0.0.1:1"], [], 'zoo.cfg:6: server.3: "127.0.0.1:1" is not of the form'),
        ([], ["--set", "initLimit"], "--set initLimit: expected KEY=VALUE"),
        ([], ["--set", "syncLimit=x"], '--set: syncLimit: "x" is not a whole number'),
        ([], ["--myid", "7"], "there is no server.7"),
        ([], ["--myid", "1", "--myid-from-hostname"], "give one of them"),
    ],
)
def test_a_wrong_configuration_is_one_line_and_status_2(
    extra: list[str], arguments: list[str], message: str, tmp_path: Path
) -> None:
    done = run(str(write(tmp_path, *extra)), *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            "-Dzookeeper.cnxTimeout=x",
            'JVMFLAGS: -Dzookeeper.cnxTimeout=...: cnxTimeout: "x" is not a whole number',
        ),
        ("-Da='b", "JVMFLAGS: no closing quotation; quote each option as a whole, as in '-Dname=a value'"),
    ],
)
def test_the_environment_of_java_servers_is_read_by_the_command(
    flags: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JVMFLAGS", flags)
    done = run(str(write(tmp_path)))
    assert (done.returncode, done.stderr) == (2, f"trio-fle: {message}\n")


def test_a_port_in_use_is_one_line_and_status_3_after_the_retries(tmp_path: Path) -> None:
    path = write(tmp_path, "electionPortBindRetry=2")
    port = int(path.read_text().split("server.1=")[1].split()[0].rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        done = run(str(path))
    assert done.returncode == 3
    assert f"can't listen on the election address 127.0.0.1:{port}: Address already in use" in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout.count("listen.retry") == 1


@pytest.mark.parametrize("content", ["", "x", "2 ", "99999999999999999999"])
def test_a_corrupt_epoch_file_is_one_line_and_status_3_and_stays(content: str, tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "version-2").mkdir()
    epoch = tmp_path / "version-2" / "currentEpoch"
    epoch.write_text(content)
    done = run(str(path))
    assert done.returncode == 3
    assert str(epoch) in done.stderr
    assert done.stderr.count("\n") == 1
    assert epoch.read_text() == content
    assert [each.name for each in (tmp_path / "version-2").iterdir()] == ["currentEpoch"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_it_in_good_order_even_if_it_comes_twice(
    number: signal.Signals, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "trio_fle", "run", str(write(tmp_path)), "--log-format", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while "election.started" not in process.stdout.readline():
            pass
        os.kill(process.pid, number)
        os.kill(process.pid, number)
        rest = process.stdout.read()
    assert process.returncode == 0
    assert '"event": "member.stopped"' in rest.splitlines()[-1]


def test_who_starts_it_with_sighup_ignored_wants_it_to_outlive_the_terminal(tmp_path: Path) -> None:
    command = ["nohup", sys.executable, "-m", "trio_fle", "run", str(write(tmp_path)), "--log-format", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        while "election.started" not in process.stdout.readline():
            pass
        os.kill(process.pid, signal.SIGHUP)
        while "election.stalled" not in process.stdout.readline():
            pass
        assert process.poll() is None
        process.terminate()
        process.stdout.read()
    assert process.returncode == 0


def test_a_signal_stops_it_also_while_its_own_name_does_not_resolve(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text().replace("server.1=127.0.0.1", "server.1=no-such-host.invalid"))
    command = [sys.executable, "-m", "trio_fle", "run", str(path), "--log-format", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while "listen.unresolved" not in process.stdout.readline():
            pass
        process.terminate()
        rest = process.stdout.read()
    assert process.returncode == 0
    assert '"event": "member.stopped"' in rest.splitlines()[-1]


def test_a_reader_of_the_log_that_goes_away_does_not_end_the_member(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "trio_fle", "run", str(write(tmp_path)), "--log-level", "debug"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.5)
        process.terminate()
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""


@pytest.mark.parametrize("command", [[], ["run"], ["demo"], ["check"]])
def test_every_command_has_help(command: list[str]) -> None:
    done = CliRunner().invoke(main, [*command, "--help"])
    assert done.exit_code == 0
    assert ("Example:" in done.output) is bool(command)


def test_an_echo_that_comes_when_all_is_over_changes_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "trio_fle", "run", str(write(tmp_path)), "--log-format", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while "election.started" not in process.stdout.readline():
            pass
        os.kill(process.pid, signal.SIGINT)
        while "member.stopped" not in process.stdout.readline():
            pass
        while process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGINT)
            time.sleep(0.001)
        assert process.returncode == 0
