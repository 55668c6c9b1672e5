"""Two configurations that should be one: every line that differs is told, and nothing else."""

import pytest

from trio_fle.check.comparing import member_findings
from trio_fle.check.finding import Finding, Severity
from trio_fle.ensemble import parse_ensemble
from trio_fle.peers.names import Names

OURS = """\
server.1=zk1:2888:3888:participant
server.2=zk2:2888:3888:participant
server.3=zk3:2888:3888:participant;2181
version=0"""
NAMES = Names({"zk2": ("10.0.0.2",), "alias": ("10.0.0.2", "10.0.0.9")})


def compared(theirs: str, ours: str = OURS, teller: int = 2) -> list[Finding]:
    return list(member_findings(teller, parse_ensemble(ours), parse_ensemble(theirs), NAMES))


@pytest.mark.parametrize(
    ("old", "new", "code", "servers"),
    [
        ("zk1:2888:3888", "zk1:2888:3889", "members_differ", (2,)),
        ("zk1:2888:3888", "zk9:2888:3888", "members_differ", (2,)),
        ("zk1:2888:3888:participant", "zk1:2888:3888:observer", "members_differ", (2,)),
        ("zk1:2888:3888", "zk1:3888:2888", "ports_swapped", (2, 1)),
        ("zk2:2888:3888", "zk2:3888:2888", "ports_swapped", (2,)),
        ("zk2:2888:3888", "alias:2888:3888", "names_differ", (2,)),
        ("zk2:2888:3888", "0.0.0.0:2888:3888", "names_differ", (2,)),
        ("zk2:2888:3888", "ZK2:2888:3888", "names_differ", (2,)),
        ("zk2:2888:3888", "0.0.0.0:2888:3889", "members_differ", (2,)),
        (";2181", ";2182", "client_differs", (2, 3)),
        (";2181", ";zk3:2181", None, ()),
        (";2181", "", None, ()),
        ("version=0", "version=100000000", "version_differs", (2,)),
    ],
)
def test_one_difference_is_one_finding(
    old: str, new: str, code: str | None, servers: tuple[int, ...]
) -> None:
    assert old in OURS
    found = compared(OURS.replace(old, new))
    assert [(each.code, each.servers) for each in found] == ([(code, servers)] if code else [])
    wrong = code in ("members_differ", "ports_swapped")
    assert all((each.severity is Severity.ERROR) is wrong for each in found)


def test_the_lines_are_told_as_they_are_written() -> None:
    (differs,) = compared(OURS.replace("zk1:2888:3888", "zk1:2888:3889"), teller=3)
    assert differs.message == (
        "server.1: zk1:2888:3889:participant on server 3, zk1:2888:3888:participant in this file: "
        "make the lines equal on all servers"
    )


def test_a_line_that_one_side_lacks_is_a_difference() -> None:
    more = OURS + "\nserver.4=zk4:2888:3888:observer"
    (theirs,) = compared(more)
    assert "server.4: zk4:2888:3888:observer on server 2, no such line in this file" in theirs.message
    (ours,) = compared(OURS, more)
    assert "server.4: no such line on server 2, zk4:2888:3888:observer in this file" in ours.message


def test_groups_and_weights_are_compared_whatever_their_order() -> None:
    grouped = OURS + "\ngroup.1=1:2\ngroup.2=3\nweight.1=2"
    assert compared(OURS + "\ngroup.2=3\ngroup.1=2:1\nweight.2=1\nweight.1=2", grouped) == []
    heavier, moved = compared(OURS + "\ngroup.1=1:2\ngroup.3=3", grouped)[-1], compared(OURS, grouped)
    assert "weight.1: 1 on server 2, 2 in this file" in heavier.message
    assert [each.message.partition(":")[0] for each in moved] == [
        "group.1", "group.2", "weight.1", "weight.2", "weight.3"
    ]  # fmt: skip


def test_the_order_of_several_addresses_is_no_difference() -> None:
    ours, theirs = (
        parse_ensemble(f"server.1={lines}\nserver.2=zk2:1:2\nversion=0", several_addresses=True)
        for lines in ("a:1:2|b:1:2", "b:1:2|a:1:2")
    )
    assert list(member_findings(2, ours, theirs, Names())) == []
    fewer = parse_ensemble("server.1=a:1:2\nserver.2=zk2:1:2\nversion=0")
    assert [each.code for each in member_findings(2, ours, fewer, Names())] == ["members_differ"]
