"""Who votes, with which weight, and what is enough: one configuration, or the old and the new one."""

import attrs

from trio_fle.ensemble import Ensemble
from trio_fle.quorum import OracleMajority, QuorumVerifier, all_quorums
from trio_fle.vote import MIN_LONG, CastVote, LearnerType, Vote


@attrs.frozen
class Electorate:
    """One member's view of those who vote.

    ``current`` is the committed configuration, ``seen`` the last that a leader proposed (the same where
    nothing is pending). ``exact``: a candidate takes every number as a real server does, MIN too
    (``fle.earlyFinalize`` is false).
    """

    me: int
    learner_type: LearnerType
    candidate: bool
    current: Ensemble
    seen: Ensemble
    exact: bool = False
    voters: frozenset[int] = attrs.field(init=False)
    _verifiers: tuple[QuorumVerifier, ...] = attrs.field(init=False, repr=False, eq=False)
    """Of every configuration that counts."""

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "voters", self.current.voters | self.seen.voters)
        pending = self.seen.version > self.current.version
        counting = (self.current, self.seen) if pending else (self.current,)
        object.__setattr__(self, "_verifiers", tuple(each.verifier for each in counting))

    def under(self, current: Ensemble, seen: Ensemble | None = None) -> "Electorate":
        """Return this member's view under another configuration.

        What was seen before, and is no newer, is pending no more. A member that ``current`` does not name
        votes no more, and goes on as a participant without a vote. Source: ``QuorumPeer.updateLearnerType``.
        """
        pending = seen or self.seen
        server = current.servers.get(self.me)
        return attrs.evolve(
            self,
            current=current,
            seen=pending if pending.version > current.version else current,
            learner_type=LearnerType.PARTICIPANT if server is None else server.role,
        )

    @property
    def stands(self) -> bool:
        """Whether this member proposes itself.

        A voter of weight 0 can't win. A real one says all the same that it votes for itself, agrees with
        nobody where its vote is the best, and may learn the end of an election a minute later.
        """
        return self.candidate and (self.exact or self.current.verifier.weight(self.me) > 0)

    def initial_vote(self, zxid: int, epoch: int) -> Vote:
        """Return the first proposal of an election.

        Its id is MIN where this member is no voter, its zxid and epoch are MIN where it is an observer.
        A voter that does not stand names the next voter, with a history older than any: everybody
        beats that, nobody can be elected on it, and settled servers still answer it.
        """
        if self.learner_type is LearnerType.OBSERVER:
            zxid = epoch = MIN_LONG
        if self.me not in self.current.voters:
            return Vote(MIN_LONG, zxid, epoch)
        if self.stands:
            return Vote(self.me, zxid, epoch)
        ring = sorted(self.current.voters)
        following = ring[(ring.index(self.me) + 1) % len(ring)]
        return Vote(following, MIN_LONG, MIN_LONG)

    def better(self, new: Vote, than: Vote) -> bool:
        """Whether ``new`` should replace ``than``: its leader has weight, may lead, and the order says so.

        Source: ``FastLeaderElection.totalOrderPredicate``.
        """
        # the order first: most votes are no better
        return new.beats(than) and self.current.verifier.weight(new.leader) != 0 and self.electable(new)

    def electable(self, vote: Vote) -> bool:
        """Whether anybody stands behind this vote: not the placeholder of one that is no candidate."""
        if self.exact and self.candidate:
            return True
        return vote.epoch != MIN_LONG and (self.stands or vote.leader != self.me)

    def agree(self, votes: dict[int, CastVote], on: CastVote) -> bool:
        """Whether those whose vote agrees with ``on`` are a quorum, in every configuration that counts."""
        leader = on.vote.leader  # without it none agrees, and most that differ differ in that
        agreeing = {
            sid
            for sid, cast in votes.items()
            if cast is on or (cast.vote.leader == leader and cast.agrees_with(on))
        }
        return self.is_quorum(agreeing) and self.electable(on.vote)

    def is_quorum(self, sids: set[int] | frozenset[int]) -> bool:
        """Whether ``sids`` hold a quorum of the current and, while one is pending, of the next one."""
        return all_quorums(self._verifiers, sids)

    @property
    def consults(self) -> bool:
        """Whether an oracle may let this member lead alone: it is one of two voters that have one."""
        return self.me in self.current.voters and self.has_oracle

    @property
    def has_oracle(self) -> bool:
        """Whether there are two voters with an oracle, the same two in every configuration that counts."""
        return all(
            isinstance(each, OracleMajority) and each.consults and each.voters == self.current.voters
            for each in self._verifiers
        )
