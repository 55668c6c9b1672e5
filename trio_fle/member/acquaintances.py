"""The election connections of a member, as its status tells them."""

import attrs

from trio_fle.ensemble import Ensemble
from trio_fle.member.status import PeerStatus
from trio_fle.peers import ConnectionManager


@attrs.define(eq=False)
class Acquaintances:
    """What is told of each other server; made anew only where it has changed: who polls asks more often."""

    me: int
    manager: ConnectionManager
    _told: tuple[PeerStatus, ...] = attrs.field(default=(), init=False)
    _of: tuple[Ensemble | None, int] = attrs.field(default=(None, 0), init=False)

    def under(self, ensemble: Ensemble) -> tuple[PeerStatus, ...]:
        """Return one for each other server of ``ensemble``, by id."""
        known, changes = self._of
        if known is not ensemble or changes != self.manager.changes:
            self._told = tuple(self._one(ensemble, sid) for sid in sorted(ensemble.servers) if sid != self.me)
            self._of = ensemble, self.manager.changes
        return self._told

    def is_at(self, sid: int, host: str) -> bool:
        """Whether the election connection of a server comes from this host, or leads there."""
        connection = self.manager.connection(sid)
        return connection is not None and connection.address.host == host

    def _one(self, ensemble: Ensemble, sid: int) -> PeerStatus:
        connection, role = self.manager.connection(sid), ensemble.servers[sid].role.value
        if connection is None:
            return PeerStatus(sid, role, connected=False)
        return PeerStatus(sid, role, True, str(connection.address), connection.direction.value)
