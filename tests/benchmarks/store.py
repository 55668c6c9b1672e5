"""Everything that a run found, as JSON and back."""

import json
from pathlib import Path
from typing import Any

import attrs
from cases import Round
from micro import Speeds
from rounds import Results
from weight import Weight


@attrs.frozen
class Series:
    """The rounds of one contestant in one case and size."""

    contestant: str
    case: str
    size: int
    rounds: list[Round]
    disturbed: int = 0
    """Rounds begun anew because the leader changed by itself."""

    @property
    def seen(self) -> list[float]:
        """Milliseconds of the rounds that saw what they waited for."""
        return [each.seen_ms for each in self.rounds if each.seen_ms is not None]

    @property
    def logged(self) -> list[float]:
        """The same by the members' own logs."""
        return [each.logged_ms for each in self.rounds if each.logged_ms is not None]


@attrs.frozen
class Weighed:
    """The weight of one contestant in one size."""

    contestant: str
    size: int
    weight: Weight


@attrs.frozen
class Run:
    """One run: what was found, where, and by which command."""

    command: str
    facts: dict[str, str]
    labels: dict[str, str]
    """What each contestant is."""
    interval_ms: float
    series: list[Series]
    weights: list[Weighed]
    speeds: Speeds | None

    def save(self, path: Path) -> None:
        """Write JSON."""
        path.write_text(json.dumps(attrs.asdict(self, value_serializer=_rounded), indent=1) + "\n")


def _rounded(_owner: object, _field: object, value: Any) -> Any:
    return round(value, 3) if isinstance(value, float) else value


def load(path: Path) -> Run:
    """Read what ``Run.save`` wrote."""
    data = json.loads(path.read_text())
    data["series"] = [
        Series(**(each | {"rounds": [Round(**each_round) for each_round in each["rounds"]]}))
        for each in data["series"]
    ]
    data["weights"] = [Weighed(**(each | {"weight": Weight(**each["weight"])})) for each in data["weights"]]
    if data["speeds"] is not None:
        speeds = data["speeds"]
        for name in ("elections_per_s", "messages"):
            speeds[name] = {int(size): value for size, value in speeds[name].items()}
        data["speeds"] = Speeds(**speeds)
    return Run(**data)


def series_of(results: Results) -> list[Series]:
    """List the rounds of a run, each under what was played."""
    return [
        Series(*key, rounds, results.disturbed.get(key, 0))
        for key, rounds in results.rounds.items()
        if rounds
    ]


def weights_of(results: Results) -> list[Weighed]:
    """List the weights of a run."""
    return [Weighed(*key, weight) for key, weight in results.weights.items()]
