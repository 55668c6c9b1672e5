"""Quorums of one configuration, or of the old and the new one together."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from trio_fle.quorum.verifier import QuorumVerifier


def all_quorums(verifiers: Iterable[QuorumVerifier], acks: AbstractSet[int]) -> bool:
    """Whether ``acks`` hold a quorum of every configuration, each counting its own voters only.

    Source: ``SyncedLearnerTracker``.
    """
    for verifier in verifiers:  # noqa: SIM110 -- a generator costs more than the rule, at every notification
        if not verifier.contains_quorum(acks & verifier.voters):
            return False
    return True
