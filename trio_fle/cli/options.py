"""Options that every command with a zoo.cfg has, and the configuration that they choose."""

import os
import socket
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from trio_fle.config import MemberConfig, load_config, myid_from_hostname, refuse_repeated_keys
from trio_fle.errors import ConfigError

_Command = TypeVar("_Command", bound=Callable[..., Any])


def config_options(command: _Command) -> _Command:
    """Give a command CONFIG, and what overrides it: config, settings, myid, from_hostname, data_dir."""
    for decorate in (
        click.option("--data-dir", type=click.Path(), help="Data directory, instead of dataDir."),
        click.option(
            "--myid-from-hostname", "from_hostname", is_flag=True, help="Pod ordinal plus one as server id."
        ),
        click.option("--myid", type=int, help="Server id, instead of the one in dataDir/myid."),
        click.option(
            "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override a key of the file."
        ),
        click.argument("config", type=click.Path()),
    ):
        command = decorate(command)
    return command


def load_chosen(
    config: str,
    settings: Sequence[str],
    myid: int | None,
    from_hostname: bool,
    data_dir: str | None,
    *,
    strict: bool = False,
) -> MemberConfig:
    """Return the configuration that these options choose; ``strict`` refuses a key that is given twice.

    Raises ``ConfigError``.
    """
    if from_hostname:
        if myid is not None:
            raise ConfigError("--myid and --myid-from-hostname: give one of them")
        myid = myid_from_hostname(socket.gethostname())
    overrides = _parse_settings(settings)
    if strict:
        refuse_repeated_keys(config, overrides)
    return load_config(config, overrides=overrides, myid=myid, data_dir=data_dir, environ=os.environ)


def _parse_settings(settings: Sequence[str]) -> dict[str, str]:
    parsed = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not key.strip() or not equals:
            raise ConfigError(f"--set {setting}: expected KEY=VALUE, such as --set tickTime=500")
        parsed[key.strip()] = value.strip()
    return parsed
