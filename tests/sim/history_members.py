"""Old bugs of leaders and followers, and how two leaders came to act at once."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from learners import INIT_S, TICK_S, ScriptedLeader, stage
from scenario import scenario, within
from witness import THREE, isolate, watched

from trio_fle.ensemble import HostPort
from trio_fle.errors import ConnectionLostError, StorageError
from trio_fle.sim.members.disk import VirtualDisk
from trio_fle.sim.members.ensemble import VirtualEnsemble
from trio_fle.sim.members.network import VirtualNetwork, host_of
from trio_fle.sim.members.streams import VirtualStream
from trio_fle.storage import StoredVote
from trio_fle.vote import PeerState, Vote, make_zxid
from trio_fle.wire import Protocol, decode_hello
from trio_fle.wire.packet import PacketType, QuorumPacket

OBSERVED = {1: "participant", 2: "participant", 3: "participant", 4: "observer", 5: "observer"}
FULL = StorageError("currentEpoch: No space left on device")


@asynccontextmanager
async def members(roles: dict[int, str]) -> AsyncIterator[VirtualEnsemble]:
    """Members that live as long as the block."""
    async with trio.open_nursery() as nursery:
        yield VirtualEnsemble(nursery, roles)
        nursery.cancel_scope.cancel()


# Around the election


@scenario
async def a_dead_peer_delays_an_election() -> None:
    """While one server's machine was down, each election of the others waited for a dial to it."""
    async with members(THREE) as ensemble:
        ensemble.net.black_holes.add(HostPort(host_of(2), 3888))
        await ensemble.start(3)
        await trio.sleep(1)
        await ensemble.start(1)
        with within(2, "a leader of the two that are up"):
            await ensemble.running[1].member.wait_for_leader()


@scenario
async def observers_dial_each_other() -> None:
    """Observers kept connections with each other, and voted into them."""
    async with members(OBSERVED) as ensemble:
        await ensemble.start()
        await trio.sleep(5)
        hosts = {host_of(4), host_of(5)}
        between = [each for each in ensemble.net.dialled if {each[0], each[1].host} == hosts]
        assert not between, f"observers dial each other {len(between)} times"


@scenario
async def a_handshake_that_old_servers_refuse() -> None:
    """In a rolling upgrade newer servers began with a handshake that the older ones do not know."""
    net = VirtualNetwork()
    hellos: list[bytes] = []

    def tap(stream: VirtualStream, data: bytes) -> None:
        if (stream.here, stream.port) == (host_of(3), 3888) and not hellos:
            hellos.append(data)

    net.tap = tap
    async with trio.open_nursery() as nursery:
        ensemble = VirtualEnsemble(nursery, THREE, net=net)
        await ensemble.start()
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    protocol = decode_hello(hellos[0]).protocol
    assert protocol is Protocol.V1, f"the handshake is {protocol.name}, though nobody asked for it"


# Leading


@scenario
async def voters_that_left_before_they_followed() -> None:
    """A leader whose voters had gone back to LOOKING waited for them as long as initLimit lasts."""
    async with stage() as play:
        await play.until_role("LEADING")
        for other in play.voters.values():
            other.silent = True
            await other.say(PeerState.LOOKING, Vote(2, 0, 0), round_=2)
        with within(2 * TICK_S, "a leader that nobody will follow gives up"):
            await play.until_role("LOOKING")


@scenario
async def an_epoch_that_nobody_acknowledged() -> None:
    """A leader made its new epoch the current one before a quorum had accepted it."""
    async with stage() as play:
        learner = await play.call(1)
        await learner.introduce()
        await learner.expect(PacketType.LEADERINFO)
        await trio.sleep(INIT_S / 2)
        stored = play.member.storage.stored
        assert stored.epoch == 0, f"epoch {stored.epoch} is current, and nobody has acknowledged it"


@scenario
async def two_newleaders_for_one_learner() -> None:
    """A learner was sent NEWLEADER twice, and acknowledged it twice."""
    async with stage() as play:
        learner = await play.call(1)
        new = await learner.discover()
        await learner.send(PacketType.ACK, new)
        with within(1, "UPTODATE"):
            while (packet := await learner.link.receive()).type != PacketType.UPTODATE:
                assert packet.type != PacketType.NEWLEADER, "NEWLEADER comes twice"


