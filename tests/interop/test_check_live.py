"""``trio-fle check --live`` against real servers: members of ours and a Java one, not all of them right."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
from ports import free_ports
from processes import Plan, Server, open_servers, story
from test_with_java import is_settled

pytestmark = [pytest.mark.interop, pytest.mark.beside]


async def check(path: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """Exit status, and the document."""
    command = [sys.executable, "-m", "trio_fle", "check", str(path), "--live", "--json", *options]
    done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
    assert done.stderr == b""
    return done.returncode, json.loads(done.stdout)


def live_of(document: dict[str, Any], *keys: str) -> dict[int, tuple[Any, ...]]:
    return {row["server"]: tuple(row[key] for key in keys) for row in document["live"]}


def findings(document: dict[str, Any], *codes: str) -> list[tuple[str, list[int]]]:
    return [(found["code"], found["servers"]) for found in document["warnings"] if found["code"] in codes]


async def wait_settled(servers: list[Server]) -> None:
    for server in servers:
        if "java" in server.command:
            await server.wait_line(is_settled)
        else:
            await server.wait_line(lambda line: '"member.state"' in line)


def rewrite(path: Path, old: str, new: str) -> Path:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


@pytest.mark.java
async def test_a_mixed_ensemble_tells_its_states_and_one_list_that_differs(tmp_path: Path) -> None:
    with trio.fail_after(90):
        async with open_servers() as (nursery, servers):
            plan = Plan(tmp_path, dict.fromkeys((1, 2, 3, 4), "participant"))
            ours = [plan.ours(sid, nursery, "fle.candidate=false") for sid in (1, 2)]
            java = plan.java(3, nursery, f"clientPort={free_ports(1)[0]}")
            quorum, election = plan.ports[4]
            there = f"server.4=127.0.0.1:{quorum}:{election}:participant"
            other = f"server.4=127.0.0.1:{quorum}:{election + 20_000}:participant"
            rewrite(tmp_path / "server2" / "zoo.cfg", there, other)
            servers += [*ours, java]
            with story(servers):
                for server in servers:
                    await server.start()
                await wait_settled(servers)
                status, document = await check(tmp_path / "server1" / "zoo.cfg")
                assert status == 1
                assert live_of(document, "state", "leader", "says_id", "failure", "same_members") == {
                    1: ("FOLLOWING", 3, 1, None, True),
                    2: ("FOLLOWING", 3, 2, None, False),
                    3: ("LEADING", 3, 3, None, True),
                    4: (None, None, None, "refused", None),
                }
                assert findings(document, "members_differ", "no_answer", "version_differs") == [
                    ("members_differ", [2]),
                    ("no_answer", [4]),
                ]
                (differs,) = (each for each in document["warnings"] if each["code"] == "members_differ")
                assert other.partition("=")[2] in differs["message"]
                assert there.partition("=")[2] in differs["message"]
                assert not document["ok"]


async def test_ids_ports_and_names_that_are_not_what_this_file_says_are_found(tmp_path: Path) -> None:
    with trio.fail_after(60):
        async with open_servers() as (nursery, servers):
            plan = Plan(tmp_path, dict.fromkeys((1, 2, 3), "participant"))
            servers += [plan.ours(sid, nursery) for sid in (1, 2, 3)]
            with story(servers):
                for server in servers:
                    await server.start()
                await wait_settled(servers)
                path = tmp_path / "server1" / "zoo.cfg"
                text = path.read_text()
                lines = {
                    sid: f"127.0.0.1:{quorum}:{election}" for sid, (quorum, election) in plan.ports.items()
                }

                assert await codes(path, text) == (0, [])
                assert await codes(path, text, "--myid", "2") == (0, [])
                crossed = text.replace(lines[2], "X").replace(lines[3], lines[2]).replace("X", lines[3])
                assert await codes(path, crossed) == (
                    1,
                    [("wrong_id", [3]), ("wrong_id", [2])]
                    + [("members_differ", [sid]) for sid in (1, 1, 2, 2, 3, 3)],
                )
                both = text.replace(lines[2], lines[3])
                status, found = await codes(path, both)
                assert (status, found[0]) == (1, ("duplicate_id", [2, 3]))
                quorum, election = plan.ports[3]
                swapped = text.replace(lines[3], f"127.0.0.1:{election}:{quorum}")
                status, found = await codes(path, swapped)
                assert (status, {code for code, _ in found}) == (1, {"ports_swapped"})
                assert ("ports_swapped", [3]) in found
                renamed = text.replace(lines[2], lines[2].replace("127.0.0.1", "localhost"))
                assert await codes(path, renamed) == (
                    0,
                    [("names_differ", [1, 2]), ("names_differ", [2]), ("names_differ", [3, 2])],
                )


LIVE = ("wrong_id", "duplicate_id", "members_differ", "ports_swapped", "names_differ", "no_answer")


async def codes(path: Path, text: str, *options: str) -> tuple[int, list[tuple[str, list[int]]]]:
    """Exit status and findings of a check of this text, next to the same myid."""
    checked = path.with_name("checked.cfg")
    checked.write_text(text)
    status, document = await check(checked, *options)
    return status, findings(document, *LIVE)


async def test_an_own_member_that_does_not_run_is_no_finding_and_who_speaks_otherwise_is(
    tmp_path: Path,
) -> None:
    plan = Plan(tmp_path, dict.fromkeys((1, 2, 3), "participant"))
    path = plan.write(1)
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            for sid, answer in ((2, b"HTTP/1.1 400 Bad Request\r\n\r\n"), (3, b"")):
                port = plan.ports[sid][1]

                async def serve(stream: trio.SocketStream, answer: bytes = answer) -> None:
                    await stream.receive_some(100)
                    await stream.send_all(answer)

                listeners = await trio.open_tcp_listeners(port, host="127.0.0.1")
                nursery.start_soon(trio.serve_listeners, serve, listeners)
            status, document = await check(path)
            nursery.cancel_scope.cancel()
    assert status == 0
    assert live_of(document, "failure") == {1: ("refused",), 2: ("malformed",), 3: ("closed",)}
    assert findings(document, *LIVE) == [("no_answer", [2]), ("no_answer", [3])]
