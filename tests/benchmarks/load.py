"""False elections: nobody is struck, every core is busy with something else, and leaders are to stay.

Run by ``make bench-load LOAD="--seconds 600"``; the figures of such a run are in README.md beside this file.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import trio
from contestants import TrioFle, ZooKeeperLike
from watch import wait_whole

BUSY = "while True: sum(range(1000))"
WRITING = (
    "import os, sys\nfile = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR)\n"
    "while True: os.pwrite(file, b'x' * 65536, 0); os.fsync(file)"
)
START_S = 60.0
SETTLE_S = 2.0


def contestant(tick_ms: int) -> type[ZooKeeperLike]:
    """Return an ensemble of ours with this tickTime, and five ticks of syncLimit."""
    return type("TrioFleAtTick", (TrioFle,), {"tick_ms": tick_ms})


@click.command()
@click.option(
    "--tick", "ticks", multiple=True, type=click.IntRange(min=1), default=(100, 20), show_default=True
)
@click.option("--seconds", default=600.0, show_default=True)
@click.option("--size", default=3, show_default=True)
@click.option("--writing", is_flag=True, help="One more process fsyncs all the time.")
def main(ticks: tuple[int, ...], seconds: float, size: int, writing: bool) -> None:
    """Count the elections of ensembles that nobody strikes, while every core of the machine is busy."""
    with tempfile.TemporaryDirectory() as directory:
        ensembles = {tick_ms: contestant(tick_ms)(Path(directory) / str(tick_ms), size) for tick_ms in ticks}
        load = [[sys.executable, "-c", BUSY]] * (os.cpu_count() or 1)
        if writing:
            load.append([sys.executable, "-c", WRITING, f"{directory}/written"])
        trio.run(endure, list(ensembles.values()), load, seconds)
        for tick_ms, ensemble in ensembles.items():
            report(ensemble, tick_ms, seconds)


async def endure(ensembles: list[ZooKeeperLike], load: list[list[str]], seconds: float) -> None:
    """Start all ensembles, make every core busy, and let time pass."""
    burdens: list[trio.Process] = []
    try:
        for ensemble in ensembles:
            for sid in ensemble.sids:
                await ensemble.start(sid)
            with trio.fail_after(START_S):
                await wait_whole(ensemble, SETTLE_S)
            mark(ensemble)
        for command in load:
            burdens.append(await trio.lowlevel.open_process(command, stdin=subprocess.DEVNULL))
        await trio.sleep(seconds)
        for ensemble in ensembles:
            mark(ensemble)
    finally:
        with trio.CancelScope(shield=True):
            for burden in burdens:
                burden.kill()
                await burden.wait()
            for ensemble in ensembles:
                await ensemble.kill_all()


MARK = "--- load begins or ends ---\n"


def mark(ensemble: ZooKeeperLike) -> None:
    """Write into each log, which its member appends to as well, that the load begins or ends."""
    for sid in ensemble.sids:
        with ensemble.log(sid).open("a") as log:
            log.write(MARK)


def report(ensemble: ZooKeeperLike, tick_ms: int, seconds: float) -> None:
    """Print how often a leader was lost under the load, why, and how long the loops were held up."""
    lost: list[str] = []
    lags: list[float] = []
    for sid in ensemble.sids:
        _, under_load, _ = ensemble.log(sid).read_text().split(MARK)
        for line in under_load.splitlines():
            event = json.loads(line)
            if event["event"] == "leading.lost":
                lost.append(re.sub(r"[\d.]+", "N", event["reason"]))
            elif event["event"] == "loop.lagged":
                lags.append(event["lag_ms"])
    causes = "; ".join(f"{lost.count(cause)} times: {cause}" for cause in sorted(set(lost))) or "none"
    click.echo(
        f"tickTime={tick_ms} syncLimit=5, {ensemble.size} members, {os.cpu_count()} busy cores, "
        f"{seconds:g} s: {len(lost)} false elections ({causes}); loops held up {len(lags)} times, "
        f"{max(lags, default=0):.0f} ms at most"
    )


if __name__ == "__main__":
    main()
