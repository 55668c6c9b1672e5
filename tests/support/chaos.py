"""What the logs of an ensemble's members prove about who led when."""

import itertools
from datetime import datetime
from typing import Any

import attrs

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
