"""Answering those who do not vote: observers, strangers, and who lives under another configuration."""

from collections.abc import Iterator
from typing import Final

import attrs

from trio_fle.vote import PeerState
from trio_fle.wire import Notification

MAX_ASKERS: Final = 256
"""How many that asked are told the end of each election; those before them must ask again."""

REPEAT_S: Final = 0.1
"""No member asks again so soon; the first resend of an observer comes after 200 ms."""


@attrs.frozen
class _Asked:
    heard: Notification
    told: Notification
    at: float


@attrs.define
class Askers:
    """What each non-voter said and was told last.

    A non-voter is answered at once, whatever it says. Two that are none to each other, since they ceased to
    be, or live under configurations that say so, would answer each other for ever: so one that has a
    leader and says the same again is not told the same again: it only answered; and one that looks for a
    leader is not answered again within ``REPEAT_S``.
    """

    _asked: dict[int, _Asked] = attrs.field(factory=dict)

    def __iter__(self) -> Iterator[int]:
        return iter(self._asked)

    def is_to_be_told(self, sender: int, heard: Notification, answer: Notification, now: float) -> bool:
        """Whether ``answer`` is to be sent; it then counts as told."""
        before = self._asked.get(sender)
        if before is not None and _repeats(heard, answer, now, before):
            return False
        self._asked[sender] = _Asked(heard, answer, now)
        if len(self._asked) > MAX_ASKERS:
            del self._asked[next(iter(self._asked))]
        return True


def _repeats(heard: Notification, answer: Notification, now: float, before: _Asked) -> bool:
    if heard != before.heard:
        return False
    has_leader = heard.state is not None and heard.state is not PeerState.LOOKING
    return answer == before.told if has_leader else now - before.at < REPEAT_S
