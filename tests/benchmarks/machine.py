"""What the numbers of a run depend on, beside the contestants."""

import os
import platform
import subprocess
import sys
from pathlib import Path


def facts(directory: Path) -> dict[str, str]:
    """Return facts about this machine; ``directory`` is where the contestants keep their files."""
    return {
        "cores": f"{os.cpu_count()} ({_cpu_model()})",
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "file system": _file_system(directory),
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "Python": platform.python_version(),
        "commit": _commit(),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(directory: Path) -> str:
    done = subprocess.run(
        ["df", "--output=fstype", str(directory)], capture_output=True, text=True, check=False
    )
    return done.stdout.split()[-1] if done.stdout else "unknown"


def _commit() -> str:
    here = Path(__file__).parent

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=False).stdout

    head = git("rev-parse", "--short", "HEAD").strip() or "unknown"
    return head + (" and changes to trio_fle/" if git("status", "--short", "--", "../../trio_fle") else "")


def command_line() -> str:
    """Return the command of this run, as it can be given again in the repository."""
    options = " ".join(sys.argv[1:])
    return f'make bench BENCH="{options}"' if options else "make bench"
