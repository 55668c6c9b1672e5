"""Whole members under configurations that change: in virtual time, over memory streams."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
from trio.testing import MockClock

from trio_fle.election.options import ElectionOptions
from trio_fle.ensemble import Ensemble, HostPort, parse_ensemble
from trio_fle.errors import RefusedError, StorageError
from trio_fle.sim.members.disk import VirtualConfigFiles
from trio_fle.sim.members.ensemble import VirtualEnsemble, VirtualMember, ensemble_of
from trio_fle.sim.members.network import host_of

THREE = dict.fromkeys((1, 2, 3), "participant")
FIRST = 1 << 32


@asynccontextmanager
async def playing(
    roles: Mapping[int, str] = THREE, *, reconfig: bool = True
) -> AsyncIterator[VirtualEnsemble]:
    async with trio.open_nursery() as nursery:
        yield VirtualEnsemble(nursery, roles, ElectionOptions(reconfig=reconfig))
        nursery.cancel_scope.cancel()


def versions(ensemble: VirtualEnsemble) -> dict[int, int]:
    return {sid: member.member.status.config_version for sid, member in ensemble.running.items()}


def on_disk(ensemble: VirtualEnsemble) -> dict[int, int | None]:
    return {
        sid: None if files.committed is None else files.committed.version
        for sid, files in ensemble.files.items()
    }


def reconfigured(roles: Mapping[int, str], version: int) -> Ensemble:
    return attrs.evolve(ensemble_of(roles), version=version)


async def restart_under(ensemble: VirtualEnsemble, sid: int, config: Ensemble) -> None:
    """Stop one, give it another dynamic file, and start it again: as an operator does."""
    if sid in ensemble.running:
        await ensemble.stop(sid)
    ensemble.files.setdefault(sid, VirtualConfigFiles()).committed = config
    await ensemble.start(sid)


async def test_the_first_leader_gives_the_configuration_its_first_version(autojump_clock: MockClock) -> None:
    async with playing() as ensemble:
        await ensemble.start()
        await trio.sleep(1)
        assert ensemble.leader() == 3
        assert versions(ensemble) == dict.fromkeys((1, 2, 3), FIRST)
        assert on_disk(ensemble) == dict.fromkeys((1, 2, 3), FIRST)
        assert [files.pending for files in ensemble.files.values()] == [None] * 3
        told = [member.named("config.adopted") for member in ensemble.running.values()]
        assert [[(each["version"], each["from_peer"]) for each in events] for events in told] == [
            [("0x100000000", 3)]
        ] * 3
        for sid in (3, 2):
            ensemble.kill(sid)
            await trio.sleep(1)
            await ensemble.start(sid)
            await trio.sleep(1)
        assert versions(ensemble) == dict.fromkeys((1, 2, 3), FIRST), "and never another one"
        assert all(len(member.named("config.adopted")) <= 1 for member in ensemble.running.values())


async def test_without_reconfiguration_the_version_stays_0_and_nothing_is_written(
    autojump_clock: MockClock,
) -> None:
    async with playing(reconfig=False) as ensemble:
        await ensemble.start()
        await trio.sleep(1)
        assert set(versions(ensemble).values()) == {0}
        assert set(on_disk(ensemble).values()) == {None}


async def test_a_leader_that_dies_before_all_know_of_the_version_leaves_it_to_the_next(
    autojump_clock: MockClock,
) -> None:
    async with playing() as ensemble:
        await ensemble.start()
        await ensemble.running[3].decision()
        while on_disk(ensemble)[3] is None:  # noqa: ASYNC110
            await trio.sleep(0.0001)
        ensemble.kill(3)
        await trio.sleep(2)
        # one of the two may have made the epoch of the killed leader its own, which counts more than an id
        voted = {sid: ensemble.running[sid].named("election.started")[-1]["epoch"] for sid in (1, 2)}
        assert ensemble.leader() == max((1, 2), key=lambda sid: (voted[sid], sid)), voted
        assert set(versions(ensemble).values()) <= {FIRST, 2 * FIRST}
        assert len(set(versions(ensemble).values())) == 1
        await ensemble.start(3)
        await trio.sleep(1)
        assert len(set(versions(ensemble).values())) == 1
        assert versions(ensemble) == on_disk(ensemble)


@pytest.mark.parametrize("newer_on", [1, 2, 3])
async def test_a_newer_file_on_one_is_that_of_all_after_the_next_election(
    newer_on: int, autojump_clock: MockClock
) -> None:
    """An operator adds a server: it is given the new list, and so is one of the old ones."""
    async with playing() as ensemble:
        await ensemble.start()
        await trio.sleep(1)
        wider = reconfigured(THREE | {4: "participant"}, FIRST + 1)
        ensemble.roles = THREE | {4: "participant"}
        await restart_under(ensemble, 4, wider)
        await restart_under(ensemble, newer_on, wider)
        await trio.sleep(1)
        leader = next(sid for sid, role in ensemble.roles_now().items() if role[0] == "LEADING")
        ensemble.kill(leader)
        await trio.sleep(8)
        assert set(versions(ensemble).values()) == {FIRST + 1}
        ensemble.leader()
        assert all(
            files.committed is not None and files.committed.text == wider.text
            for sid, files in ensemble.files.items()
            if sid != leader
        )
        await ensemble.start(leader)
        await trio.sleep(3)
        assert set(versions(ensemble).values()) == {FIRST + 1}
        ensemble.leader()


async def test_nothing_is_decided_under_a_configuration_before_it_is_on_disk(
    autojump_clock: MockClock,
) -> None:
    full = StorageError("zoo.cfg: No space left on device")
    async with playing() as ensemble:
        await ensemble.start(1, 2)
        await trio.sleep(1)
        await restart_under(ensemble, 2, reconfigured(THREE, FIRST + 1))
        member = ensemble.running[1]
        ensemble.files[1].fails = full
        with pytest.RaisesGroup(pytest.RaisesExc(StorageError, match="No space left")):
            async with trio.open_nursery() as nursery:
                ensemble.nursery = nursery
                await ensemble.stop(1)
                await ensemble.start(1)
                await trio.sleep(5)
        assert member.role()[0] != "LEADING"


async def test_a_member_listens_where_the_new_configuration_puts_it(autojump_clock: MockClock) -> None:
    async with playing() as ensemble:
        await ensemble.start()
        await trio.sleep(1)
        moved = reconfigured(THREE, FIRST + 1)
        servers = dict(moved.servers)
        (address,) = servers[1].addresses
        servers[1] = attrs.evolve(servers[1], addresses=(attrs.evolve(address, election_port=4888),))
        moved = attrs.evolve(moved, servers=servers)
        await restart_under(ensemble, 2, moved)
        await trio.sleep(1)
        ensemble.kill(3)
        await trio.sleep(4)  # nobody finds 1 where it was: it has to ask
        assert versions(ensemble) == {1: FIRST + 1, 2: FIRST + 1}
        assert is_open(ensemble, HostPort(host_of(1), 4888))
        assert not is_open(ensemble, HostPort(host_of(1), 3888))
        ensemble.leader()
        await ensemble.start(3)
        await trio.sleep(2)
        ensemble.leader()
        assert all(peer.connected for peer in ensemble.running[3].member.status.peers)


def is_open(ensemble: VirtualEnsemble, address: HostPort) -> bool:
    try:
        ensemble.net.call(address, "198.51.100.7")
    except RefusedError:
        return False
    return True


async def test_a_member_that_is_left_out_votes_no_more_and_follows_until_it_is_back(
    autojump_clock: MockClock,
) -> None:
    """Rolling restarts without one: it is no harm to the others, and no help."""
    async with playing() as ensemble:
        await ensemble.start()
        await trio.sleep(1)
        without = reconfigured({2: "participant", 3: "participant"}, FIRST + 1)
        await restart_under(ensemble, 2, without)
        await trio.sleep(1)
        await restart_under(ensemble, 3, without)
        await trio.sleep(3)
        left_out = ensemble.running[1]
        assert left_out.member.status.config_version == FIRST + 1
        assert left_out.named("config.not_a_member")
        assert left_out.role()[0] in ("FOLLOWING", "LOOKING")
        assert {ensemble.running[sid].role()[0] for sid in (2, 3)} == {"LEADING", "FOLLOWING"}
        ensemble.kill(3)
        await trio.sleep(5)
        assert ensemble.running[2].role() == ("LOOKING", None), "one of two, and 1 does not count"


@pytest.mark.parametrize(("before", "after"), [("observer", "participant"), ("participant", "observer")])
async def test_a_role_changes_with_the_configuration(
    before: str, after: str, autojump_clock: MockClock
) -> None:
    roles = THREE | {4: before}
    async with playing(roles) as ensemble:
        await ensemble.start()
        await trio.sleep(1)
        ensemble.roles = THREE | {4: after}
        changed = reconfigured(ensemble.roles, FIRST + 1)
        for sid in (1, 2):
            await restart_under(ensemble, sid, changed)
        await trio.sleep(1)
        leader = next(sid for sid, role in ensemble.roles_now().items() if role[0] == "LEADING")
        ensemble.kill(leader)
        await trio.sleep(8)
        ensemble.leader()
        member: VirtualMember = ensemble.running[4] if 4 in ensemble.running else ensemble.running[1]
        assert member.member.status.config_version == FIRST + 1
        observes = ensemble.roles[member.sid] == "observer"
        assert member.member.manager.redial_max_s == (1 if observes else 5)


async def test_a_candidate_whose_voters_live_under_a_newer_configuration_makes_way(
    autojump_clock: MockClock,
) -> None:
    """Else it would be elected for ever, by its id, with nobody who can follow it."""
    async with playing() as ensemble:
        ensemble.own_options = {3: ElectionOptions(reconfig=False)}
        await ensemble.start()
        await trio.sleep(1)
        assert ensemble.leader() == 3
        outdated = ensemble.running[3]
        changed = reconfigured(THREE, FIRST + 1)
        await restart_under(ensemble, 1, changed)
        await trio.sleep(60)
        assert outdated.role() == ("LEADING", 3), "one of them is no reason to go"
        await restart_under(ensemble, 2, changed)
        await trio.sleep(20)
        assert [event["peers"] for event in outdated.named("leading.outdated")] == [[1, 2]]
        leader = ensemble.leader()
        assert leader in (1, 2)
        assert outdated.role() == ("FOLLOWING", leader)
        ensemble.kill(leader)
        await trio.sleep(30)
        assert ensemble.leader() == 3 - leader, "it votes on"


async def test_who_adopts_what_the_next_start_would_refuse_says_so(autojump_clock: MockClock) -> None:
    async with playing() as ensemble:
        await ensemble.start()
        await trio.sleep(1)
        server = f"server.1={host_of(1)}:2888:3888"
        text = attrs.evolve(ensemble_of(THREE), version=FIRST + 1).text
        changed = parse_ensemble(
            text.replace(server, f"{server}|{host_of(1)}:2889:3889"), several_addresses=True
        )
        await restart_under(ensemble, 1, changed)
        await restart_under(ensemble, 2, changed)
        await trio.sleep(10)
        assert versions(ensemble) == dict.fromkeys((1, 2, 3), FIRST + 1)
        (told,) = ensemble.running[3].named("config.warning")
        assert "multiAddress.enabled=true" in told["reason"]


async def test_the_ensemble_that_a_member_belongs_to_is_kept_once_it_has_a_leader(
    autojump_clock: MockClock,
) -> None:
    async with playing(THREE | {4: "observer"}) as ensemble:
        await ensemble.start(1)
        await trio.sleep(5)
        assert ensemble.storages[1].ensemble == "", "it has no leader yet"
        await ensemble.start(2, 3, 4)
        await trio.sleep(5)
        kept = {storage.ensemble for storage in ensemble.storages.values()}
        assert kept == {reconfigured(ensemble.roles, FIRST).text}
