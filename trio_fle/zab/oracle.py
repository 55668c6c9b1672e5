"""What the oracle of two servers grants: a yes is a lease, too (ZOOKEEPER-3922, and stricter than it).

An oracle says yes to one of two servers at most; that one may then lead without the other. It can't take
back what it said a moment ago, so its yes is used like the answer to a ping:

* it counts for ``length * (1 - margin)`` from the moment *before* it was asked;
* whoever is said yes to acts on it only once it is *sure*: the yes has stood for all of ``length``, so that
  whatever rested on a yes to the other is over, or the other was seen not to lead since this yes began;
* and only on a yes that was asked for while it listened as a leader, so that "nobody listens there" proves
  to the other that nothing rests on an older one.

An answer has to stand for one tick at least: asked more often than that, a yes that was heard twice was a
yes in between. Times are seconds of the lease clock.
"""

import math

import attrs


@attrs.define
class Consent:
    """What the oracle said to this server, and for how long that counts."""

    length_s: float
    """``syncLimit`` ticks: the length of a lease."""
    margin: float
    """Part of the length that is not counted on (``fle.leaseMargin``)."""
    tick_s: float
    """How long an answer stands at least."""
    yes_since: float | None = attrs.field(default=None, init=False)
    """From when on the oracle is known to have said yes without a break; None: it does not."""
    _asked_at: float = attrs.field(default=-math.inf, init=False)
    """When it was asked for its newest yes."""
    _answered_at: float = attrs.field(default=-math.inf, init=False)
    _absent_at: float = attrs.field(default=-math.inf, init=False)
    _listens_since: float = attrs.field(default=math.inf, init=False)

    @property
    def usable_s(self) -> float:
        """How long a yes counts, from the moment before it was asked for."""
        return self.length_s * (1 - self.margin)

    def heard(self, answer: bool | None, asked_at: float, answered_at: float) -> None:
        """Note what it answered, asked at one time and answered at another; None: nothing was to be had.

        Nothing is no break as long as a yes follows soon enough: the file may just be written anew.
        """
        if answer is None:
            return
        if not answer:
            self.yes_since = None
            return
        if self.yes_since is None or answered_at - self._asked_at > self._gap_s:
            self.yes_since = answered_at
        self._asked_at, self._answered_at = asked_at, answered_at

    @property
    def _gap_s(self) -> float:
        """How far apart two yeses may be that count as one.

        Who acts on it already may be held up for longer: as long as its lease lasts, and it listens, the
        other can't have come to act on a yes that it was given in between.
        """
        acts = self.is_sure and self._asked_at >= self._listens_since
        return self.usable_s if acts else self.tick_s

    def other_was_absent(self, at: float) -> None:
        """Note that the other server led nobody at some moment from ``at`` on: it followed, or was gone."""
        self._absent_at = max(self._absent_at, at)

    def listen(self, at: float) -> None:
        """Note that this server listens as a leader from now on."""
        self._listens_since = at

    def stop_listening(self) -> None:
        """Note that it does so no more: nothing rests on any yes now."""
        self._listens_since = math.inf

    @property
    def is_sure(self) -> bool:
        """Whether nothing can rest on a yes to the other any more."""
        if self.yes_since is None:
            return False
        return self._absent_at >= self.yes_since or self._answered_at - self.yes_since >= self.length_s

    @property
    def is_doubtful(self) -> bool:
        """Whether it says yes, and the other may still act on a yes before."""
        return self.yes_since is not None and not self.is_sure

    def end(self) -> float:
        """Return until when this server may lead alone; ``-inf`` where it may not."""
        if not self.is_sure or self._asked_at < self._listens_since:
            return -math.inf
        return self._asked_at + self.usable_s
