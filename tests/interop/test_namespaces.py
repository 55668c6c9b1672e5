"""The network that other tests play faults on: it does what it is told, and leaves nothing behind."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from namespaces import Network, both_ways, network

pytestmark = [pytest.mark.interop, pytest.mark.root]

ANSWER = """
import socket
with socket.create_server(("", 999)) as listener:
    print("up", flush=True)
    while True:
        stream, _ = listener.accept()
        stream.sendall(b"x")
"""
ASK = """
import socket, sys, time
began = time.perf_counter()
try:
    with socket.create_connection((sys.argv[1], 999), timeout=float(sys.argv[2])) as stream:
        stream.recv(1)
        print("connected", flush=True)
        print(1000 * (time.perf_counter() - began) if sys.argv[3] == "time" else stream.recv(1))
except OSError as error:
    print(type(error).__name__)
"""


def ask(net: Network, source: int, target: int, *, timeout_s: float = 0.3, what: str = "time") -> list[str]:
    words = [sys.executable, "-c", ASK, net.address(target), str(timeout_s), what]
    with subprocess.Popen([*net.within(source), *words], stdout=subprocess.PIPE, text=True) as asking:
        assert asking.stdout is not None
        first = asking.stdout.readline().strip()
        if what == "reset":
            net.reset(target, source)
        return [first, asking.stdout.read().strip()]


def took_ms(net: Network, source: int, target: int) -> float:
    connected, took = ask(net, source, target, timeout_s=5)
    assert connected == "connected"
    return float(took)


@contextmanager
def answering(net: Network) -> Iterator[None]:
    """Answer on every host."""
    processes = [
        subprocess.Popen([*net.within(sid), sys.executable, "-c", ANSWER], stdout=subprocess.PIPE, text=True)
        for sid in net.hosts
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        yield
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def names() -> str:
    return subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout


def test_what_is_cut_is_dropped_in_that_direction_only_until_it_is_mended() -> None:
    with network(3) as net, answering(net):
        net.cut([(1, 2)])
        for source, target in ((1, 2), (2, 1)):  # what passes one way only is no connection
            assert ask(net, source, target)[0] == "TimeoutError"
        assert took_ms(net, 1, 3) < 100
        net.cut(both_ways([3], [1, 2]))
        assert ask(net, 1, 3)[0] == "TimeoutError"
        assert took_ms(net, 1, 2) < 100
        net.heal()
        assert took_ms(net, 1, 3) < 100
        net.lose(1.0)
        assert ask(net, 1, 3)[0] == "TimeoutError"


def test_what_leaves_a_host_is_under_way_for_as_long_as_was_said() -> None:
    with network(2) as net, answering(net):
        net.delay(0.05)
        assert 200 <= took_ms(net, 1, 2) < 250, "the first answer comes two round trips later"
        net.delay(0.1, hosts=[1])
        net.delay(0.0, hosts=[2])
        assert 100 <= took_ms(net, 1, 2) < 250
        net.heal()
        assert took_ms(net, 1, 2) < 50


def test_a_connection_is_reset_for_both_sides() -> None:
    with network(2) as net, answering(net):
        assert ask(net, 1, 2, timeout_s=5, what="reset") == ["connected", "ConnectionResetError"]


def test_nothing_is_left_whatever_happens() -> None:
    with pytest.raises(KeyError), network(2) as net:  # noqa: PT012
        net.delay(0.01)
        assert net.prefix in names()
        raise KeyError
    assert net.prefix not in names()


def resolve(net: Network, sid: int, name: str) -> str:
    words = [*net.within(sid), "getent", "hosts", name]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()


def test_a_name_leads_where_it_was_said_to_lead_last() -> None:
    with network(2) as net, answering(net):
        net.name({1: "zk1"})
        assert resolve(net, 2, "zk1").split() == ["10.78.0.1", "zk1"]
        assert resolve(net, 2, "zk2") == ""
        net.move(1, 101)
        net.name({1: "zk1", 2: "zk2"})
        assert resolve(net, 2, "zk1").split() == ["10.78.0.101", "zk1"]
        assert resolve(net, 1, "zk2").split() == ["10.78.0.2", "zk2"]


def test_what_is_sent_to_an_old_address_is_lost() -> None:
    with network(2) as net, answering(net):
        assert took_ms(net, 2, 1) < 100
        net.move(1, 101)
        assert took_ms(net, 2, 1) < 100
        assert took_ms(net, 1, 2) < 100
        net.addresses.clear()
        assert ask(net, 2, 1)[0] == "TimeoutError"
