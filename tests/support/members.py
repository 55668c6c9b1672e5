"""Whole members on a memory network, under virtual time."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import trio
from captured_log import captured_log
from memory_net import MemoryNet

from trio_fle.config import MemberConfig, TransportOptions
from trio_fle.election.options import ElectionOptions
from trio_fle.ensemble import Ensemble, build_ensemble
from trio_fle.member import run_member
from trio_fle.storage import StoredVote


def ensemble_of(roles: Mapping[int, str]) -> Ensemble:
    return build_ensemble(
        {f"server.{sid}": f"192.0.2.{sid}:2888:3888:{role}" for sid, role in roles.items()}, 0
    )


@attrs.define(eq=False)
class VirtualMember:
    """One member, its log, and what ended it."""

    sid: int
    ensemble: Ensemble
    net: MemoryNet
    options: ElectionOptions = attrs.field(factory=ElectionOptions)
    stored: StoredVote = attrs.field(factory=lambda: StoredVote(0, 0, 0))
    events: list[dict[str, Any]] = attrs.field(init=False)
    scope: trio.CancelScope = attrs.field(init=False)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        log, self.events = captured_log()
        config = MemberConfig(
            path=Path("zoo.cfg"),
            myid=self.sid,
            data_dir=Path("data"),
            data_log_dir=Path("data"),
            tick_time_ms=500,
            init_limit=10,
            sync_limit=5,
            ensemble=self.ensemble,
            learner_type=self.ensemble.servers[self.sid].role,
            election=self.options,
            transport=TransportOptions(),
        )

        async def load_vote() -> StoredVote:
            await trio.lowlevel.checkpoint()
            return self.stored

        with trio.CancelScope() as self.scope:
            host = self.net.host(f"192.0.2.{self.sid}")
            await run_member(config, host, load_vote, log, task_status=task_status)

    def kill(self) -> None:
        self.scope.cancel()

    def named(self, event: str) -> list[dict[str, Any]]:
        return [each for each in self.events if each["event"] == event]

    def role(self) -> tuple[str, int | None]:
        states = self.named("member.state")
        return (states[-1]["to"], states[-1]["leader"]) if states else ("LOOKING", None)


@attrs.define(eq=False)
class VirtualEnsemble:
    """Members by id, started and killed one by one."""

    nursery: trio.Nursery
    roles: Mapping[int, str]
    options: ElectionOptions = attrs.field(factory=ElectionOptions)
    net: MemoryNet = attrs.field(factory=MemoryNet)
    running: dict[int, VirtualMember] = attrs.field(factory=dict)

    async def start(self, *sids: int, zxid: int = 0, epoch: int = 0) -> None:
        for sid in sids or tuple(self.roles):
            stored = StoredVote(zxid, epoch, epoch)
            member = VirtualMember(sid, ensemble_of(self.roles), self.net, self.options, stored)
            self.running[sid] = member
            await self.nursery.start(member.run)

    def kill(self, sid: int) -> None:
        self.running.pop(sid).kill()

    def roles_now(self) -> dict[int, tuple[str, int | None]]:
        return {sid: member.role() for sid, member in self.running.items()}

    def leader(self) -> int:
        """The one leader, whom all others follow or observe."""
        roles = self.roles_now()
        leader = max((sid for sid, role in roles.items() if role == ("LEADING", sid)), default=0)
        expected = {
            sid: (
                "LEADING" if sid == leader else "OBSERVING" if self.roles[sid] == "observer" else "FOLLOWING",
                leader,
            )
            for sid in roles
        }
        assert roles == expected
        return leader
