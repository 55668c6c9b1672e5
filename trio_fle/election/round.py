"""One election as one server runs it: from having no leader to knowing one.

The rule is ``FastLeaderElection.lookForLeader`` of ZooKeeper 3.8. Sending to oneself is not skipped:
the own vote counts when it comes back, and then like any other, since that is what starts the
finalize wait of a real server anew.
"""

from collections.abc import Set
from typing import Final

import attrs

from trio_fle.election.electorate import Electorate
from trio_fle.election.events import Agreed, Effect, Ignored, Outcome, Proposed, Send, Settled, WakeAt
from trio_fle.election.finalize import settled_early
from trio_fle.election.options import ElectionOptions
from trio_fle.election.succession import Succession
from trio_fle.vote import MIN_LONG, UNTRUSTED_ZXID, CastVote, LearnerType, PeerState, Vote
from trio_fle.wire import Notification

OBSERVER_RESEND_MAX_S: Final = 1.0
"""Voters tell observers nothing unasked; so an observer never waits a minute before it asks again."""

HOLD_BACK_S: Final = 0.01
"""How long who has lost its leader holds its own vote back, at most, for that of a voter with a higher id."""


@attrs.define
class Election:
    """Votes received since the member began to look for a leader.

    ``step`` functions return effects, the last of which is a ``WakeAt``; once ``outcome`` or ``failed`` is
    set the election is over and nothing more may be stepped.
    """

    electorate: Electorate
    options: ElectionOptions
    initial: Vote
    round: int
    gone: Set[int] = frozenset()
    """Voters that are known to be gone; whoever keeps this set calls ``lose`` when it grows."""
    oracle: bool | None = None
    """What the oracle says, where one of two servers may lead alone; None: not known yet."""
    history: tuple[int, int] = (MIN_LONG, MIN_LONG)
    """Epoch and last zxid of this member."""
    left: int | None = None
    """Whom this member followed last, itself if it led; None: nobody since it started."""
    present: Set[int] = frozenset()
    """Voters that were connected, and are not known to be gone."""
    may_hold: bool = False
    """Whether the own vote may be held back: nobody waits for it."""
    succession: Succession = attrs.field(kw_only=True)
    """What rides on the votes."""
    proposal: Vote = attrs.field(init=False)
    outcome: Outcome | None = attrs.field(default=None, init=False)
    failed: bool = attrs.field(default=False, init=False)
    """Whether it ended without an outcome, and another one is to begin."""
    votes: dict[int, CastVote] = attrs.field(factory=dict, init=False)
    """Votes of this round (ZooKeeper's recvset)."""
    claims: dict[int, CastVote] = attrs.field(factory=dict, init=False)
    """What settled servers said, of any round (outofelection)."""
    was_heard: bool = attrs.field(default=False, init=False)
    """Whether the others were told of any vote in this election."""
    _agreed_since: float | None = attrs.field(default=None, init=False)
    _wake_at: float = attrs.field(default=0.0, init=False)
    _held_until: float | None = attrs.field(default=None, init=False)
    """When this member casts its own vote at the latest, where it holds it back."""
    _quiet_until: float | None = attrs.field(default=None, init=False)
    """When it tells others its vote for the heir at the latest, where that alone is told at first."""
    _looking: set[int] = attrs.field(factory=set, init=False)
    """Voters that were heard to look for a leader, in whichever round."""
    _resend_s: float = attrs.field(init=False)
    _loopback: bool = attrs.field(default=False, init=False)
    _cast: CastVote | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.proposal = self.initial
        self._resend_s = self.options.resend_min_s

    def start(self, now: float) -> list[Effect]:
        """Propose the initial vote to every voter, at once or when it is held back no more."""
        self._wake_at = now + self._resend_s
        if not (self.may_hold and self._awaits_better()):
            return self._finish(now, self._propose(now, self.initial, self.electorate.me))
        self._held_until = now + HOLD_BACK_S
        return self._finish(now, [])

    def silence(self, now: float) -> list[Effect]:
        """Nothing was heard until the time asked for: decide what is agreed, else repeat the proposal."""
        if self._held_until is not None:
            self._wake_at = now + self._resend_s
            return self._finish(now, self._propose(now, self.initial, self.electorate.me))
        expired = self.succession.expire(now)
        if expired or (self._quiet_until is not None and now >= self._quiet_until):
            self._quiet_until = None  # expired: who has moved on meanwhile answers
            return self._finish(now, self._broadcast())
        if self._agreed_since is not None:
            self.outcome = Outcome(self.proposal, self.round, Settled.WAIT)
            return []
        effects = self._broadcast()
        self._resend_s = min(2 * self._resend_s, self._resend_max_s)
        self._wake_at = now + self._resend_s
        if self._may_lead_alone:
            self.outcome = Outcome(self.proposal, self.round, Settled.ORACLE)
            return effects
        return self._finish(now, effects)

    def hear_oracle(self, now: float, yes: bool) -> list[Effect]:
        """Take in what the oracle says from now on.

        ZooKeeper asks it when a time-out has passed (up to a minute), and when a leader speaks.
        """
        self.oracle = yes
        if self.options.early_finalize:
            if self._may_lead_alone and self._agreed_since is None:
                self._wake_at = min(self._wake_at, now + self.options.resend_min_s)
            for sender, claim in self.claims.items():
                self._follow_alone(sender, claim)
        return self._finish(now, [])

    def hear(self, now: float, sender: int, heard: Notification) -> list[Effect]:
        """Take in a notification of a voter (of a state that is one)."""
        if self.succession.accepted_by and self.succession.is_accepted(self.electorate.is_quorum):
            self.outcome = Outcome(self.proposal, self.round, Settled.ACCEPTED)
            return []
        return self._finish(now, self._take(now, sender, heard))

    def go_on(self, now: float) -> list[Effect]:
        """Take in that what may be accepted was, or was not, or that it may be now: a promise has ended."""
        return self._finish(now, [])

    def lose(self, now: float, sid: int) -> list[Effect]:
        """Take in that a voter is gone: it leads nobody any more, and no better vote will come from it."""
        self.succession.lose(sid)
        if self.options.early_finalize:
            self.claims.pop(sid, None)
            if sid in self.votes and self.votes[sid].state is not PeerState.LOOKING:
                del self.votes[sid]
        return self._finish(now, [])

    def _finish(self, now: float, effects: list[Effect]) -> list[Effect]:
        """Vote where that is held back in vain, take in what was sent to oneself, then say when to wake."""
        until = self._held_until
        if until is not None and not self._over and not (now < until and self._awaits_better()):
            effects += self._propose(now, self.initial, self.electorate.me)
        while self._loopback and not self._over:
            self._loopback = False
            effects += self._take(now, self.electorate.me, self._own_notification())
        may_accept = None
        if self.succession.reserved is not None and not self.failed:
            may_accept = self.succession.ask(self.proposal, self.round, self.history[1])
        if not (self._over or self.succession.awaits_answer):
            self._settle_early()
        if not self._over:
            effects.append(WakeAt(self._next_wake))
        return effects if may_accept is None else [*effects, may_accept]

    @property
    def _next_wake(self) -> float:
        if self._held_until is not None:
            return self._held_until
        at = self._wake_at if self._quiet_until is None else min(self._wake_at, self._quiet_until)
        return at if self.succession.acceptance is None else min(at, self.succession.until)

    def _settle_early(self) -> None:
        if not self.options.early_finalize:
            return
        if self._agreed_since is None:
            if self._may_lead_alone and self.electorate.voters - {self.electorate.me} <= self.gone:
                self.outcome = Outcome(self.proposal, self.round, Settled.ORACLE)
            return
        settled = settled_early(self.electorate, self.votes, self._mine, self.gone)
        if settled is not None:
            self.outcome = Outcome(self.proposal, self.round, settled)

    @property
    def holds_back(self) -> bool:
        """Whether this member has not voted yet: nobody is told its proposal then."""
        return self._held_until is not None

    @property
    def is_quiet(self) -> bool:
        """Whether only the heir is told of the vote for it."""
        return self._quiet_until is not None

    @property
    def favours_me(self) -> bool:
        """Whether this member is likely to win: none has voted for better, and it is no more than a guess.

        Either a quorum, and all who are not gone, have voted; or it has lost its leader, and all others have
        voted whose ids are higher: of servers with the same history the highest id wins. One that led, or may
        have led before it was started, does not guess: that its port refuses frees those that followed it.
        """
        me = self.electorate.me
        mine = self.proposal.leader == me and self.electorate.electable(self.proposal)
        if not mine or not self.options.early_finalize:  # else it is about to wait
            return False
        voted, there = frozenset(self.votes), self.electorate.voters - self.gone
        if self.left not in (None, me) and voted >= {sid for sid in there - {self.left} if sid > me}:
            return True
        return voted >= there and self.electorate.is_quorum(voted)

    @property
    def _mine(self) -> CastVote:
        """The proposal as a vote of this round, made anew only where it is another one."""
        if self._cast is None or self._cast.vote is not self.proposal or self._cast.round != self.round:
            self._cast = CastVote(self.proposal, self.round)
        return self._cast

    @property
    def _over(self) -> bool:
        return self.failed or self.outcome is not None

    def _take(self, now: float, sender: int, heard: Notification) -> list[Effect]:
        if heard.state is PeerState.LOOKING and self.options.early_finalize:
            self.claims.pop(sender, None)  # whatever it claimed, it looks for a leader now
            self._looking.add(sender)
        if self._agreed_since is not None:
            if self._upsets(heard):
                self.failed = True
                reason = f"votes for {heard.vote.leader}, which has no weight: the election begins anew"
                return [Ignored(sender, reason)]
            if not self._reopens(heard):
                if not self.options.early_finalize:
                    self._wake_at = now + self.options.finalize_wait_s
                elif heard.state in (PeerState.FOLLOWING, PeerState.LEADING):
                    self._take_claim(sender, heard)  # an established leader is worth more than an agreement
                elif heard.state is PeerState.LOOKING and heard.round == self.round:
                    self.votes[sender] = CastVote(heard.vote, heard.round)  # it may be the last one missing
                return []
            self._agreed_since = None
        self._wake_at = now + self._resend_s
        if heard.vote.leader not in self.electorate.voters:
            reason = f"votes for {heard.vote.leader}, which is no voter of this configuration"
            return [Ignored(sender, reason)]
        if heard.state is PeerState.LOOKING:
            return self._take_vote(now, sender, heard)
        if heard.state in (PeerState.FOLLOWING, PeerState.LEADING):
            self._take_claim(sender, heard)
        return []

    def _upsets(self, heard: Notification) -> bool:
        """Whether a message heard during the finalize wait makes a real server fail.

        It compares the vote before it looks whether the leader votes at all; where there are weights, an id
        without one is a NullPointerException there, which ends the attempt. The next one begins at once.
        """
        verifier = self.electorate.current.verifier
        return not self.options.early_finalize and not verifier.has_weight(heard.vote.leader)

    def _reopens(self, heard: Notification) -> bool:
        """Whether a message heard during the finalize wait ends the agreement.

        ZooKeeper compares the vote alone, whoever sent it and in whichever round: a stale one then keeps
        an agreed election open until the next resend. Ours asks whether it could still win.
        """
        if not self._is_better(heard.vote, self.proposal):
            return False
        if not self.options.early_finalize:
            return True
        current = heard.state is PeerState.LOOKING and heard.round >= self.round
        return current and heard.vote.leader in self.electorate.voters

    def _is_better(self, new: Vote, than: Vote) -> bool:
        """Whether ``new`` is to be proposed in place of ``than``.

        A voter that is no candidate supports none that is behind it: it could not follow that one, whose
        election would come to nothing, again and again. The leader that it followed last may have forgotten
        its epoch, if it was one of ours and crashed, and lacks nothing for that.
        """
        if not self.electorate.better(new, than):
            return False
        if self.succession.holds(self.proposal) and new.leader != self.proposal.leader:
            return False
        if self.electorate.candidate or self.electorate.me not in self.electorate.current.voters:
            return True
        forgot = new.leader == self.left and new.zxid == self.history[1]
        return forgot or (new.epoch, new.zxid) >= self.history

    def _take_vote(self, now: float, sender: int, heard: Notification) -> list[Effect]:
        if UNTRUSTED_ZXID in (self.initial.zxid, heard.vote.zxid):
            return []  # a lost database is no empty one: it neither votes nor is voted for
        effects: list[Effect] = []
        if heard.round < self.round:
            return effects  # answered already; a vote of a finished round must not count in this one
        if heard.round > self.round:
            if self.succession.holds(self.proposal) and sender != self.proposal.leader:
                return effects  # whom it votes for may lead already, and says so
            self.round = heard.round
            self.votes.clear()
            # against the initial vote: a proposal of the round that we leave is nobody's vote in the next
            convinced = self._is_better(heard.vote, self.initial)
            best, because = (heard.vote, sender) if convinced else (self.initial, self.electorate.me)
            effects += self._propose(now, best, because)
        elif self._is_better(heard.vote, self.proposal):
            effects += self._propose(now, heard.vote, sender)
        mine = self._mine  # of this round, as the vote is by now
        self.votes[sender] = mine if heard.vote == mine.vote else CastVote(heard.vote, heard.round)
        if self.electorate.agree(self.votes, mine):
            self._agreed_since = now
            self._wake_at = now + self.options.finalize_wait_s
            effects.append(Agreed(self.proposal, self.round, self._wake_at))
        return effects

    def _take_claim(self, sender: int, heard: Notification) -> None:
        """Believe in an established leader once a quorum, and the leader itself, say that it leads."""
        assert heard.state is not None
        claim = CastVote(heard.vote, heard.round, heard.state, heard.version)
        leads = heard.state is PeerState.LEADING and sender == heard.vote.leader
        if leads and self.succession.holds(heard.vote):
            # what this member has accepted, and a quorum with it; in a newer round, maybe
            self.round = heard.round
            self.outcome = Outcome(heard.vote, heard.round, Settled.JOINED)
            return
        if heard.round == self.round:
            # stored as version 0 and compared as it came, as ZooKeeper does: among claims of our own round
            # a versioned one then asks for the same leader only
            self.votes[sender] = attrs.evolve(claim, version=0)
            if self._led(self.votes, claim):
                self.outcome = Outcome(heard.vote, heard.round, Settled.JOINED)
                return
        self.claims[sender] = claim
        if self._led(self.claims, claim):
            self.round = heard.round
            self.outcome = Outcome(heard.vote, heard.round, Settled.JOINED)
            return
        self._follow_alone(sender, claim)

    def _follow_alone(self, sender: int, claim: CastVote) -> None:
        """Believe the leader of two servers by itself, where the oracle does not let this one lead."""
        leads = claim.state is PeerState.LEADING and claim.vote.leader == sender != self.electorate.me
        if leads and not self._over and self.electorate.has_oracle and self.oracle is False:
            self.outcome = Outcome(claim.vote, claim.round, Settled.JOINED)

    @property
    def _may_lead_alone(self) -> bool:
        """Whether the oracle makes up for the other voter; the own vote must have come back, as any must."""
        me, proposal = self.electorate.me, self.proposal
        if not (self.oracle and self.electorate.consults) or proposal.leader != me:
            return False
        counts = any(cast.state is PeerState.LOOKING for cast in self.votes.values())
        return counts and self.electorate.electable(proposal)

    def _led(self, said: dict[int, CastVote], claim: CastVote) -> bool:
        if not self.electorate.agree(said, claim):
            return False
        leader = claim.vote.leader
        if leader == self.electorate.me:
            return claim.round == self.round  # others say that I lead: believed in my own round only
        return leader in said and said[leader].state is PeerState.LEADING

    def _awaits_better(self) -> bool:
        """Whether a vote that is likely to be better has yet to come.

        Who loses its leader a moment before the one that will win would tell all of a vote that it takes back
        at once. Servers that followed the same leader mostly hold the same: then the highest id wins. Where a
        vote for a higher id was heard, and is not better, they do not, and there is nothing to wait for.
        """
        me, electable = self.electorate.me, self.electorate.electable
        looking = [cast.vote for cast in self.votes.values() if cast.state is PeerState.LOOKING]
        if self._agreed_since is not None or any(vote.leader > me and electable(vote) for vote in looking):
            return False
        weight = self.electorate.current.verifier.weight
        silent = (self.present & self.electorate.voters) - self.gone - self._looking
        return any(sid > me and sid != self.left and weight(sid) > 0 for sid in silent)

    def _propose(self, now: float, vote: Vote, because: int) -> list[Effect]:
        self.proposal, self._held_until, self._quiet_until = vote, None, None
        self.succession.propose(vote)
        proposed = Proposed(vote, self.round, because)
        if self.succession.open_offer(vote, self.round, self.history[1]) is None:
            return [proposed, *self._broadcast()]
        # it may be all that the heir waits for, and all that the others wait for is its word
        self._quiet_until = now + HOLD_BACK_S
        self._loopback = True
        return [proposed]

    def _broadcast(self) -> list[Effect]:
        self.was_heard, told = True, self._own_notification()
        me = self.electorate.me
        self._loopback = me in self.electorate.voters
        others = [sid for sid in sorted(self.electorate.voters) if sid != me]
        if self.succession.acceptance is None:  # else one of them is told of it
            return [Send(sid, told) for sid in others]
        riders = {sid: self.succession.rider(self.proposal, sid) for sid in others}
        return [Send(sid, attrs.evolve(told, rider=riders[sid])) for sid in others]

    def _own_notification(self) -> Notification:
        config = self.electorate.current.text.encode()
        rider = self.succession.rider(self.proposal, self.electorate.me)
        return Notification(PeerState.LOOKING, self.proposal, self.round, config=config, rider=rider)

    @property
    def _resend_max_s(self) -> float:
        if self.electorate.learner_type is LearnerType.OBSERVER:
            return min(OBSERVER_RESEND_MAX_S, self.options.resend_max_s)
        return self.options.resend_max_s
