"""Asking all servers: each failure has its name, nobody waits for another, and two lines may lead to one."""

from collections.abc import Sequence
from unittest import mock

import attrs
import pytest
import trio
from trio.abc import Listener, Stream
from trio.testing import memory_stream_pair

from trio_fle.ensemble import HostPort, Server, ServerAddress
from trio_fle.errors import ConnectionLostError, RefusedError
from trio_fle.peers import asking
from trio_fle.peers.asking import Answer, Asking
from trio_fle.peers.listening import read_hello
from trio_fle.peers.names import Names
from trio_fle.vote import PeerState, Vote
from trio_fle.wire import Layout, Notification, encode_frame, encode_notification

WITHIN_S = 5.0
STATE = Notification(PeerState.FOLLOWING, Vote(3, 7, 1), 2, config=b"version=0")


def answering(sid: int) -> bytes:
    return encode_frame(encode_notification(attrs.evolve(STATE, round=sid), Layout.CONFIG))


@attrs.define
class Ports:
    """A transport to ports that behave in one way each, by number."""

    nursery: trio.Nursery
    ids: list[int] = attrs.field(factory=list)
    dialled: list[int] = attrs.field(factory=list)

    async def dial(self, addresses: Sequence[HostPort]) -> Stream:
        port = addresses[0].port
        self.dialled.append(port)
        match port % 10:
            case 1:
                raise RefusedError("refused")
            case 2:
                raise ConnectionLostError("no route to host")
            case 3:
                await trio.sleep_forever()
        near, far = memory_stream_pair()
        self.nursery.start_soon(self._serve, far, port)
        return near

    async def _serve(self, stream: Stream, port: int) -> None:
        match port % 10:
            case 4:
                await trio.sleep_forever()
            case 5:
                await stream.receive_some(100)
            case 6:
                await stream.send_all(b"HTTP/1.1 400 Bad Request")
                await trio.sleep_forever()
            case _:
                self.ids.append((await read_hello(stream)).sid)
                await trio.sleep(0.25)
                await stream.send_all(answering(port // 10))
                await trio.sleep_forever()
        await stream.aclose()

    async def listen(self, addresses: Sequence[HostPort]) -> Sequence[Listener[Stream]]:
        raise NotImplementedError

    async def numeric(self, address: HostPort) -> HostPort:
        raise NotImplementedError

    def remote(self, stream: Stream) -> HostPort:
        raise NotImplementedError


def server(sid: int, election: int, quorum: int = 1, host: str = "zk") -> Server:
    return Server(sid, (ServerAddress(host, quorum, election),))


async def ask(
    nursery: trio.Nursery, *servers: Server, names: Names | None = None
) -> tuple[Ports, dict[int, Answer]]:
    ports = Ports(nursery)
    asks = Asking(ports, HostPort("127.0.0.1", 1), WITHIN_S, names or Names())
    return ports, await asks.all({each.sid: each for each in servers})


async def test_every_failure_has_its_name_and_all_are_asked_at_once(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    ports = [19, 21, 32, 43, 54, 65, 76]
    _, answers = await ask(nursery, *(server(port // 10, port) for port in ports))
    assert {sid: each.failure for sid, each in answers.items()} == {
        1: None, 2: "refused", 3: "unreachable", 4: "timeout", 5: "silent", 6: "closed", 7: "malformed"
    }  # fmt: skip
    assert trio.current_time() == pytest.approx(WITHIN_S)
    assert answers[1].notification == attrs.evolve(STATE, round=1)
    assert answers[1].latency_s == pytest.approx(0.25), "until it came, not until nothing more came"
    assert answers[4].said == "no connection in 5 s"


async def test_a_name_without_an_address_is_not_dialled(nursery: trio.Nursery) -> None:
    names = Names(failures={"gone": "Name or service not known"})
    ports, answers = await ask(nursery, server(1, 19, host="gone"), names=names)
    assert (answers[1].failure, answers[1].said) == ("unresolved", "Name or service not known")
    assert ports.dialled == []


@pytest.mark.parametrize(
    ("election", "asked_across"), [(1, True), (4, True), (5, True), (6, True), (2, False), (3, False)]
)
async def test_who_does_not_answer_but_could_is_asked_on_the_quorum_port(
    election: int, asked_across: bool, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    _, answers = await ask(nursery, server(1, election, quorum=19))
    assert answers[1].on_quorum_port is asked_across
    assert (answers[1].notification is not None) is asked_across


async def test_each_server_is_asked_under_an_id_of_its_own(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    with mock.patch.object(asking.secrets, "randbelow", return_value=7):
        ports, answers = await ask(nursery, server(1, 19), server(2, 19), server(3, 19))
    first = asking.STRANGER_BASE + (1 << 32) + 7
    assert sorted(ports.ids) == [first, first + 1, first + 2]
    assert all(each.notification for each in answers.values())
