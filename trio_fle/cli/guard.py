"""The guard: a small process between a member and the COMMAND that it runs while it leads.

Started as a script by ``trio_fle.cli.child``, with the standard library only, so that it is there within
a few hundredths of a second: ``python -I -S guard.py COMMAND [ARGUMENT ...]``. It is the parent of COMMAND,
so that COMMAND is ended in time whatever becomes of the member:

- the member hangs or is stopped: SIGTERM in doubt, SIGKILL to the process group when the time is up;
- the member dies of anything: SIGKILL at once;
- the guard dies of anything: the kernel kills COMMAND (PR_SET_PDEATHSIG), and the member its process group.

Descriptor 0 is a socket that keeps messages apart (SOCK_SEQPACKET), the other end of which the member alone
has. Times are seconds of the lease clock (``lease_clock``)::

    lease TERM_AT KILL_AT   to the guard: when COMMAND gets SIGTERM, and SIGKILL. The first one starts it,
                            the newest one counts
    terminate KILL_AT       to the guard: SIGTERM now
    started PID             from the guard. PID is the process group's id too
    failed REASON           from the guard: COMMAND could not be executed (its status is 126 or 127)
    exited STATUS CAUSE     from the guard, once nothing is left: minus the signal's number for a death by
                            signal; CAUSE is itself, terminate (as ordered), lease (the time was up)

How late can it be? A timer of the lease clock wakes the guard, also when a suspended machine wakes; then it
is as late as the kernel lets a process wait that wants to run. That and the death itself is all; a process in
uninterruptible sleep dies when it wakes, before it runs another instruction of its own.

What it can't catch: COMMAND must stay the user it was started as (a set-user-ID program can't be killed, and
the kernel forgets PR_SET_PDEATHSIG). Descendants in the process group die with COMMAND; those that left it
are adopted here (PR_SET_CHILD_SUBREAPER) and killed too, but not where the guard itself was killed. Where
member *and* guard get SIGKILL at the same moment, COMMAND dies, and of its descendants only what a control
group (systemd, a container) or COMMAND itself ends.
"""

import contextlib
import ctypes
import math
import os
import select
import signal
import sys
import time

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_TFD_TIMER_ABSTIME = 1
_WITHOUT_TIMER_S = 0.05
_MESSAGE_BYTES = 4096
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


def lease_clock() -> float:
    """Return the time of leases: it counts on while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def main(command: list[str]) -> int:
    """Serve one COMMAND; return when nothing of it is left."""
    link = os.dup(0)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    keep_ignored = {number for number in _IGNORED if signal.getsignal(number) == signal.SIG_IGN}
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    dead_child, wakes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    libc = ctypes.CDLL(None, use_errno=True)
    _prctl(libc, _PR_SET_CHILD_SUBREAPER, 1)
    guard = Guard(link, Timer(libc), dead_child)
    if not guard.wait_first_lease():
        return 0
    guard.child = _start(command, link, libc, keep_ignored)
    guard.say(f"started {guard.child}")
    status = guard.watch()
    _sweep(guard.child)
    guard.say(f"exited {status} {guard.cause}")
    return 0


class Guard:
    """What the member wishes, and the process that it wishes it for."""

    def __init__(self, link: int, timer: "Timer", dead_child: int) -> None:
        self.child = 0
        self.cause = "itself"
        self._link = link
        self._timer = timer
        self._dead_child = dead_child
        self._orphaned = False
        self._term_at = self._kill_at = -math.inf
        self._told_to_end = False

    def say(self, message: str) -> None:
        """Tell the member, if there is one."""
        with contextlib.suppress(OSError):
            os.write(self._link, message.encode())

    def wait_first_lease(self) -> bool:
        """Wait for the lease to start in; False where there is none, or no more."""
        self._hear()
        return not self._orphaned and lease_clock() < min(self._term_at, self._kill_at)

    def watch(self) -> int:
        """Keep to the member's times until the child is dead; it is left a zombie, so that its id is ours."""
        poll = select.poll()
        for descriptor in (self._link, self._dead_child, self._timer.descriptor):
            if descriptor is not None:
                poll.register(descriptor, select.POLLIN)
        while (status := _reap_others_than(self.child)) is None:
            self._act()
            for descriptor, _events in poll.poll(self._timeout_ms()):
                if descriptor == self._link:
                    self._hear()
                elif descriptor == self._dead_child:
                    os.read(descriptor, _MESSAGE_BYTES)
            if self._orphaned and self._link >= 0:
                poll.unregister(self._link)
                self._link = -1
        return status

    def _hear(self) -> None:
        """Take one message; the end of the connection is the end of the member."""
        try:
            message = os.read(self._link, _MESSAGE_BYTES).decode().split()
        except OSError:
            message = []
        match message:
            case ["lease", term_at, kill_at]:
                self._term_at, self._kill_at = float(term_at), float(kill_at)
                self._told_to_end = self._told_to_end and lease_clock() >= self._term_at
            case ["terminate", kill_at]:
                self._term_at, self._kill_at = -math.inf, float(kill_at)
                self.cause = "terminate" if self.cause == "itself" else self.cause
            case _:
                self._orphaned = True

    def _act(self) -> None:
        """Send the signals that are due, and set the timer for the next."""
        now = lease_clock()
        if self._orphaned or now >= self._kill_at:
            self._end(-self.child, signal.SIGKILL)
            self._kill_at = math.inf
        elif now >= self._term_at and not self._told_to_end:
            self._end(self.child, signal.SIGTERM)
        self._timer.set(self._kill_at if self._told_to_end else min(self._term_at, self._kill_at))

    def _end(self, pid: int, number: signal.Signals) -> None:
        _kill(pid, number)
        self._told_to_end = True
        self.cause = "lease" if self.cause == "itself" else self.cause

    def _timeout_ms(self) -> float | None:
        return None if self._timer.descriptor is not None else _WITHOUT_TIMER_S * 1000


