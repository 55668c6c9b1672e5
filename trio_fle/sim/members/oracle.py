"""An oracle in memory: the file of one of two servers."""

import random
from typing import Final

import attrs
import trio

from trio_fle.sim.conditions import Latency

AT_ONCE: Final = Latency(0.0)


@attrs.define(eq=False)
class VirtualOracle:
    """What stands for the file; ``content`` is None where it can't be read.

    To read it takes ``read_s`` before it is looked at, and as much before the answer is there.
    """

    content: bytes | None = b"0"
    read_s: Latency = AT_ONCE
    rng: random.Random = attrs.field(factory=lambda: random.Random(0))
    reads: int = attrs.field(default=0, init=False)

    async def read(self) -> bytes:
        """Return the first byte. Raises ``OSError`` where there is none to be had."""
        await self._take_time()
        content = self.content
        await self._take_time()
        self.reads += 1
        if content is None:
            raise FileNotFoundError(2, "No such file or directory")
        return content[:1]

    async def _take_time(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.read_s.mean_s:
            await trio.sleep(self.read_s.sample(self.rng))
