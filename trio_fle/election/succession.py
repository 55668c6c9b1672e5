"""What rides on the votes of one election: the heir's offer of an epoch, and who accepts it.

A leader's learners agree with it on an epoch once it is elected: it proposes one, and a quorum accepts it.
Where all is known beforehand, that needs no messages of its own. The *heir*, whom each has reserved the next
epoch for, offers that with its vote for itself; whoever votes for it too accepts that, and says so with its
own vote, or soon after. ARCHITECTURE.md, "The heir", has the reasons why that is safe.
"""

import math
from collections.abc import Callable

import attrs

from trio_fle.election.events import MayAccept, Reserved
from trio_fle.vote import PeerState, Vote
from trio_fle.wire import Acceptance, Notification, Offer


@attrs.define
class Succession:
    """The offer of one election, as the heir or as one of the others sees it, until the next one begins."""

    me: int
    reserved: Reserved | None = None
    accepted_by: set[int] = attrs.field(factory=set, init=False)
    """Who has accepted the own offer."""
    acceptance: Acceptance | None = attrs.field(default=None, init=False)
    """Of the heir's offer, once this member has accepted it."""
    until: float = attrs.field(default=math.inf, init=False)
    """How long it binds this member's vote: a lease, as the promise that goes with it."""
    awaits_answer: bool = attrs.field(default=False, init=False)
    """Whether it is not known yet if what was asked for was accepted."""
    _offer: Offer | None = attrs.field(default=None, init=False)
    _heard: Notification | None = attrs.field(default=None, init=False)
    """The last vote of the heir for itself that carried an offer."""
    _asked: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        reserved = self.reserved
        if reserved is not None and reserved.heir == self.me:
            self._offer = Offer(reserved.epoch, reserved.number, reserved.lease_s)

    def propose(self, vote: Vote) -> None:
        """Note what this member votes for: once that is another one, its offer is taken back for good."""
        if vote.leader != self.me:
            self._offer = None

    def rider(self, vote: Vote, to: int) -> Offer | Acceptance | None:
        """Return what rides on this member's ``vote`` to that server."""
        if vote.leader == self.me:
            return self._offer
        return self.acceptance if vote.leader == to and self._is_heir(to) else None

    def hear(self, sender: int, heard: Notification) -> bool:
        """Take in what rides on the vote of a voter; True where the own offer is accepted by one more."""
        if self._is_heir(sender) and not self._may_lead_as_offered(sender, heard):
            self.lose(sender)
        match heard.rider:
            case Offer() if self._is_heir(sender) and heard.vote.leader == sender:
                self._heard = heard
            case Acceptance(epoch, number) if (offer := self._offer) is not None:
                if (epoch, number) == (offer.epoch, offer.number) and sender not in self.accepted_by:
                    self.accepted_by.add(sender)
                    return True
        return False

    def _may_lead_as_offered(self, heir: int, heard: Notification) -> bool:
        """Whether the heir may lead what was accepted, or does.

        It leads no epoch that it has offered once it votes for another one, or looks for a leader without
        that offer: then it has led, and given up.
        """
        accepted, offer = self.acceptance, heard.rider
        if heard.vote.leader != heir:
            return False
        if accepted is None or heard.state is not PeerState.LOOKING:
            return True
        return isinstance(offer, Offer) and (offer.epoch, offer.number) == (accepted.epoch, accepted.number)

    def lose(self, sid: int) -> None:
        """Forget what the heir was told, where that is gone, or votes for another one."""
        if self._is_heir(sid):
            self.acceptance = self._heard = None

    def holds(self, vote: Vote) -> bool:
        """Whether this member has accepted an epoch of whom it votes for, which may lead it already."""
        return self.acceptance is not None and self._is_heir(vote.leader)

    def is_accepted(self, is_quorum: Callable[[set[int]], bool]) -> bool:
        """Whether a quorum, this member among it, has accepted the own offer."""
        return self._offer is not None and bool(self.accepted_by) and is_quorum(self.accepted_by | {self.me})

    def ask(self, mine: Vote, round_: int, zxid: int) -> MayAccept | None:
        """Return what may be accepted by one whose vote is ``mine``, once."""
        if self._asked or (offer := self.open_offer(mine, round_, zxid)) is None:
            return None
        self._asked = self.awaits_answer = True
        return MayAccept(mine.leader, offer.epoch, offer.lease_s)

    def open_offer(self, mine: Vote, round_: int, zxid: int) -> Offer | None:
        """Return the offer that one whose vote is ``mine`` may accept, and has not.

        The heir must have voted for itself in this very round, and hold what this member holds: ``zxid`` is
        the last one here.
        """
        reserved, heard = self.reserved, self._heard
        if reserved is None or heard is None or self.acceptance is not None:
            return None
        offer = heard.rider
        if (heard.vote, heard.round) != (mine, round_) or mine.zxid != zxid or not isinstance(offer, Offer):
            return None
        return offer if offer.epoch == reserved.epoch and offer.lease_s <= reserved.lease_s else None

    def ask_again(self) -> None:
        """Forget that it was asked for."""
        self._asked = False

    def answer(self, now: float, *, accepted: bool) -> None:
        """Note whether the heir's offer was accepted at ``now``."""
        self.awaits_answer = False
        offer = None if self._heard is None else self._heard.rider
        if accepted and isinstance(offer, Offer):
            self.acceptance, self.until = Acceptance(offer.epoch, offer.number), now + offer.lease_s

    def expire(self, now: float) -> bool:
        """Forget what was accepted once that binds no more; True where it was to be forgotten."""
        if self.acceptance is None or now < self.until:
            return False
        self.acceptance = self._heard = None
        return True

    def _is_heir(self, sid: int) -> bool:
        return self.reserved is not None and self.reserved.heir == sid != self.me
