"""Every bug of ``history.toml``: its scenario passes here, and objects once the old behaviour is planted."""

import os
import subprocess
import sys

import pytest
from history import FAILS, MODULES
from history_table import HERE, Bug, load_bugs, load_known, load_others
from scenario import SCENARIOS, verdict

BUGS = load_bugs()


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest) -> tuple[dict[str, str], str]:
    """What those scenarios say under the old behaviour that are asked for, and what went wrong."""
    calls = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    asked = {params["bug"].scenario for params in calls if isinstance(params.get("bug"), Bug)}
    support = str(HERE.parent / "support")
    done = subprocess.run(
        [sys.executable, str(HERE / "history_old.py"), *sorted(asked)],
        env={**os.environ, "PYTHONPATH": support},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    said = {rest.partition(":")[0]: f"{outcome} {rest}" for outcome, rest in lines}
    return said, done.stderr


@pytest.mark.parametrize("name", [bug.scenario for bug in BUGS])
def test_it_does_not_happen_here(name: str) -> None:
    assert verdict(name) is None


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.scenario)
def test_it_happens_with_the_old_behaviour(bug: Bug, played: tuple[dict[str, str], str]) -> None:
    said, errors = played
    line = said.get(bug.scenario, f"no verdict:\n{errors}")
    assert line.startswith(f"{FAILS} {bug.scenario}: "), line
    assert bug.says in line


def test_every_number_has_a_scenario_or_a_reason() -> None:
    numbers = [number for bug in BUGS for number in bug.ids if number.isdigit()]
    assert sorted(map(int, [*numbers, *load_others()])) == load_known()


def test_every_scenario_is_of_a_bug_and_tells_what_happened() -> None:
    assert len(MODULES) == len({play.__module__ for play in SCENARIOS.values()})
    assert sorted(bug.scenario for bug in BUGS) == sorted(SCENARIOS)
    for name, play in SCENARIOS.items():
        assert play.__doc__ is not None, name
        assert play.__doc__.endswith("."), name
        assert "\n" not in play.__doc__, name


@pytest.mark.parametrize("error", [NameError, ImportError, TypeError])
def test_any_other_error_is_no_objection(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    async def breaks() -> None:
        raise error("not what it was written for")

    monkeypatch.setitem(SCENARIOS, "breaks", breaks)
    with pytest.raises(error):
        verdict("breaks")
