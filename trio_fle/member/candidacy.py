"""Whether a member stands for election: it may be kept from it for a time, or until it is started again."""

import math
from collections.abc import Callable

import attrs
import trio


@attrs.define(eq=False)
class Candidacy:
    """``allowed`` says whether it may be a candidate at all."""

    allowed: Callable[[], bool]
    abstains: bool = attrs.field(default=False, init=False)
    """Whether it could stand for the present election, and does not."""
    until: float = attrs.field(default=-math.inf, init=False)
    """When it stands again."""

    def decide(self) -> bool:
        """Return whether it stands for the election that begins now."""
        stands = self.allowed() and trio.current_time() >= self.until
        self.abstains = self.allowed() and not stands
        return stands

    def retire(self, for_s: float = math.inf) -> None:
        """Stand for no election for so long; for ever (``inf``): until started again."""
        self.until = max(self.until, trio.current_time() + for_s)

    def prove(self) -> None:
        """Note that it leads: whatever kept it from that for a time is over."""
        self.until = math.inf if self.until == math.inf else -math.inf
