"""The network that a simulation plays: how long a segment is under way, and what a loss costs.

Election and learner connections are TCP: what is lost is sent again, and what was sent later waits for it.
So a loss is a delay here, never a hole.
"""

import math
import random
import re
from collections.abc import Sequence
from typing import Final

import attrs

RETRANSMIT_S: Final = 0.2
"""After how long, beyond a round trip, a segment that was not acknowledged is sent again at first
(Linux: ``TCP_RTO_MIN``); then after twice as long each time."""

DIAL_AGAIN_S: Final = 1.0
"""The same for the first segment of a connection (RFC 6298)."""

_UNITS_S: Final = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0}
_LATENCY: Final = re.compile(
    r"(\d+(?:\.\d+)?)\s*(us|µs|ms|s)(?:\s*(?:±|\+-|\+/-)\s*(\d+(?:\.\d+)?)\s*(us|µs|ms|s))?"
)


@attrs.frozen
class Latency:
    """How long one segment is under way, one way: evenly spread over ``mean_s ± spread_s``."""

    mean_s: float
    spread_s: float = 0.0

    @classmethod
    def parse(cls, text: str) -> "Latency":
        """Read ``30ms``, ``30ms±10ms`` or ``1.5s+-200ms``. Raises ``ValueError``."""
        match = _LATENCY.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r} is no latency; write it like 30ms or 30ms±10ms")
        mean_s = float(match[1]) * _UNITS_S[match[2]]
        spread_s = float(match[3]) * _UNITS_S[match[4]] if match[3] else 0.0
        if spread_s > mean_s:
            raise ValueError(
                f"{text!r}: the spread is wider than the mean, so some would arrive before they left"
            )
        return cls(mean_s, spread_s)

    def sample(self, rng: random.Random) -> float:
        """Draw one, in seconds."""
        if not self.spread_s:
            return self.mean_s
        return self.mean_s + self.spread_s * (2 * rng.random() - 1)


LOOPBACK: Final = Latency(0.00005)


@attrs.frozen
class Conditions:
    """The paths between servers. Servers of one site have ``local`` between them, all others ``latency``.

    ``sites`` are the numbers of servers in each, by ascending id; empty: one site of its own for each.
    ``loss`` is the part of all segments that is lost.
    """

    latency: Latency = LOOPBACK
    loss: float = attrs.field(default=0.0)
    sites: Sequence[int] = ()
    local: Latency = Latency(0.0003)

    @loss.validator
    def _is_a_part(self, _: object, loss: float) -> None:
        if not 0 <= loss < 1:
            raise ValueError(f"a loss of {loss:g} is not between 0 and 1")

    def path(self, one: int, another: int) -> Latency:
        """Return the latency between two servers, by their ids (1, 2, ...)."""
        if self.sites and self._site(one) == self._site(another):
            return self.local
        return self.latency

    def delay_s(self, rng: random.Random, one: int, another: int) -> float:
        """Draw how long a segment of an open connection needs, with all that is sent again."""
        path = self.path(one, another)
        return path.sample(rng) + self._lost_s(rng, RETRANSMIT_S + 2 * path.mean_s)

    def dial_s(self, rng: random.Random, one: int, another: int) -> float:
        """Draw how long the first segment of a connection needs."""
        return self.path(one, another).sample(rng) + self._lost_s(rng, DIAL_AGAIN_S)

    def _lost_s(self, rng: random.Random, again_s: float) -> float:
        waited_s = 0.0
        while self.loss and rng.random() < self.loss:
            waited_s += again_s
            again_s *= 2
        return waited_s

    def _site(self, sid: int) -> int:
        last = 0
        for site, servers in enumerate(self.sites):
            last += servers
            if sid <= last:
                return site
        return len(self.sites)


def widest_s(conditions: Conditions) -> float:
    """Return the longest that a segment which is not lost is under way."""
    paths = [conditions.latency, conditions.local] if conditions.sites else [conditions.latency]
    return max(math.fsum((path.mean_s, path.spread_s)) for path in paths)