@scenario
async def a_leader_of_observers() -> None:
    """A leader whose followers had all gone led on, since two observers were still with it."""
    async with members(OBSERVED) as ensemble:
        await ensemble.start()
        await trio.sleep(1)
        assert ensemble.running[3].leads(), "there is no leader"
        ensemble.kill(1)
        ensemble.kill(2)
        await trio.sleep(5)
        assert not ensemble.running[3].leads(), "it leads two observers"


@scenario
async def a_full_disk() -> None:
    """A leader whose disk was full led on without writing, while the others elected a new one."""
    storage = VirtualDisk()
    async with stage(storage=storage) as play:
        learner = await play.call(1)
        await learner.introduce()
        storage.fails = FULL
        with contextlib.suppress(ConnectionLostError, trio.ClosedResourceError):
            new = await learner.expect(PacketType.LEADERINFO)
            await learner.acknowledge_epoch()
            await learner.send(PacketType.ACK, new.zxid)
        await trio.sleep(0.5)
        assert not play.member.leads(), "it leads, and could not write its epoch"
        assert play.failure == [FULL]


# Following


@scenario
async def what_a_follower_does_not_hold() -> None:
    """A follower acknowledged transactions that it had not written; they were lost when it crashed."""
    storage = VirtualDisk(StoredVote(0, 0, 0))
    votes = {1: Vote(1, make_zxid(1, 7), 1), 3: Vote(1, make_zxid(1, 7), 1)}
    async with stage(2, storage=storage, votes=votes) as play:
        leader = ScriptedLeader(play.net, 1)
        await leader.listen()
        await leader.discover(2, lease_s=None)
        await leader.send(PacketType.DIFF, make_zxid(1, 7))
        await leader.send(PacketType.NEWLEADER, make_zxid(2, 0))
        said: list[QuorumPacket] = []
        with trio.move_on_after(2):
            said += await leader.until_closed()
        kinds = [PacketType(packet.type).name for packet in said]
        assert storage.stored.epoch == 0, f"epoch {storage.stored.epoch} is current without its history"
        assert "ACK" not in kinds, "it acknowledges what it does not hold"


# Two leaders at once


@scenario
async def work_that_outlives_a_release() -> None:
    """A leader that releases its lock before its workers have ended: the next one's work beside them."""
    async with watched(THREE) as (ensemble, _, witness):
        await ensemble.start()
        await trio.sleep(2)
        await ensemble.running[witness.leader()].member.resign()
        await trio.sleep(3)
        assert witness.leader() == 2, "nobody has taken over"


@scenario
async def work_that_is_not_ended() -> None:
    """A lock's holder was cut off, and what it ran went on for minutes after another had taken the lock."""
    async with watched(THREE) as (ensemble, net, witness):
        await ensemble.start()
        await trio.sleep(2)
        isolate(net, 3, THREE)
        await trio.sleep(6)
        assert witness.leader() == 2, "nobody has taken over"


@scenario
async def work_after_a_pause() -> None:
    """A process that stood still for longer than its lease went on as the leader that it had been."""
    async with watched(THREE) as (ensemble, net, witness):
        await ensemble.start()
        await trio.sleep(2)
        leadership = ensemble.running[3].member.leadership
        assert leadership is not None, "there is no leader"
        ensemble.hang(3)
        isolate(net, 3, THREE)
        await trio.sleep(6)
        ensemble.go_on(3)
        assert not leadership.live, "its term is believed after a pause"
        net.mend_all()
        await trio.sleep(3)
        assert witness.leader() == 2, "nobody has taken over"


@scenario
async def a_voter_that_forgot() -> None:
    """A voter that was restarted within a lease had forgotten it, and helped to elect a second leader."""
    async with watched(THREE) as (ensemble, net, witness):
        await ensemble.start()
        await trio.sleep(2)
        isolate(net, 3, THREE)
        for sid in (1, 2):
            ensemble.kill(sid)
            await ensemble.start(sid)
        await trio.sleep(5)
        assert witness.leader() == 2, "nobody has taken over"


@scenario
async def a_lease_that_nobody_respects() -> None:
    """A leader that was cut off counted on its lease, and the others elected another meanwhile."""
    async with watched(THREE) as (ensemble, net, witness):
        await ensemble.start()
        await trio.sleep(2)
        isolate(net, 3, THREE)
        for sid in (1, 2):
            for stream in net.between(host_of(3), host_of(sid)):
                if stream.here == host_of(sid):
                    stream.reset()
        await trio.sleep(6)
        assert witness.leader() == 2, "nobody has taken over"
