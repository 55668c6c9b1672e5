"""Keys that a file gives twice: a warning for a member that starts, an error for who checks the file."""

import os
from collections.abc import Mapping
from pathlib import Path

from trio_fle.config.settings import Settings
from trio_fle.errors import ConfigError


def refuse_repeated_keys(path: str | os.PathLike[str], overrides: Mapping[str, str] | None = None) -> None:
    """Raise ``ConfigError`` at the first key that zoo.cfg, or its dynamic file, gives twice. Blocking.

    Java's properties let the last one win without a word, so whoever reads the first is misled.
    """
    settings = Settings.read(Path(path))
    repeated = settings.repeated
    dynamic = (overrides or {}).get("dynamicConfigFile") or settings.text("dynamicConfigFile")
    if dynamic is not None:
        repeated = repeated + Settings.read(Path(dynamic)).repeated
    if repeated:
        raise ConfigError(repeated[0])
