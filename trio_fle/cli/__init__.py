"""The ``trio-fle`` command: one file a subcommand."""

import sys

from trio_fle.cli.memory import ask_for_huge_pages, load_structlog


def main() -> None:
    """Do what the command line says, and exit: where this process is the command, and nothing else."""
    if sys.argv[1:2] == ["run"]:
        ask_for_huge_pages()  # before anything is loaded: it may start this process anew
        load_structlog()
    from trio_fle.cli.commands import commands

    commands()
