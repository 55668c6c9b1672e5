"""Limits on what strangers may cost: log lines, and dials that they ask for."""

from collections import OrderedDict
from collections.abc import Callable

import attrs


@attrs.define
class OncePerInterval:
    """Lets each key through once (or ``burst`` times) an interval, and counts what it held back meanwhile.

    Remembers at most ``max_keys`` keys, those heard of last.
    """

    interval_s: float
    clock: Callable[[], float]
    burst: int = 1
    max_keys: int = 1024
    _last: OrderedDict[object, tuple[float, int]] = attrs.field(factory=OrderedDict, init=False)
    """When each key's interval began, and how often it was heard of since."""

    def admit(self, key: object) -> int | None:
        """Return how many were held back in the interval before, or None to hold this one back."""
        now = self.clock()
        since, heard = self._last.pop(key, (-self.interval_s, 0))
        anew = now - since >= self.interval_s
        self._last[key] = (now, 1) if anew else (since, heard + 1)
        while len(self._last) > self.max_keys:
            self._last.popitem(last=False)
        if anew:
            return max(0, heard - self.burst)
        return 0 if heard < self.burst else None


@attrs.define
class TokenBucket:
    """Allows ``burst`` at once and ``per_s`` on average."""

    burst: float
    per_s: float
    clock: Callable[[], float]
    _tokens: float = attrs.field(init=False)
    _at: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._tokens, self._at = self.burst, self.clock()

    def take(self) -> bool:
        """Take a token, if there is one."""
        now = self.clock()
        self._tokens = min(self.burst, self._tokens + (now - self._at) * self.per_s)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


@attrs.define
class Backoff:
    """Waits between attempts at one thing: at once, then doubling from ``first_s`` up to ``max_s``."""

    first_s: float
    max_s: float
    _next_s: float = attrs.field(default=0.0, init=False)

    def next(self) -> float:
        """Return the wait before the next attempt, in seconds."""
        self._next_s, wait = min(max(2 * self._next_s, self.first_s), self.max_s), self._next_s
        return min(wait, self.max_s)

    def reset(self) -> None:
        """Begin anew: the last attempt succeeded."""
        self._next_s = 0.0
