"""Configuration texts out of notifications, parsed once each and only where they can matter."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import attrs

from trio_fle.config.rewriting import CHARSET
from trio_fle.ensemble import Ensemble, parse_ensemble
from trio_fle.errors import ConfigError
from trio_fle.peers.quiet import TokenBucket
from trio_fle.quorum import OracleMajority

MAX_TEXT_BYTES: Final = 64 * 1024
"""Longest text that is parsed: some 700 servers. The message is valid, and its vote counts, beyond it."""

_REMEMBERED: Final = 16


def usable_ensemble(text: bytes | None, *, oracle: bool) -> Ensemble | None:
    """Return the configuration of a text; None where it is absent, malformed, or too long to be read.

    With an ``oracle``, which no text tells of, it is a majority. One without servers, or that no properties
    file can hold, is none.
    """
    if text is None or not _is_readable(text):
        return None
    try:
        ensemble = parse_ensemble(text.decode(), several_addresses=True, oracle=oracle)
        ensemble.text.encode(CHARSET)
    except (ConfigError, UnicodeError):
        return None
    return ensemble if ensemble.servers else None


def _is_readable(text: bytes) -> bool:
    """Whether a text is read at all: one full of continued lines takes the reader seconds."""
    return len(text) <= MAX_TEXT_BYTES and b"\\" not in text  # nobody writes an escape there


@attrs.define
class ConfigTexts:
    """Turns texts into configurations, and remembers those it met last.

    A text that can't be used is dropped and counted; the vote that came with it counts nevertheless. (A
    Java receiver dies of some: ``version=zz``, ``server.x``, a port of 70000.) Reading a long one takes
    some 50 ms, so that only a few new ones are read at a time.
    """

    ours: Ensemble
    clock: Callable[[], float]
    unusable: int = attrs.field(default=0, init=False)
    _known: OrderedDict[bytes, Ensemble | None] = attrs.field(factory=OrderedDict, init=False)
    _our_text: bytes = attrs.field(init=False)
    _pending: frozenset[int] = attrs.field(default=frozenset(), init=False)
    _new_texts: TokenBucket = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._new_texts = TokenBucket(burst=_REMEMBERED, per_s=1, clock=self.clock)
        self._our_text = self.ours.text.encode()

    def become(self, ours: Ensemble) -> None:
        """Take ``ours`` for the configuration of this member from now on."""
        self.ours, self._our_text = ours, ours.text.encode()

    def know(self, seen: Ensemble) -> None:
        """Listen to the servers of a pending configuration, too: theirs may be committed."""
        self._pending = frozenset(seen.servers)

    def parse(self, sender: int, text: bytes | None) -> Ensemble | None:
        """Return the configuration that a configured server sent, or None where it is of no use."""
        if text is None or (sender not in self.ours.servers and sender not in self._pending):
            return None
        if text == self._our_text:
            return self.ours
        if not _is_readable(text):
            self.unusable += 1
            return None
        if text in self._known:
            self._known.move_to_end(text)
        elif not self._new_texts.take():
            return None
        else:
            self._known[text] = known = usable_ensemble(
                text, oracle=isinstance(self.ours.verifier, OracleMajority)
            )
            self.unusable += known is None
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return self._known[text]
