"""Whoever runs a simulated ensemble: gives it other configurations, and sees to it that they come about.

Members of ours have no reconfiguration command, so it is done as README says: one server is given a dynamic
file of a higher version and is restarted, and then the leader goes, whose successor is elected under it.
"""

from collections.abc import Set
from typing import Final

import attrs
import trio

from trio_fle.ensemble import Ensemble
from trio_fle.quorum import all_quorums, always_meet
from trio_fle.sim.members.disk import VirtualConfigFiles
from trio_fle.sim.members.ensemble import VirtualEnsemble, ensemble_of

LOOKS_EVERY_S: Final = 3.0


@attrs.define(eq=False)
class Operator:
    """Changes one role at a time, and only where all servers have the configuration before on their disks.

    Also, somebody leads under it: of two changes in a row, the quorums of the second need not meet those
    under which the epochs before the first were led.
    """

    ensemble: VirtualEnsemble
    configs: list[Ensemble] = attrs.field(init=False)
    """All that there ever were."""

    def __attrs_post_init__(self) -> None:
        self.configs = [ensemble_of(self.ensemble.roles)]

    def is_quorum(self, sids: Set[int]) -> bool:
        """Whether ``sids`` are a quorum of any configuration that there was."""
        return any(all_quorums([config.verifier], sids) for config in self.configs)

    def give(self, sid: int, other: int) -> bool:
        """Give ``sid`` a file in which ``other`` has another role; whether that could be done."""
        files = [self._files(each) for each in self.ensemble.roles]
        present = self.configs[-1]
        settled = [each.committed for each in files]
        first = settled[0]
        if any(each.pending is not None for each in files):
            return False
        if first is not None and all(each is not None and each.text == first.text for each in settled):
            present = first  # the first leader has given it a version
        elif any(each is not None for each in settled):
            return False
        roles = {each: server.role.value for each, server in present.servers.items()}
        roles[other] = "observer" if roles[other] == "participant" else "participant"
        if len(self.configs) > 1 and not self._is_led_under(present):
            return False
        if sid not in present.voters or roles[sid] == "observer":
            return False  # voters are heard by all others when they look for a leader
        config = attrs.evolve(ensemble_of(roles), version=present.version + 1)
        assert always_meet(present.verifier, config.verifier), "one role at a time"
        self._files(sid).committed = config
        self.configs.append(config)
        return True

    def _is_led_under(self, config: Ensemble) -> bool:
        leaders = [each.member for each in self.ensemble.running.values() if each.is_open and each.leads()]
        return any(leader.status.config_version == config.version for leader in leaders)

    async def look_after(self) -> None:
        """Have leaders resign that don't know the newest configuration, until nobody has another one."""
        while True:
            await trio.sleep(LOOKS_EVERY_S)
            newest = self.configs[-1].version
            for member in list(self.ensemble.running.values()):
                if member.is_open and member.leads() and member.member.status.config_version < newest:
                    with trio.move_on_after(LOOKS_EVERY_S):
                        await member.member.resign()

    def _files(self, sid: int) -> VirtualConfigFiles:
        return self.ensemble.files.setdefault(sid, VirtualConfigFiles())
