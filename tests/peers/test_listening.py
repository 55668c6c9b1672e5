"""The election port: bound with patience, and open whatever callers do."""

import errno
import os

import pytest
import trio
from nodes import Node, address_of, call, start_all
from socket_errors import IN_USE, UNRESOLVED
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_fle.config import TransportOptions
from trio_fle.errors import ListenError
from trio_fle.sim.members.network import VirtualNetwork


async def test_silent_callers_do_not_delay_a_server_that_joins(autojump_clock: MockClock) -> None:
    """ZOOKEEPER-3296, and the slow loris: a Java listener waits for each of them in turn."""
    node = Node(VirtualNetwork(), 1, (1, 2))
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [node])
        silent = [node.net.call(address_of(1)) for _ in range(100)]
        before = trio.current_time()
        await (await call(node, 2)).say(1)
        await wait_all_tasks_blocked()
        assert node.heard == [(2, 1)]
        assert trio.current_time() == before
        for stream in silent:
            assert await stream.receive_some() == b""
        assert trio.current_time() - before == pytest.approx(node.options.handshake_timeout_s)
        nursery.cancel_scope.cancel()


async def test_of_too_many_silent_callers_the_one_that_waited_longest_goes(autojump_clock: MockClock) -> None:
    node = Node(VirtualNetwork(), 1, (1, 2))
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [node])
        silent = []
        for _ in range(600):
            silent.append(node.net.call(address_of(1)))
            await wait_all_tasks_blocked()
        for stream in silent[:88]:
            assert await stream.receive_some() == b""
        await (await call(node, 2)).say(1)
        await wait_all_tasks_blocked()
        assert node.heard == [(2, 1)]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ECONNABORTED, errno.ETIMEDOUT, errno.ENOBUFS])
async def test_errors_of_accept_do_not_end_the_listener(number: int, autojump_clock: MockClock) -> None:
    """ZOOKEEPER-2836: for a second of each."""
    node = Node(VirtualNetwork(), 1, (1, 2))
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [node])
        node.net.listeners[address_of(1)].errors += [OSError(number, os.strerror(number))] * 10
        caller = await call(node, 2)
        await trio.sleep(2)
        await caller.say(1)
        await caller.say(2)
        late = await call(node, 3)
        await late.say(3)
        await wait_all_tasks_blocked()
        assert node.heard == [(2, 1), (2, 2), (3, 3)]
        assert len(node.named("peer.rejected")) <= 1
        nursery.cancel_scope.cancel()


async def test_an_address_in_use_is_tried_so_often_and_no_more(autojump_clock: MockClock) -> None:
    net = VirtualNetwork(bind_errors=[IN_USE] * 3)
    node = Node(net, 1, (1,))
    with pytest.RaisesGroup(
        pytest.RaisesExc(ListenError, match=r"192\.0\.2\.1:3888: Address already in use \(3 tries\)"),
        flatten_subgroups=True,
    ):
        async with trio.open_nursery() as nursery:
            await nursery.start(node.run)
    assert trio.current_time() == 2
    assert [each["tries"] for each in node.named("listen.retry")] == [1, 2]


async def test_an_address_that_becomes_free_in_time_is_taken(autojump_clock: MockClock) -> None:
    net = VirtualNetwork(bind_errors=[IN_USE] * 2)
    node = Node(net, 1, (1,))
    async with trio.open_nursery() as nursery:
        await nursery.start(node.run)
        assert trio.current_time() == 2
        nursery.cancel_scope.cancel()


async def test_no_number_of_tries_means_for_ever(autojump_clock: MockClock) -> None:
    net = VirtualNetwork(bind_errors=[IN_USE] * 1000)
    node = Node(net, 1, (1,), TransportOptions(bind_retries=0))
    async with trio.open_nursery() as nursery:
        await nursery.start(node.run)
        assert trio.current_time() == 1000
        nursery.cancel_scope.cancel()


async def test_an_own_name_that_does_not_resolve_yet_is_waited_for(autojump_clock: MockClock) -> None:
    """ZOOKEEPER-3320, -3991 (testCnxManagerListenerThreadConfigurableRetry): not one of the tries."""
    net = VirtualNetwork(bind_errors=[UNRESOLVED] * 60)
    one, two = Node(net, 1, (1, 2)), Node(net, 2, (1, 2))
    async with trio.open_nursery() as nursery:
        await nursery.start(one.run)
        assert trio.current_time() == 60
        await nursery.start(two.run)
        await trio.sleep(1)
        assert one.manager.connected == {2}
        assert one.named("listen.unresolved")
        nursery.cancel_scope.cancel()
