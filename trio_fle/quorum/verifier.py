"""What every quorum system can tell."""

from collections.abc import Set as AbstractSet
from typing import Protocol


class QuorumVerifier(Protocol):
    """A quorum system of one configuration; a frozen value, equal where it means the same."""

    @property
    def voters(self) -> frozenset[int]:
        """Ids of the servers that vote (participants)."""

    def weight(self, sid: int) -> int:
        """Weight of a server's vote; a server of weight 0 is never elected."""

    def has_weight(self, sid: int) -> bool:
        """Whether the configuration gives ``sid`` a weight, be it 0 (a real one fails without)."""

    def contains_quorum(self, acks: AbstractSet[int]) -> bool:
        """Whether ``acks`` holds a quorum. It does not ask whether they are voters: see ``all_quorums``."""
