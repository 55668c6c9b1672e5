"""The command that checks a configuration: what it prints, for people and for programs, and how it ends."""

import json
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from trio_fle.cli.commands import commands as main

FIVE = """\
dataDir=DIR
tickTime=2000
initLimit=10
syncLimit=5
clientPort=2181
server.1=198.51.100.1:2888:3888
server.2=198.51.100.2:2888:3888
server.3=198.51.100.3:2888:3888
server.4=198.51.100.4:2888:3888
server.5=198.51.100.5:2888:3888
server.6=198.51.100.6:2888:3888:observer
group.1=1:2
group.2=3:4
group.3=5
weight.1=2
"""

TEXT = """\
DIR/zoo.cfg: server 1 of 6 (5 voters, 1 observer), version 0
  server  role         weight  group  quorum             election           client
  1 *     participant  2       1      198.51.100.1:2888  198.51.100.1:3888  0.0.0.0:2181
  2       participant  1       1      198.51.100.2:2888  198.51.100.2:3888  -
  3       participant  1       2      198.51.100.3:2888  198.51.100.3:3888  -
  4       participant  1       2      198.51.100.4:2888  198.51.100.4:3888  -
  5       participant  1       3      198.51.100.5:2888  198.51.100.5:3888  -
  6       observer     0       -      198.51.100.6:2888  198.51.100.6:3888  -
  * this member

Quorums (hierarchical)
  a quorum: any 2 of 3 groups, each by more than half of its weight (2 of 3 in group 1, \
2 of 2 in group 2, 1 of 1 in group 3)
  minimal quorums: 1+5, 1+3+4, 3+4+5
  survives: the failure of any one server
  does not survive the failure of: 1+3, 1+4, 1+5, 3+5, 4+5

Time-outs in ms
   2,000  tickTime
  20,000  initLimit: to be synchronized with a leader
  10,000  syncLimit: silence between leader and learner; length of the lease
  20,000  connectToLearnerMasterLimit: to reach a leader
   5,000  cnxTimeout: one dial of an election port
  10,000  quorumCnxnTimeoutMs: to say who one is
     200  fle.finalizeWait: for a better vote
   9,000  lease, as far as a leader counts on it
   1,000  fle.leaseMargin: what it leaves, for clocks of different rates

warning even_group_weight: group 2 has an even weight, 2: half of it is not enough, \
so one less would do; make it odd
warning foreign_own_address: server.1: 198.51.100.1 is no address of this machine, so nothing can listen \
there: is --myid right? Behind address translation set quorumListenOnAllIPs=true
"""


def write(directory: Path, *extra: str, text: str = FIVE) -> Path:
    path = directory / "zoo.cfg"
    path.write_text(text.replace("DIR", str(directory)) + "".join(f"{line}\n" for line in extra))
    return path


def check(path: Path, *options: str, color: bool = False) -> Result:
    return CliRunner().invoke(main, ["check", str(path), "--myid", "1", *options], color=color)


def test_a_hierarchical_ensemble_is_explained(tmp_path: Path) -> None:
    result = check(write(tmp_path))
    assert result.exit_code == 0
    assert result.output.replace(str(tmp_path), "DIR") == TEXT


def test_colours_are_for_terminals_only(tmp_path: Path) -> None:
    plain, coloured = (check(write(tmp_path), color=color).output for color in (False, True))
    assert "\x1b[" not in plain
    assert "\x1b[33mwarning even_group_weight" in coloured
    assert re.sub(r"\x1b\[\d*m", "", coloured) == plain


def test_what_a_terminal_would_obey_is_shown(tmp_path: Path) -> None:
    result = check(write(tmp_path, r"mistyped\u001b[31m=1"))
    assert "\\x1b[31m: unknown key" in result.output
    assert "\x1b" not in result.output


def test_for_programs_it_is_one_document(tmp_path: Path) -> None:
    result = check(write(tmp_path, "mistyped=1"), "--json", "--set", "tickTime=1500")
    assert result.exit_code == 0
    document = json.loads(result.output)
    assert list(document) == [
        "ok", "config", "myid", "version", "servers", "quorums", "timeouts", "warnings", "live"
    ]  # fmt: skip
    assert (document["ok"], document["myid"], document["version"], document["live"]) == (True, 1, "0", None)
    assert document["servers"][0] == {
        "id": 1,
        "role": "participant",
        "weight": 2,
        "group": 1,
        "addresses": [
            {
                "host": "198.51.100.1",
                "quorum_port": 2888,
                "election_port": 3888,
                "resolved": ["198.51.100.1"],
            }
        ],
        "client": "0.0.0.0:2181",
    }
    assert (document["servers"][5]["role"], document["servers"][5]["group"]) == ("observer", None)
    quorums = document["quorums"]
    assert (quorums["system"], quorums["voters"], quorums["possible"]) == (
        "hierarchical",
        [1, 2, 3, 4, 5],
        True,
    )
    assert (quorums["minimal"], quorums["minimal_count"]) == ([[1, 5], [1, 3, 4], [3, 4, 5]], 3)
    assert (quorums["tolerates"], quorums["fatal_count"]) == (1, 5)
    assert document["timeouts"]["sync_ms"] == 7500
    assert document["warnings"][0] == {
        "code": "config",
        "severity": "warning",
        "server": None,
        "servers": [],
        "message": f"{tmp_path}/zoo.cfg:16: mistyped: unknown key",
    }
    assert document["warnings"][2]["server"] == 1


