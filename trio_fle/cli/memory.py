"""A member's memory: in huge pages, 2 MiB each, and without what it has no use for.

An election after a quiet time touches some thousand places of a Python process that no cache holds any more,
and finding each page costs the processor several reads of its page table. A killed process, too, is gone
sooner that has few pages to give back, and its sockets are closed only after them. Together this takes a
tenth off a failover (``tests/benchmarks/README.md``).

glibc asks for huge pages where it is told to by its environment, when a process starts; Python has to leave
its objects to glibc for it. So the process starts itself anew, once, with those variables set.
"""

import os
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Final

ALLOCATOR: Final = {
    "PYTHONMALLOC": "malloc",
    # one arena for all threads: each further one would begin with 2 MiB of its own
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.arena_max=1",
}
"""Both are read when a process starts, and at no other time."""

STARTED_ANEW: Final = "TRIO_FLE_STARTED_ANEW"
"""Says that the variables above are ours."""

_SINCE: Final = (2, 35)
"""The first glibc that can ask for huge pages."""

_SWITCH: Final = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def ask_for_huge_pages() -> None:
    """Start this process anew with huge pages, where it may have them; return in the process that runs on.

    What it starts itself does not inherit them. Who sets one of the variables keeps it as it is.
    """
    if os.environ.pop(STARTED_ANEW, None) is not None:
        for name in ALLOCATOR:
            os.environ.pop(name, None)
    elif not ALLOCATOR.keys() & os.environ.keys() and _glibc() >= _SINCE and _may_have() and _is_repeatable():
        environ = {**os.environ, **ALLOCATOR, STARTED_ANEW: "1"}
        # whoever may start nothing, or has an environment that can't be repeated, goes on with what it has
        with suppress(OSError, ValueError):
            os.execve(sys.executable, sys.orig_argv, environ)  # noqa: S606


def load_structlog() -> None:
    """Load structlog without rich, where nobody has loaded either: 4 MiB, and 30 ms of a start.

    It would load that for tracebacks, which no line of ours has, wherever it is installed; other commands of
    ours need it for their tables.
    """
    if "rich" in sys.modules:
        return
    # as Python documents it for a module that is to be missing
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        import_module("structlog")
    finally:
        del sys.modules["rich"]


def _is_repeatable() -> bool:
    """Whether the same command line, to the same interpreter, starts what runs here, and nothing else.

    It does not where somebody else's program calls us with words of its own, or has begun something before,
    nor where the program came from the standard input. An interpreter without a global lock has an allocator
    of its own, and would not start with another.
    """
    words = sys.argv[1:]
    if sys.implementation.name != "cpython" or "t" in sys.abiflags:
        return False
    if any(word == "-" or word.startswith(("/dev/", "/proc/")) for word in sys.orig_argv):
        return False
    if sys.orig_argv[len(sys.orig_argv) - len(words) :] != words:
        return False
    threads, processes = map(sys.modules.get, ("threading", "multiprocessing.process"))
    if (threads and threads.active_count() > 1) or (processes and processes.parent_process()):
        return False
    try:  # named after something else (argv[0]), an interpreter does not know where it is
        return bool(sys.executable) and Path(sys.executable).samefile("/proc/self/exe")
    except OSError:
        return False


def _glibc() -> tuple[int, ...]:
    """Return the version of glibc; nothing where the C library is another one."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
        return tuple(map(int, version.split("."))) if name == "glibc" else ()
    except ValueError:  # another library does not know the question
        return ()


def _may_have() -> bool:
    try:
        return "[never]" not in _SWITCH.read_text()
    except OSError:
        return False
