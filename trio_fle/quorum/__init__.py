"""Who is enough: which sets of servers are a quorum."""

from trio_fle.quorum.hierarchical import Hierarchical
from trio_fle.quorum.majority import Majority
from trio_fle.quorum.meeting import always_meet
from trio_fle.quorum.oracle import OracleMajority
from trio_fle.quorum.tally import all_quorums
from trio_fle.quorum.verifier import QuorumVerifier

__all__ = ["Hierarchical", "Majority", "OracleMajority", "QuorumVerifier", "all_quorums", "always_meet"]
