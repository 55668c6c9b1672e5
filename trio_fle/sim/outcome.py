"""What comes of a simulated run."""

import attrs


@attrs.frozen
class Outcome:
    """A run in which nothing was violated."""

    seed: int
    leaderships: int
    """Elections that led to an established leader."""
    decisions: int
    """Ends of elections, counted at each server."""
    messages: int
    virtual_s: float
