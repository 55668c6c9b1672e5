"""Callers of the quorum port that have not said yet who they are."""

from typing import Final

import attrs

from trio_fle.errors import PeerError
from trio_fle.member.learner_handler import LearnerHandler, receive_learner
from trio_fle.member.learner_link import LearnerLink

MAX_SILENT: Final = 128
"""At the same time."""


@attrs.define(eq=False)
class Callers:
    """Waits for each to say so; of too many that don't, the one that has been longest goes."""

    sync_s: float
    _silent: dict[LearnerLink, None] = attrs.field(factory=dict, init=False)

    async def receive_learner(self, link: LearnerLink) -> LearnerHandler:
        """Read who calls. Raises ``PeerError`` for one that does not say it, or had to make room."""
        if len(self._silent) >= MAX_SILENT:
            next(iter(self._silent)).scope.cancel()
        self._silent[link] = None
        try:
            with link.scope:
                return await receive_learner(link, self.sync_s)
        finally:
            del self._silent[link]
        link.check_heard()
        raise PeerError("it said nothing, and others waited")
