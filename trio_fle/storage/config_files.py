"""The files of a configuration that changes: each change is whole after any crash, or not there.

zoo.cfg names the committed configuration, so that one is durable before zoo.cfg is changed; what was pending
goes last. A crash on the way leaves the old zoo.cfg and the pending configuration beside it: the member then
starts with both, and needs the quorums of both.
"""

import os
from pathlib import Path
from typing import Final, Protocol

import attrs
import trio

from trio_fle.config.rewriting import CHARSET, dynamic_path, dynamic_text, next_path, static_text
from trio_fle.ensemble import Ensemble
from trio_fle.errors import StorageError
from trio_fle.storage.files import read_small, remove, replace, write_atomically

_LONGEST: Final = 1 << 20


class ConfigFiles(Protocol):
    """Where a member keeps its configuration. What is written is durable when the call returns.

    A write that has begun is finished, whether cancelled or not; ``StorageError`` where that is impossible.
    """

    async def check(self) -> None:
        """Raise ``StorageError`` where nothing can be written."""

    async def keep_pending(self, ensemble: Ensemble) -> None:
        """Keep a configuration that a leader has proposed."""

    async def commit(self, ensemble: Ensemble, *, own_client: bool, drop_pending: bool) -> None:
        """Make this the configuration of the next start.

        ``own_client`` says that it holds this member's client address; ``drop_pending`` that nothing newer
        is pending.
        """


@attrs.define(eq=False)
class DurableConfigFiles:
    """The files beside ``path``, a zoo.cfg."""

    path: Path
    _limiter: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(1), init=False)

    async def check(self) -> None:
        """Ask whether files beside zoo.cfg may be made: better now than when the configuration changes."""
        await trio.to_thread.run_sync(self._check, limiter=self._limiter)

    async def keep_pending(self, ensemble: Ensemble) -> None:
        """Write ``zoo.cfg.dynamic.next``."""
        await trio.to_thread.run_sync(self._keep_pending, ensemble, limiter=self._limiter)

    async def commit(self, ensemble: Ensemble, *, own_client: bool, drop_pending: bool) -> None:
        """Write ``zoo.cfg.dynamic.<version>``, and name it in zoo.cfg; the first time, after a back-up."""
        await trio.to_thread.run_sync(self._commit, ensemble, own_client, drop_pending, limiter=self._limiter)

    # In a thread

    def _check(self) -> None:
        if not os.access(self._real.parent, os.W_OK | os.X_OK):
            raise StorageError(
                f"{self._real.parent}: can't be written, and reconfigEnabled=true keeps configurations that "
                "change there; make it writable for this user, or set reconfigEnabled=false"
            )

    def _keep_pending(self, ensemble: Ensemble) -> None:
        write_atomically(next_path(self._real), dynamic_text(ensemble, with_version=True).encode(CHARSET))

    def _commit(self, ensemble: Ensemble, own_client: bool, drop_pending: bool) -> None:
        path = self._real
        dynamic = dynamic_path(path, ensemble.version)
        before = read_small(path, _LONGEST)
        if before is None:
            raise StorageError(f"{path}: is gone; put it back, since the new configuration belongs into it")
        write_atomically(dynamic, dynamic_text(ensemble).encode(CHARSET))
        text = before.decode(CHARSET)
        after = static_text(text, dynamic, without_client=own_client)
        if after != text:
            if "dynamicConfigFile" not in text:
                replace(path.with_name(f"{path.name}.bak"), before, like=path)
            replace(path, after.encode(CHARSET), like=path)
        if drop_pending:
            remove(next_path(path))

    @property
    def _real(self) -> Path:
        """The file itself: a link to it must stay one."""
        return self.path.resolve()
