"""The quorum system of two servers and an oracle (ZOOKEEPER-3922)."""

from collections.abc import Set as AbstractSet

import attrs


@attrs.frozen
class OracleMajority:
    """A majority; of two voters, one is enough as well while its oracle says yes.

    What the oracle says is not known here: ``contains_quorum`` tells of the votes alone, and whoever asks
    looks at ``consults`` to learn whether an oracle could make up for the rest. Source: ``QuorumOracleMaj``.
    """

    voters: frozenset[int]

    @property
    def consults(self) -> bool:
        """Whether an oracle has a say at all: where exactly two vote."""
        return len(self.voters) == 2

    def weight(self, sid: int) -> int:
        """Weight of any server: 1, even of one that is no member (as in ZooKeeper)."""
        return 1

    def has_weight(self, sid: int) -> bool:
        """Whether ``sid`` has a weight: anybody has."""
        return True

    def contains_quorum(self, acks: AbstractSet[int]) -> bool:
        """Whether ``acks`` are more than half as many as the voters."""
        return len(acks) > len(self.voters) // 2
