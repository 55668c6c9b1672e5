"""Asking for the configuration those that this member can't connect with.

A member that was away while its address changed listens where nobody dials it any more, and knocks in vain:
the server with the higher id dials the address that it knows of. So it asks, as a stranger: those are
answered by everybody, with the configuration that they have.
"""

import attrs
import trio

from trio_fle.election.events import Heard
from trio_fle.ensemble import HostPort
from trio_fle.errors import PeerError
from trio_fle.member.membership import Membership
from trio_fle.peers import Transport
from trio_fle.peers.ask import ask


@attrs.define(eq=False)
class Inquiry:
    """Asks once, whenever it is begun; what is newer goes to the election, as if its sender had said it."""

    membership: Membership
    transport: Transport
    nursery: trio.Nursery = attrs.field(init=False)

    def begin(self) -> None:
        """Ask all voters without a connection, where an answer might be adopted."""
        membership = self.membership
        if not membership.config.reconfig_enabled:
            return
        others = membership.config.voters - membership.manager.connected - {membership.config.myid}
        for sid in sorted(others):
            server = membership.config.servers[sid]
            self.nursery.start_soon(self._ask, sid, tuple(address.election for address in server.addresses))

    async def _ask(self, sid: int, addresses: tuple[HostPort, ...]) -> None:
        config = self.membership.config
        with trio.move_on_after(config.sync_s):
            try:
                answer = await ask(self.transport, addresses, config.myid, config.me.addresses[0].election)
            except PeerError:
                return  # as the election's own dials say
            ensemble = self.membership.read(answer.config)
            if ensemble is not None:
                # a stranger is told the last concluded vote, which is none for our round: only this counts
                silent = attrs.evolve(answer, state=None, config=None)
                self.membership.election.put(sid, Heard(sid, silent, ensemble))
