"""Steps a pure election core through virtual time, and remembers what it asked for."""

import math
from collections.abc import Mapping
from typing import Any

import attrs

from trio_fle.election.electorate import Electorate
from trio_fle.election.events import Decided, Effect, Event, Heard, Look, Send, Silence, WakeAt
from trio_fle.election.fle import FastLeaderElection
from trio_fle.election.options import ElectionOptions
from trio_fle.ensemble import Ensemble, build_ensemble
from trio_fle.vote import LearnerType, PeerState, Vote
from trio_fle.wire import Notification


def ensemble_of(roles: Mapping[int, str] | int, *extra: str, version: int = 0) -> Ensemble:
    """An ensemble of so many participants, or of servers with roles; ``extra``: group and weight lines."""
    if isinstance(roles, int):
        roles = dict.fromkeys(range(1, roles + 1), "participant")
    properties = {f"server.{sid}": f"h{sid}:{sid}:{1000 + sid}:{role}" for sid, role in roles.items()}
    properties |= dict(line.split("=", 1) for line in extra)
    return build_ensemble(properties, version)


def looking(leader: int, round_: int = 1, zxid: int = 0, epoch: int = 0, *, version: int = 2) -> Notification:
    return Notification(PeerState.LOOKING, Vote(leader, zxid, epoch), round_, version)


def claim(
    state: str, leader: int, round_: int = 1, zxid: int = 0, epoch: int = 0, *, version: int = 2
) -> Notification:
    return Notification(PeerState[state], Vote(leader, zxid, epoch), round_, version)


@attrs.define
class Driver:
    """One core, its clock, and its effects with the times at which they were asked for."""

    me: int
    ensemble: Ensemble
    options: ElectionOptions = attrs.field(factory=lambda: ElectionOptions(early_finalize=False))
    zxid: int = 0
    epoch: int = 0
    now: float = 0.0
    effects: list[tuple[float, Effect]] = attrs.field(factory=list, init=False)
    fle: FastLeaderElection = attrs.field(init=False)
    wake_at: float = attrs.field(default=math.inf, init=False)

    def __attrs_post_init__(self) -> None:
        learner = self.ensemble.servers[self.me].role if self.me in self.ensemble.servers else None
        electorate = Electorate(
            self.me,
            learner or LearnerType.PARTICIPANT,
            self.options.candidate,
            self.ensemble,
            self.ensemble,
            exact=not self.options.early_finalize,
        )
        self.fle = FastLeaderElection(electorate, self.options)

    def look(self) -> "Driver":
        self.step(Look(self.zxid, self.epoch))
        return self

    def step(self, event: Event) -> list[Effect]:
        effects = self.fle.step(self.now, event)
        for effect in effects:
            self.effects.append((self.now, effect))
            if isinstance(effect, WakeAt):
                self.wake_at = effect.at
        return effects

    def hear(self, sender: int, notification: Notification, config: Ensemble | None = None) -> list[Effect]:
        return self.step(Heard(sender, notification, config))

    def wait(self, seconds: float) -> "Driver":
        """Let time pass; every silence that is due happens."""
        end = self.now + seconds
        while self.wake_at <= end:
            self.now, self.wake_at = self.wake_at, math.inf
            self.step(Silence())
        self.now = end
        return self

    def decided(self) -> Decided | None:
        """The first decision, if there was one."""
        return next((effect for _, effect in self.effects if isinstance(effect, Decided)), None)

    def decided_at(self) -> float:
        return next(at for at, effect in self.effects if isinstance(effect, Decided))

    def ends_of_bursts(self, to: int, *, since: float) -> list[Notification]:
        """What that server gets at least: the last of what was sent to it at the same time."""
        last = {at: effect for at, effect in self.effects if isinstance(effect, Send) and effect.to == to}
        return [send.notification for at, send in last.items() if at >= since]

    def sent(self, to: int | None = None, *, since: float = 0.0) -> list[Notification]:
        """Everything sent (to one server), in order."""
        sends = [effect for at, effect in self.effects if isinstance(effect, Send) and at >= since]
        return [send.notification for send in sends if to is None or send.to == to]

    def last_sent(self, to: int) -> Notification:
        return self.sent(to)[-1]


def signed(hex_text: str) -> int:
    value = int(hex_text, 16)
    return value - 2**64 if value >= 2**63 else value


def facts(notification: Notification) -> list[Any]:
    assert notification.state is not None
    vote = notification.vote
    return [notification.state.name, vote.leader, vote.zxid, notification.round, vote.epoch]
