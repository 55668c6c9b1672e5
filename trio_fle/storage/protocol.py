"""What a member needs of its data directory."""

from typing import Protocol

from trio_fle.storage.initial_vote import StoredVote
from trio_fle.storage.record import Followed


class Storage(Protocol):
    """The data directory of one member. Injected, so that simulations keep it in memory.

    Whatever is written is durable when the call returns: only then may the answer be sent that relies on it.
    A write that has begun is finished, whether cancelled or not. Any call raises ``StorageError`` where the
    directory fails: the member can't go on then, for nobody knows what the disk holds.
    """

    async def load(self) -> StoredVote:
        """Take the directory for this process, and read what it holds."""

    async def accept_epoch(self, epoch: int, followed: Followed | None = None) -> None:
        """Promise to follow no leader of an older epoch, and what ``followed`` says: before that is told."""

    async def reserve(self, heir: int, epoch: int, followed: Followed) -> bool:
        """Reserve ``epoch`` for ``heir``, until another is accepted, or whom this member follows changes.

        Returns whether that was written: it is not where ``epoch`` is not the next one, or ``followed`` not
        what is promised, when its turn comes.
        """

    def accept_reserved(self, epoch: int, followed: Followed | None) -> None:
        """Note that the reserved epoch was accepted of the heir: whatever is written next says so."""

    async def begin_epoch(self, epoch: int) -> None:
        """Make ``epoch`` the current one."""

    def begin_epoch_soon(self, epoch: int) -> None:
        """Make ``epoch`` the current one when ``tend`` or ``settle`` comes to it; a crash may forget it."""

    async def remember_followed(self, followed: Followed | None) -> None:
        """Keep whom this member follows; None where it has no promise to keep after a restart."""

    async def remember_ensemble(self, text: str) -> None:
        """Keep the configuration of the ensemble that this member belongs to."""

    async def tend(self) -> None:
        """Do what may be done later, for as long as the member runs."""

    async def settle(self) -> None:
        """Do what is left of that, once the member has ended."""

    def close(self) -> None:
        """Give the directory up; whatever else is called must have returned."""
