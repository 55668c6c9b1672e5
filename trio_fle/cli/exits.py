"""Exit statuses, each with its one line on stderr."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, Final

import click

NO: Final = 1
USAGE: Final = 2
STOPPED: Final = 3


class Exit(click.ClickException):
    """End the command with a status of ours and one line on stderr."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.exit_code = status  # type: ignore[misc]  # click declares it for the class

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the line."""
        click.echo(f"trio-fle: {self.format_message()}", err=True, file=file)


@contextmanager
def told_of_sigint() -> Iterator[None]:
    """Have SIGINT end the command with one line, wherever in an event loop it came."""
    try:
        yield
    except KeyboardInterrupt:
        pass
    except BaseExceptionGroup as group:
        if group.split(KeyboardInterrupt)[1] is not None:
            raise
    else:
        return
    raise Exit("ended before it was done", STOPPED)
