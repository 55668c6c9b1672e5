"""What is suspicious about hosts and ports."""

from pathlib import Path

import attrs
import pytest
from checked import THREE, codes, configured

from trio_fle.check.addresses import address_findings, hosts_of
from trio_fle.check.finding import Finding, Severity
from trio_fle.peers.names import Names

RESOLVED = Names(
    {"zk1": ("10.0.0.1",), "zk2": ("10.0.0.2",), "zk3": ("10.0.0.3",)},
    own=frozenset({"10.0.0.1", "127.0.0.1"}),
)
TWO = "server.2=zk2:2888:3888\nserver.3=zk3:2888:3888\n"


def found(directory: Path, lines: str, names: Names = RESOLVED) -> list[Finding]:
    return list(address_findings(configured(directory, lines), names))


def test_three_hosts_with_the_usual_ports_are_fine(tmp_path: Path) -> None:
    assert found(tmp_path, THREE + "clientPort=2181\n") == []
    assert hosts_of(configured(tmp_path)) == {"zk1", "zk2", "zk3"}


@pytest.mark.parametrize(
    ("lines", "said", "servers"),
    [
        (
            TWO + "server.1=zk2:2888:3889\n",
            "the quorum port of server 1 and the quorum port of server 2",
            (1, 2),
        ),
        (
            TWO + "server.1=zk2:3888:3889\n",
            "the quorum port of server 1 and the election port of server 2",
            (1, 2),
        ),
        (THREE + "clientPort=3888\n", "the election port of server 1 and the client port of server 1", (1,)),
        (
            TWO + "server.1=zk1:2888:3888;zk1:2888\n",
            "quorum port of server 1 and the client port of server 1",
            (1,),
        ),
        (
            THREE.replace("zk2:2888:3888", "zk2:2888:3888;2888"),
            "client port of server 2 are both zk2:2888",
            (2,),
        ),
        (
            THREE + "admin.serverPort=2888\n",
            "quorum port of server 1 and the admin.serverPort of server 1",
            (1,),
        ),
        (THREE + "clientPort=8080\n", "client port of server 1 and the admin.serverPort of server 1", (1,)),
        (
            "multiAddress.enabled=true\nserver.1=zk1:2888:3888|zk1:2889:3888\n" + TWO,
            "the election port of server 1 and the election port of server 1",
            (1,),
        ),
    ],
)
def test_one_place_for_two_listeners_is_an_error(
    lines: str, said: str, servers: tuple[int, ...], tmp_path: Path
) -> None:
    clash = next(each for each in found(tmp_path, lines) if each.code == "same_endpoint")
    assert said in clash.message
    assert (clash.servers, clash.severity) == (servers, Severity.ERROR)


def test_a_client_port_of_another_host_or_a_disabled_admin_server_is_no_clash(tmp_path: Path) -> None:
    lines = THREE.replace("zk2:2888:3888", "zk2:2888:3888;2181")
    assert found(tmp_path, lines + "clientPort=2181\n") == []
    assert found(tmp_path, lines + "clientPort=8080\nadmin.enableServer=false\n") == []


def test_names_that_lead_to_one_place_are_a_warning_since_names_change(tmp_path: Path) -> None:
    one_place = attrs.evolve(RESOLVED, addresses=RESOLVED.addresses | {"zk3": ("10.0.0.2",)})
    clashes = found(tmp_path, THREE, one_place)
    assert codes(clashes) == [("same_endpoint", (2, 3))] * 2
    assert {each.severity for each in clashes} == {Severity.WARNING}
    assert "zk2 and zk3 have the same address here" in clashes[0].message


def test_two_servers_on_this_host_need_two_ports_for_http(tmp_path: Path) -> None:
    lines = "server.1=zk1:2888:3888\nserver.2=zk1:2889:3889\nserver.3=zk3:2888:3888\n"
    assert codes(found(tmp_path, lines)) == [("shared_admin_port", (1, 2))]
    assert found(tmp_path, lines + "admin.serverPort=8081\n") == []
    assert found(tmp_path, lines + "admin.enableServer=false\n") == []


@pytest.mark.parametrize(
    ("line", "severity"),
    [
        ("server.1=zk1:0:3888", Severity.ERROR),
        ("server.1=zk1:2888:0", Severity.ERROR),
        ("server.1=zk1:2888:3888;0", Severity.WARNING),
    ],
)
def test_port_0_can_not_be_dialled(line: str, severity: Severity, tmp_path: Path) -> None:
    (zero,) = found(tmp_path, f"{line}\n{TWO}")
    assert (zero.code, zero.servers, zero.severity) == ("port_zero", (1,), severity)


