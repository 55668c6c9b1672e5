"""The snapshot a leader streams behind a SNAP packet: read to its end, and not kept.

::

    int32 sessions; { int64 session, int32 timeout } ...
    int32 acls; { int64 index, vector<{ int32 perms, ustring scheme, ustring id }> } ...
    { ustring path, buffer data, int64 acl, stat of 60 bytes } ...    parents first, until the path is "/"
    ustring "BenWasHere"

Source: ``SerializeUtils``, ``DataTree.serialize``, ``LearnerHandler``.
"""

from typing import Final

import attrs

from trio_fle.errors import MalformedMessageError
from trio_fle.wire.jute import Reader, read_buffer, read_count, read_int, read_string

SIGNATURE: Final = "BenWasHere"
CONFIG_PATH: Final = "/zookeeper/config"
END_PATH: Final = "/"

_SESSION_BYTES: Final = 8 + 4
_ACL_INDEX_BYTES: Final = 8
_STAT_BYTES: Final = 4 * 8 + 3 * 4 + 2 * 8
_NODE_TAIL_BYTES: Final = 8 + _STAT_BYTES
"""Index of the ACL, and the stat."""


@attrs.frozen
class SnapshotSummary:
    """What is remembered of a snapshot that passed."""

    sessions: int
    nodes: int
    config: bytes | None
    """The configuration text that the tree holds."""


def read_snapshot() -> Reader[SnapshotSummary]:
    """Read a snapshot to its end. Raises ``MalformedMessageError`` where it is none."""
    sessions = (yield from read_count()) or 0
    for _ in range(sessions):
        yield _SESSION_BYTES
    for _ in range((yield from read_count()) or 0):
        yield _ACL_INDEX_BYTES
        yield from _skip_acl()
    nodes, config = 0, None
    while (path := (yield from read_string())) != END_PATH:
        data = yield from read_buffer()
        yield _NODE_TAIL_BYTES
        nodes += 1
        if path == CONFIG_PATH:
            config = data
    if (yield from read_string()) != SIGNATURE:
        raise MalformedMessageError("the snapshot does not end in its signature")
    return SnapshotSummary(sessions, nodes, config)


def _skip_acl() -> Reader[None]:
    for _ in range((yield from read_count()) or 0):
        yield from read_int()
        yield from read_string()
        yield from read_string()
