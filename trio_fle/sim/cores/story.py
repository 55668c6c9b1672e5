"""What a seed tells: an ensemble, what its servers hold, and what goes wrong when.

Each story draws a part of all kinds of faults, and its own rate of each (swarm testing): where everything
may go wrong at any time, long undisturbed stretches and runs of one kind would be rare.
"""

import random
from typing import Final

import attrs

from trio_fle.election.options import ElectionOptions
from trio_fle.ensemble import Ensemble, build_ensemble
from trio_fle.quorum import Hierarchical
from trio_fle.sim.conditions import LOOPBACK, Conditions, Latency, widest_s
from trio_fle.sim.cores.world import Settings
from trio_fle.storage import StoredVote
from trio_fle.vote import make_zxid

KINDS: Final = (
    "kill", "power", "kill all", "hang", "slow", "cut", "cut one way", "isolate", "reset", "reset link",
    "half open", "resign", "split", "bounce", "deaf", "dumb",
)  # fmt: skip
"""``power``: a machine falls silent, and its process is gone when it comes back. The rest is what it says."""

SIZES: Final = (3, 3, 3, 3, 5, 5, 5, 4, 6, 7)
LATENCIES: Final = (LOOPBACK, LOOPBACK, Latency(0.001, 0.0005), Latency(0.03, 0.01), Latency(0.1, 0.09))
LEADER: Final = 0
"""In the place of a server id: whoever leads then."""

DRIFT: Final = 0.05
"""Clocks' rates are 1 ± this: the fastest and the slowest differ by less than a margin of 0.1 allows."""


@attrs.frozen
class Fault:
    """Something that goes wrong at a time, with one or two servers, and how long it lasts (seconds)."""

    at: float
    kind: str
    who: int
    other: int
    lasts_s: float

    def __str__(self) -> str:
        who = "the leader" if self.who == LEADER else str(self.who)
        return f"{self.kind}: {who}, {self.other}, for {self.lasts_s:.3f} s"


@attrs.frozen
class Story:
    """All that happens to an ensemble.

    ``starts`` are when its servers first start, ``stored`` what their disks hold then.
    """

    ensemble: Ensemble
    conditions: Conditions
    settings: Settings
    options: dict[int, ElectionOptions]
    stored: dict[int, StoredVote]
    rates: dict[int, float]
    starts: dict[int, float]
    faults: tuple[Fault, ...]
    mended_at: float
    """When everything that still lasts is mended, and everybody runs."""


def tell(rng: random.Random) -> Story:
    """Draw a story."""
    size = rng.choice(SIZES)
    ensemble = _draw_ensemble(rng, size)
    servers = sorted(ensemble.servers)
    faults = _draw_faults(rng, servers, rng.choice((4, 8, 12, 16)))
    simultaneous = rng.random() < 0.5
    conditions = Conditions(rng.choice(LATENCIES), loss=rng.choice((0.0, 0.0, 0.0, 0.02)))
    write_s = rng.choice(((0.0005, 0.002), (0.0005, 0.002), (0.001, 0.1)))
    # a tick is chosen for the network and the disk: in three of five a quorum has to answer
    least_s = 2 * (widest_s(conditions) + write_s[1])
    return Story(
        ensemble,
        conditions,
        Settings(
            tick_s=max(rng.choice((0.1, 0.2, 0.2, 0.5)), least_s),
            write_s=write_s,
            cleanup_s=rng.choice((0.0, 0.3)),
        ),
        _draw_options(rng, ensemble),
        _draw_stored(rng, ensemble),
        {sid: 1 + DRIFT * rng.uniform(-1, 1) for sid in servers},
        {sid: 0.0 if simultaneous else rng.random() for sid in servers},
        faults,
        1.0 + max(fault.at for fault in faults),
    )


def _draw_ensemble(rng: random.Random, size: int) -> Ensemble:
    observers = rng.choice((0, 0, 0, 1, 2))
    roles = ["participant"] * size + ["observer"] * observers
    if rng.random() < 0.5:
        rng.shuffle(roles)
    lines = {f"server.{sid}": f"h{sid}:{sid}:{1000 + sid}:{role}" for sid, role in enumerate(roles, 1)}
    voters = [sid for sid, role in enumerate(roles, 1) if role == "participant"]
    if size >= 5 and rng.random() < 0.15:
        groups = [voters[at::2] for at in range(2)] if size == 5 else [voters[at::3] for at in range(3)]
        lines |= {f"group.{number}": ":".join(map(str, group)) for number, group in enumerate(groups, 1)}
        lines |= {f"weight.{sid}": "1" for sid in voters}
    return build_ensemble(lines, 0)


def _draw_options(rng: random.Random, ensemble: Ensemble) -> dict[int, ElectionOptions]:
    early = rng.choice((True, True, True, False))
    mixed = rng.random() < 0.1
    voters = sorted(ensemble.voters)
    # those who may be elected are a quorum: one that may not, and has more than they, could stop all the
    # others
    abstaining = rng.sample(voters, _minority(ensemble)) if rng.random() < 0.1 else []
    return {
        sid: ElectionOptions(
            early_finalize=rng.random() < 0.5 if mixed else early, candidate=sid not in abstaining
        )
        for sid in sorted(ensemble.servers)
    }


def _minority(ensemble: Ensemble) -> int:
    """Return how many voters, whichever they are, no quorum needs."""
    hierarchical = isinstance(ensemble.verifier, Hierarchical)
    return 0 if hierarchical else (len(ensemble.voters) - 1) // 2


def _draw_stored(rng: random.Random, ensemble: Ensemble) -> dict[int, StoredVote]:
    """Draw what disks hold. Only a minority may lack transactions: a member can't follow who has more.

    Those have no higher epoch than the rest, or nobody could ever lead. Nor has an observer accepted an epoch
    that no voter has: it could follow nobody before the next election.
    """
    voters = sorted(ensemble.voters)
    epoch, differ = rng.choice((0, 1, 4)), rng.random() < 0.4
    zxid = make_zxid(epoch, 7)
    behind = rng.sample(voters, _minority(ensemble)) if rng.random() < 0.1 else []
    stored = {}
    for sid in sorted(ensemble.servers):
        observes = sid not in voters
        lacks = sid in behind or (observes and rng.random() < 0.5)
        current = epoch + (rng.choice((0, 0, 1)) if differ and not lacks and not observes else 0)
        accepted = current + (rng.choice((0, 0, 1, 2)) if differ and not observes else 0)
        stored[sid] = StoredVote(make_zxid(epoch, 3) if lacks else zxid, current, accepted)
    return stored


def _draw_faults(rng: random.Random, servers: list[int], count: int) -> tuple[Fault, ...]:
    kinds = [kind for kind in KINDS if rng.random() < 0.4] or [rng.choice(KINDS)]
    weights = [rng.random() + 0.1 for _ in kinds]
    if "kill all" in kinds:
        weights[kinds.index("kill all")] *= 0.2
    pace_s, at_leader = rng.choice((0.1, 0.5, 1.0, 1.0)), rng.choice((0.2, 0.7, 0.9))
    faults, at = [], 0.3
    for _ in range(count):
        at += rng.expovariate(1 / pace_s)
        (kind,) = rng.choices(kinds, weights)
        one, other = rng.sample(servers, 2)
        who = LEADER if rng.random() < at_leader else one
        faults.append(Fault(at, kind, who, other, rng.choice((0.01, 0.2, 1.0, 3.0)) * rng.random()))
    return tuple(faults)
