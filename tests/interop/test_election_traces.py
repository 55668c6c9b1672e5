"""A real ``trio-fle run`` process, over TCP, sends what a real ZooKeeper 3.8.0 server sent."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
from ports import free_ports
from stand_ins import StandIn, all_connected, ask_as_stranger, row, scripted

DATA = Path(__file__).parents[1] / "data"
TRACES: dict[str, Any] = {}
for file in ("election-traces.json", "election-traces-more.json"):
    TRACES |= json.loads((DATA / file).read_text())
AT_ONCE = 4
"""Traces played at the same time: their steps are 50 ms apart, which two cores must be able to keep."""

PARTS = 10
LATE_S = 0.06
"""A play whose own steps came so much too late was none: the machine stood still, and it is played again."""
PLAYS = 4

pytestmark = pytest.mark.interop


class LateError(Exception):
    """The steps were not played at their times."""


async def pause(seconds: float) -> None:
    """Sleep, and notice where that took longer."""
    due = trio.current_time() + seconds
    await trio.sleep_until(due)
    if trio.current_time() > due + LATE_S:
        raise LateError


def write_config(directory: Path, scenario: dict[str, Any], ports: dict[int, tuple[int, int]]) -> Path:
    servers = [
        f"server.{sid}=127.0.0.1:{ports[int(sid)][0]}:{ports[int(sid)][1]}:{role}"
        for sid, role in scenario["servers"].items()
    ]
    lines = [
        f"dataDir={directory}",
        "admin.enableServer=false",
        "tickTime=2000",
        "initLimit=10",
        "syncLimit=5",
        "fle.earlyFinalize=false",
    ]
    if scenario["role"]:
        lines.append(f"peerType={scenario['role']}")
    (directory / "version-2").mkdir(parents=True)
    (directory / "myid").write_text(f"{scenario['me']}\n")
    if scenario["epoch"]:
        for name in ("currentEpoch", "acceptedEpoch"):
            (directory / "version-2" / name).write_text(str(scenario["epoch"]))
    path = directory / "zoo.cfg"
    path.write_text("\n".join([*lines, *servers, *scenario["extra"]]) + "\n")
    return path


async def play(scenario: dict[str, Any], directory: Path) -> tuple[dict[str, Any], list[Any]]:
    """Play one scenario; return the trace per destination and the final answer."""
    me = scenario["me"]
    numbers = free_ports(2 * len(scenario["servers"]))
    ports = {int(sid): (numbers.pop(), numbers.pop()) for sid in scenario["servers"]}
    config = write_config(directory, scenario, ports)
    voters = [
        int(sid) for sid, role in scenario["servers"].items() if role == "participant" and int(sid) != me
    ]
    stand_ins = {sid: StandIn(sid, ports[sid][1], ports[sid][0], me, ports[me][1]) for sid in voters}
    command = [sys.executable, "-m", "trio_fle", "run", str(config), "--log-level", "error"]
    async with trio.open_nursery() as nursery:
        for stand_in in stand_ins.values():
            await nursery.start(stand_in.run)
        process = await trio.lowlevel.open_process(command, stdout=subprocess.DEVNULL)
        try:
            await all_connected(list(stand_ins.values()))
            first = await next(iter(stand_ins.values())).next_heard(0)
            await pause(0.12)
            for number, step in enumerate(scenario["steps"]):
                await pause(0.05 if number else 0)
                await stand_ins[step["from"]].say(*scripted(step, first.config))
            await pause(0.45)
            final = row(await ask_as_stranger(ports[me][1]))
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
        nursery.cancel_scope.cancel()
    trace = {str(sid): stand_in.trace() for sid, stand_in in stand_ins.items() if stand_in.heard}
    return trace, final


def differences(name: str, trace: dict[str, Any], final: list[Any]) -> list[str]:
    recorded = TRACES[name]["result"]
    found = []
    if trace != recorded["trace"]:
        found.append(f"{name}: sent {trace}, the real server {recorded['trace']}")
    state, _, _, round_, _ = recorded["final"]
    same = (final[0], final[3]) == (state, round_) if state == "LOOKING" else final == recorded["final"]
    if not same:
        found.append(f"{name}: ended in {final}, the real server in {recorded['final']}")
    return found


async def play_in_time(scenario: dict[str, Any], directory: Path) -> tuple[dict[str, Any], list[Any]]:
    """Play a scenario until the machine kept its times; ``LateError`` where it never does."""
    for attempt in range(PLAYS):
        try:
            with trio.fail_after(30):
                return await play(scenario, directory / str(attempt))
        except* LateError:
            pass
    raise LateError


@pytest.mark.parametrize("part", range(PARTS))
async def test_what_is_sent_is_what_a_real_server_sent(part: int, tmp_path: Path) -> None:
    names = sorted(TRACES, key=int)[part::PARTS]
    found: list[str] = []
    limit = trio.CapacityLimiter(AT_ONCE)

    async def check(name: str) -> None:
        async with limit:
            found.extend(differences(name, *await play_in_time(TRACES[name]["scenario"], tmp_path / name)))

    async with trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(check, name)
    assert found == []
