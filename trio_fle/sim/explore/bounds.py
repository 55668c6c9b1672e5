"""How far an exploration goes, where it begins, and what it comes to."""

from typing import Final

import attrs

from trio_fle.sim.explore.moves import Action

SIDS: Final = (1, 2, 3)


@attrs.frozen
class Bounds:
    """How far the exploration goes.

    ``elections`` counts those that one server begins, its first included; ``losses`` the connections that are
    reset. ``settled``: it begins with a leader that all follow, else with three servers that start.
    ``hasty`` counts the roles that are given up while something is under way. ``heirs``: followers reserve
    the next epoch for one of them; where it begins ``settled``, they have. ``first`` is what happens before
    all else, so that more of what may come after it is explored.
    """

    elections: int = 2
    crashes: int = 1
    losses: int = 0
    hasty: int = 0
    settled: bool = True
    states: int = 400_000
    early_finalize: bool = True
    heirs: bool = False
    first: tuple[Action, ...] = ()


_CRASHED: Final = (("crash", 3, False), ("take", 1, 3), ("take", 2, 3))
"""The leader crashes, and both others have lost it."""

_STALE: Final = (
    ("reset", 2, 3), ("take", 2, 3), ("hear", 1, 2), ("take", 3, 2), ("hear", 3, 2), ("hear", 2, 3),
    ("hear", 2, 1), ("dial", 2), ("take", 3, 2), ("take", 2, 3), ("take", 3, 2), ("reset", 1, 3),
    ("take", 1, 3),
)  # fmt: skip
"""The heir loses its link, offers, and follows the same leader again; then the other one loses its own."""

HEIRS: Final = (
    Bounds(elections=3, crashes=2, heirs=True, first=_CRASHED),
    Bounds(elections=4, crashes=1, losses=2, heirs=True, first=_STALE),
)
"""Both begin where much can come of an epoch that rides on votes: that is many steps after all is calm."""

STANDARD: Final = (
    Bounds(elections=1, crashes=0, settled=False),
    Bounds(elections=1, crashes=0, settled=False, early_finalize=False),
    Bounds(elections=2, crashes=1),
    Bounds(elections=2, crashes=0, losses=1),
    Bounds(elections=3, crashes=1, hasty=1),
    *HEIRS,
)
"""What is explored unless told otherwise: three servers that start, and what may become of three settled."""


@attrs.frozen
class Report:
    """What was explored.

    ``frontier`` states were not expanded since ``Bounds.states`` was reached. From ``led`` states all servers
    that live can come to follow one leader; ``bounded`` are those in which somebody would begin one election
    more than ``Bounds`` allows. ``replicas`` are different states of single servers.
    """

    states: int
    transitions: int
    depth: int
    frontier: int
    led: int
    bounded: int
    replicas: int
