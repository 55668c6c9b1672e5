"""Apache ZooKeeper's Fast Leader Election as a Trio service: leadership is a cancel scope with a token.

::

    config = trio_fle.load_config("zoo.cfg")
    async with trio_fle.open_member(config) as member:
        async for term in member.terms():
            async with term:
                await serve(fencing_token=term.epoch)

Needs Trio: under anyio, its Trio backend.
"""

from trio_fle.config import MemberConfig, load_config
from trio_fle.errors import (
    ConfigError,
    FleError,
    ListenError,
    MemberStoppedError,
    PeerError,
    StorageError,
)
from trio_fle.member import Member, MemberStatus, PeerStatus, Phase, Term, open_member
from trio_fle.vote import PeerState, Vote

__all__ = [
    "ConfigError",
    "FleError",
    "ListenError",
    "Member",
    "MemberConfig",
    "MemberStatus",
    "MemberStoppedError",
    "PeerError",
    "PeerState",
    "PeerStatus",
    "Phase",
    "StorageError",
    "Term",
    "Vote",
    "load_config",
    "open_member",
]
