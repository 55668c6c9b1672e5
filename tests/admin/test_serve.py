"""Both listeners: bound when they can be, served until cancelled, and no burden to the member."""

import errno
import http.client
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from ports import free_ports
from socket_errors import IN_USE, UNRESOLVED
from trio.abc import Stream
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_fle.admin import serve_admin
from trio_fle.config import AdminOptions, MemberConfig, TransportOptions
from trio_fle.election.options import ElectionOptions
from trio_fle.ensemble import HostPort, parse_ensemble
from trio_fle.errors import ConnectionLostError
from trio_fle.member.status import MemberStatus, Phase
from trio_fle.peers.transport import Transport
from trio_fle.sim.members.ensemble import captured_log
from trio_fle.sim.members.network import VirtualNetwork
from trio_fle.vote import LearnerType, PeerState

HTTP = HostPort("192.0.2.1", 8080)
CLIENT = HostPort("192.0.2.1", 2181)
LEADING = MemberStatus(
    myid=1,
    state=PeerState.LEADING,
    phase=Phase.BROADCAST,
    leader=1,
    epoch=5,
    accepted_epoch=5,
    zxid=0x5_0000_0000,
    round=9,
    vote=None,
    config_version=0,
    synced=True,
    lease_end=1000.0,
)


def config_with(options: AdminOptions) -> MemberConfig:
    return MemberConfig(
        path=Path("zoo.cfg"),
        myid=1,
        data_dir=Path("data"),
        data_log_dir=Path("data"),
        tick_time_ms=500,
        init_limit=10,
        sync_limit=5,
        ensemble=parse_ensemble("server.1=192.0.2.1:2888:3888:participant\nversion=0"),
        learner_type=LearnerType.PARTICIPANT,
        election=ElectionOptions(),
        transport=TransportOptions(),
        admin=options,
    )


