"""Finding out that a leader is gone, so that a promise to it need not be kept to the end of its lease."""

import itertools
from collections.abc import Callable, Mapping
from typing import Final

import attrs
import structlog
import trio

from trio_fle.ensemble import HostPort, Server
from trio_fle.errors import ConnectionLostError, RefusedError
from trio_fle.member.commitments import Commitments
from trio_fle.peers import Transport
from trio_fle.peers.quiet import Backoff
from trio_fle.peers.streams import until_ended
from trio_fle.zab import Promise

_FIRST_S: Final = 0.005
_MAX_S: Final = 0.2
_TURNS: Final = 2
"""How many turns of the event loop others have before the first dial: a vote is sent in them."""
_AT_ONCE: Final = 2
"""Dials that another one follows as soon as they have come to nothing."""


@attrs.define(eq=False)
class GoneLeader:
    """Frees this member of its promise to a leader once that is known to be gone.

    A leader listens on its quorum port for as long as it leads, and whatever it guards; so a port that
    refuses has no leader. Where it did not say on the link that it has resigned, that is the only proof: what
    else is heard (the link ended, somebody says in its name that it looks for a leader) is a reason to ask.
    ``nursery`` is set before it is asked.
    """

    commitments: Commitments
    servers: Callable[[], Mapping[int, Server]]
    transport: Transport
    log: structlog.typing.FilteringBoundLogger
    nursery: trio.Nursery = attrs.field(init=False)
    suspected: bool = attrs.field(default=False, init=False)
    """Whether the leader that was followed last is likely to be gone, and was not asked yet."""
    _asked: dict[int, tuple[Promise, trio.CancelScope]] = attrs.field(factory=dict, init=False)

    def heard_looking(self, sender: int) -> None:
        """Ask whether a leader that looks for a leader itself is gone; anybody could have said so."""
        if any(promise.leader == sender for promise in self.commitments.promises):
            self.find_out()

    def find_out(self) -> None:
        """Begin to ask about what is promised at present, unless that was begun before."""
        self.suspected = False
        for promise in self.commitments.promises:
            self._find_out(promise)

    def _find_out(self, promise: Promise) -> None:
        before = self._asked.get(promise.leader)
        if before is not None and before[0] is promise:
            return
        server = self.servers().get(promise.leader)
        named = () if server is None else tuple(address.quorum for address in server.addresses)
        # where it was followed: its name may have been pointed at another host meanwhile, whose refusal says
        # nothing of it
        addresses = named if promise.where is None else (promise.where,)
        if not addresses:
            return  # nobody knows where to ask
        if before is not None:
            before[1].cancel()
        left_s = promise.until - self.commitments.clock()
        asking = trio.CancelScope(deadline=trio.current_time() + left_s)
        self._asked[promise.leader] = promise, asking
        self.nursery.start_soon(self._ask, promise, addresses, asking)

    async def _ask(self, promise: Promise, addresses: tuple[HostPort, ...], scope: trio.CancelScope) -> None:
        """Dial the leader until nobody listens there, or the promise is over or was renewed."""
        commitments, pauses_s = self.commitments, Backoff(_FIRST_S, _MAX_S)
        pauses_s.next()
        for _ in range(_TURNS):
            await trio.lowlevel.checkpoint()
        with scope:
            for number in itertools.count(1):
                if promise not in commitments.promises or commitments.clock() >= promise.until:
                    return
                next_at = trio.current_time() + pauses_s.next()
                try:
                    stream = await self.transport.dial(addresses)
                    await until_ended(stream, next_at)
                except RefusedError:
                    if promise in commitments.promises:
                        self.log.info("promise.released", leader=promise.leader, epoch=promise.epoch)
                        commitments.release(promise.leader)
                    return
                except ConnectionLostError:
                    pass
                # the first few end as the leader does: mostly the next dial is refused
                if number > _AT_ONCE:
                    await trio.sleep_until(next_at)
