"""The ensemble that this member last belonged to, against the one that it is now given.

``version-2/fle.ensemble`` in the data directory holds its configuration text, as servers send it to each
other. A zoo.cfg that was cut short, or is another ensemble's, would let a member elect a second leader beside
the first one (decision 17 of the design).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from trio_fle.ensemble import Ensemble, parse_ensemble
from trio_fle.errors import ConfigError
from trio_fle.quorum import OracleMajority, always_meet

NAME: Final = "fle.ensemble"
ACCEPT: Final = "fle.acceptNewEnsemble"

_ORACLE: Final = "#oracle\n"
_BETWEEN: Final = "\n\n"


def belonging_path(data_dir: Path) -> Path:
    """Return the file that holds the ensemble of a data directory."""
    return data_dir / "version-2" / NAME


def belonging_text(*ensembles: Ensemble) -> str:
    """Return what the file holds: the ensemble, or the one before and the one to come while that is written.

    A line ``#oracle`` stands before one whose two voters have an oracle.
    """
    marks = (_ORACLE if isinstance(each.verifier, OracleMajority) else "" for each in ensembles)
    return _BETWEEN.join(mark + each.text for mark, each in zip(marks, ensembles, strict=True))


def read_belonging(data_dir: Path) -> list[Ensemble]:
    """Return the ensembles that the data directory's server last belonged to; mostly one, at first none.

    Blocking. Raises ``ConfigError`` for a file that can't be read.
    """
    path = belonging_path(data_dir)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"{path}: can't be read: {reason}; the user that this runs as must be able to read and write "
            f"all of {data_dir}"
        ) from error
    try:
        return [
            parse_ensemble(part, several_addresses=True, oracle=part.startswith(_ORACLE))
            for part in text.split(_BETWEEN)
        ]
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}; remove it if zoo.cfg is right") from None


def why_refused(last: Ensemble, now: Ensemble) -> str | None:
    """Say why ``now`` must not be formed without being told to; None where nothing speaks against it.

    No two quorums, of before and of now, may miss each other; and unless a higher version says that it is
    meant, no voter may be missing.
    """
    if now.version < last.version and not now.same_members(last):
        return (
            f"version {now.version:x} is older than {last.version:x}, which it lived under (a dynamic file "
            f"that is to come after that has a version above {last.version:x} at the end of its name)"
        )
    missing = sorted(last.voters - now.voters)
    if missing and now.version <= last.version:
        names = ", ".join(map(str, missing))
        return f"of its voters {names} {'is' if len(missing) == 1 else 'are'} missing"
    if not always_meet(last.verifier, now.verifier):
        return "a quorum of it and a quorum of these servers need have no server in common"
    return None


def check_belonging(data_dir: Path, now: Ensemble, source: str, unknown: Sequence[str] = ()) -> None:
    """Refuse, by ``ConfigError``, an ensemble that could elect a leader beside that of the last one.

    ``unknown`` are warnings of keys that nobody reads: one of them may be the server line that is missing.
    """
    held = read_belonging(data_dir)
    if not held or any(now.version == each.version and now.same_members(each) for each in held):
        return
    if (why := why_refused(held[-1], now)) is not None:
        also = f" ({'; '.join(unknown)})" if unknown else ""
        raise ConfigError(
            f"{source}: these servers are not the ensemble that this member last belonged to "
            f"({belonging_path(data_dir)}): {why}, so that there could be two leaders; correct the server "
            f"lines{also}, or, where the change is meant, start it once with --set {ACCEPT}=true"
        )
