"""Callers of the quorum port that have not said yet who they are."""

from typing import Final

import attrs
import trio

from trio_fle.errors import PeerError
from trio_fle.member.learner_handler import LearnerHandler, receive_learner
from trio_fle.member.learner_link import LearnerLink

MAX_SILENT: Final = 128
"""At the same time."""

MAX_EPOCH: Final = 2**31 - 2
"""It is 32 bits on disk and on the wire; a learner that claims to have accepted it leaves no next one (of two
servers with an oracle each has every other one)."""

NO_DATA_HINT: Final = (
    "no Java server can follow a leader without data: set fle.candidate=false in this member's zoo.cfg; "
    "until it is restarted it is no candidate"
)
OUTDATED_HINT: Final = (
    "they have a newer configuration: give this member the same server lines, or reconfigEnabled=true, and "
    "restart it; until then it is no candidate"
)


@attrs.define(eq=False)
class Callers:
    """Waits for each to say so; of too many that don't, the one that has been longest goes."""

    sync_s: float
    _silent: dict[LearnerLink, trio.CancelScope] = attrs.field(factory=dict, init=False)

    async def receive_learner(self, link: LearnerLink) -> LearnerHandler:
        """Read who calls. Raises ``PeerError`` for one that does not say it, or had to make room."""
        if len(self._silent) >= MAX_SILENT:
            next(iter(self._silent.values())).cancel()
        with trio.CancelScope() as scope:
            self._silent[link] = scope
            try:
                return await receive_learner(link, self.sync_s)
            finally:
                del self._silent[link]
        raise PeerError("it said nothing, and others waited")


def check_learner(handler: LearnerHandler, me: int, config_version: int) -> None:
    """Check what a learner says of itself. Raises ``PeerError`` for one that ``me`` can't lead."""
    info = handler.info
    if not info.marked:
        raise PeerError(f"server {handler.sid} is no trio-fle member, and can't follow one")
    if not -1 <= handler.accepted_epoch < MAX_EPOCH:
        raise PeerError(f"it claims to have accepted epoch {handler.accepted_epoch}")
    if info.sid == me:
        raise PeerError("it claims our own server id")
    if (info.config_version or 0) > config_version:
        raise PeerError(f"its configuration, version {info.config_version}, is newer than ours")
