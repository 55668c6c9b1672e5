"""Stories of whole members, drawn from a seed: who they are, what their network is like, and what goes wrong.

Each story uses some of the faults only, and none of the others (swarm testing): a fault that would hide
another one is missing from half of them.
"""

import enum
import random
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from trio_fle.election.options import ElectionOptions
from trio_fle.sim.conditions import LOOPBACK, Conditions, Latency, widest_s
from trio_fle.vote import make_zxid

TICK_MS: Final = 500

FAST_S: Final = 0.01

_SIZES: Final = (3, 3, 3, 3, 3, 5, 5, 5, 2, 4, 7)
_GAPS_S: Final = (0.002, 0.01, 0.03, 0.1, 0.25, 0.6, 1.5, 3.0)
_LATENCIES: Final = (
    LOOPBACK,
    LOOPBACK,
    Latency(0.001, 0.0005),
    Latency(0.02, 0.01),
    Latency(0.08, 0.04),
)
_RECONFIGURES: Final = 0.1
_FLAPS: Final = 0.1
_WRITES: Final = (Latency(0.0005), Latency(0.005, 0.003), Latency(0.06, 0.05))


class Kind(enum.Enum):
    """What may happen to an ensemble."""

    CRASH = "its process is killed"
    POWER = "its machine loses its power"
    ALL_CRASH = "all processes are killed"
    START = "it starts again"
    STOP = "it is stopped in good order"
    RESIGN = "it is asked to resign"
    CUT = "nothing gets from it to the other"
    SEPARATE = "nothing gets from one to the other, either way"
    ISOLATE = "nothing gets to it, nor from it"
    ABANDON = "nothing gets to it, nor from it, and the others know: their connections break"
    SPLIT = "it and some others are cut off from the rest"
    BOUNCE = "all others are killed, and start again at once"
    RESTART = "it is stopped in good order, and starts again"
    CYCLE = "all others are stopped in good order, and start again"
    DEAF = "nothing gets to it"
    DUMB = "nothing gets from it"
    MEND = "all paths are mended"
    RESET = "one end of its connections to the other breaks"
    FORGET = "something between them forgets their connections"
    HANG = "its process stands still"
    SUSPEND = "its machine sleeps"
    GO_ON = "it goes on where it stood still"
    RECONFIGURE = "it is given a configuration in which the other has another role, and starts again"
    SLOW_DISK = "its disk gets slow"
    FAST_DISK = "its disk is as fast as ever"


UNDOES: Final[Mapping[Kind, Sequence[Kind]]] = {
    Kind.CRASH: (Kind.START,),
    Kind.POWER: (Kind.START,),
    Kind.ALL_CRASH: (Kind.START,),
    Kind.STOP: (Kind.START,),
    Kind.CUT: (Kind.MEND,),
    Kind.SEPARATE: (Kind.MEND,),
    Kind.ISOLATE: (Kind.MEND,),
    Kind.ABANDON: (Kind.MEND,),
    Kind.SPLIT: (Kind.MEND,),
    Kind.DEAF: (Kind.MEND,),
    Kind.DUMB: (Kind.MEND,),
    Kind.HANG: (Kind.GO_ON,),
    Kind.SUSPEND: (Kind.GO_ON,),
    Kind.SLOW_DISK: (Kind.FAST_DISK,),
}
"""What ends a fault again; not drawn without it."""

BLOWS: Final = tuple(
    kind
    for kind in Kind
    if kind not in (Kind.RECONFIGURE, Kind.RESTART)
    and kind not in {each for ends in UNDOES.values() for each in ends}
)

_TURNS_S: Final = (0.55, 0.8, 1.5, 3.0, 6.0, 10.0)
"""How long an oracle stays with an answer: a tick at least."""

LEADER: Final = 0
"""In place of a server's id: whoever leads at that moment."""


@attrs.frozen
class Fault:
    """What happens after ``gap_s``, to whom, and which other server it concerns."""

    gap_s: float
    led: bool
    """Whether it waits for an established leader first, for a while."""
    kind: Kind
    sid: int
    other: int

    def __str__(self) -> str:
        who = "the leader" if self.sid == LEADER else str(self.sid)
        return f"{who}, {self.other}: {self.kind.value}"


@attrs.frozen
class Turn:
    """After ``gap_s`` the oracle says yes to ``towards``, or to nobody."""

    gap_s: float
    towards: int | None


@attrs.frozen
class Turns:
    """What an oracle of two servers does while faults happen.

    One that is ``careful`` lets leases pass before it turns from one to the other, and turns to nobody who
    does not know of the last leadership: then epochs grow. Else no two lead, and each epoch is led by one.
    """

    careful: bool
    read_s: Latency
    turns: tuple[Turn, ...]


