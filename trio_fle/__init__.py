"""Apache ZooKeeper's Fast Leader Election as a Trio service: leadership is a cancel scope with a token.

::

    config = trio_fle.load_config("zoo.cfg")
    async with trio_fle.open_member(config) as member:
        async for term in member.terms():
            async with term:
                await serve(fencing_token=term.epoch)

Needs Trio: under anyio, its Trio backend.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
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

__version__: Final = "0.1.0"
"""Written here alone: a member tells it as it starts, and to look it up in what is installed reads files."""

_HOMES: Final = {
    "config": {"MemberConfig", "load_config"},
    "errors": {"ConfigError", "FleError", "ListenError", "MemberStoppedError", "PeerError", "StorageError"},
    "member": {"Member", "MemberStatus", "PeerStatus", "Phase", "Term", "open_member"},
    "vote": {"PeerState", "Vote"},
}
"""Where each name lives. It is loaded when it is asked for: the command starts itself anew (``cli.memory``),
and must not load everything twice for it."""


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return import_module(f"trio_fle.{name}")
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"trio_fle.{home}"), name)
    raise AttributeError(f"module 'trio_fle' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