class Admin:
    """What serves, on a network in memory unless told otherwise."""

    def __init__(self, options: AdminOptions | None = None, transport: Transport | None = None) -> None:
        self.options = options or AdminOptions(address=HTTP, client_address=CLIENT)
        self.net = VirtualNetwork()
        self.transport = transport or self.net.host("192.0.2.1")
        self.status = LEADING
        self.now = 999.0
        self.asked: list[str] = []
        self.log, self.events = captured_log()

    def tell_status(self) -> MemberStatus:
        self.asked.append("status")
        return self.status

    def tell_time(self) -> float:
        self.asked.append("clock")
        return self.now

    def named(self, event: str) -> list[dict[str, Any]]:
        return [each for each in self.events if each["event"] == event]

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[trio.Nursery]:
        """Everything that it does ends with the block."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.run)
            await wait_all_tasks_blocked()
            yield nursery
            nursery.cancel_scope.cancel()

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        await serve_admin(
            config_with(self.options),
            self.tell_status,
            self.tell_time,
            self.log,
            transport=self.transport,
            task_status=task_status,
        )

    async def say(self, address: HostPort, data: bytes, source: str = "198.51.100.7") -> bytes:
        """What is answered until the server closes."""
        stream = self.net.call(address, source)
        await stream.send_all(data)
        answer = await read_all(stream)
        await stream.aclose()
        return answer

    async def get(self, path: str) -> bytes:
        return await self.say(HTTP, f"GET {path} HTTP/1.0\r\n\r\n".encode())


async def read_all(stream: Stream) -> bytes:
    data = b""
    while chunk := await stream.receive_some():
        data += chunk
    return data


async def test_both_listeners_answer_from_the_status_and_the_clock_of_the_moment(
    autojump_clock: MockClock,
) -> None:
    admin = Admin()
    async with admin.serving():
        assert {(each["what"], each["address"]) for each in admin.named("admin.listening")} == {
            ("http", "192.0.2.1:8080"),
            ("four_letter", "192.0.2.1:2181"),
        }
        assert b"HTTP/1.1 200 OK" in await admin.get("/leader")
        assert b"Mode: leader" in await admin.say(CLIENT, b"srvr")
        admin.now = 1000.0
        assert b"HTTP/1.1 503 Service Unavailable" in await admin.get("/leader")
        assert b"not currently serving" in await admin.say(CLIENT, b"srvr")
        admin.status = attrs.evolve(LEADING, lease_end=1001.0)
        assert b"HTTP/1.1 200 OK" in await admin.get("/leader")
        assert trio.current_time() == 0


async def test_who_polls_is_told_what_holds_now(autojump_clock: MockClock) -> None:
    """What is told in the same words again is told of the same question, and of a status that is the same."""
    admin = Admin()
    following = attrs.evolve(LEADING, state=PeerState.FOLLOWING, leader=2, lease_end=None)
    async with admin.serving():
        for _ in range(2):
            for now, status, path, leads in (
                (999.0, LEADING, "/leader", b"200"),
                (1000.0, LEADING, "/leader", b"503"),
                (1000.0, following, "/leader", b"503"),
                (1000.0, following, "/follower", b"200"),
                (1000.0, following, "/follower", b"200"),
                (1001.0, attrs.evolve(following, phase=Phase.ELECTION), "/follower", b"503"),
                (999.0, LEADING, "/follower", b"503"),
            ):
                admin.now, admin.status = now, status
                assert (await admin.get(path)).startswith(b"HTTP/1.1 " + leads), (now, status, path)


@pytest.mark.parametrize("address", [HTTP, CLIENT])
async def test_the_clock_is_read_after_the_status(address: HostPort, autojump_clock: MockClock) -> None:
    """The other way round a lease could look longer than it is."""
    admin = Admin()
    async with admin.serving():
        question = b"GET /leader HTTP/1.0\r\n\r\n" if address == HTTP else b"srvr"
        assert await admin.say(address, question)
        assert admin.asked == ["status", "clock"]


async def test_an_address_that_can_not_be_had_is_a_warning_and_tried_again_ever_more_rarely(
    autojump_clock: MockClock,
) -> None:
    admin = Admin(AdminOptions(address=HTTP))
    admin.net.bind_errors += [IN_USE] * 8 + [UNRESOLVED] * 2
    async with admin.serving():
        assert trio.current_time() == 0, "nobody waits for it"
        for count, at in enumerate([0, 1, 3, 7, 15, 31, 61, 91, 121, 151]):
            if at:
                await trio.sleep_until(at - 0.1)
                assert len(admin.events) == count
            await trio.sleep_until(at + 0.1)
            assert len(admin.events) == count + 1
        assert not admin.named("admin.listening")
        await trio.sleep_until(181.1)
        assert await admin.get("/livez")
    warnings = admin.named("admin.unavailable")
    assert [each["reason"] for each in warnings] == (
        ["Address already in use"] * 8 + ["Name or service not known"] * 2
    )
    assert {(each["level"], each["what"], each["address"]) for each in warnings} == {
        ("warning", "http", "192.0.2.1:8080")
    }


async def test_one_address_that_can_not_be_had_is_no_matter_to_the_other(autojump_clock: MockClock) -> None:
    admin = Admin()
    async with trio.open_nursery() as nursery:
        await nursery.start(Admin(AdminOptions(address=HTTP), admin.transport).run)
        await wait_all_tasks_blocked()
        async with admin.serving():
            assert [each["what"] for each in admin.named("admin.unavailable")] == ["http"]
            assert await admin.say(CLIENT, b"srvr")
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("options", "listening"),
    [
        (AdminOptions(address=HTTP, client_address=CLIENT), {HTTP, CLIENT}),
        (AdminOptions(address=HTTP), {HTTP}),
        (AdminOptions(enabled=False, address=HTTP, client_address=CLIENT), {CLIENT}),
        (AdminOptions(enabled=False, address=HTTP), set()),
    ],
)
async def test_what_is_configured_is_listened_on_and_nothing_else(
    options: AdminOptions, listening: set[HostPort], autojump_clock: MockClock
) -> None:
    admin = Admin(options)
    async with admin.serving() as nursery:
        assert admin.net.listeners.keys() == listening
        await trio.sleep(1000)
        assert len(nursery.child_tasks) == 1, "it goes on until cancelled"
    assert admin.net.listeners == {}


async def test_a_connection_is_kept_as_long_as_is_configured(autojump_clock: MockClock) -> None:
    admin = Admin(AdminOptions(address=HTTP, idle_timeout_s=12))
    async with admin.serving():
        stream = admin.net.call(HTTP)
        await stream.send_all(b"GET /livez HTTP/1.1\r\nHost: member\r\n\r\n")
        assert await read_all(stream)
        assert trio.current_time() == 12


async def test_nothing_is_left_open_when_it_is_cancelled(autojump_clock: MockClock) -> None:
    admin = Admin()
    async with admin.serving():
        streams = [admin.net.call(address) for address in (HTTP, CLIENT)]
        await streams[0].send_all(b"GET /livez HT")
        await wait_all_tasks_blocked()
    assert [await stream.receive_some() for stream in streams] == [b"", b""]
    with pytest.raises(ConnectionLostError):
        admin.net.call(HTTP)


@pytest.mark.parametrize("address", [HTTP, CLIENT])
async def test_strangers_cost_one_line_a_minute_each(address: HostPort, autojump_clock: MockClock) -> None:
    admin = Admin()
    async with admin.serving():
        for _ in range(100):
            for source in ("198.51.100.7", "198.51.100.8"):
                await admin.say(address, b"\x16\x03\x01\x02\n\n", source)
        assert [each["address"] for each in admin.named("admin.rejected")] == ["198.51.100.7", "198.51.100.8"]
        await trio.sleep(60)
        await admin.say(address, b"\x16\x03\x01\x02\n\n")
    last = admin.named("admin.rejected")[-1]
    assert (last["level"], last["suppressed"]) == ("info", 99)
    assert last["what"] == ("http" if address == HTTP else "four_letter")


async def test_callers_that_only_connect_cost_no_line(autojump_clock: MockClock) -> None:
    admin = Admin()
    async with admin.serving():
        for address in (HTTP, CLIENT):
            await admin.net.call(address).aclose()
            silent = admin.net.call(address)
            assert await read_all(silent) == b""
        assert len(admin.events) == 2, "those that say where it listens"


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ECONNABORTED])
async def test_errors_of_accept_do_not_end_the_listener(number: int, autojump_clock: MockClock) -> None:
    admin = Admin()
    async with admin.serving():
        error = OSError(number, os.strerror(number))
        admin.net.listeners[HTTP].errors += [error] * 50
        assert await admin.get("/livez")  # accepted by the call that waited already
        assert await admin.get("/livez")
        assert trio.current_time() == pytest.approx(5)
        assert [each["reason"] for each in admin.named("admin.unavailable")] == [os.strerror(number)]


async def wait_for(events: list[dict[str, Any]], event: str, count: int = 1) -> None:
    while [each["event"] for each in events].count(event) < count:  # noqa: ASYNC110  # all there is to see
        await trio.sleep(0.01)


@pytest.mark.interop
async def test_a_port_in_use_is_taken_once_it_is_free() -> None:
    [port] = free_ports(1)
    options = AdminOptions(address=HostPort("127.0.0.1", port))
    log, events = captured_log()

    with trio.fail_after(60), socket.create_server(("127.0.0.1", port)) as other:
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(serve_admin, config_with(options), lambda: LEADING, lambda: 0.0, log))
            await wait_for(events, "admin.unavailable")
            assert events[0]["reason"] == "Address already in use"
            other.close()
            await wait_for(events, "admin.listening")
            socket.create_connection(("127.0.0.1", port)).close()
            nursery.cancel_scope.cancel()


@pytest.mark.interop
async def test_programs_that_speak_http_and_four_letters_are_served_on_real_sockets() -> None:
    """The standard library's HTTP client, and what ``echo srvr | nc`` does."""
    http_port, client_port = free_ports(2)
    options = AdminOptions(
        address=HostPort("0.0.0.0", http_port), client_address=HostPort("localhost", client_port)
    )
    log, events = captured_log()

    def ask() -> list[tuple[str, int, str | None, int]]:
        connection = http.client.HTTPConnection("127.0.0.1", http_port, timeout=30)
        answers = []
        for method, path in [
            ("GET", "/leader"),
            ("HEAD", "/leader"),
            ("OPTIONS", "/leader"),
            ("POST", "/leader"),
            ("GET", "/nowhere"),
            ("GET", "/status"),
        ]:
            connection.request(method, path, body=b"x" * 5000 if method == "POST" else None)
            response = connection.getresponse()
            body = response.read()
            answers.append((method, response.status, response.headers["X-Leader-Epoch"], len(body)))
        connection.close()
        return answers

    def ask_word() -> str:
        with socket.create_connection(("localhost", client_port), timeout=30) as connection:
            connection.sendall(b"srvr\n")
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while chunk := connection.recv(4096):
                answer += chunk
            return answer.decode()

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(serve_admin, config_with(options), lambda: LEADING, lambda: 0.0, log))
            await wait_for(events, "admin.listening", 2)
            answers = await trio.to_thread.run_sync(ask)
            word = await trio.to_thread.run_sync(ask_word)
            nursery.cancel_scope.cancel()
    assert [answer[:3] for answer in answers] == [
        ("GET", 200, "5"),
        ("HEAD", 200, "5"),
        ("OPTIONS", 200, "5"),
        ("POST", 405, None),
        ("GET", 404, None),
        ("GET", 200, None),
    ]
    assert [length > 0 for *_, length in answers] == [True, False, False, True, True, True]
    assert "\nMode: leader\n" in word
    assert {each["event"] for each in events} == {"admin.listening"}
