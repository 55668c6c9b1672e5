"""The ``trio-fle`` command: one file a subcommand."""

from trio_fle.cli.main import main

__all__ = ["main"]
