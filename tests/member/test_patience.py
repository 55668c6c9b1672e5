"""Waits that last too long are ended by one task; nobody is given up for what arrived in time."""

import math

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair, wait_all_tasks_blocked

from trio_fle.ensemble import HostPort
from trio_fle.member.learner_link import LearnerLink, LinkLostError, SilentLinkError
from trio_fle.member.patience import Patience
from trio_fle.wire.packet import PacketType, QuorumPacket, encode_packet

PING = encode_packet(QuorumPacket(PacketType.PING, 0))


def link_of(patience: Patience, patience_s: float) -> tuple[LearnerLink, trio.abc.Stream]:
    near, far = memory_stream_pair()
    return LearnerLink(near, HostPort("192.0.2.1", 1), patience_s, patience), far


async def read(link: LearnerLink) -> float:
    """Read until the link is given up; return when."""
    with link.scope:
        while True:
            await link.receive()
    with pytest.raises(SilentLinkError, match=f"silent for {link.patience_s:g} s"):
        link.check_heard()
    return trio.current_time()


async def test_each_link_is_given_up_after_its_own_silence(autojump_clock: MockClock) -> None:
    patience, ends = Patience(), {}

    async def one(patience_s: float, pings: int) -> None:
        link, far = link_of(patience, patience_s)

        async def ping() -> None:
            for _ in range(pings):
                await trio.sleep(1)
                await far.send_all(PING)

        nursery.start_soon(ping)
        ends[patience_s, pings] = await read(link)

    async with trio.open_nursery() as around:
        around.start_soon(patience.run)
        async with trio.open_nursery() as nursery:
            for patience_s, pings in ((5.0, 0), (1.5, 3), (1.5, 0), (9.0, 1), (0.2, 0)):
                nursery.start_soon(one, patience_s, pings)
        around.cancel_scope.cancel()
    assert ends == {(5.0, 0): 5.0, (1.5, 3): 4.5, (1.5, 0): 1.5, (9.0, 1): 10.0, (0.2, 0): 0.2}


async def test_patience_that_becomes_less_counts_from_the_next_wait(autojump_clock: MockClock) -> None:
    patience = Patience()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(patience.run)
        link, far = link_of(patience, 20.0)
        await far.send_all(PING)
        with link.scope:
            await link.receive()
            await trio.sleep(50)  # nobody waits meanwhile
            link.patience_s = 2.0
            await link.receive()
        with pytest.raises(SilentLinkError):
            link.check_heard()
        assert trio.current_time() == 52
        nursery.cancel_scope.cancel()


async def test_what_arrived_while_the_process_stood_still_was_no_silence(mock_clock: MockClock) -> None:
    """SIGSTOP, a debugger, a host that suspends its guests: the clock has gone on, and so has the network."""
    patience, heard = Patience(), 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(patience.run)
        link, far = link_of(patience, 1.0)

        async def listen() -> None:
            nonlocal heard
            with link.scope:
                while True:
                    await link.receive()
                    heard += 1

        nursery.start_soon(listen)
        for n in range(1, 20):
            await wait_all_tasks_blocked()
            await far.send_all(PING)
            mock_clock.jump(60)
            await wait_all_tasks_blocked()
            link.check_heard()
            assert heard == n
        nursery.cancel_scope.cancel()


async def test_an_end_is_an_end_and_no_silence(autojump_clock: MockClock) -> None:
    patience = Patience()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(patience.run)
        link, far = link_of(patience, 1.0)
        await far.aclose()
        with pytest.raises(LinkLostError):
            await read(link)
        await trio.sleep(5)
        link.check_heard()
        assert math.isclose(trio.current_time(), 5)
        nursery.cancel_scope.cancel()
