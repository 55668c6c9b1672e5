"""The blows, each followed by what an observer outside sees, and then undone."""

import random
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Final

import attrs
import trio
from contestant import Contestant
from probe import Role
from watch import Seen, open_watch, wait_whole

CONNECT_S = 0.1
"""For the probes to have their connections before the blow."""
LOG_S = 1.0
"""For a line to reach the log."""


class DisturbedError(Exception):
    """The ensemble changed its leader before it was struck: the round says nothing."""


@attrs.frozen
class Settings:
    """How rounds are played."""

    interval_s: float = 0.005
    limit_s: float = 60.0
    """For a round to see what it waits for, and for an ensemble to be whole again."""
    settle_s: float = 1.0
    """How long an ensemble has to be whole before the next blow."""
    seed: int = 1


@attrs.frozen
class Round:
    """One measurement, in milliseconds; None: not seen within the limit."""

    seen_ms: float | None
    """From the blow to the answer that says so."""
    uncertain_ms: float = 0.0
    """How much earlier it may have been: since the last question that was answered otherwise."""
    logged_ms: float | None = None
    """The same by the new leader's own log, if it tells."""


Play = Callable[[Contestant, Settings, random.Random], Awaitable[Round]]


async def struck_leader(
    contestant: Contestant, settings: Settings, rng: random.Random, blow: signal.Signals
) -> Round:
    """Strike the leader with a signal, see another lead, and undo the blow."""
    victim = await leader_of_whole(contestant, settings)
    await trio.sleep(rng.uniform(0, 1))  # no fixed distance from a heartbeat
    others = [sid for sid in contestant.sids if sid != victim]
    async with open_watch(contestant, others, settings.interval_s) as watch:
        # nor from the questions: else all answers of one member came at the same distance from the blow
        await trio.sleep(CONNECT_S + rng.uniform(0, settings.interval_s))
        if Role.LEADER in watch.roles.values():
            raise DisturbedError
        struck, wall = trio.current_time(), time.time()
        contestant.signal(victim, blow)
        seen: Seen | None = None
        with trio.move_on_after(settings.limit_s):
            seen = await watch.wait_role(Role.LEADER, struck)
    if blow is signal.SIGSTOP:
        contestant.signal(victim, signal.SIGCONT)
    else:
        await contestant.ended(victim)
        await contestant.start(victim)
    if seen is None:
        return Round(None)
    return measured(seen, struck, await logged_ms(contestant, seen.sid, wall))


async def leader_of_whole(contestant: Contestant, settings: Settings) -> int:
    """Wait until the ensemble is whole; raises ``trio.TooSlowError``."""
    with trio.fail_after(settings.limit_s):
        return await wait_whole(contestant, settings.settle_s)


async def logged_ms(contestant: Contestant, sid: int, since: float) -> float | None:
    """Read off its log when a member began to lead; the line may come a little later than the answer."""
    with trio.move_on_after(LOG_S if contestant.tells else 0):
        while True:
            at = contestant.led_at(sid, since)
            if at is not None:
                return (at - since) * 1000
            await trio.sleep(0.05)
    return None


def measured(seen: Seen, since: float, logged_ms: float | None = None) -> Round:
    """Make a round of what was seen."""
    return Round((seen.at - since) * 1000, (seen.at - seen.not_yet) * 1000, logged_ms)


async def killed_leader(contestant: Contestant, settings: Settings, rng: random.Random) -> Round:
    """SIGKILL."""
    return await struck_leader(contestant, settings, rng, signal.SIGKILL)


async def terminated_leader(contestant: Contestant, settings: Settings, rng: random.Random) -> Round:
    """SIGTERM: it may go in good order."""
    return await struck_leader(contestant, settings, rng, signal.SIGTERM)


async def stopped_leader(contestant: Contestant, settings: Settings, rng: random.Random) -> Round:
    """SIGSTOP: it falls silent, and its connections stay; SIGCONT once another leads."""
    return await struck_leader(contestant, settings, rng, signal.SIGSTOP)


async def cold_start(contestant: Contestant, settings: Settings, rng: random.Random) -> Round:
    """Start every process at once, on the data of before, until one of them leads."""
    if contestant.processes:
        await leader_of_whole(contestant, settings)
    await contestant.kill_all()
    async with open_watch(contestant, contestant.sids, settings.interval_s) as watch:
        began, wall = trio.current_time(), time.time()
        async with trio.open_nursery() as nursery:
            for sid in rng.sample(list(contestant.sids), contestant.size):
                nursery.start_soon(contestant.start, sid)
        with trio.move_on_after(settings.limit_s):
            seen = await watch.wait_role(Role.LEADER, began)
            return measured(seen, began, await logged_ms(contestant, seen.sid, wall))
    return Round(None)


async def restarted_follower(contestant: Contestant, settings: Settings, rng: random.Random) -> Round:
    """Kill a follower, start it a second later, and see it follow, from the start of its process."""
    leader = await leader_of_whole(contestant, settings)
    follower = rng.choice([sid for sid in contestant.sids if sid != leader])
    contestant.signal(follower, signal.SIGKILL)
    await contestant.ended(follower)
    await trio.sleep(1)
    async with open_watch(contestant, [follower], settings.interval_s) as watch:
        began = trio.current_time()
        await contestant.start(follower)
        with trio.move_on_after(settings.limit_s):
            return measured(await watch.wait_role(Role.FOLLOWER, began), began)
    return Round(None)


CASES: Final[dict[str, Play]] = {
    "cold-start": cold_start,
    "sigkill": killed_leader,
    "sigterm": terminated_leader,
    "sigstop": stopped_leader,
    "rejoin": restarted_follower,
}

TITLES: Final = {
    "sigkill": "The leader is killed (SIGKILL), until another leads",
    "sigterm": "The leader is asked to go (SIGTERM), until another leads",
    "sigstop": "The leader falls silent (SIGSTOP), until another leads",
    "cold-start": "All processes start, until one leads",
    "rejoin": "A follower starts again, until it follows",
}