class Timer:
    """A timer of the lease clock. ``descriptor`` is None where there is none: then look often."""

    def __init__(self, libc: ctypes.CDLL) -> None:
        self._libc = libc
        flags = os.O_NONBLOCK | os.O_CLOEXEC
        wide = ctypes.sizeof(ctypes.c_long) == 8  # the layout of the times is another where long is short
        made = libc.timerfd_create(time.CLOCK_BOOTTIME, flags) if wide else -1
        self.descriptor = made if made >= 0 else None

    def set(self, at: float) -> None:
        """Let the descriptor become readable at ``at``; forget all earlier times."""
        if self.descriptor is None:
            return
        seconds, nanoseconds = (0, 0) if math.isinf(at) else divmod(max(1, int(at * 1e9)), 10**9)
        times = (ctypes.c_long * 4)(0, 0, seconds, nanoseconds)  # struct itimerspec: interval, value
        self._libc.timerfd_settime(self.descriptor, _TFD_TIMER_ABSTIME, ctypes.byref(times), None)


def _start(command: list[str], link: int, libc: ctypes.CDLL, keep_ignored: set[signal.Signals]) -> int:
    """Start COMMAND as leader of a process group of its own that dies with this process."""
    guard = os.getpid()
    signal.pthread_sigmask(signal.SIG_BLOCK, _IGNORED)  # what comes before COMMAND can take it must wait
    if (child := os.fork()) != 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _IGNORED)
        with contextlib.suppress(OSError):  # it has done so itself, and is another program by now
            os.setpgid(child, child)
        return child
    try:
        os.setpgid(0, 0)
        _prctl(libc, _PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard:
            os._exit(127)  # it died before it could be tied to us
        for number in {*_IGNORED, *_IGNORED_BY_PYTHON} - keep_ignored:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execvp(command[0], command)  # noqa: S606  # what it is for
    except OSError as error:
        with contextlib.suppress(OSError):
            os.write(link, f"failed {error.strerror}".encode())
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)
    finally:
        os._exit(126)


def _prctl(libc: ctypes.CDLL, option: int, argument: int) -> None:
    nothing = ctypes.c_ulong(0)
    if libc.prctl(option, ctypes.c_ulong(argument), nothing, nothing, nothing) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl {option}: {os.strerror(code)}")


def _reap_others_than(child: int) -> int | None:
    """Reap the dead that were adopted; return the status of ``child`` once it is dead, and leave it."""
    while (dead := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
        if dead.si_pid == child:
            return dead.si_status if dead.si_code == os.CLD_EXITED else -dead.si_status
        os.waitpid(dead.si_pid, 0)
    return None


def _sweep(group: int) -> None:
    """Kill and reap what is left of the process group, and whoever was adopted."""
    _kill(-group, signal.SIGKILL)
    while left := _children():
        for pid in left:
            _kill(pid, signal.SIGKILL)
        os.waitpid(-1, 0)
    with contextlib.suppress(ChildProcessError):  # there are more only where /proc does not tell
        while True:
            os.waitpid(-group, 0)


def _kill(pid: int, number: signal.Signals) -> None:
    """Signal a process, or the group ``-pid``. None of them was reaped, so there is no error but EPERM."""
    with contextlib.suppress(PermissionError):
        os.kill(pid, number)


def _children() -> list[int]:
    """List the children of this process, also the dead ones that were not reaped."""
    me, found = os.getpid(), []
    with contextlib.suppress(FileNotFoundError), os.scandir("/proc") as entries:
        for name in [entry.name for entry in entries if entry.name.isdigit()]:
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as stat:  # noqa: PTH123
                parent = stat.read().rpartition(b")")[2].split()[1]  # PID (NAME) STATE PARENT ...
                found += [int(name)] if int(parent) == me else []
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
