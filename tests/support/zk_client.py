"""A real client of real ZooKeeper servers, from a Trio task; and ``srvr``, which our members answer too."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import attrs
import trio
from kazoo.client import KazooClient

PATIENCE_S = 20.0
POLL_S = 0.05


@attrs.define(eq=False)
class Client:
    """A session. It blocks in threads, each call for ``PATIENCE_S`` at most; many requests go out at once."""

    zk: KazooClient

    async def create(self, *paths: str, data: bytes = b"") -> None:
        await self._all([partial(self.zk.create_async, path, data) for path in paths])

    async def put(self, *paths: str, data: bytes) -> None:
        await self._all([partial(self.zk.set_async, path, data) for path in paths])

    async def get(self, *paths: str) -> dict[str, bytes]:
        answers = await self._all([partial(self.zk.get_async, path) for path in paths])
        return {path: data for path, (data, _) in zip(paths, answers, strict=True)}

    async def children(self, path: str) -> set[str]:
        (names,) = await self._all([partial(self.zk.get_children_async, path)])
        return set(names)

    async def reconfigure(self, *, joining: str | None = None, leaving: str | None = None) -> str:
        """Change the configuration of the ensemble; return its new text."""

        def run() -> str:
            data, _ = self.zk.reconfig_async(joining, leaving, None, -1).get(timeout=PATIENCE_S)
            return str(data.decode())

        return await trio.to_thread.run_sync(run)

    async def _all(self, requests: list[partial[Any]]) -> list[Any]:
        def run() -> list[Any]:
            pending = [request() for request in requests]
            return [result.get(timeout=PATIENCE_S) for result in pending]

        return await trio.to_thread.run_sync(run)


@asynccontextmanager
async def open_client(*ports: int) -> AsyncIterator[Client]:
    """Open a session with the server at one of ``ports``, and close it in good order."""
    zk = KazooClient(hosts=",".join(f"127.0.0.1:{port}" for port in ports), timeout=PATIENCE_S)
    try:
        await trio.to_thread.run_sync(partial(zk.start, timeout=PATIENCE_S))
        yield Client(zk)
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(zk.stop)
            await trio.to_thread.run_sync(zk.close)


async def srvr(port: int) -> dict[str, str]:
    """Ask a server what it is: its ``Mode``, ``Zxid`` and so on; empty while it does not serve."""
    try:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            await stream.send_all(b"srvr")
            text = b"".join([chunk async for chunk in stream]).decode()
    except (OSError, trio.BrokenResourceError):
        return {}
    return dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)


async def wait_leader(ports: dict[int, int], sids: Iterable[int]) -> int:
    """Wait until all of ``sids`` serve, and return the leader."""
    wanted = list(sids)
    while True:
        modes = {sid: (await srvr(ports[sid])).get("Mode") for sid in wanted}
        leaders = [sid for sid in wanted if modes[sid] == "leader"]
        if None not in modes.values() and len(leaders) == 1:
            return leaders[0]
        await trio.sleep(POLL_S)


async def wait_same_zxid(ports: dict[int, int], sids: Iterable[int]) -> int:
    """Wait until all of ``sids`` have come as far as each other, and return how far."""
    wanted = list(sids)
    while True:
        zxids = {(await srvr(ports[sid])).get("Zxid") for sid in wanted}
        if len(zxids) == 1 and (zxid := zxids.pop()) is not None:
            return int(zxid, 16)
        await trio.sleep(POLL_S)
