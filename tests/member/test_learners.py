"""The links of a leader: who is told first that it is over."""

import attrs
import trio

from trio_fle.ensemble import HostPort
from trio_fle.member.learner_handler import LearnerHandler
from trio_fle.member.learner_link import LearnerLink
from trio_fle.member.learners import Learners
from trio_fle.wire.packet import LearnerInfo, PacketType, QuorumPacket


@attrs.define(eq=False)
class Told(trio.abc.Stream):
    """Notes whose stream was written to."""

    sid: int
    order: list[int]

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        self.order.append(self.sid)

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.sleep_forever()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


async def test_whoever_is_likely_to_lead_next_is_told_first() -> None:
    learners, order = Learners(lambda link, has_another: None), list[int]()
    for sid in (2, 4, 1, 3):
        link = LearnerLink(Told(sid, order), HostPort("192.0.2.1", sid), 1.0)
        handler = LearnerHandler(link, LearnerInfo(sid), observes=False, accepted_epoch=0, sync_s=1.0)
        handler.synced = True
        learners.add(handler)
    await learners.hang_up(QuorumPacket(PacketType.RESIGNATION, -1))
    assert order == [4, 3, 2, 1]
