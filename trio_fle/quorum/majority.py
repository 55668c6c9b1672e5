"""The majority quorum system."""

from collections.abc import Set as AbstractSet

import attrs


@attrs.frozen
class Majority:
    """More than half of the voters; every vote weighs 1. Source: ``QuorumMaj``."""

    voters: frozenset[int]

    def weight(self, sid: int) -> int:
        """Weight of any server: 1, even of one that is no member (as in ZooKeeper)."""
        return 1

    def has_weight(self, sid: int) -> bool:
        """Whether ``sid`` has a weight: anybody has."""
        return True

    def contains_quorum(self, acks: AbstractSet[int]) -> bool:
        """Whether ``acks`` are more than half as many as the voters."""
        return len(acks) > len(self.voters) // 2
