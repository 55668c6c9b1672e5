"""The quorum port is bound early by who is about to win, and by nobody else, nor for long."""

import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked
from witness import THREE, watched

from trio_fle.election.events import Decided, Settled
from trio_fle.ensemble import HostPort
from trio_fle.errors import RefusedError
from trio_fle.member.decisions import HOLD_S, STAND_BACK_S, Decisions, QuorumPort
from trio_fle.member.opening import quiet_logger
from trio_fle.sim.members.network import VirtualNetwork
from trio_fle.vote import PeerState, Vote

WAIT_S = 0.5
WHERE = HostPort("192.0.2.1", 2888)
DECIDED = Decided(Vote(1, 0, 0), 1, PeerState.LEADING, Settled.UNANIMOUS, duration_s=0.0, sent=0, received=0)


async def listens(net: VirtualNetwork) -> bool:
    try:
        await (await net.host("192.0.2.9").dial([WHERE])).aclose()
    except RefusedError:
        return False
    return True


@asynccontextmanager
async def waiting(told: list[bool]) -> AsyncIterator[tuple[VirtualNetwork, Decisions, list[Decided]]]:
    """Somebody waits for a decision, after the election has told so much."""
    net, got = VirtualNetwork(), list[Decided]()
    decisions = Decisions(QuorumPort(net.host(WHERE.host), lambda: [WHERE], quiet_logger()), WAIT_S)
    for favoured in told:
        decisions.favoured(favoured)

    async def wait() -> None:
        got.append(await decisions.next())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        yield net, decisions, got
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("told", [[True], [False, True], [True, False, True]])
async def test_who_is_about_to_win_listens_until_it_has_or_time_is_up(
    told: list[bool], autojump_clock: MockClock
) -> None:
    async with waiting(told) as (net, decisions, got):
        assert await listens(net)
        await trio.sleep(WAIT_S)
        assert await listens(net)
        await trio.sleep(HOLD_S + 0.1)
        assert not await listens(net)
        decisions.favoured(True)
        await wait_all_tasks_blocked()
        assert await listens(net)
        decisions.decided(DECIDED)
        await wait_all_tasks_blocked()
        assert got == [DECIDED]
        (listener,) = await decisions.port.take()
        assert await listens(net)
        await listener.aclose()
        assert not await listens(net)


@pytest.mark.parametrize("told", [[False], [True, False], [False, True, False], [True, True, False]])
async def test_only_what_holds_now_counts_however_often_it_changed(
    told: list[bool], autojump_clock: MockClock
) -> None:
    async with waiting(told) as (net, decisions, _):
        assert not await listens(net)
        for favoured in (True, False, True):
            decisions.favoured(favoured)
            await wait_all_tasks_blocked()
            assert await listens(net) is favoured


async def test_a_voter_that_is_left_alone_refuses_those_who_ask_whether_it_leads(
    autojump_clock: MockClock,
) -> None:
    """A refusal is what releases others from their promise to it."""
    async with watched(THREE) as (ensemble, net, _):
        await ensemble.start()
        await trio.sleep(2)
        for sid in (1, 2):
            ensemble.kill(sid)
        await trio.sleep(10)  # longer than its lease
        port = ensemble.running[3].member.config.me.addresses[0].quorum
        for _ in range(300):
            await trio.sleep(0.21)
            with pytest.raises(RefusedError):
                await net.host("192.0.2.9").dial([port])


async def test_who_is_elected_and_finds_its_quorum_port_taken_leaves_it_to_others_for_a_while(
    autojump_clock: MockClock,
) -> None:
    async with watched(THREE) as (ensemble, net, _):
        (taken,) = await net.host("192.0.2.3").listen([HostPort("192.0.2.3", 2888)])
        await ensemble.start()
        await trio.sleep(12)
        assert ensemble.roles_now() == {1: ("FOLLOWING", 2), 2: ("LEADING", 2), 3: ("FOLLOWING", 2)}
        elections = [each["round"] for each in ensemble.running[3].named("election.decided")]
        assert len(elections) == 2, "it was elected once, and nobody waited for it"
        (told,) = ensemble.running[3].named("leading.cant_listen")
        assert told["level"] == "error"
        assert told["address"] == "192.0.2.3:2888"
        assert "another quorum port" in told["hint"]
        await taken.aclose()
        ensemble.kill(2)
        await trio.sleep(2)
        assert ensemble.running[3].role() == ("LEADING", 3)


async def test_what_may_be_over_soon_keeps_nobody_from_trying_again(autojump_clock: MockClock) -> None:
    log, port, stood_back = quiet_logger(), QuorumPort, list[float]()
    refused = port(VirtualNetwork().host(WHERE.host), lambda: [WHERE], log)
    for error in (socket.gaierror(socket.EAI_AGAIN, "try again"), OSError(errno.EMFILE, "too many files")):
        refused.tell_refused(error, stood_back.append)
    assert stood_back == []
    assert refused.tell_refused(OSError(errno.EADDRINUSE, "in use"), stood_back.append).endswith(": in use")
    assert stood_back == [STAND_BACK_S]
