"""A member's memory in huge pages, 2 MiB each.

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
    elif not ALLOCATOR.keys() & os.environ.keys() and _glibc() >= _SINCE and _may_have():
        environ = {**os.environ, **ALLOCATOR, STARTED_ANEW: "1"}
        # whoever may start nothing goes on with the memory that it has
        with suppress(OSError):
            os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environ)  # noqa: S606


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
