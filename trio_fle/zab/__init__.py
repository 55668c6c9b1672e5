"""What leader and learners agree on after an election: a new epoch, and how long it may be relied on."""

from trio_fle.zab.discovery import AheadError, Discovery
from trio_fle.zab.lease import Lease, Promise

__all__ = ["AheadError", "Discovery", "Lease", "Promise"]
