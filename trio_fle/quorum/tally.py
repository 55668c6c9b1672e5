"""Quorums of one configuration, or of the old and the new one together."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from trio_fle.quorum.verifier import QuorumVerifier


def all_quorums(verifiers: Iterable[QuorumVerifier], acks: AbstractSet[int]) -> bool:
    """Whether ``acks`` hold a quorum of every configuration, each counting its own voters only.

    Source: ``SyncedLearnerTracker``.
    """
    return all(verifier.contains_quorum(acks & verifier.voters) for verifier in verifiers)
