"""The command group, and how errors leave the process."""

from importlib import import_module

import click

from trio_fle import __version__

COMMANDS = ("check", "demo", "run", "simulate")
"""Each in a module of its name."""


class Commands(click.Group):
    """Loads a command only when it is asked for: a member carries no simulator with it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command; None for a name that is none."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"trio_fle.cli.{cmd_name}"), cmd_name)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="trio-fle")
def commands() -> None:
    """Leader election as ZooKeeper's servers do it, without ZooKeeper.

    Exit status: 0 fine; 1 the answer is no; 2 usage or configuration; 3 the member had to stop (port in
    use, corrupt data).
    """
