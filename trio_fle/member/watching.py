"""Following a leader by vote alone: for a member that can't hold what its leader holds.

It has no link to the leader, so it watches the election connection to it, and asks now and then.
"""

import attrs
import trio

from trio_fle.config import MemberConfig
from trio_fle.errors import PeerError
from trio_fle.member.looking import LookingVoters
from trio_fle.member.membership import Membership
from trio_fle.member.together import first_of
from trio_fle.peers import ConnectionManager, Transport
from trio_fle.peers.ask import ask
from trio_fle.vote import PeerState


@attrs.define(eq=False)
class Watch:
    """Watches ``leader`` until it leads no more."""

    config: MemberConfig
    membership: Membership
    transport: Transport
    manager: ConnectionManager
    looking: LookingVoters
    leader: int

    async def run(self) -> str:
        """Return why the leader is given up."""
        return await first_of(self._until_broken, self._until_it_looks, self._until_it_denies)

    async def _until_broken(self) -> str:
        with trio.move_on_after(self.config.tick_s):
            while self.manager.connection(self.leader) is None:
                await self.manager.wait_changed()
        connection = self.manager.connection(self.leader)
        if connection is None:
            return "no connection to the leader"
        await connection.ended.wait()
        return "the connection to the leader broke"

    async def _until_it_looks(self) -> str:
        return await self.looking.until_leader_looks(self.leader, self.config.tick_s)

    async def _until_it_denies(self) -> str:
        pause_s = self.config.tick_s
        while True:
            await trio.sleep(pause_s)
            pause_s = self.config.init_s
            server = self.membership.config.servers.get(self.leader)
            if server is None:
                return "the configuration does not name the leader any more"
            addresses = tuple(address.election for address in server.addresses)
            try:
                with trio.move_on_after(self.config.sync_s) as patience:
                    mine = self.config.me.addresses[0].election
                    answer = await ask(self.transport, addresses, self.config.myid, mine)
            except PeerError as error:
                return f"the leader does not answer: {error}"
            if patience.cancelled_caught:
                return "the leader does not answer"
            if answer.state is not PeerState.LEADING:
                return "the leader does not lead"
            await self.membership.commit(self.membership.read(answer.config), self.leader)
            if self.membership.config.learner_type is not self.config.learner_type:
                return "the configuration gives this member another role"
