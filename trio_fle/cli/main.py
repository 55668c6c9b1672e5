"""The command group, and how errors leave the process."""

import click

from trio_fle.cli.demo import demo
from trio_fle.cli.run import run
from trio_fle.cli.simulate import simulate


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="trio-fle", prog_name="trio-fle")
def main() -> None:
    """Leader election as ZooKeeper's servers do it, without ZooKeeper.

    Exit status: 0 fine; 1 the answer is no; 2 usage or configuration; 3 the member had to stop (port in
    use, corrupt data).
    """


main.add_command(run)
main.add_command(demo)
main.add_command(simulate)
