"""How fast the parts are without any I/O: the core, the codec, and whole simulated elections."""

import statistics
import time
from collections.abc import Callable

import attrs
from core_driver import claim, ensemble_of, looking

from trio_fle.election.electorate import Electorate
from trio_fle.election.events import Heard, Look
from trio_fle.election.fle import FastLeaderElection
from trio_fle.election.options import ElectionOptions
from trio_fle.ensemble import Ensemble
from trio_fle.sim.conditions import Conditions, Latency
from trio_fle.sim.cores.run import elect
from trio_fle.vote import LearnerType
from trio_fle.wire import Notification, decode_notification, encode_notification

REPEATS = 5
NETWORK = Conditions(Latency(0.001, 0.0005))
"""A message is about a millisecond under way."""

SIZES = (3, 5, 9, 17, 33, 65, 101)


@attrs.frozen
class Speeds:
    """Rates are medians of several repeats."""

    looking_per_s: float
    """Notifications that a core takes in while it elects."""
    settled_per_s: float
    """Notifications that it takes in, and answers, while it follows."""
    encode_bytes_per_s: float
    decode_bytes_per_s: float
    notification_bytes: int
    elections_per_s: dict[int, float]
    """Simulated elections, by size."""
    large_election_s: float
    """Wall time of one election of 101 voters."""
    messages: dict[int, int]
    """Messages of one simulated election, by size."""


def new_core(me: int, ensemble: Ensemble) -> FastLeaderElection:
    """Return the core of one voter, with the options that members have unless told otherwise."""
    options = ElectionOptions()
    electorate = Electorate(
        me,
        LearnerType.PARTICIPANT,
        options.candidate,
        ensemble,
        ensemble,
        exact=not options.early_finalize,
    )
    return FastLeaderElection(electorate, options)


def rate(work: Callable[[], int]) -> float:
    """Return how much of its own count ``work`` does in a second: the median of several repeats."""
    rates = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        done = work()
        rates.append(done / (time.perf_counter() - began))
    return statistics.median(rates)


def core_rate(core: FastLeaderElection, notifications: list[tuple[int, Notification]], count: int) -> float:
    """Return how many of these, again and again, a core takes in a second."""
    heard = [Heard(sender, notification) for sender, notification in notifications]

    def work() -> int:
        for at in range(count):
            core.step(1.0, heard[at % len(heard)])
        return count

    return rate(work)


def looking_rate(count: int) -> float:
    """Rate of a core of 9 that elects: two others vote in turns, which is no quorum."""
    core = new_core(9, ensemble_of(9))
    core.step(0.0, Look(0, 0))
    return core_rate(core, [(1, looking(9)), (2, looking(9)), (1, looking(1)), (2, looking(2))], count)


def settled_rate(count: int) -> float:
    """Rate of a core of 9 that follows: it answers others that look."""
    core = new_core(1, ensemble_of(9))
    core.step(0.0, Look(0, 0))
    for sender in range(2, 10):
        state = "LEADING" if sender == 9 else "FOLLOWING"
        core.step(0.0, Heard(sender, claim(state, 9, 1)))
    assert core.election is None, "it follows"
    return core_rate(core, [(2, looking(2, 2)), (3, looking(3, 2))], count)


def codec_rates(count: int) -> tuple[float, float, int]:
    """Encode and decode the notification of an ensemble of five: bytes a second, and its size."""
    notification = Notification(
        state=looking(5).state,
        vote=looking(5).vote,
        round=1,
        config=ensemble_of(5).text.encode(),
    )
    body = encode_notification(notification)

    def encode() -> int:
        for _ in range(count):
            encode_notification(notification)
        return count * len(body)

    def decode() -> int:
        for _ in range(count):
            decode_notification(body)
        return count * len(body)

    return rate(encode), rate(decode), len(body)


def elections_rate(size: int, elections: int) -> float:
    """Return how many whole elections of this size are simulated in a second."""

    def work() -> int:
        for seed in range(elections):
            elect(size, NETWORK, seed)
        return elections

    return rate(work)


def measure(*, quick: bool) -> Speeds:
    """Measure all of it: a few seconds when ``quick``."""
    count = 5_000 if quick else 50_000
    encode, decode, size = codec_rates(count)
    sizes = {3: 30, 5: 15, 9: 5} if quick else {3: 200, 5: 100, 9: 30}
    messages = {}
    large_s = 0.0
    for voters in SIZES:
        began = time.perf_counter()
        election = elect(voters, NETWORK)
        assert election.leader == voters
        large_s = time.perf_counter() - began
        messages[voters] = election.messages
    return Speeds(
        looking_per_s=looking_rate(count),
        settled_per_s=settled_rate(count),
        encode_bytes_per_s=encode,
        decode_bytes_per_s=decode,
        notification_bytes=size,
        elections_per_s={voters: elections_rate(voters, many) for voters, many in sizes.items()},
        large_election_s=large_s,
        messages=messages,
    )
