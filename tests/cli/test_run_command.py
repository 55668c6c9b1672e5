"""``trio-fle run CONFIG -- COMMAND``: what happens when the command ends by itself, or the member."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
from ports import free_ports
from processes import Server, open_servers, story

from trio_fle.cli import run as running
from trio_fle.cli.hooks import Hooks
from trio_fle.config import load_config
from trio_fle.errors import StorageError
from trio_fle.member import opening
from trio_fle.storage.lock import DirectoryLock

pytestmark = [pytest.mark.interop, pytest.mark.beside]


def write_config(directory: Path, *extra: str) -> Path:
    quorum, election = free_ports(2)
    (directory / "myid").write_text("1\n")
    path = directory / "zoo.cfg"
    lines = [f"dataDir={directory}", "tickTime=100", "initLimit=5", "syncLimit=5", *extra]
    path.write_text("\n".join([*lines, f"server.1=127.0.0.1:{quorum}:{election}"]) + "\n")
    return path


def member(directory: Path, nursery: trio.Nursery, *options: str) -> Server:
    path = write_config(directory, "admin.enableServer=false")
    command = [sys.executable, "-m", "trio_fle", "run", str(path), "--log-format", "json", *options]
    return Server(1, directory, command, nursery)


def of(server: Server, event: str) -> list[dict[str, Any]]:
    return server.events(event)


async def wait_for(server: Server, event: str, count: int) -> list[dict[str, Any]]:
    with trio.fail_after(20):
        while len(found := of(server, event)) < count:  # noqa: ASYNC110
            await trio.sleep(0.01)
    return found


async def test_a_command_that_ends_ends_the_leadership_and_the_next_has_a_higher_epoch(
    tmp_path: Path,
) -> None:
    async with open_servers() as (nursery, servers):
        servers.append(member(tmp_path, nursery, "--", "sh", "-c", "exit 7"))
        with story(servers):
            await servers[0].start()
            exited = await wait_for(servers[0], "child.exited", 2)
            assert [(each["status"], each["epoch"]) for each in exited[:2]] == [(7, 1), (7, 2)]
            assert of(servers[0], "leading.lost")[0]["reason"] == "resigned"


async def test_a_command_may_be_restarted_in_the_same_term(tmp_path: Path) -> None:
    async with open_servers() as (nursery, servers):
        servers.append(member(tmp_path, nursery, "--on-child-exit", "restart", "--", "true"))
        with story(servers):
            await servers[0].start()
            exited = await wait_for(servers[0], "child.exited", 2)
            assert [(each["status"], each["epoch"]) for each in exited[:2]] == [(0, 1), (0, 1)]


async def test_a_command_that_ends_may_stop_the_member(tmp_path: Path) -> None:
    async with open_servers() as (nursery, servers):
        servers.append(member(tmp_path, nursery, "--on-child-exit", "stop", "--", "true"))
        with story(servers):
            await servers[0].start()
            assert servers[0].process is not None
            with trio.fail_after(20):
                assert await servers[0].process.wait() == 0
                stopped = await servers[0].wait_line(lambda line: "member.stopped" in line)
            assert json.loads(stopped)["reason"] == "the command ended"


async def test_without_a_stdout_it_elects_all_the_same(tmp_path: Path) -> None:
    write_config(tmp_path, "admin.enableServer=false")
    command = f"exec {sys.executable} -m trio_fle run {tmp_path}/zoo.cfg >&- 2>{tmp_path}/stderr"
    async with open_servers() as (nursery, servers):
        servers.append(Server(1, tmp_path, ["sh", "-c", command], nursery))
        await servers[0].start()
        with trio.fail_after(20):
            while not (tmp_path / "version-2" / "currentEpoch").exists():  # noqa: ASYNC110
                await trio.sleep(0.01)
        assert (tmp_path / "stderr").read_text() == ""


async def test_hooks_are_told_the_epoch(tmp_path: Path) -> None:
    hook = f"sh -c 'echo $TRIO_FLE_EPOCH $TRIO_FLE_MYID > {tmp_path}/told'"
    async with open_servers() as (nursery, servers):
        servers.append(member(tmp_path, nursery, "--on-leader", hook))
        with story(servers), trio.fail_after(20):
            await servers[0].start()
            while not ((tmp_path / "told").exists() and (tmp_path / "told").read_text()):  # noqa: ASYNC110
                await trio.sleep(0.01)
            assert (tmp_path / "told").read_text() == "1 1\n"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trio_fle", "run", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--", "no-such-command"), "no-such-command"),
        (("--on-leader", "no-such-hook"), "--on-leader"),
        (("--on-child-exit", "explode", "--", "true"), "explode"),
        (("--",), "there is no COMMAND behind --"),
    ],
)
def test_a_wrong_command_is_told_at_once(options: tuple[str, ...], said: str, tmp_path: Path) -> None:
    ended = run(str(write_config(tmp_path)), *options)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert ended.stdout == ""


async def test_a_command_that_takes_its_time_to_end_keeps_its_data_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever bounds the member's own end: else another process would run one beside it."""
    for module in (running, opening):
        monkeypatch.setattr(module, "STOP_WITHIN_S", 0.05)
    config = load_config(write_config(tmp_path, "admin.enableServer=false"))
    script = f"trap '' TERM; touch {tmp_path}/began; sleep 1.2; touch {tmp_path}/ended"
    stop, log = running.Stop(), opening.quiet_logger()
    extras = running.Extras(("sh", "-c", script), "resign", Hooks(1, log, on_leader=(), on_follower=()))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(running._live, config, log, extras, stop)
        with trio.fail_after(20):
            while not (tmp_path / "began").exists():  # noqa: ASYNC110
                await trio.sleep(0.01)
            stop.ask("it was told to")
            while not (tmp_path / "ended").exists():
                with pytest.raises(StorageError, match="in use by another"):
                    DirectoryLock.take(tmp_path)
                await trio.sleep(0.05)
    DirectoryLock.take(tmp_path).release()


async def test_a_second_process_on_a_data_directory_exits_with_3(tmp_path: Path) -> None:
    async with open_servers() as (nursery, servers):
        servers.append(member(tmp_path, nursery))
        with story(servers):
            await servers[0].start()
            await wait_for(servers[0], "member.started", 1)
            ended = await trio.to_thread.run_sync(run, str(tmp_path / "zoo.cfg"))
            assert ended.returncode == 3
            assert "in use by another" in ended.stderr
            assert ended.stderr.count("\n") == 1
