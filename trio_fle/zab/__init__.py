"""What leader and learners agree on after an election: a new epoch, and how long it may be relied on."""

from trio_fle.zab.discovery import AheadError, Discovery, Gate
from trio_fle.zab.lease import Lease, Promise
from trio_fle.zab.oracle import Consent

__all__ = ["AheadError", "Consent", "Discovery", "Gate", "Lease", "Promise"]
