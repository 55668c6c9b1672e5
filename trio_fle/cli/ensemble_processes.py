"""An ensemble of real member processes on loopback, and what their logs say of them."""

import contextlib
import json
import random
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from trio_fle.errors import FleError

_STOP_WITHIN_S: Final = 5.0
_MAX_LINE_BYTES: Final = 1 << 20
_SERVER_PORTS: Final = range(10_000, 32_000)

OnEvent = Callable[[int, dict[str, Any]], None]
"""Is shown every event (one JSON object of the log) of every member."""


class DemoFailedError(FleError):
    """The ensemble did not do what the demo shows."""


@attrs.define
class MemberProcess:
    """One process, and its latest state as its log told it."""

    sid: int
    config: Path
    process: trio.Process | None = None
    state: str = "LOOKING"
    leader: int | None = None
    """The leader that is established: this member, or one it is synchronized with."""


@attrs.define(eq=False)
class Ensemble:
    """Processes by server id; started and killed one by one."""

    members: dict[int, MemberProcess]
    on_event: OnEvent
    nursery: trio.Nursery
    _changed: trio.Event = attrs.field(factory=trio.Event, init=False)

    async def start(self, sid: int) -> None:
        """Start member ``sid`` and follow its log."""
        member = self.members[sid]
        member.state, member.leader = "LOOKING", None
        command = [sys.executable, "-m", "trio_fle", "run", str(member.config), "--log-format", "json"]
        member.process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
        self.nursery.start_soon(self._read_log, member, member.process)

    async def kill(self, sid: int) -> None:
        """End member ``sid`` with SIGKILL."""
        member = self.members[sid]
        assert member.process is not None
        process, member.process = member.process, None
        member.state, member.leader = "killed", None
        process.kill()
        await process.wait()
        self.on_event(sid, {"event": "killed"})

    async def wait_agreed(self, *, within_s: float) -> int:
        """Wait until one running member leads and all others follow it; return its id."""
        with trio.move_on_after(within_s):
            while True:
                if (leader := self._agreed()) is not None:
                    return leader
                await self._changed.wait()
        states = {member.sid: member.state for member in self.members.values()}
        raise DemoFailedError(f"no leader that all follow after {within_s:g} s: {states}")

    def _agreed(self) -> int | None:
        running = [member for member in self.members.values() if member.process is not None]
        leaders = {member.leader for member in running}
        leader = leaders.pop() if len(leaders) == 1 else None
        return leader if leader is not None and self.members[leader].state == "LEADING" else None

    async def _read_log(self, member: MemberProcess, process: trio.Process) -> None:
        assert process.stdout is not None
        rest = b""
        async for chunk in process.stdout:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._take(member, process, json.loads(line))
            if len(rest) > _MAX_LINE_BYTES:
                raise DemoFailedError(f"member {member.sid} logs a line without an end")
        if member.process is process:
            raise DemoFailedError(f"member {member.sid} ended by itself, see above")

    def _take(self, member: MemberProcess, process: trio.Process, event: dict[str, Any]) -> None:
        if member.process is not process:
            return  # killed meanwhile: what it still had to say is history
        match event["event"]:
            case "member.state":
                member.state, member.leader = event["to"], None
            case "leading.established":
                member.leader = member.sid
            case "following.synced":
                member.leader = event["leader"]
            case "leading.lost" | "following.lost":
                member.leader = None
        self.on_event(member.sid, event)
        self._changed.set()
        self._changed = trio.Event()

    async def stop(self) -> None:
        """End all with SIGTERM; those that do not go, with SIGKILL."""
        processes = []
        for member in self.members.values():
            if member.process is not None:
                processes.append(member.process)
                member.process = None
        for process in processes:
            process.terminate()
        with trio.move_on_after(_STOP_WITHIN_S):
            for process in processes:
                await process.wait()
        for process in processes:
            if process.returncode is None:
                process.kill()
            await process.wait()


@contextlib.asynccontextmanager
async def open_ensemble(directory: Path, size: int, on_event: OnEvent) -> AsyncIterator[Ensemble]:
    """Start ``size`` members with data under ``directory``; leaving ends them all."""
    configs = await trio.to_thread.run_sync(_write_configs, directory, size)
    async with trio.open_nursery() as nursery:
        members = {sid: MemberProcess(sid, path) for sid, path in configs.items()}
        ensemble = Ensemble(members, on_event, nursery)
        try:
            for sid in members:
                await ensemble.start(sid)
            yield ensemble
        finally:
            with trio.CancelScope(shield=True):
                await ensemble.stop()
            nursery.cancel_scope.cancel()


def _write_configs(directory: Path, size: int) -> dict[int, Path]:
    ports = _free_ports(2 * size)
    servers = "".join(
        f"server.{sid}=127.0.0.1:{ports[2 * sid - 2]}:{ports[2 * sid - 1]}\n" for sid in range(1, size + 1)
    )
    configs = {}
    for sid in range(1, size + 1):
        data = directory / f"member{sid}"
        data.mkdir()
        (data / "myid").write_text(f"{sid}\n")
        configs[sid] = data / "zoo.cfg"
        configs[sid].write_text(
            f"dataDir={data}\ntickTime=500\ninitLimit=10\nsyncLimit=5\nadmin.enableServer=false\n{servers}"
        )
    return configs


def _free_ports(count: int) -> list[int]:
    """Pick ports that nobody listens on, below those that the kernel gives to clients."""
    picked: list[int] = []
    with contextlib.ExitStack() as held:
        for port in random.sample(_SERVER_PORTS, k=len(_SERVER_PORTS)):
            with contextlib.suppress(OSError):
                held.enter_context(socket.create_server(("127.0.0.1", port)))
                picked.append(port)
            if len(picked) == count:
                return picked
    raise DemoFailedError(f"there are no {count} free ports on 127.0.0.1 between 10000 and 32000")
