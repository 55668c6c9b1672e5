"""The library: a member is a block, leadership is a cancel scope, and nothing outlives either."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

import attrs
import pytest
import trio
from nodes import address_of
from trio.testing import MockClock

import trio_fle
from trio_fle.config import MemberConfig, TransportOptions
from trio_fle.election.options import ElectionOptions
from trio_fle.errors import StorageError
from trio_fle.member.term import Leadership
from trio_fle.sim.members.disk import VirtualDisk
from trio_fle.sim.members.ensemble import VirtualEnsemble, captured_log, ensemble_of
from trio_fle.sim.members.network import VirtualNetwork
from trio_fle.vote import LearnerType, PeerState

THREE = dict.fromkeys((1, 2, 3), "participant")
ALONE = {1: "participant"}


def config_of(sid: int, roles: dict[int, str]) -> MemberConfig:
    return MemberConfig(
        path=Path("zoo.cfg"),
        myid=sid,
        data_dir=Path("data"),
        data_log_dir=Path("data"),
        tick_time_ms=500,
        init_limit=10,
        sync_limit=5,
        ensemble=ensemble_of(roles),
        learner_type=LearnerType.PARTICIPANT,
        election=ElectionOptions(),
        transport=TransportOptions(),
    )


@attrs.define(eq=False)
class Alone:
    """What a member that is an ensemble by itself is opened with."""

    net: VirtualNetwork = attrs.field(factory=VirtualNetwork)
    storage: VirtualDisk = attrs.field(factory=VirtualDisk)

    def open(self) -> AbstractAsyncContextManager[trio_fle.Member]:
        return trio_fle.open_member(
            config_of(1, ALONE),
            transport=self.net.host("192.0.2.1"),
            storage=self.storage,
            clock=trio.current_time,
        )


async def test_a_body_runs_in_each_term_and_is_cancelled_at_its_end(autojump_clock: MockClock) -> None:
    bodies: list[tuple[str, int]] = []
    async with Alone().open() as member, trio.open_nursery() as nursery:

        async def serve() -> None:
            async for term in member.terms():
                async with term:
                    bodies.append(("begins", term.epoch))
                    assert term.live
                    try:
                        await trio.sleep_forever()
                    finally:
                        bodies.append(("ends", term.epoch))
                        assert term.epoch == 2 or not term.live
                assert term.ended_by == "resigned"

        nursery.start_soon(serve)
        await member.wait_for_leader()
        await member.resign()
        assert bodies == [("begins", 1), ("ends", 1)]
        await member.wait_for_leader()
        await trio.testing.wait_all_tasks_blocked()
        assert bodies[2:] == [("begins", 2)]
        nursery.cancel_scope.cancel()


async def test_a_term_takes_one_body_and_two_users_have_a_term_each(autojump_clock: MockClock) -> None:
    async with Alone().open() as member:
        await member.wait_for_leader()
        one, two = await anext(member.terms()), await anext(member.terms())
        assert one.epoch == two.epoch == 1
        async with one, two:
            with pytest.raises(trio.BusyResourceError):
                await one.__aenter__()


async def test_the_status_is_told_whenever_it_changes(autojump_clock: MockClock) -> None:
    leads, looks = (PeerState.LEADING, True), (PeerState.LOOKING, False)
    seen: list[tuple[PeerState, bool]] = []
    async with Alone().open() as member, trio.open_nursery() as nursery:
        async for status in member.changes():
            seen.append((status.state, status.leads(member.clock())))
            if seen[-1] == leads and looks not in seen[seen.index(leads) :]:
                nursery.start_soon(member.resign)
            elif seen[-1] == leads:
                break  # again: nobody else can
    assert seen.index(leads) < len(seen) - 1 - seen[::-1].index(looks) < len(seen) - 1


async def test_waiting_for_a_leader_returns_on_followers_too(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        ensemble = VirtualEnsemble(nursery, THREE)
        await ensemble.start()
        for sid in THREE:
            status = await ensemble.running[sid].member.wait_for_leader()
            assert (status.leader, status.epoch) == (3, 1)
        assert trio.current_time() < 1
        nursery.cancel_scope.cancel()


async def test_leaving_the_block_ends_everything_and_frees_the_ports(autojump_clock: MockClock) -> None:
    alone = Alone()
    before = trio.lowlevel.current_statistics().tasks_living
    async with alone.open() as member:
        await member.wait_for_leader()
        assert set(alone.net.listeners) == {address_of(1), attrs.evolve(address_of(1), port=2888)}
    assert trio.lowlevel.current_statistics().tasks_living == before
    assert alone.net.listeners == {}
    assert alone.storage.closed


async def test_an_error_in_the_block_comes_out_as_it_is(autojump_clock: MockClock) -> None:
    with pytest.raises(ZeroDivisionError):  # noqa: PT012
        async with Alone().open() as member:
            await member.wait_for_leader()
            raise ZeroDivisionError


async def test_a_disk_that_fails_ends_the_block_with_the_one_error(autojump_clock: MockClock) -> None:
    alone = Alone()
    with pytest.raises(StorageError, match="disk full"):  # noqa: PT012
        async with alone.open() as member:
            alone.storage.fails = StorageError("disk full")
            await member.wait_for_leader()


async def test_what_ends_the_block_is_told_though_the_disk_fails_then(autojump_clock: MockClock) -> None:
    alone = Alone()
    with pytest.raises(ZeroDivisionError):  # noqa: PT012
        async with alone.open() as member:
            await member.wait_for_leader()
            await trio.testing.wait_all_tasks_blocked()
            alone.storage.fails = StorageError("disk full")
            raise ZeroDivisionError
    with trio.move_on_after(1) as scope:
        alone.storage.fails = None
        async with alone.open() as member:
            await member.wait_for_leader()
            await trio.sleep(0.1)  # by now the epoch that it leads is its current one, durably
            alone.storage.fails = StorageError("disk full")
            await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_a_disk_that_fails_at_the_very_end_is_told(autojump_clock: MockClock) -> None:
    alone = Alone()
    with pytest.raises(StorageError, match="disk full"):  # noqa: PT012
        async with alone.open() as member:
            await member.wait_for_leader()
            await member.stop()
            alone.storage.fails = StorageError("disk full")


async def test_a_status_past_its_lease_leads_no_more_whatever_nobody_noticed(
    autojump_clock: MockClock,
) -> None:
    now = 100.0
    leadership = Leadership(1, 7, lambda: now, lease_end=102.0)
    assert leadership.live
    now = 102.0
    assert not leadership.live
    assert leadership.lease_left_s == 0
    leadership.renew(110.0)
    assert leadership.live
    leadership.end("resigned")
    leadership.renew(120.0)
    assert not leadership.live
    assert leadership.lease_end == 110.0


async def test_a_library_logs_nothing_unless_it_is_given_a_logger(
    autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    log, events = captured_log()
    net = VirtualNetwork()
    async with trio_fle.open_member(
        config_of(1, ALONE),
        transport=net.host("x"),
        storage=VirtualDisk(),
        log=log,
        clock=trio.current_time,
    ) as member:
        await member.wait_for_leader()
    assert any(event["event"] == "leading.established" for event in events)
    async with Alone().open() as member:
        await member.wait_for_leader()
    assert capsys.readouterr() == ("", "")


def test_each_name_of_the_package_is_what_its_home_calls_so() -> None:
    assert {name for names in trio_fle._HOMES.values() for name in names} == set(trio_fle.__all__)
    for name in trio_fle.__all__:
        assert getattr(trio_fle, name).__name__ == name
        assert name in dir(trio_fle)
    with pytest.raises(AttributeError, match="nothing_of_ours"):
        trio_fle.nothing_of_ours  # noqa: B018
