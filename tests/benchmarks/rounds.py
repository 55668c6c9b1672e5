"""Plays the rounds: contestants take turns, one ensemble at a time, and each keeps its data throughout."""

import random
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import attrs
import trio
from cases import CASES, DisturbedError, Round, Settings, leader_of_whole
from contestant import Contestant
from contestants import CONTESTANTS
from weight import Weight, weigh

ATTEMPTS = 20
"""How often a round is begun anew because the leader changed by itself."""


@attrs.frozen
class Plan:
    """What is played: ``rounds`` of each case, in ``turns`` parts."""

    contestants: tuple[str, ...]
    sizes: tuple[int, ...]
    rounds: Mapping[str, int]
    turns: int
    settings: Settings
    idle_s: float
    """How long an idle ensemble is looked at for its weight; 0: not at all."""


@attrs.define
class Results:
    """Rounds by contestant, case and size; weights by contestant and size."""

    rounds: dict[tuple[str, str, int], list[Round]] = attrs.field(factory=dict)
    disturbed: dict[tuple[str, str, int], int] = attrs.field(factory=dict)
    """Rounds begun anew because the leader changed by itself."""
    weights: dict[tuple[str, int], Weight] = attrs.field(factory=dict)


def say(text: str) -> None:
    """Tell whoever waits what happens."""
    print(text, file=sys.stderr, flush=True)


async def play_all(plan: Plan, directory: Path) -> Results:
    """Play a plan; its files are below ``directory``, and are removed afterwards."""
    results = Results()
    with tempfile.TemporaryDirectory(dir=directory, prefix="trio-fle-bench-") as made:
        homes = Path(made)
        for turn in range(plan.turns):
            for size in plan.sizes:
                for name in plan.contestants:
                    home = homes / f"{turn}-{name}-{size}"
                    await _play_turn(plan, turn, name, CONTESTANTS[name](home, size), results)
    return results


async def _play_turn(plan: Plan, turn: int, name: str, contestant: Contestant, results: Results) -> None:
    rng = random.Random(f"{plan.settings.seed} {turn} {name} {contestant.size}")
    try:
        if not await _start_all(contestant, plan.settings):
            say(f"{name} n={contestant.size}: no leader from the start within {plan.settings.limit_s:g} s")
            return
        if turn == 0 and plan.idle_s:
            results.weights[name, contestant.size] = await weigh(contestant, plan.idle_s)
        for case in CASES:
            count = part(plan.rounds.get(case, 0), turn, plan.turns)
            await _play_case(plan, case, name, contestant, count, rng, results)
    finally:
        await contestant.kill_all()


def part(count: int, turn: int, turns: int) -> int:
    """Return how many of ``count`` rounds are played in one of the turns."""
    return count * (turn + 1) // turns - count * turn // turns


async def _start_all(contestant: Contestant, settings: Settings) -> bool:
    """Start what does not run, and wait until the ensemble is whole."""
    for sid in contestant.sids:
        if sid not in contestant.processes:
            await contestant.start(sid)
    try:
        await leader_of_whole(contestant, settings)
    except trio.TooSlowError:
        return False
    return True


async def _play_case(
    plan: Plan,
    case: str,
    name: str,
    contestant: Contestant,
    count: int,
    rng: random.Random,
    results: Results,
) -> None:
    key = (name, case, contestant.size)
    played = results.rounds.setdefault(key, []) if count else []
    for _ in range(count):
        played.append(await _play_round(plan.settings, case, contestant, rng, lambda: _count(results, key)))
        seen = "nothing seen" if played[-1].seen_ms is None else f"{played[-1].seen_ms:.0f} ms"
        say(f"{name} n={contestant.size} {case}: {seen}")


def _count(results: Results, key: tuple[str, str, int]) -> None:
    results.disturbed[key] = results.disturbed.get(key, 0) + 1


async def _play_round(
    settings: Settings,
    case: str,
    contestant: Contestant,
    rng: random.Random,
    disturbed: Callable[[], None],
) -> Round:
    """Play one round; an ensemble that does not become whole for it is started anew, and has lost it."""
    for _ in range(ATTEMPTS):
        try:
            return await CASES[case](contestant, settings, rng)
        except DisturbedError:
            disturbed()
        except trio.TooSlowError:
            break
    await contestant.kill_all()
    await _start_all(contestant, settings)
    return Round(None)