@attrs.frozen
class Story:
    """Everything that a run of whole members depends on."""

    seed: int
    roles: Mapping[int, str]
    options: Mapping[int, ElectionOptions]
    zxid: int
    """What all of them hold: who holds less than its leader can only vote for it."""
    conditions: Conditions
    write_s: Latency
    rates: Mapping[int, float]
    init_limit: int
    sync_limit: int
    faults: tuple[Fault, ...]
    reconfigures: bool = False
    """Whether configurations may change."""
    oracle: Turns | None = None

    @property
    def bound_s(self) -> float:
        """Within which a leader must be established, and followed by all, once all faults have ended.

        Three attempts, each of which may take all of ``initLimit``, after the last promise is over; a dial
        that waits up to 5 s for its turn; and a loss that is sent again after as much.
        """
        tick_s = TICK_MS / 1000
        return tick_s * (3 * self.init_limit + 2 * self.sync_limit) + 15.0


def draw(seed: int) -> Story:
    """Draw the story of a seed."""
    rng = random.Random(seed)
    size = rng.choice(_SIZES)
    roles = dict.fromkeys(range(1, size + 1), "participant")
    if rng.random() < 0.2:
        roles[size + 1] = "observer"
    early = rng.choice([True, True, True, False, None])
    options = {sid: _options(rng, early) for sid in roles}
    if size > 2 and rng.random() < 0.2:
        options[rng.randrange(1, size + 1)] = ElectionOptions(early_finalize=early or False, candidate=False)
    conditions = Conditions(rng.choice(_LATENCIES), rng.choice([0.0, 0.0, 0.0, 0.02, 0.1]))
    write_s = rng.choice(_WRITES)
    # where the network or the disk takes its time, time-outs are chosen for it, as operators do
    is_fast = widest_s(conditions) < FAST_S and not conditions.loss and write_s.mean_s < FAST_S
    limits = [(10, 5), (10, 5), (2, 5), (4, 2)] if is_fast else [(10, 5)]
    init_limit, sync_limit = rng.choice(limits)
    story = Story(
        seed=seed,
        roles=roles,
        options=options,
        zxid=rng.choice([0, 0, make_zxid(1, 5)]),
        conditions=conditions,
        write_s=write_s,
        rates={sid: rng.uniform(0.96, 1.04) for sid in roles} if rng.random() < 0.7 else {},
        init_limit=init_limit,
        sync_limit=sync_limit,
        faults=tuple(_faults(rng, list(roles))),
        oracle=_oracle(random.Random(seed ^ 0x0AC1E)) if size == 2 else None,
    )
    # drawn from a source of its own, so that other stories are what they were before there was this
    more = random.Random(f"{seed} reconfigures")
    changes = more.random() < _RECONFIGURES and story.oracle is None
    story = _reconfiguring(more, story) if changes else story
    flaps = random.Random(f"{seed} flaps")
    return _flapping(flaps, story) if flaps.random() < _FLAPS else story


def _flapping(rng: random.Random, story: Story) -> Story:
    """Return the story with a server that is restarted soon after it has come, again and again."""
    faults, sid = list(story.faults), rng.choice(list(story.roles))
    at = rng.randrange(len(faults) + 1)
    for _ in range(rng.randrange(2, 10)):
        fault = Fault(rng.uniform(0.0, 0.3), rng.random() < 0.5, Kind.RESTART, sid=sid, other=sid)
        faults.insert(at, fault)
    return attrs.evolve(story, faults=tuple(faults))


def _reconfiguring(rng: random.Random, story: Story) -> Story:
    """Return the story with configurations that change in it."""
    faults = list(story.faults)
    for _ in range(rng.randrange(4)):
        sid, other = rng.sample(list(story.roles), 2)
        fault = Fault(rng.choice(_GAPS_S), rng.random() < 0.8, Kind.RECONFIGURE, sid=sid, other=other)
        faults.insert(rng.randrange(len(faults) + 1), fault)
    # all stand for election: the only ones that may could be those that know of no newest epoch
    options = {sid: attrs.evolve(each, reconfig=True, candidate=True) for sid, each in story.options.items()}
    return attrs.evolve(story, options=options, faults=tuple(faults), reconfigures=True)


def _oracle(rng: random.Random) -> Turns | None:
    """Draw an oracle, or none, from a source of its own: whatever else is drawn stays as it is."""
    if rng.random() < 0.3:
        return None
    turns = [Turn(rng.choice(_TURNS_S), rng.choice([1, 2, 1, 2, None])) for _ in range(rng.randrange(1, 20))]
    read_s = rng.choice([Latency(0.0002), Latency(0.1, 0.1)])
    return Turns(rng.random() < 0.4, read_s, (attrs.evolve(turns[0], gap_s=0.0), *turns[1:]))


def _options(rng: random.Random, early: bool | None) -> ElectionOptions:
    return ElectionOptions(early_finalize=rng.random() < 0.5 if early is None else early)


def _faults(rng: random.Random, sids: list[int]) -> list[Fault]:
    """Draw some kinds, and then faults of these kinds and whatever undoes them."""
    kinds = rng.sample(BLOWS, rng.randrange(1, 6))
    drawn = [*kinds, *(undo for kind in kinds for undo in UNDOES.get(kind, ()))]
    faults = []
    for _ in range(rng.randrange(2, 16)):
        sid, other = rng.sample(sids, 2)
        sid = LEADER if rng.random() < 0.5 else sid
        faults.append(Fault(rng.choice(_GAPS_S), rng.random() < 0.5, rng.choice(drawn), sid=sid, other=other))
    return faults
