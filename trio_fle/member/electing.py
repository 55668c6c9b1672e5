"""The election task: takes notifications in, carries out what the election asks for, decides nothing."""

import math
from collections.abc import Callable
from typing import Final, NoReturn

import attrs
import structlog
import trio

from trio_fle.election.events import (
    Adopted,
    Agreed,
    Answered,
    Back,
    Decided,
    Effect,
    Event,
    Gone,
    Greet,
    Heard,
    Ignored,
    MayAccept,
    NewerConfig,
    OfferAccepted,
    Proposed,
    Send,
    Silence,
    VoterLooking,
    WakeAt,
)
from trio_fle.election.fle import FastLeaderElection
from trio_fle.ensemble import Ensemble
from trio_fle.member.config_texts import ConfigTexts
from trio_fle.peers import ConnectionManager, Inbox
from trio_fle.peers.quiet import OncePerInterval
from trio_fle.vote import PeerState, hex64
from trio_fle.wire import Notification, encode_frame, encode_notification

INBOX_PER_PEER: Final = 100
"""Unread notifications kept of one peer."""

AT_ONCE: Final = 64
"""Notifications that are heard before others may have their turn."""

_MINUTE_S: Final = 60.0


@attrs.define(eq=False)
class ElectionTask:
    """Owns the election's state machine: nothing else steps it.

    ``decided`` is called with each decision, ``favoured`` where this member is likely to win or, after all,
    may not be, ``adopted`` with each configuration that the election has adopted, and from whom,
    ``voter_looking`` with each voter that looks for a leader while this member has one, ``heard_looking``
    with every sender that is heard LOOKING at all, ``may_accept`` where an epoch rides on the votes: it says
    whether that was accepted; ``offer_accepted`` with each voter that accepted ours, ``agreed`` whenever a
    quorum agrees. They and ``manager`` are set before it runs.
    """

    fle: FastLeaderElection
    log: structlog.typing.FilteringBoundLogger
    inbox: Inbox[Event] = attrs.field(init=False)
    manager: ConnectionManager = attrs.field(init=False)
    decided: Callable[[Decided], None] = attrs.field(init=False)
    favoured: Callable[[bool], None] = attrs.field(init=False)
    adopted: Callable[[int, Ensemble], None] = attrs.field(init=False)
    voter_looking: Callable[[VoterLooking], None] = attrs.field(init=False)
    heard_looking: Callable[[int], None] = attrs.field(init=False)
    may_accept: Callable[[MayAccept], bool] = attrs.field(init=False)
    offer_accepted: Callable[[int], None] = attrs.field(init=False)
    agreed: Callable[[], None] = attrs.field(default=lambda: None, init=False)
    _texts: ConfigTexts = attrs.field(init=False)
    _wake_at: float = attrs.field(default=math.inf, init=False)
    _told_round: int | None = attrs.field(default=None, init=False)
    _newest_config: int = attrs.field(init=False)
    _noise: OncePerInterval = attrs.field(init=False)
    _debug: bool = attrs.field(init=False)
    _favoured: bool = attrs.field(default=False, init=False)
    _encoded: tuple[Notification | None, bytes] = attrs.field(default=(None, b""), init=False)
    """The notification that was sent last, and its frame."""

    def __attrs_post_init__(self) -> None:
        current = self.fle.electorate.current
        self.inbox = Inbox[Event](INBOX_PER_PEER, self._is_member)
        self._texts = ConfigTexts(current, trio.current_time)
        self._texts.know(self.fle.electorate.seen)
        self._newest_config = current.version
        self._noise = OncePerInterval(_MINUTE_S, trio.current_time)
        self._debug = self.log.is_enabled_for(10)

    def deliver(self, sender: int, notification: Notification) -> None:
        """Queue a notification of ``sender``."""
        if self._debug:
            self._log_notification(sender, "in", notification)
        if notification.state is PeerState.LOOKING:
            self.heard_looking(sender)
        config = self._texts.parse(sender, notification.config)
        # without the raw text: half a megabyte of it may come with every notification
        self.put(sender, Heard(sender, notification.without_config(), config))

    def _is_member(self, sid: int) -> bool:
        electorate = self.fle.electorate
        return sid == electorate.me or sid in electorate.current.servers or sid in electorate.seen.servers

    def live_under(self, current: Ensemble, seen: Ensemble) -> None:
        """Read the texts of others against these configurations from now on."""
        self._texts.become(current)
        self._texts.know(seen)

    def note_presence(self, sid: int, there: bool) -> None:
        """Queue that a voter has connected, or is known to be gone."""
        if sid in self.fle.electorate.voters:
            self.put(sid, Back(sid) if there else Gone(sid))

    def put(self, sender: int, event: Event) -> None:
        """Queue an event; of one sender too many, the oldest goes."""
        if not self.inbox.put(sender, event):
            self._count_drop(sender, "inbox")

    async def run(self) -> None:
        """Step the election with every event and with every silence, for ever.

        Whatever has arrived is heard before a time-out counts, but what comes then does not hold it up; and
        before anything is sent: of the votes that it makes this member cast one after the other, only the
        last is still in the outboxes then.
        """
        while True:
            with (
                trio.CancelScope() as alarm
            ):  # left only when it has rung: entering one costs more than a step
                await self._hear(alarm)
            await trio.lowlevel.checkpoint()  # after a standstill all tasks wake at once: receivers first
            for _ in range(len(self.inbox)):
                if (event := self.inbox.get_nowait()) is not None:
                    self._step(event)
            if trio.current_time() >= self._wake_at:
                self._wake_at = math.inf
                self._step(Silence())

    async def _hear(self, alarm: trio.CancelScope) -> NoReturn:
        """Step with every event; ``alarm``, in which this runs, is set to when silence counts."""
        heard = 0
        while True:
            event = self.inbox.get_nowait()
            if event is None:
                heard = 0
                if alarm.deadline != self._wake_at:
                    alarm.deadline = self._wake_at
                await self.inbox.wait()
                continue
            self._step(event)
            if (heard := heard + 1) % AT_ONCE == 0:
                alarm.deadline = self._wake_at  # the inbox of a member that is flooded is never empty
                await trio.lowlevel.checkpoint()

    def _step(self, event: Event) -> None:
        asked = None
        for effect in self.fle.step(trio.current_time(), event):
            if isinstance(effect, MayAccept):
                asked = effect
            else:
                self._carry_out(effect)
        if asked is not None:  # at last: what comes of it is newer than the rest
            self._step(Answered(self.may_accept(asked)))
        if (election := self.fle.election) is None:
            self._favoured = False
        elif self._favoured != (favoured := election.favours_me):
            self._favoured = favoured
            self.favoured(favoured)

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Send(to, notification):
                self._tell(to, notification)
            case WakeAt(at):
                self._wake_at = at
            case OfferAccepted(sender):
                self.offer_accepted(sender)
            case Decided():
                self._log_decision(effect)
                self.decided(effect)
            case Greet(notification):
                self.manager.greet_with(None if notification is None else encode_notification(notification))
            case VoterLooking():
                self.voter_looking(effect)
            case Adopted(sender, config):
                self.adopted(sender, config)
            case _:
                self._report(effect)

    def _report(self, effect: Effect) -> None:
        match effect:
            case Proposed():
                self._log_proposal(effect)
            case Agreed(vote, round_):
                self.agreed()
                self.log.debug(
                    "election.agreed", round=round_, leader=vote.leader, epoch=vote.epoch, zxid=vote.zxid
                )
            case Ignored(sender, reason):
                if self._noise.admit(("ignored", sender)) is not None:
                    self.log.warning("election.ignored", peer=sender, reason=reason)
            case NewerConfig():
                self._log_newer(effect)

    def _tell(self, to: int, notification: Notification) -> None:
        if self._debug:
            self._log_notification(to, "out", notification)
        if notification is not self._encoded[0]:  # mostly everybody is told the same
            self._encoded = (notification, encode_frame(encode_notification(notification)))
        told = self.manager.tell(to, self._encoded[1])
        if not told and self.manager.connection(to) is not None:
            self._count_drop(to, "outbox")

    def _count_drop(self, peer: int, queue: str) -> None:
        if (before := self._noise.admit((queue, peer))) is not None:
            # an unsent vote that a newer one replaced is as it should be, an unread one is not
            log = self.log.warning if queue == "inbox" else self.log.info
            log("peer.overflow", peer=peer, queue=queue, dropped=before + 1)

    def _log_newer(self, effect: NewerConfig) -> None:
        version = effect.config.version
        if version <= self._newest_config:
            return
        self._newest_config = version
        self.log.warning(
            "config.newer",
            peer=effect.sender,
            version=hex64(version),
            ours=hex64(self.fle.electorate.current.version),
            hint="not adopted: set reconfigEnabled=true, or give this member the same server lines and "
            "restart it",
        )

    def _log_proposal(self, effect: Proposed) -> None:
        vote = effect.vote
        facts = {"round": effect.round, "leader": vote.leader, "epoch": vote.epoch, "zxid": vote.zxid}
        if self._told_round is None:
            self.log.info("election.started", **facts)
        else:
            self.log.info("election.vote", **facts, because=effect.because)
        self._told_round = effect.round

    def _log_decision(self, effect: Decided) -> None:
        if self._told_round is None:  # it held its own vote back, and this is its first one
            self._log_proposal(Proposed(effect.vote, effect.round, effect.vote.leader))
        self._told_round = None
        self.log.info(
            "election.decided",
            round=effect.round,
            leader=effect.vote.leader,
            epoch=effect.vote.epoch,
            zxid=effect.vote.zxid,
            duration_ms=round(1000 * effect.duration_s, 3),
            sent=effect.sent,
            received=effect.received,
            settled=effect.settled.value,
        )

    def _log_notification(self, peer: int, direction: str, notification: Notification) -> None:
        self.log.debug(
            "election.notification",
            peer=peer,
            direction=direction,
            state="unknown" if notification.state is None else notification.state.name,
            round=notification.round,
            leader=notification.vote.leader,
            epoch=notification.vote.epoch,
            zxid=notification.vote.zxid,
            version=notification.version,
        )
