"""``trio-fle check``: what a configuration means, and what is wrong with it."""

import json
from typing import Final

import attrs
import click
import trio

from trio_fle.check.addresses import hosts_of
from trio_fle.check.data import data_findings
from trio_fle.check.live import Told
from trio_fle.check.report import Report, build_report
from trio_fle.cli.check_text import render
from trio_fle.cli.exits import NO, USAGE, Exit, told_of_sigint
from trio_fle.cli.options import config_options, load_chosen
from trio_fle.config import MemberConfig
from trio_fle.errors import ConfigError
from trio_fle.peers import TcpTransport
from trio_fle.peers.asking import Asking
from trio_fle.peers.names import Names, look_up_all

LOOK_UP_WITHIN_S: Final = 3.0
ASK_WITHIN_S: Final = 5.0


@click.command(epilog="Example: trio-fle check zoo.cfg --myid 2 --live")
@config_options
@click.option("--json", "as_json", is_flag=True, help="One JSON document, for programs.")
@click.option("--strict", is_flag=True, help="Let a warning count as much as an error.")
@click.option("--live", is_flag=True, help="Ask the servers, and compare what they tell.")
def check(
    config: str,
    settings: tuple[str, ...],
    myid: int | None,
    from_hostname: bool,
    data_dir: str | None,
    as_json: bool,
    strict: bool,
    live: bool,
) -> None:
    """Explain CONFIG (a zoo.cfg): who votes, what is a quorum, what it survives, and what is suspicious.

    Names are looked up, and the data directory is read; with --live every server is asked on its election
    port, too, and knocked at, so that it tells its id. Exit status 0: fine, warnings or not; 1: an error was
    found, or with --strict a warning; 2: CONFIG can't be used; 3: it was ended before it was done.
    """
    try:
        loaded = load_chosen(config, settings, myid, from_hostname, data_dir, strict=True)
    except ConfigError as error:
        raise Exit(str(error), USAGE) from error
    with told_of_sigint():
        report = trio.run(_find_out, loaded, live, restrict_keyboard_interrupt_to_checkpoints=True)
    if as_json:
        click.echo(json.dumps(report.document(), indent=2))
    else:
        for text, style in render(report):
            click.secho(text, **style)
    if not report.ok or (strict and report.findings):
        raise click.exceptions.Exit(NO)


async def _find_out(config: MemberConfig, live: bool) -> Report:
    """Look names up and the data directory through, and ask the servers where that is wanted."""
    names = await look_up_all(hosts_of(config), LOOK_UP_WITHIN_S)
    data = await trio.to_thread.run_sync(lambda: list(data_findings(config)))
    if not live:
        return build_report(config, names, data=data)
    # a server that this machine can't reach shall not keep the others waiting for the whole cnxTimeout
    within_s = min(config.transport.cnx_timeout_s, ASK_WITHIN_S)
    asking = Asking(TcpTransport(config.transport), config.me.addresses[0].election, within_s, names)
    answers = await asking.all(config.ensemble.servers, identify=True)
    more = await look_up_all(Told.by(answers).hosts() - hosts_of(config), LOOK_UP_WITHIN_S)
    return build_report(config, _joined(names, more), answers, data)


def _joined(names: Names, more: Names) -> Names:
    return attrs.evolve(names, addresses={**more.addresses, **names.addresses}, own=names.own | more.own)
