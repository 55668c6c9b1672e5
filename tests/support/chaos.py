"""What the logs of an ensemble's members prove about who led when."""

import itertools
import time
from collections.abc import Callable, Set
from datetime import datetime
from typing import Any

import attrs
from processes import Server

from trio_fle.sim.invariants import Checker
from trio_fle.vote import MIN_LONG, Vote

Event = dict[str, Any]


@attrs.frozen
class Leadership:
    """From its establishment to the end of the lease, or an earlier end; times are seconds."""

    sid: int
    epoch: int
    began: float
    ended: float


def seconds(event: Event) -> float:
    return datetime.fromisoformat(event["timestamp"]).timestamp()


def leaderships(events: dict[int, list[Event]], ends: dict[int, list[float]]) -> list[Leadership]:
    """Read leaderships off logs; ``ends`` are the times at which each process was killed, and now."""
    found = []
    for sid, log in events.items():
        for at, event in enumerate(log):
            if event["event"] != "leading.established":
                continue
            began = seconds(event)
            ended = min((end for end in ends[sid] if end >= began), default=began)
            for later in log[at:]:
                if later["event"] == "leading.lost" and later["epoch"] == event["epoch"]:
                    # one that noticed too late had been no leader since its lease was over
                    ended = min(ended, seconds(later) - later["overdue_ms"] / 1000)
            found.append(Leadership(sid, event["epoch"], began, ended))
    return sorted(found, key=lambda each: each.began)


def faults(found: list[Leadership]) -> list[str]:
    """Say what must not be: overlaps, and epochs that repeat or go back."""
    wrong = []
    for before, after in itertools.pairwise(found):
        if after.began < before.ended:
            wrong.append(f"{after} begins {before.ended - after.began:.3f} s before {before} has ended")
        if after.epoch <= before.epoch:
            wrong.append(f"{after} has no higher epoch than {before}")
    return wrong


@attrs.define(eq=False)
class History:
    """All that each member ever logged, over its restarts, and when its processes were killed."""

    servers: list[Server]
    lines: dict[int, list[Event]] = attrs.field(factory=dict)
    ends: dict[int, list[float]] = attrs.field(factory=dict)

    def keep(self, server: Server) -> None:
        """Keep what a process has logged, which has ended (or is looked at for the last time)."""
        self.lines.setdefault(server.sid, []).extend(server.all_events())
        ended_at = time.time() if server.ended_at is None else server.ended_at
        self.ends.setdefault(server.sid, []).append(ended_at)

    def faults(self) -> list[str]:
        for server in self.servers:
            self.keep(server)
        return faults(self.leaderships())

    def leaderships(self) -> list[Leadership]:
        return leaderships(self.lines, self.ends)

    def check(self, is_quorum: Callable[[Set[int]], bool]) -> Checker:
        """Tell the simulator's checker what happened, in its order; raises ``ViolationError``.

        Logs need the level info, and all that was logged: of a vote that nobody tells, no quorum is known.
        """
        checker = Checker(is_quorum)
        led = self.leaderships()
        told = [(seconds(event), sid, event) for sid, log in self.lines.items() for event in log]
        for at, sid, event in sorted(told, key=lambda each: each[0]):
            tell(checker, at, sid, event)
            if event["event"] == "leading.established":
                # two that act at the same moment do so when the later of them begins
                checker.acting(at, {each.sid for each in led if each.began <= at < each.ended})
        return checker


def tell(checker: Checker, at: float, sid: int, event: Event) -> None:
    """Tell the checker of one event of a log."""
    match event["event"]:
        case "election.started" | "election.vote":
            checker.voted(sid, event["round"], vote_of(event))
        case "election.decided":
            joined = event["settled"] == "joined"
            checker.decided(at, sid, event["round"], vote_of(event), joined=joined)
        case "leading.established":
            checker.established(at, sid, event["epoch"])
            checker.accepted(at, sid, event["epoch"], sid)
        case "following.synced":
            checker.acknowledged(sid, event["epoch"])
        case "member.started":
            checker.holds(at, sid, event["accepted_epoch"])


def vote_of(event: Event) -> Vote:
    """The vote that an event tells of."""
    leader, epoch = (MIN_LONG if event[name] is None else event[name] for name in ("leader", "epoch"))
    zxid = int(event["zxid"], 16)
    return Vote(leader, zxid - 2**64 if zxid >= 2**63 else zxid, epoch)
