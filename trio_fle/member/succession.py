"""The heir: what is prepared while a leader leads, so that the next one leads as soon as it is elected.

Whoever follows a leader of ours reserves the next epoch, durably, for the server that will be elected if
nothing else changes: the *heir*, the highest id that is connected. Once the leader is proven to have ended,
the heir offers that epoch with its vote, and the others accept it with theirs. ARCHITECTURE.md, "The heir",
has the reasons.
"""

import random
from collections.abc import Callable
from typing import Final, NoReturn

import attrs
import trio

from trio_fle.election.events import Freed, MayAccept, Reserved
from trio_fle.election.fle import FastLeaderElection
from trio_fle.member.commitments import Commitments
from trio_fle.member.decisions import Decisions
from trio_fle.member.electing import ElectionTask
from trio_fle.member.feeds import Signal
from trio_fle.member.following import Learner
from trio_fle.member.leading import Leading
from trio_fle.member.membership import Membership
from trio_fle.member.offered import Offered

RESERVE_AFTER_S: Final = 0.05
"""How long after a leader was found: whoever elects has better things to do."""

LINGER_S: Final = 0.01
"""How much later the end of the leader's election connection is dealt with, at most, where its heir is named:
whoever elects has better things to do, and if all goes well nobody waits for what comes of it."""

RESERVE_AGAIN_AFTER_S: Final = 1.0
"""How long after another heir has come up: servers that come and go cost the disk no more than that."""


@attrs.define(eq=False)
class Succession:
    """Reserves, offers and accepts the next epoch."""

    membership: Membership
    commitments: Commitments
    election: ElectionTask
    decisions: Decisions
    rng: random.Random
    changed: Signal
    """Given whenever the leader, or who is connected, may be another one."""
    role: Callable[[], tuple[Learner | None, Leading | None]]
    offered: Offered | None = attrs.field(default=None, init=False)
    """What this member offers in the present election."""
    _matters: trio.Event = attrs.field(factory=trio.Event, init=False)
    """Set once an election waits to know who is gone."""

    def __attrs_post_init__(self) -> None:
        self.election.may_accept = self._may_accept
        self.election.offer_accepted = self._offer_accepted
        self.commitments.freed = self._freed
        self.election.agreed = self._agreed
        self.membership.manager.linger = self._linger

    async def run(self) -> NoReturn:
        """Keep the next epoch reserved for whoever is the heir, for ever."""
        while True:
            if not self._lacks():
                await self.changed.wait()
                continue
            fresh = self.commitments.stored.heir is None
            await trio.sleep(RESERVE_AFTER_S if fresh else RESERVE_AGAIN_AFTER_S)
            if self._lacks() and (heir := self._heir()) is not None:
                await self.commitments.reserve(heir)

    def _lacks(self) -> bool:
        return self._heir() not in (None, self.commitments.stored.heir)

    def _heir(self) -> int | None:
        """Return who is elected next, as far as can be told; None where nothing can be reserved."""
        learner, fle = self.role()[0], self.election.fle
        if learner is None or not learner.keeps_promise or not self._is_calm(fle):
            return None
        if self.commitments.stored.followed is None:
            return None  # it is leaving, and has said so
        electorate = fle.electorate
        there = (self.membership.manager.connected & electorate.voters) - {learner.leader, electorate.me}
        weigh = {sid for sid in there if electorate.current.verifier.weight(sid) > 0}
        return max(weigh | {electorate.me} if electorate.stands else weigh, default=None)

    def _is_calm(self, fle: FastLeaderElection) -> bool:
        """Whether who votes is as clear as can be: an epoch that rides on votes passes no other check."""
        config, electorate = self.membership.config, fle.electorate
        votes = electorate.me in electorate.voters and config.election.early_finalize
        pending = electorate.seen.version > electorate.current.version or self.membership.lacks_version
        return votes and not pending and not electorate.has_oracle

    async def reserved(self, ended: bool) -> Reserved | None:
        """Return what may ride on the votes of the next election; the heir listens from then on.

        Nothing where the leader has not ``ended``, as far as can be told.

        Whoever accepts its offer takes a quorum port that refuses as a proof that it does not lead.
        """
        stored, electorate = self.commitments.stored, self.election.fle.electorate
        me = electorate.me
        self.offered = None
        if not ended or stored.heir is None or stored.followed is None:
            return None
        if not self._is_calm(self.election.fle):
            return None
        epoch = stored.accepted_epoch + 1
        if self.commitments.highest_epoch >= epoch:
            return None  # the process before us may have accepted it already
        if stored.heir != me:
            return Reserved(epoch, stored.heir, stored.followed.lease_s)
        port = self.decisions.port
        if self.commitments.heard_epoch >= epoch or not await port.open():
            return None
        self.decisions.expect()
        self.offered = Offered(epoch, self.commitments.clock(), port.opened, electorate.current)
        # this process was started again, maybe: what it offered then has another number
        return Reserved(epoch, me, self.membership.config.sync_s, self.rng.getrandbits(63))

    async def _linger(self, sid: int) -> None:
        """Wait while the end of the election connection with a leader is of no use to anybody."""
        fle = self.election.fle
        if fle.election is not None:
            left, named = fle.election.left, fle.succession.reserved is not None
        else:
            vote, named = fle.current_vote, self.commitments.stored.heir is not None
            left = None if vote is None else vote.leader
        if named and sid == left:
            with trio.move_on_after(LINGER_S):
                await self._matters.wait()

    def _agreed(self) -> None:
        """Deal with such ends now: an election that agrees on no offer waits to know who is gone."""
        election = self.election.fle.election
        if election is None or not election.is_quiet:
            self._matters.set()
            self._matters = trio.Event()

    def _offer_accepted(self, sid: int) -> None:
        if self.offered is not None:
            self.offered.accepted_by.add(sid)
        if (leading := self.role()[1]) is not None:
            leading.offer_accepted(sid)

    def _may_accept(self, offer: MayAccept) -> bool:
        return self.commitments.accept_reserved(offer.heir, offer.epoch, offer.lease_s)

    def _freed(self) -> None:
        self.election.put(self.election.fle.electorate.me, Freed())
