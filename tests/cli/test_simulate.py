"""The command that simulates: what it answers, draws and finds, and what it says to bad input."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result
from pids import children

from trio_fle.cli.commands import commands as main
from trio_fle.sim.members import play as playing
from trio_fle.zab import Promise


def simulate(*options: str) -> Result:
    return CliRunner().invoke(main, ["simulate", *options])


def test_it_tells_how_long_each_ensemble_was_without_a_leader() -> None:
    result = simulate("--members", "3,5", "--latency", "30ms±10ms", "--elections", "5")
    assert result.exit_code == 0, result.output
    said, heads, three, five = result.output.splitlines()
    assert "failover" in said
    assert heads.split()[:4] == ["members", "latency", "loss", "tickTime"]
    for row, members in ((three, "3"), (five, "5")):
        cells = row.split()
        assert cells[:2] == [members, "30±10"]
        assert all(100 < float(cell) < 200 for cell in cells[6:11]), "some four times the way"


def test_for_programs_each_row_is_an_object() -> None:
    result = simulate("--members", "3..5", "--tick-time", "500", "--tick-time", "100", "--elections", "2",
                      "--case", "silent", "--json")  # fmt: skip
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in result.output.splitlines()]
    assert [(row["members"], row["tick_ms"]) for row in rows] == [(3, 500), (3, 100), (5, 500), (5, 100)]
    for row in rows:
        assert 4 * row["tick_ms"] < row["p50_ms"] < 8 * row["tick_ms"], "syncLimit ticks, and an election"
        assert row["messages"] > 5
        assert row["bytes"] > 500


def test_the_same_seed_gives_the_same_answer() -> None:
    once, again, other = (
        simulate(
            "--latency", "20ms±10ms", "--loss", "5%", "--elections", "3", "--json", "--seed", seed
        ).output
        for seed in ("4", "4", "5")
    )
    assert once == again != other


@pytest.mark.parametrize(
    ("case", "least_ms", "most_ms"),
    [("cold-start", 1, 20), ("failover", 5, 20), ("silent", 400, 700), ("resign", 0.5, 20)],
)
def test_every_case_is_played(case: str, least_ms: float, most_ms: float) -> None:
    """A silent leader is waited for until 5 ticks have passed since its last ping."""
    result = simulate("--case", case, "--elections", "1", "--tick-time", "100", "--json")
    assert least_ms < json.loads(result.output)["p50_ms"] < most_ms


def test_time_outs_that_are_too_short_for_the_network_cost_leaders() -> None:
    options = ("--case", "steady", "--latency", "80ms±20ms", "--loss", "5%", "--elections", "2", "--json")
    short, long = (
        json.loads(simulate(*options, "--tick-time", tick).output)["max_ms"] for tick in ("100", "2000")
    )
    assert long == 0
    assert short > 500


def test_a_leader_that_does_not_stay_can_be_killed_all_the_same() -> None:
    options = ("--latency", "80ms±20ms", "--loss", "5%", "--tick-time", "100", "--elections", "5", "--json")
    result = simulate(*options)
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["p50_ms"] > 100


def test_sites_are_near_themselves_and_far_from_others() -> None:
    options = ("--members", "3", "--latency", "50ms", "--elections", "1", "--json", "--sites")
    near, far = (json.loads(simulate(*options, sites).output)["p50_ms"] for sites in ("3", "1+1+1"))
    assert near < 50 < 200 < far


def test_it_draws_a_curve_for_each_row(tmp_path: Path) -> None:
    picture = tmp_path / "out.svg"
    result = simulate("--members", "3,5", "--elections", "4", "--plot", str(picture))
    assert result.exit_code == 0, result.output
    text = picture.read_text()
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert "3 members" in text
    assert "5 members" in text
    assert "<script" not in text
    assert not re.search(r"(href|src)=.http", text), "nothing is fetched"


def test_stories_with_faults_are_counted() -> None:
    result = simulate("--faults", "members", "--runs", "6", "--seed", "20")
    assert result.exit_code == 0, result.output
    said = r"members: seeds 20 to 25: 6 stories, \d+ elections, \d+ leaderships, .*, 0 violations\n"
    assert re.fullmatch(said, result.stdout)


def test_a_campaign_that_is_ended_tells_what_it_has_and_leaves_no_process(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "trio_fle", "simulate", "--faults", "members", "--runs", "4000"]
    with subprocess.Popen(
        [*command, "--jobs", "2"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as campaign:
        while len(workers := children(campaign.pid)) < 2:
            assert campaign.poll() is None
            time.sleep(0.01)
        campaign.terminate()
        said, errors = campaign.communicate(timeout=30)
    assert campaign.returncode == 3
    assert "0 violations" in said
    assert "ended after 0 of 4000 stories" in errors
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


def test_one_that_is_ended_says_so_in_one_line() -> None:
    command = [sys.executable, "-m", "trio_fle", "simulate", "--members", "3..15", "--elections", "30"]
    with subprocess.Popen(
        [*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as simulation:
        assert simulation.stdout is not None
        assert json.loads(simulation.stdout.readline())["members"] == 3
        simulation.send_signal(signal.SIGINT)
        _, errors = simulation.communicate(timeout=30)
    assert simulation.returncode == 3
    assert errors == "trio-fle: ended before it was done\n"


def test_an_ensemble_that_gets_no_leader_is_a_row_that_is_missing() -> None:
    result = simulate("--case", "steady", "--latency", "300ms", "--tick-time", "50", "--tick-time", "2000",
                      "--elections", "1", "--json")  # fmt: skip
    assert result.exit_code == 1
    assert [json.loads(line)["tick_ms"] for line in result.stdout.splitlines()] == [2000]
    assert "3 members, 300±0 ms, tickTime 50: no leader that all follow within 600 s" in result.stderr
    assert "try a longer --tick-time" in result.stderr


def test_several_processes_add_up_to_the_same() -> None:
    alone, shared = (
        json.loads(simulate("--faults", "members", "--runs", "12", "--jobs", jobs, "--json").stdout)
        for jobs in ("1", "2")
    )
    assert alone.pop("virtual_s") == pytest.approx(shared.pop("virtual_s"))
    assert alone == shared


def test_a_violation_is_told_as_its_shortest_story(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Promise, "binds", lambda self, now, *, towards: False)
    seed = next(seed for seed in range(10, 200) if violates(seed))
    result = simulate("--faults", "members", "--runs", "1", "--seed", str(seed))
    assert result.exit_code == 1
    assert f"the shortest story of seed {seed}:" in result.output
    assert "violated: one acts" in result.output
    replay = re.search(r"replay: trio-fle (simulate .*)", result.output)
    assert replay is not None
    again = CliRunner().invoke(main, replay[1].split())
    assert again.exit_code == 1
    assert (
        again.stdout.splitlines()[-3:]
        == [line for line in result.stdout.splitlines() if not line.startswith(("violated", "replay"))][-3:]
    )


def violates(seed: int) -> bool:
    try:
        playing.run_members(seed)
    except playing.ViolationError:
        return True
    return False


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--members", "many"), "'many' is no size; write it like 5, 3,5,7 or 3..9"),
        (("--members", "1"), "an ensemble has 2 to 101 members"),
        (("--members", "7..3"), "an ensemble has 2 to 101 members"),
        (("--latency", "30"), "'30' is no latency; write it like 30ms or 30ms±10ms"),
        (("--latency", "3ms±10ms"), "would arrive before they left"),
        (("--loss", "some"), "'some' is no part; write it like 2% or 0.02"),
        (("--loss", "100%"), "'100%' is not from 0 to less than 1"),
        (("--loss", "1"), "for parts of a hundred write it like 2%"),
        (("--faults", "cores", "--members", "5"), "--faults plays stories of its own: leave out --members"),
        (("--replay", "3", "--latency", "1ms", "--plot", "x.svg"), "leave out --latency and --plot"),
        (("--replay", "3", "--seed", "4"), "--replay tells the story of one seed: leave out --seed"),
        (("--replay", "3", "--faults", "cores", "--json", "--runs", "2"), "leave out --json and --runs"),
        (("--explore", "5000", "--seed", "4", "--jobs", "2"), "leave out --seed and --jobs"),
        (("--explore", "5000", "--exact"), "--explore has bounds of its own: leave out --exact"),
        (("--runs", "3"), "--runs and --jobs are of --faults"),
        (("--sites", "2,3"), "'2,3' are no sites; write them like 2+2+1"),
        (("--members", "5", "--sites", "2+2"), "the sites have 4 members together, not 5"),
        (("--skip", "1"), "give both"),
        (("--explore", "5000", "--faults", "cores"), "--explore plays no stories"),
        (("--replay", "3", "--skip", "a"), "'a' are no numbers; write them like 0,3,4"),
    ],
)
def test_bad_input_gets_one_message_that_says_what_to_do(options: tuple[str, ...], said: str) -> None:
    result = simulate(*options)
    assert result.exit_code == 2
    assert said in result.output


def test_a_picture_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    result = simulate("--elections", "1", "--plot", str(tmp_path / "missing" / "out.svg"))
    assert result.exit_code == 3
    assert "No such file or directory; choose another file" in result.output


def test_a_member_loads_no_simulator() -> None:
    loaded = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "trio_fle", "run", "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    assert "trio_fle.cli.hooks" in loaded
    assert not re.search(r"pygal|trio_fle\.sim|trio\.testing", loaded)
