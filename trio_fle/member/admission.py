"""Whom a leader can't lead, and when that is a reason not to lead at all."""

import math
from collections.abc import Callable
from typing import Final

import attrs
import structlog

from trio_fle.election.electorate import Electorate
from trio_fle.errors import PeerError
from trio_fle.member.callers import Callers
from trio_fle.member.commitments import Commitments
from trio_fle.member.learner_handler import LearnerHandler
from trio_fle.member.learner_link import LearnerLink
from trio_fle.member.membership import Membership

MAX_EPOCH: Final = 2**31 - 2
"""It is 32 bits on disk and on the wire; a learner that claims to have accepted it leaves no next one (of two
servers with an oracle each has every other one)."""

MAX_LEARNERS: Final = 512
"""Beyond them only voters are led."""


@attrs.define(eq=False)
class Admission:
    """Checks what each learner says of itself.

    ``credible`` says whether it is the voter that it claims to be; then ``give_up`` ends the attempt at
    leading where another one would be better, and ``retire`` keeps this member from standing for election
    again where those that elected it can't follow it.
    """

    membership: Membership
    commitments: Commitments
    credible: Callable[[LearnerHandler], bool]
    retire: Callable[[float], None]
    give_up: Callable[[str], None]
    log: structlog.typing.FilteringBoundLogger
    _ahead: set[int] = attrs.field(factory=set, init=False)
    """Voters that live under a newer configuration, which can't be adopted here."""
    _spent: set[int] = attrs.field(factory=set, init=False)
    """Voters that can't accept the epoch of this leadership as its own: they may have accepted it before."""
    _callers: Callers = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._callers = Callers(self.membership.config.sync_s)

    async def receive(self, link: LearnerLink) -> LearnerHandler:
        """Read who calls. Raises ``PeerError`` for one that does not say it, or had to make room."""
        return await self._callers.receive_learner(link)

    def check(self, handler: LearnerHandler, electorate: Electorate, learners: int, *, leads: bool) -> None:
        """Raise ``PeerError`` for one that can't be led, and for one too many.

        ``leads`` says whether others follow already, ``learners`` how many links there are.
        """
        info, ours = handler.info, self.membership.config.ensemble.version
        if info.summary is None and self.credible(handler):
            self._meet_foreign(handler)
        if (info.config_version or 0) > ours and self.credible(handler):
            self._meet_newer(handler, electorate, leads)
        if info.summary is None:
            raise PeerError(f"server {handler.sid} is no trio-fle member, and can't follow one")
        if not -1 <= handler.accepted_epoch < MAX_EPOCH:
            raise PeerError(f"it claims to have accepted epoch {handler.accepted_epoch}")
        if info.sid == electorate.me:
            raise PeerError("it claims our own server id")
        if (info.config_version or 0) > ours:
            raise PeerError(f"its configuration, version {info.config_version}, is newer than ours")
        if handler.sid not in electorate.voters and learners >= MAX_LEARNERS:
            raise PeerError("too many learners")  # a voter has its place

    def _meet_foreign(self, handler: LearnerHandler) -> None:
        self.retire(math.inf)
        self.give_up(f"server {handler.sid} can't follow a leader without data")
        self.log.error(
            "leading.foreign_learner",
            peer=handler.sid,
            hint="no Java server can follow a leader without data: set fle.candidate=false in this "
            "member's zoo.cfg; until it is restarted it is no candidate",
        )

    def _meet_newer(self, handler: LearnerHandler, electorate: Electorate, leads: bool) -> None:
        """Make way for who lives under the newer configuration that a voter knows of.

        Where it can't be adopted here, that is no reason to go while others are enough. Who would be elected
        again and again, with nobody left to follow, stands no more.
        """
        if self.membership.config.reconfig_enabled:
            self.give_up(f"server {handler.sid} knows a newer configuration")
            return
        self._ahead.add(handler.sid)
        if leads or electorate.is_quorum(electorate.voters - self._ahead):
            return
        self.retire(math.inf)
        self.give_up("too many voters live under a newer configuration")
        self.log.error(
            "leading.outdated",
            peers=sorted(self._ahead),
            hint="they have a newer configuration: give this member the same server lines, or "
            "reconfigEnabled=true, and restart it; until then it is no candidate",
        )

    def check_past(self, handler: LearnerHandler, epoch: int, *, leads: bool) -> None:
        """Make way for a higher epoch than ours, ``epoch``, where a voter has accepted such a one.

        Raises ``PeerError`` then: it must not be asked to follow one that is lower.

        One that was started again may have accepted that of the heir, if its leader had ended. This one leads
        (``leads``), so its own has not.
        """
        known = handler.info.accepted_epoch
        accepted = handler.accepted_epoch if known is None or not leads else known
        if accepted > epoch and self.credible(handler):
            self._hear_of(accepted)
            why = f"server {handler.sid} has accepted epoch {accepted}: it can't follow a lower"
            self.give_up(why)
            raise PeerError(why)

    def _hear_of(self, epoch: int) -> None:
        self.commitments.heard_epoch = max(self.commitments.heard_epoch, epoch)

    def meet_spent(
        self, handler: LearnerHandler, epoch: int, electorate: Electorate, present: frozenset[int]
    ) -> None:
        """Make way for a higher epoch where too few of those that are there can still accept this one.

        Whoever is started again after it accepted an epoch has forgotten whose that was.
        """
        self._hear_of(epoch)
        if self.credible(handler):
            self._spent.add(handler.sid)
            if not electorate.is_quorum(present - self._spent):
                self.give_up("too few voters can accept its epoch: they accepted one of that number before")
