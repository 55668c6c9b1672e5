"""Following, observing and leading by what the election connections tell.

Each role is an async function that returns why it ended. Until learners speak with their leader on the
quorum port, these connections are all that is known of it: a follower leaves its leader when the
connection to it breaks, a leader steps down when the connections of a quorum are gone. Whoever is heard
looking for a leader has none, if it does so in a later round than that of the election, or on a connection
that is younger than the role; it is given one tick, in which a running election would end.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import attrs
import trio

from trio_fle.election.events import VoterLooking
from trio_fle.election.fle import FastLeaderElection
from trio_fle.peers import ConnectionManager

DOUBT_TICKS: Final = 2
"""For so long a voter that was heard looking is not counted among a leader's followers."""


@attrs.define(eq=False)
class LookingVoters:
    """When each voter was last heard looking for a leader, so that it can't be one of this role's.

    A voter that is only slow to decide says the same in the round of the election, on the connection over
    which it was elected: that counts for nothing, unless it has meanwhile been convinced by a better vote
    (a Java server then follows that one, and says no more).
    """

    left: set[int] = attrs.field(factory=set, init=False)
    """Leaders that said they follow another one."""
    _round: int = attrs.field(default=0, init=False)
    _began: float = attrs.field(default=0.0, init=False)
    _heard_at: dict[int, float] = attrs.field(factory=dict, init=False)
    _heard: trio.Event = attrs.field(factory=trio.Event, init=False)

    def begin(self, round_: int) -> None:
        """Begin a role that was decided in ``round_``: what was heard before is forgotten."""
        self._round, self._began = round_, trio.current_time()
        self._heard_at.clear()
        self.left.clear()

    def note(self, voter: VoterLooking, connected_at: float) -> None:
        """Note that a voter looks for a leader, on a connection of that age."""
        changed = voter.convinced and voter.round == self._round
        if voter.round > self._round or changed or connected_at > self._began:
            self._heard_at[voter.sender] = trio.current_time()
            self._heard.set()
            self._heard = trio.Event()

    def note_left(self, sid: int) -> None:
        """Note that ``sid``, which was to lead, follows another."""
        self.left.add(sid)
        self._heard.set()
        self._heard = trio.Event()

    def within(self, seconds: float) -> set[int]:
        """Return those heard in the last ``seconds``."""
        now = trio.current_time()
        return {sid for sid, at in self._heard_at.items() if now - at <= seconds}

    async def wait(self) -> None:
        """Wait until one more is heard."""
        await self._heard.wait()


async def follow(leader: int, manager: ConnectionManager, looking: LookingVoters, tick_s: float) -> str:
    """Follow (or observe) until the connection to the leader breaks, or the leader looks for one itself."""
    with trio.move_on_after(tick_s):
        while manager.connection(leader) is None:
            await manager.wait_changed()
    connection = manager.connection(leader)
    if connection is None:
        return "no connection to the leader"

    async def until_broken() -> str:
        await connection.ended.wait()
        return "the connection to the leader broke"

    async def until_it_looks() -> str:
        while leader not in looking.within(tick_s):
            await looking.wait()
        await trio.sleep(tick_s)
        return "the leader looks for a leader itself"

    async def until_it_left() -> str:
        while leader not in looking.left:
            await looking.wait()
        return "the leader follows another one"

    return await _first_of(until_broken, until_it_looks, until_it_left)


async def lead(
    fle: FastLeaderElection, manager: ConnectionManager, looking: LookingVoters, tick_s: float, init_s: float
) -> str:
    """Lead until the connections of a quorum are gone, or too many voters look for or have another leader.

    Within ``init_s`` a quorum must have told that it follows this member, and stay with it (unless
    ``fle.earlyFinalize`` is false: then nobody tells).
    """
    electorate = fle.electorate

    def supporters() -> set[int]:
        return set((manager.connected | {electorate.me}) & electorate.voters)

    async def until_alone() -> str:
        while electorate.is_quorum(supporters()):
            await manager.wait_changed()
        return "no quorum of voters is connected"

    async def until_doubted() -> str:
        while electorate.is_quorum(supporters() - looking.within(DOUBT_TICKS * tick_s)):
            await looking.wait()
        await trio.sleep(tick_s)
        return "too many voters look for a leader"

    async def until_unfollowed() -> str:
        await trio.sleep(init_s)
        missed = 0
        while missed < 2:  # one that is just changing over will have told by the next tick
            await trio.sleep(tick_s)
            followed = electorate.is_quorum(supporters() & (fle.followers | {electorate.me}))
            missed = 0 if followed else missed + 1
        return "too few voters follow"

    watches = [until_alone, until_doubted]
    if fle.options.early_finalize:
        watches.append(until_unfollowed)
    return await _first_of(*watches)


async def _first_of(*watches: Callable[[], Awaitable[str]]) -> str:
    """Run all, end all with the first that ends, and return what it says."""
    said: list[str] = []

    async def run(watch: Callable[[], Awaitable[str]], scope: trio.CancelScope) -> None:
        said.append(await watch())
        scope.cancel()

    async with trio.open_nursery() as nursery:
        for watch in watches:
            nursery.start_soon(run, watch, nursery.cancel_scope)
    return said[0]
