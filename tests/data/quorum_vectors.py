"""Ask ZooKeeper's own classes which sets are quorums, for random configurations, and print what they say.

``PYTHONPATH=tests/support .venv/bin/python tests/data/quorum_vectors.py > tests/data/quorum-vectors.json``

Needs jpype1, and Debian's zookeeper package. The same seed gives the same file.
"""

import json
import random
from itertools import islice
from pathlib import Path
from typing import Any

import jpype
from processes import JARS

SEED = 20_261_127
CONFIGS = 380
MOST_SETS = 64
"""Sets asked of a configuration: all there are, or so many of them."""
JAVA_DIR = Path("/usr/share/java")

Row = dict[str, Any]


def draw(rng: random.Random) -> Row:
    """Draw servers, groups and weights; most are sound, some are what a real server refuses."""
    pool = rng.sample(range(1, 16), 12) if rng.random() < 0.9 else rng.sample(range(-9, 10**12), 12)
    sids = sorted(pool[: rng.randint(1, 12)])
    share = rng.choice((0, 0, 0.3))
    observers = [sid for sid in sids[1:] if rng.random() < share]
    row: Row = {"voters": sorted(set(sids) - set(observers)), "observers": observers}
    if rng.random() < 0.12:
        return row
    numbers = rng.sample(range(1, 9), rng.randint(1, 5))
    groups: dict[int, list[int]] = {}
    for sid in sids:
        if sid not in observers or rng.random() < 0.6:
            groups.setdefault(rng.choice(numbers), []).append(sid)
    heavy = rng.choice((1, 1, 1, 1, 2**40, 2**56))
    weights = {
        sid: rng.randint(0, 5) * (heavy if rng.random() < 0.5 else 1)
        for sid in sids
        # one in a group that has no vote needs a weight: without, a real server does not start
        if rng.random() < 0.6 or (sid in observers and rng.random() < 0.9)
    }
    if rng.random() < 0.2:
        weights |= dict.fromkeys(groups[rng.choice(list(groups))], 0)
    if rng.random() < 0.2:
        weights[pool[-1]] = rng.randint(0, 5)  # perhaps of nobody, or of somebody in no group
    if rng.random() < 0.06:
        spoil(rng, groups, pool)
    return row | {"groups": groups, "weights": weights}


def spoil(rng: random.Random, groups: dict[int, list[int]], pool: list[int]) -> None:
    """Take a server out of its group, or put one into another: a second time, or a stranger."""
    group = rng.choice(list(groups))
    if rng.random() < 0.5 and len(groups[group]) > 1:
        groups[group].pop()
    else:
        groups[group].append(rng.choice(pool))


def lines(row: Row) -> dict[str, str]:
    """Return the lines of zoo.cfg that a row stands for."""
    roles = dict.fromkeys(row["voters"], "participant") | dict.fromkeys(row["observers"], "observer")
    return {
        **{f"server.{sid}": f"127.0.0.1:{2000 + n}:{3000 + n}:{roles[sid]}" for n, sid in enumerate(roles)},
        **{f"group.{number}": ":".join(map(str, sids)) for number, sids in row.get("groups", {}).items()},
        **{f"weight.{sid}": str(weight) for sid, weight in row.get("weights", {}).items()},
    }


def draw_sets(rng: random.Random, row: Row) -> tuple[list[int], list[int]]:
    """Return the ids that sets are made of, strangers among them, and the sets: bit N for the Nth id."""
    known = row["voters"] + row["observers"]
    strangers = (sid for sid in range(1, 99) if sid not in known)
    ids = known + list(islice(strangers, rng.randint(0, 2)))
    return ids, sorted(rng.sample(range(2 ** len(ids)), min(MOST_SETS, 2 ** len(ids))))


def ask(rng: random.Random, row: Row) -> Row:
    """Add what the real class says: why it refuses this, or weights, and sets that are quorums or not."""
    properties = jpype.JClass("java.util.Properties")()
    for key, value in lines(row).items():
        properties.setProperty(key, value)
    kind = "QuorumHierarchical" if "groups" in row else "QuorumMaj"
    try:
        verifier = jpype.JClass(f"org.apache.zookeeper.server.quorum.flexible.{kind}")(properties)
    except jpype.JException as error:
        return row | {"refused": str(error)}
    ids, masks = draw_sets(rng, row)
    answers: dict[bool, list[str]] = {True: [], False: []}
    for mask in masks:
        some = jpype.JClass("java.util.HashSet")()
        for at, sid in enumerate(ids):
            if mask >> at & 1:
                some.add(jpype.JClass("java.lang.Long").valueOf(sid))
        answers[bool(verifier.containsQuorum(some))].append(f"{mask:x}")
    return row | {
        "weigh": [weight_of(verifier, sid) for sid in ids],
        "ids": ids,
        "quorums": " ".join(answers[True]),
        "others": " ".join(answers[False]),
    }


def weight_of(verifier: Any, sid: int) -> int | None:
    """Return the weight of a server; None where the real class has none, and throws."""
    try:
        return int(verifier.getWeight(sid))
    except jpype.JException:
        return None


def main() -> None:
    jpype.startJVM(classpath=[str(JAVA_DIR / jar) for jar in JARS])
    rng = random.Random(SEED)
    rows = [json.dumps(ask(rng, draw(rng)), separators=(",", ":")) for _ in range(CONFIGS)]
    print(
        '{"from":"QuorumMaj and QuorumHierarchical of ZooKeeper 3.8.0","rows":[\n' + ",\n".join(rows) + "\n]}"
    )


if __name__ == "__main__":
    main()
