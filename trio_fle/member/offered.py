"""An epoch that rides on the votes, as the heir that offers it sees it."""

import attrs

from trio_fle.ensemble import Ensemble
from trio_fle.member.commitments import Commitments
from trio_fle.member.decisions import QuorumPort
from trio_fle.zab import Discovery


@attrs.define(eq=False)
class Offered:
    """What a member offered before it was elected.

    ``at`` is when it did (lease clock): a lease counts from there. ``opened`` tells whether the quorum port
    was held since: who found that it refuses has taken its promise back; and ``ensemble``, whether it is led
    under the same configuration. ``accepted_by`` grows while voters accept.
    """

    epoch: int
    at: float
    opened: int
    ensemble: Ensemble
    accepted_by: set[int] = attrs.field(factory=set, init=False)
    stands: bool = attrs.field(default=False, init=False)
    """Whether it is proposed to learners too."""

    def propose(self, discovery: Discovery, port: QuorumPort, commitments: Commitments) -> bool:
        """Accept it as well, and propose it to learners, if it can still be led, and say so."""
        highest = max(commitments.heard_epoch, discovery.new_epoch - 1)
        same = (self.opened, self.ensemble) == (port.opened, discovery.electorate.current)
        if same and highest < self.epoch:
            self.stands = commitments.accept_reserved(discovery.electorate.me, self.epoch)
        if self.stands:
            discovery.offer(self.epoch)
        return self.stands
