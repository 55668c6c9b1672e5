"""The ensemble that this member last belonged to, against the one that it is now given.

``version-2/fle.ensemble`` in the data directory holds its configuration text, as servers send it to each
other. A zoo.cfg that was cut short, or is another ensemble's, would let a member elect a second leader beside
the first one (decision 17 of the design).
"""

from pathlib import Path
from typing import Final

from trio_fle.ensemble import Ensemble, parse_ensemble
from trio_fle.errors import ConfigError
from trio_fle.quorum import OracleMajority, always_meet

NAME: Final = "fle.ensemble"
ACCEPT: Final = "fle.acceptNewEnsemble"


def belonging_path(data_dir: Path) -> Path:
    """Return the file that holds the ensemble of a data directory."""
    return data_dir / "version-2" / NAME


def read_belonging(data_dir: Path, *, oracle: bool) -> Ensemble | None:
    """Return the ensemble that the data directory's server last belonged to; None where it did to none.

    With an ``oracle``, of which the file does not tell. Blocking. Raises ``ConfigError`` for a file that
    can't be read.
    """
    path = belonging_path(data_dir)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: can't be read: {getattr(error, 'strerror', error)}") from error
    try:
        return parse_ensemble(text, several_addresses=True, oracle=oracle)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}; remove it if zoo.cfg is right") from None


def why_refused(last: Ensemble, now: Ensemble) -> str | None:
    """Say why ``now`` must not be formed without being told to; None where nothing speaks against it.

    What a reconfiguration has made of an ensemble has a higher version. Else no voter may be missing, and
    no two quorums, of before and of now, may miss each other.
    """
    if now.version > last.version:
        return None
    if now.version < last.version and not now.same_members(last):
        return f"it is older (version {now.version:x}) than version {last.version:x}"
    if missing := sorted(last.voters - now.voters):
        names = ", ".join(map(str, missing))
        return f"of its voters {names} {'is' if len(missing) == 1 else 'are'} missing"
    if not always_meet(last.verifier, now.verifier):
        return "a quorum of it and one of these servers need have no server in common"
    return None


def check_belonging(data_dir: Path, now: Ensemble, source: str) -> None:
    """Refuse, by ``ConfigError``, an ensemble that could elect a leader beside that of the last one."""
    last = read_belonging(data_dir, oracle=isinstance(now.verifier, OracleMajority))
    if last is not None and (why := why_refused(last, now)) is not None:
        raise ConfigError(
            f"{source}: these servers are not the ensemble that this member last belonged to "
            f"({belonging_path(data_dir)}): {why}, so that there could be two leaders; correct the server "
            f"lines, or, where the change is meant, start it once with --set {ACCEPT}=true"
        )
