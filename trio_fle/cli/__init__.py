"""The ``trio-fle`` command: one file a subcommand."""

import errno
import sys
from typing import Final

from trio_fle.cli.memory import ask_for_huge_pages, load_structlog

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


def main() -> None:
    """Do what the command line says, and exit: where this process is the command, and nothing else."""
    if sys.argv[1:2] == ["run"]:
        ask_for_huge_pages()  # before anything is loaded: it may start this process anew
        load_structlog()
    from trio_fle.cli.commands import commands
    from trio_fle.cli.exits import STOPPED

    try:
        commands()
    except OSError as error:
        if error.filename is not None or error.errno not in _FULL:
            raise
        print(f"trio-fle: the output can't be written: {error.strerror}", file=sys.stderr)  # noqa: T201
        sys.exit(STOPPED)
