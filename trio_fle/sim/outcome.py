"""What comes of a simulated run."""

import attrs


@attrs.frozen
class Outcome:
    """A run in which nothing was violated."""

    seed: int
    elections: int
    """Elections that were won: a server decided that it leads itself, whether or not it came to lead."""
    leaderships: int
    """Those that led to an established leader."""
    decisions: int
    """Ends of elections, counted at each server."""
    messages: int
    virtual_s: float
    mended_s: float
    """How long it took from the end of all faults to one leader of all."""