@pytest.mark.parametrize("as_json", [False, True])
def test_an_error_is_status_1_and_comes_first(as_json: bool, tmp_path: Path) -> None:
    path = write(
        tmp_path, *(f"weight.{sid}=0" for sid in (2, 3, 4, 5)), text=FIVE.replace("weight.1=2", "weight.1=0")
    )
    result = check(path, *["--json"] * as_json)
    assert result.exit_code == 1
    assert result.stderr == ""
    if as_json:
        document = json.loads(result.output)
        assert not document["ok"]
        assert [each["code"] for each in document["warnings"] if each["severity"] == "error"] == ["no_quorum"]
        assert document["quorums"]["possible"] is False
        assert document["quorums"]["tolerates"] is None
    else:
        assert "none is possible" in result.output
        assert "\n\nerror no_quorum: " in result.output


@pytest.mark.parametrize("kind", ["static", "dynamic"])
def test_a_key_that_is_given_twice_is_refused_with_both_places(kind: str, tmp_path: Path) -> None:
    if kind == "static":
        path = write(tmp_path, "server.2=198.51.100.7:2888:3888")
        places = f"{tmp_path}/zoo.cfg:16: server.2: is given twice, first at {tmp_path}/zoo.cfg:7"
    else:
        dynamic = tmp_path / "zoo.cfg.dynamic"
        dynamic.write_text("server.1=198.51.100.1:1:2\nserver.1=198.51.100.2:1:2\n")
        text = f"dataDir=DIR\ninitLimit=10\nsyncLimit=5\ndynamicConfigFile={dynamic}\n"
        path = write(tmp_path, text=text)
        places = f"{dynamic}:2: server.1: is given twice, first at {dynamic}:1"
    result = check(path)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == f"trio-fle: {places}; remove one of the two\n"


def test_a_key_of_the_file_that_is_overridden_is_given_once(tmp_path: Path) -> None:
    assert check(write(tmp_path), "--set", "tickTime=1000").exit_code == 0


@pytest.mark.parametrize(
    ("options", "extra", "said"),
    [
        (["--set", "tickTime"], [], "--set tickTime: expected KEY=VALUE"),
        (["--set", "tickTime=x"], [], '--set: tickTime: "x" is not a whole number'),
        (["--myid-from-hostname"], [], "give one of them"),
        (["--myid", "9"], [], "there is no server.9"),
        ([], ["server.7=h:1"], 'zoo.cfg:16: server.7: "h:1" is not of the form'),
    ],
)
def test_what_can_not_be_read_is_one_line_and_status_2(
    options: list[str], extra: list[str], said: str, tmp_path: Path
) -> None:
    result = check(write(tmp_path, *extra), *options)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_the_data_directory_and_the_id_are_found_as_a_member_finds_them(tmp_path: Path) -> None:
    path = write(tmp_path)
    data = tmp_path / "data"
    data.mkdir()
    (data / "myid").write_text("3\n")
    result = CliRunner().invoke(main, ["check", str(path), "--data-dir", str(data), "--json"])
    assert json.loads(result.output)["myid"] == 3


def test_a_warning_is_status_1_only_where_that_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert "warning foreign_own_address" in check(path).output
    assert [check(path, *options).exit_code for options in ((), ("--strict",))] == [0, 1]
    document = json.loads(check(path, "--strict", "--json").output)
    assert document["ok"], "it speaks of errors, whatever the status"


def test_a_configuration_without_fault_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, "quorumListenOnAllIPs=true", text=re.sub(r"(?m)^(group|weight).*\n", "", FIVE))
    result = check(path)
    assert result.exit_code == 0
    assert result.output.endswith("\n\nNothing is suspicious.\n")
    assert "a quorum: any 3 of 5 voters\n" in result.output
    assert "minimal quorums: 1+2+3, 1+2+4, " in result.output
    assert "survives: the failure of any 2 servers\n" in result.output


def test_of_many_quorums_the_number_is_told(tmp_path: Path) -> None:
    servers = "".join(f"server.{sid}=198.51.100.{sid}:2888:3888\n" for sid in range(1, 14))
    path = write(tmp_path, text="dataDir=DIR\ninitLimit=10\nsyncLimit=5\n" + servers)
    assert "minimal quorums: 1,716 sets (more than 20 are not listed)" in check(path).output


def test_a_data_directory_that_run_would_refuse_is_told(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "version-2").mkdir()
    (tmp_path / "version-2" / "fle.record").write_bytes(b"damaged")
    result = check(path)
    assert result.exit_code == 1
    assert f"error data: {tmp_path}/version-2/fle.record: is damaged" in result.output


@pytest.mark.parametrize("arguments", [["--help"], ["check", "ZOO_CFG"], ["check", "ZOO_CFG", "--json"]])
def test_output_that_can_not_be_written_is_one_line_and_status_3(
    arguments: list[str], tmp_path: Path
) -> None:
    path = write(tmp_path)
    command = [sys.executable, "-m", "trio_fle", *(each.replace("ZOO_CFG", str(path)) for each in arguments)]
    with Path("/dev/full").open("wb") as full:
        result = subprocess.run(
            [*command, *(["--myid", "1"] if len(arguments) > 1 else [])],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert (result.returncode, result.stderr) == (
        3,
        "trio-fle: the output can't be written: No space left on device\n",
    )


def test_one_that_is_ended_while_it_asks_a_silent_server_says_so_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        text = FIVE.replace("198.51.100.2:2888:3888", f"127.0.0.1:2888:{port}")
        command = ["check", str(write(tmp_path, text=text)), "--myid", "1", "--live"]
        with subprocess.Popen(
            [sys.executable, "-m", "trio_fle", *command],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as asking:  # fmt: skip
            silent.settimeout(30)
            with silent.accept()[0]:
                asking.send_signal(signal.SIGINT)
                said, errors = asking.communicate(timeout=30)
    assert (asking.returncode, said, errors) == (3, "", "trio-fle: ended before it was done\n")
