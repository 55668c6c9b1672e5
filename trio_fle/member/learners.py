"""The learners of one leader: one link each, however many come."""

from collections.abc import Callable

import attrs

from trio_fle.member.learner_handler import LearnerHandler
from trio_fle.wire.packet import QuorumPacket


@attrs.define(eq=False)
class Learners:
    """The links that are served; ``lost`` is told of each that ends, and whether its server has another."""

    lost: Callable[[LearnerHandler, bool], None]
    expected: set[int] = attrs.field(factory=set, init=False)
    """Who accepted the epoch with its vote, and has not come yet."""
    came: set[int] = attrs.field(factory=set, init=False)
    """Who has been synchronized, and so may have left again."""
    _links: list[LearnerHandler] = attrs.field(factory=list, init=False)

    def __len__(self) -> int:
        return len(self._links)

    @property
    def sids(self) -> frozenset[int]:
        """Ids that are claimed by anybody who has a link."""
        return frozenset(link.sid for link in self._links)

    @property
    def followers(self) -> frozenset[int]:
        """Ids of those who are synchronized, and no observers."""
        return frozenset(link.sid for link in self._links if link.synced and not link.observes)

    def following(self, connected: frozenset[int]) -> frozenset[int]:
        """Return who follows, as far as is known: also who is about to, and has a connection at least."""
        return self.followers | (self.expected & connected)

    def ping(self, zxid: int, now: float) -> None:
        """Ping all that are synchronized."""
        for link in self._links:
            if link.synced:
                link.ping(zxid, now)

    def up_to_date(self) -> None:
        """Tell all that are synchronized that their leader leads."""
        for link in self._links:
            if link.synced:
                link.up_to_date()

    async def hang_up(self, resignation: QuorumPacket) -> None:
        """Have all know at once that it is over; the tasks that serve them may take longer to end.

        The highest id first: it is likely to lead next, and all others will wait for it.
        """
        for link in sorted(self._links, key=lambda each: each.sid, reverse=True):
            await link.link.hang_up(resignation if link.synced else None)

    def add(self, link: LearnerHandler) -> None:
        """Serve a new link; one that its server had before, and that came to nothing, ends."""
        self.end_others(link, lambda older: not older.synced or older.link.host == link.link.host)
        self._links.append(link)

    def end_others(self, newer: LearnerHandler, which: Callable[[LearnerHandler], bool]) -> None:
        """End other links of the same server: it has one, and those are of processes before.

        A claim alone takes nobody's place: a synchronized link ends for one from the same host, or for one
        that is synchronized as well.
        """
        self._end(
            [each for each in self._links if each is not newer and each.sid == newer.sid and which(each)]
        )

    def end_followers(self) -> None:
        """End the links of all that are synchronized, and no observers."""
        self._end([link for link in self._links if link.synced and not link.observes])

    def remove(self, link: LearnerHandler) -> None:
        """Note that a link has ended."""
        if link in self._links:
            self._links.remove(link)
            same = [other for other in self._links if other.sid == link.sid and other.synced]
            self.lost(link, any(other.observes == link.observes for other in same))

    def _end(self, links: list[LearnerHandler]) -> None:
        for link in links:
            self.remove(link)
            link.link.scope.cancel()
