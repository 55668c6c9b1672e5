"""Which voters look for a leader while this member has one: they can't be of its quorum, nor its leader."""

from collections.abc import Callable
from typing import Final

import attrs
import trio

from trio_fle.election.electorate import Electorate
from trio_fle.election.events import VoterLooking

DOUBT_TICKS: Final = 2
"""For so long a voter that was heard looking is not counted on."""


@attrs.define(eq=False)
class LookingVoters:
    """When each voter was last heard looking for a leader, so that it can't be one of this role's.

    A voter that is only slow to decide says the same in the round of the election, on the connection over
    which it was elected: that counts for nothing, unless it has meanwhile been convinced by a better vote
    (a Java server then follows that one, and says no more).
    """

    _round: int = attrs.field(default=0, init=False)
    _began: float = attrs.field(default=0.0, init=False)
    _heard_at: dict[int, float] = attrs.field(factory=dict, init=False)
    _heard: trio.Event = attrs.field(factory=trio.Event, init=False)

    def begin(self, round_: int) -> None:
        """Begin a role that was decided in ``round_``: what was heard before is forgotten."""
        self._round, self._began = round_, trio.current_time()
        self._heard_at.clear()

    def note(self, voter: VoterLooking, connected_at: float) -> None:
        """Note that a voter looks for a leader, on a connection of that age."""
        changed = voter.convinced and voter.round == self._round
        if voter.round > self._round or changed or connected_at > self._began:
            self._heard_at[voter.sender] = trio.current_time()
            self._heard.set()
            self._heard = trio.Event()

    def within(self, seconds: float) -> set[int]:
        """Return those heard in the last ``seconds``."""
        now = trio.current_time()
        return {sid for sid, at in self._heard_at.items() if now - at <= seconds}

    async def until_leader_looks(self, leader: int, tick_s: float) -> str:
        """Wait until ``leader`` looks for a leader itself, and for one tick in which that might end."""
        while leader not in self.within(tick_s):
            await self._heard.wait()
        await trio.sleep(tick_s)
        return "the leader looks for a leader itself"

    async def until_doubted(
        self, electorate: Electorate, present: Callable[[], frozenset[int]], tick_s: float
    ) -> str:
        """Wait until voters look for a leader, and the rest that is present is no quorum; and one tick more.

        (ZOOKEEPER-3109: a Java leader waits for them as long as ``initLimit`` lasts.)
        """
        while not (looking := self.within(DOUBT_TICKS * tick_s)) or electorate.is_quorum(present() - looking):
            await self._heard.wait()
        await trio.sleep(tick_s)
        return "too many voters look for a leader"
