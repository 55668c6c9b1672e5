"""Fast leader election as one member lives it: electing while LOOKING, answering always."""

import math
from typing import Final

import attrs

from trio_fle.election.askers import Askers
from trio_fle.election.electorate import Electorate
from trio_fle.election.events import (
    Adopted,
    Answered,
    Back,
    ConfigCommitted,
    ConfigSeen,
    Decided,
    Effect,
    Established,
    Event,
    Freed,
    Gone,
    Greet,
    Heard,
    Leave,
    Look,
    NewerConfig,
    OfferAccepted,
    OracleSaid,
    Send,
    Settled,
    Silence,
    VoterLooking,
    WakeAt,
)
from trio_fle.election.options import ElectionOptions
from trio_fle.election.round import Election
from trio_fle.election.succession import Succession
from trio_fle.election.telling import TELL_WITHIN_S, who_lacks
from trio_fle.ensemble import Ensemble
from trio_fle.vote import LearnerType, PeerState, Vote, round_after
from trio_fle.wire import Notification

EARLY_VOTES_S: Final = 5.0
"""How long the vote of one that lost the leader before us is kept, to be counted once we look for one too: it
does not repeat it before its next resend."""


@attrs.define
class FastLeaderElection:
    """State of one member between the wire and its roles. Pure: ``step`` returns what is to be done.

    ``round`` is the logical clock: it counts elections, starts at 0 with the process and is not kept.
    ``current_vote`` is the last concluded vote; at first the own history, concluded in round -1.
    """

    electorate: Electorate
    options: ElectionOptions = attrs.field(factory=ElectionOptions)
    state: PeerState = attrs.field(default=PeerState.LOOKING, init=False)
    round: int = attrs.field(default=0, init=False)
    current_vote: Vote | None = attrs.field(default=None, init=False)
    voted_in: int = attrs.field(default=-1, init=False)
    """Round of ``current_vote``."""
    election: Election | None = attrs.field(default=None, init=False)
    configs: dict[int, Ensemble] = attrs.field(factory=dict, init=False)
    """Configurations of voters that differ from ours, as last heard."""
    gone: set[int] = attrs.field(factory=set, init=False)
    """Voters that are known to be gone."""
    present: set[int] = attrs.field(factory=set, init=False)
    """Voters that were connected, and are not known to be gone."""
    oracle: bool | None = attrs.field(default=None, init=False)
    """What the oracle said last; None where there is none, or it was not asked yet."""
    leaving: bool = attrs.field(default=False, init=False)
    """Whether what this member said last is true no more."""
    _early: dict[int, tuple[float, Notification]] = attrs.field(factory=dict, init=False)
    """Voters that look for a leader while this member has one: when, and what they said last."""
    _said: dict[int, Notification] = attrs.field(factory=dict, init=False)
    """What each voter said last, in this election."""
    _history: tuple[int, int] = attrs.field(default=(0, 0), init=False)
    """Last zxid and epoch of this member, as it began to look for a leader."""
    _left: int | None = attrs.field(default=None, init=False)
    """Whom it followed last, or itself, if it led; None: nobody since it started."""
    _began: float = attrs.field(default=0.0, init=False)
    _sent: int = attrs.field(default=0, init=False)
    _received: int = attrs.field(default=0, init=False)
    succession: Succession = attrs.field(init=False)
    """What rides on the votes of the last election."""
    untold: set[int] | None = attrs.field(default=None, init=False)
    """Voters that are told of the own victory once it is established; None: nobody has to wait for that."""
    askers: Askers = attrs.field(factory=Askers, init=False)
    """Non-voters that asked."""
    _answered: dict[int, Notification] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.succession = Succession(self.electorate.me)

    def step(self, now: float, event: Event) -> list[Effect]:
        """Take in one event at time ``now`` (seconds of a monotonic clock).

        While LOOKING the effects hold a ``WakeAt`` whenever the time to wake has changed.
        """
        match event:
            case Heard():
                return self._hear(now, event)
            case Silence():
                election = self.election
                return self._tell() if election is None else self._carry_on(now, election.silence(now))
            case Look():
                return self._look(now, event)
            case Leave():
                self.leaving = True
                self.untold = None
                return [Greet(None)]
            case Gone(sid) | Back(sid):
                return self._note_presence(now, sid, isinstance(event, Gone))
            case OracleSaid(yes):
                self.oracle = yes
                return (
                    [] if self.election is None else self._carry_on(now, self.election.hear_oracle(now, yes))
                )
            case Answered() | Freed():
                return self._ask_again(now) if isinstance(event, Freed) else self._take_answer(now, event)
            case ConfigSeen(ensemble):
                return self._live_under(now, self.electorate.under(self.electorate.current, ensemble))
            case ConfigCommitted(ensemble):
                return self._live_under(now, self.electorate.under(ensemble))
            case Established(epoch):
                told = self._tell()  # still the vote that was cast, as all say until they follow
                if self.current_vote is not None:
                    self.current_vote = attrs.evolve(self.current_vote, epoch=epoch)
                return told + self._greet()

    def _look(self, now: float, look: Look) -> list[Effect]:
        if look.candidate is not None:
            self.electorate = attrs.evolve(self.electorate, candidate=look.candidate)
        if look.again and self.election is None:
            return []
        if look.lost is not None:
            self._note_gone(look.lost)
        effects = self._start(now, look)
        early, self._early = self._early, {}
        for sender, (at, heard) in early.items():
            is_stale = now - at > EARLY_VOTES_S or heard.vote.leader in self.gone
            if self.election is not None and not is_stale:
                effects += self._hear(now, Heard(sender, heard))
        return effects

    def _note_presence(self, now: float, sid: int, gone: bool) -> list[Effect]:
        if not gone:
            self._note_there(sid)
            return []
        self._note_gone(sid)
        self._early.pop(sid, None)
        return [] if self.election is None else self._carry_on(now, self.election.lose(now, sid))

    def _note_there(self, sid: int) -> None:
        self.gone.discard(sid)
        self.present.add(sid)

    def _note_gone(self, sid: int) -> None:
        self.gone.add(sid)
        self.present.discard(sid)

    def _start(self, now: float, look: Look) -> list[Effect]:
        zxid, epoch = self._history = look.zxid, look.epoch
        initial = self.electorate.initial_vote(zxid, epoch)
        if self.current_vote is None:
            own_id = self.electorate.me if self.electorate.stands else initial.leader
            self.current_vote = Vote(own_id, zxid, epoch)
        if self.state is not PeerState.LOOKING:
            self._left = self.current_vote.leader
        self.state, self.leaving = PeerState.LOOKING, False
        self.round = round_after(self.round)
        self._began, self._sent, self._received = now, 0, 0
        self._said.clear()
        self.untold = None
        me, early = self.electorate.me, self.options.early_finalize
        # those that followed this member wait until it says that it leads no more
        followed = self._left not in (None, me) and me in self.electorate.voters
        may_hold = followed and early and not look.again
        self.succession = Succession(me, look.reserved if may_hold else None)
        return self._begin(now, initial, may_hold=may_hold)

    def _begin(self, now: float, initial: Vote, *, may_hold: bool = False) -> list[Effect]:
        self._answered.clear()
        zxid, epoch = self._history
        self.election = Election(
            self.electorate,
            self.options,
            initial,
            self.round,
            self.gone,
            self.oracle,
            (epoch, zxid),
            self._left,
            self.present,
            may_hold,
            succession=self.succession,
        )
        # who connects meanwhile shall not be told of the leader that was lost
        begin: list[Effect] = [Greet(None)] if may_hold else []
        return begin + self._carry_on(now, self.election.start(now))

    def _hear(self, now: float, event: Heard) -> list[Effect]:
        sender, heard = event.sender, event.notification
        effects: list[Effect] = []
        if event.config is not None:
            effects += self._compare_configs(now, sender, event.config)
        if sender not in self.electorate.voters:
            return effects + self._answer_non_voter(now, sender, heard)
        if heard.state is None:
            return effects
        if sender in self.gone or sender not in self.present:
            self._note_there(sender)
        if self._early:
            self._early.pop(sender, None)
        # an epoch is led under one configuration
        if self.succession.reserved is not None and sender not in self.configs:
            effects += [OfferAccepted(sender)] if self.succession.hear(sender, heard) else []
        if self.election is not None:
            self._received += 1
            self._said[sender] = heard
            may_lack = heard.round < self.round or event.config is not None  # seldom, and asked always
            if may_lack and heard.state is PeerState.LOOKING and self._is_behind(event):
                effects.append(self._send(sender, self.election.proposal, self.round))
            effects += self._carry_on(now, self.election.hear(now, sender, heard))
        elif heard.state is PeerState.LOOKING and self.current_vote is not None:
            effects += self._meet_looking(now, sender, heard, self.current_vote)
        return effects

    def _meet_looking(self, now: float, sender: int, heard: Notification, vote: Vote) -> list[Effect]:
        """Take in that a voter looks for a leader while this member has one."""
        effects: list[Effect] = [VoterLooking(sender, heard.round, self.electorate.better(heard.vote, vote))]
        if self.options.early_finalize:
            self._early[sender] = now, heard
        if self.untold is not None:
            self.untold.add(sender)
        elif not self.leaving and self._is_news(sender, heard):
            effects.append(self._send(sender, vote, self.voted_in))
        return effects

    def _is_behind(self, event: Heard) -> bool:
        """Whether a voter is to be answered while both look: its round is older, or its configuration.

        Who has not voted itself yet says nothing: it tells all as soon as it has.

        One in a newer round answers us, and may be unable to adopt what we live under: so it is told of that
        once for each thing that it says, lest both answer each other for ever.
        """
        sender, heard = event.sender, event.notification
        if self.election is not None and (self.election.holds_back or self.election.is_quiet):
            return False
        if heard.round < self.round:
            return self._is_news(sender, heard)
        return self._knows_newer(event.config) and self._says_other(sender, heard)

    def _is_news(self, sender: int, heard: Notification) -> bool:
        """Whether a voter that looks for a leader is to be answered.

        A voter answers a non-voter whatever it says, so two of them would answer each other for ever
        (ZOOKEEPER-693): a non-voter answers the same message once.
        """
        if self.electorate.me in self.electorate.voters:
            return True
        return self._says_other(sender, heard)

    def _says_other(self, sender: int, heard: Notification) -> bool:
        before = self._answered.get(sender)
        self._answered[sender] = heard
        return before != heard

    def _knows_newer(self, config: Ensemble | None) -> bool:
        """Whether who lives under ``config`` would adopt ours, once it hears of it."""
        ours = self.electorate.current
        return self.options.reconfig and config is not None and config.version < ours.version

    def _compare_configs(self, now: float, sender: int, config: Ensemble) -> list[Effect]:
        ours = self.electorate.current
        if config.verifier == ours.verifier and config.version == ours.version:
            self.configs.pop(sender, None)
        elif sender in self.electorate.voters:
            self.configs[sender] = config
        if config.version <= ours.version or self.state is not PeerState.LOOKING:
            return []
        if not self.options.reconfig:
            return [NewerConfig(sender, config)]
        return [Adopted(sender, config), *self._live_under(now, self.electorate.under(config))]

    def _live_under(self, now: float, electorate: Electorate) -> list[Effect]:
        """Go on under another electorate; an election in which others count begins anew, in the next round.

        Votes of the round before are not taken along: they may be of servers that vote no more. Whoever hears
        of the new round repeats its vote in it. (A real server begins again at round 1.)
        """
        before, self.electorate = self.electorate, electorate
        same = before.current.same_members(electorate.current) and before.seen.same_members(electorate.seen)
        if electorate.current != before.current:
            self.configs.clear()
        if self.election is None or same:
            if self.election is not None:
                self.election.electorate = electorate
            return self._greet()
        self.round = round_after(self.round)
        self.succession = Succession(electorate.me)
        return self._begin(now, electorate.initial_vote(*self._history))

    def _ask_again(self, now: float) -> list[Effect]:
        """Ask for what could not be accepted before a promise had ended, also once the heir is elected."""
        self.succession.ask_again()
        if self.election is not None:
            return self._carry_on(now, self.election.go_on(now))
        if self.state is not PeerState.FOLLOWING or self.current_vote is None:
            return []
        may_accept = self.succession.ask(self.current_vote, self.voted_in, self._history[0])
        return [] if may_accept is None else [may_accept]

    def _take_answer(self, now: float, answered: Answered) -> list[Effect]:
        self.succession.answer(now, accepted=answered.accepted)
        told = self._tell_heir() if answered.accepted else []
        return told if self.election is None else self._carry_on(now, told + self.election.go_on(now))

    def _tell_heir(self) -> list[Effect]:
        """Tell the heir that its epoch is accepted, unless this member has changed its mind since."""
        election, vote, round_ = self.election, self.current_vote, self.voted_in
        if election is not None:
            vote, round_ = election.proposal, election.round
        if vote is None or (rider := self.succession.rider(vote, vote.leader)) is None:
            return []
        return [Send(vote.leader, attrs.evolve(self._notification(vote, round_), rider=rider))]

    def _answer_non_voter(self, now: float, sender: int, heard: Notification) -> list[Effect]:
        """Answer observers and strangers at once, with the last concluded vote."""
        if self.current_vote is None or self.leaving:
            return []
        answer = self._notification(self.current_vote, self.round)
        return [Send(sender, answer)] if self.askers.is_to_be_told(sender, heard, answer, now) else []

    def _carry_on(self, now: float, effects: list[Effect]) -> list[Effect]:
        """Account for what the election asks for, and conclude it where it is over."""
        election = self.election
        assert election is not None
        self.round = election.round
        for effect in effects:
            if isinstance(effect, Send):
                self._sent += 1
        if election.failed:
            self.round = round_after(self.round)
            return [*effects, *self._begin(now, election.initial)]
        if election.outcome is None:
            return effects
        return [*effects, *self._conclude(now, election)]

    def _conclude(self, now: float, election: Election) -> list[Effect]:
        outcome = election.outcome
        assert outcome is not None
        self.election = None
        self.current_vote, self.voted_in = outcome.vote, outcome.round
        if outcome.vote.leader == self.electorate.me:
            self.state = PeerState.LEADING
        elif self.electorate.learner_type is LearnerType.PARTICIPANT:
            self.state = PeerState.FOLLOWING
        else:
            self.state = PeerState.OBSERVING
        decided = Decided(
            outcome.vote,
            outcome.round,
            self.state,
            outcome.settled,
            duration_s=now - self._began,
            sent=self._sent,
            received=self._received,
        )
        # non-voters that asked at any time are told, lest they wait for their next resend or keep a leader
        # that is none any more
        told = [self._send(sid, outcome.vote, self.round) for sid in self.askers]
        lack = who_lacks(outcome, election, self._said)
        if outcome.settled is Settled.ACCEPTED:
            self.untold = set(lack)
            return [WakeAt(now + TELL_WITHIN_S), decided, *told, *self._greet()]
        told += [self._send(sid, outcome.vote, outcome.round) for sid in lack]
        return [WakeAt(math.inf), decided, *told, *self._greet()]

    def _tell(self) -> list[Effect]:
        vote, untold, self.untold = self.current_vote, self.untold, None
        return [] if vote is None else [self._send(sid, vote, self.voted_in) for sid in sorted(untold or ())]

    def _greet(self) -> list[Effect]:
        if self.election is not None or self.leaving or self.current_vote is None:
            return []
        if self.electorate.me not in self.electorate.voters:
            return []
        return [Greet(self._notification(self.current_vote, self.voted_in))]

    def _send(self, to: int, vote: Vote, round_: int) -> Send:
        return Send(to, self._notification(vote, round_))

    def _notification(self, vote: Vote, round_: int) -> Notification:
        return Notification(self.state, vote, round_, config=self.electorate.current.text.encode())