def test_a_wildcard_is_a_risk_in_the_own_line_and_wrong_in_any_other(tmp_path: Path) -> None:
    (own,) = found(tmp_path, "server.1=0.0.0.0:2888:3888\n" + TWO)
    assert (own.code, own.severity) == ("own_wildcard", Severity.WARNING)
    assert "quorumListenOnAllIPs=true" in own.message
    (peer,) = found(tmp_path, THREE.replace("zk3", "[::]"))
    assert (peer.code, peer.servers, peer.severity) == ("peer_wildcard", (3,), Severity.ERROR)


def test_loopback_beside_other_hosts_is_told_and_alone_is_not(tmp_path: Path) -> None:
    mixed = found(tmp_path, THREE.replace("zk1", "127.0.0.1").replace("zk3", "localhost"))
    assert codes(mixed) == [("loopback_mixed", (1,)), ("loopback_mixed", (3,))]
    alone = "admin.enableServer=false\n" + "".join(
        f"server.{sid}=localhost:{2888 + sid}:{3888 + sid}\n" for sid in (1, 2, 3)
    )
    assert found(tmp_path, alone, Names({"localhost": ("127.0.0.1",)}, own=frozenset({"127.0.0.1"}))) == []


def test_a_name_that_is_loopback_here_is_told_by_whose_it_is(tmp_path: Path) -> None:
    own = attrs.evolve(
        RESOLVED, addresses=RESOLVED.addresses | {"zk1": ("127.0.1.1",)}, own=frozenset({"127.0.1.1"})
    )
    (told,) = found(tmp_path, THREE, own)
    assert (told.code, told.servers) == ("own_loopback", (1,))
    assert "zk1, has the address 127.0.1.1 here" in told.message
    assert found(tmp_path, THREE + "quorumListenOnAllIPs=true\n", own) == []
    peer = attrs.evolve(RESOLVED, addresses=RESOLVED.addresses | {"zk2": ("127.0.1.1",)})
    assert codes(found(tmp_path, THREE, peer)) == [("peer_loopback", (2,))]


def test_a_name_without_an_address_is_told_with_the_reason(tmp_path: Path) -> None:
    unresolved = Names({"zk1": ("10.0.0.1",)}, {"zk2": "Name or service not known"}, frozenset({"10.0.0.1"}))
    (told,) = found(tmp_path, THREE, unresolved)
    assert (told.code, told.servers) == ("unresolved", (2,))
    assert "zk2 has no address here now (Name or service not known)" in told.message


def test_the_own_line_of_another_machine_is_told_and_so_is_who_is_here(tmp_path: Path) -> None:
    elsewhere = attrs.evolve(RESOLVED, own=frozenset({"10.0.0.3"}))
    own, peer = found(tmp_path, THREE, elsewhere)
    assert (own.code, own.servers) == ("foreign_own_address", (1,))
    assert "quorumListenOnAllIPs=true" in own.message
    assert (peer.code, peer.servers) == ("peer_is_here", (3,))
    assert "10.0.0.3" in peer.message
    assert codes(found(tmp_path, THREE + "quorumListenOnAllIPs=true\n", elsewhere)) == [
        ("peer_is_here", (3,))
    ]


def test_a_kubernetes_service_names_the_option_that_binds_everywhere(tmp_path: Path) -> None:
    lines = "server.1=zk-0.zk.prod.svc.cluster.local:2888:3888\n" + TWO
    (told,) = found(tmp_path, lines, Names())
    assert (told.code, told.servers) == ("bind_own_address", (1,))
    assert "quorumListenOnAllIPs=true" in told.message
    assert found(tmp_path, lines + "quorumListenOnAllIPs=true\n", Names()) == []


def test_several_addresses_need_a_system_property_in_java(tmp_path: Path) -> None:
    lines = "multiAddress.enabled=true\nserver.1=zk1:2888:3888|zk1b:2888:3888\n" + TWO
    (told,) = found(tmp_path, lines)
    assert (told.code, told.servers) == ("multi_address_property", (1,))
    assert "-Dzookeeper.multiAddress.enabled=true" in told.message
    assert found(tmp_path, "multiAddress.enabled=true\n" + THREE) == []
