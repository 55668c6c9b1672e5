"""Hosts of their own on a network of their own: network namespaces on a bridge, with delay, loss and cuts.

The bridge is in a namespace too, and nftables decides there what passes: what is cut or lost is dropped
without a word, as between two sites. Delay is netem's, at each host's end, where the kernel has it; elsewhere
a small process (``delay_line.py``) picks up what leaves a host and hands it on later.
"""

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import attrs

DELAY_LINE: Final = Path(__file__).with_name("delay_line.py")
NET: Final = "10.78.0"
NETNS: Final = Path("/etc/netns")
"""What it holds for a namespace is mounted over files of ``/etc`` there."""

_numbers = itertools.count()

Way = tuple[int, int]
"""From one host to another."""


def _run(*words: str, told: str | None = None) -> None:
    done = subprocess.run(words, input=told, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip()}")


def _mac(sid: int) -> str:
    return f"02:00:00:00:00:{sid:02x}"


def both_ways(some: Iterable[int], others: Iterable[int]) -> set[Way]:
    """All ways between two groups."""
    pairs = list(itertools.product(some, others))
    return {*pairs, *((b, a) for a, b in pairs)}


@attrs.define(eq=False)
class Network:
    """Hosts 1, 2, ... of one bridged network; each knows the others' hardware addresses."""

    size: int
    prefix: str
    cuts: frozenset[Way] = frozenset()
    loss: float = 0.0
    """The part of all frames, from whomever to whomever, that is lost."""
    delays: dict[int, tuple[float, float]] = attrs.field(factory=dict)
    """Mean and spread, in seconds, of what leaves a host, as far as the delay line has to do with it."""
    addresses: dict[int, str] = attrs.field(factory=dict)
    """Of hosts that have moved."""
    _line: subprocess.Popen[str] | None = None
    _netem: bool | None = None

    @property
    def hosts(self) -> range:
        return range(1, self.size + 1)

    def address(self, sid: int) -> str:
        return self.addresses.get(sid, f"{NET}.{sid}")

    def namespace(self, sid: int) -> str:
        return f"{self.prefix}-{sid}"

    @property
    def bridge(self) -> str:
        return f"{self.prefix}-br"

    def within(self, sid: int) -> list[str]:
        """What goes before a command that is to run on a host; the process becomes the command."""
        return ["ip", "netns", "exec", self.namespace(sid)]

    def build(self) -> None:
        _run("ip", "netns", "add", self.bridge)
        self._ip(self.bridge, "link add br0 type bridge forward_delay 0 mcast_snooping 0")
        self._ip(self.bridge, "link set br0 up")
        # what was delayed comes back by in0, and must not teach the bridge that its sender is there
        self._ip(self.bridge, "link add in0 type veth peer name in1")
        self._ip(self.bridge, "link set in1 master br0 up")
        self._ip(self.bridge, "link set in1 type bridge_slave learning off")
        self._ip(self.bridge, "link set in0 up")
        for sid in self.hosts:
            self._add_host(sid)
        self._decide()

    def _add_host(self, sid: int) -> None:
        here = self.namespace(sid)
        _run("ip", "netns", "add", here)
        _run(
            "ip", "link", "add", "eth0", "address", _mac(sid), "netns", here,
            "type", "veth", "peer", "name", f"p{sid}", "netns", self.bridge,
        )  # fmt: skip
        self._ip(self.bridge, f"link set p{sid} master br0 up")
        self._ip(here, f"address add {self.address(sid)}/24 dev eth0")
        self._ip(here, "link set lo up")
        self._ip(here, "link set eth0 up")
        for other in self.hosts:
            if other != sid:
                self._introduce(other, sid)

    def _introduce(self, sid: int, to: int) -> None:
        """Tell one host another's hardware address.

        Else a cut is first seen as a neighbour that can't be found, which is an error at once.
        """
        words = f"neighbour replace {self.address(sid)} lladdr {_mac(sid)} dev eth0 nud permanent"
        self._ip(self.namespace(to), words)

    def remove(self) -> None:
        """Remove all of it, as far as it is there; what runs in it has ended by then."""
        if self._line is not None:
            self._line.kill()
            self._line.communicate()
            self._line = None
        for name in (*(self.namespace(sid) for sid in self.hosts), self.bridge):
            with suppress(OSError):
                _run("ip", "netns", "delete", name)
            shutil.rmtree(NETNS / name, ignore_errors=True)

    def _ip(self, namespace: str, words: str) -> None:
        _run("ip", "-n", namespace, *words.split())

    # Names and addresses

    def name(self, names: Mapping[int, str]) -> None:
        """Give hosts these names, on all hosts, and take all others away.

        What was started ``within`` a host after the first time sees each change.
        """
        lines = ["127.0.0.1 localhost", *(f"{self.address(sid)} {name}" for sid, name in names.items())]
        for sid in self.hosts:
            directory = NETNS / self.namespace(sid)
            directory.mkdir(parents=True, exist_ok=True)
            # written in place: processes have these very files mounted over those of /etc
            (directory / "hosts").write_text("\n".join(lines) + "\n")
            (directory / "resolv.conf").write_text("nameserver 127.0.0.1\n")

    def move(self, sid: int, number: int) -> None:
        """Give a host another address, ``number`` in the network; what is sent to the old one is lost."""
        self.addresses[sid] = f"{NET}.{number}"
        self._ip(self.namespace(sid), "address flush dev eth0")
        self._ip(self.namespace(sid), f"address add {self.address(sid)}/24 dev eth0")
        for other in self.hosts:
            if other != sid:
                self._introduce(sid, other)
                self._introduce(other, sid)

    # What passes

    def cut(self, ways: Iterable[Way]) -> None:
        """Let nothing pass on these ways, and everything on all others."""
        self.cuts = frozenset(ways)
        self._decide()

    def lose(self, share: float) -> None:
        """Lose so much of what passes."""
        self.loss = share
        self._decide()

    def delay(self, mean_s: float, spread_s: float = 0.0, *, hosts: Sequence[int] = ()) -> None:
        """Let what leaves each of ``hosts`` (all, if none is named) be so long under way, one way."""
        for sid in hosts or self.hosts:
            self._delay(sid, mean_s, spread_s)

    def heal(self) -> None:
        """Let everything pass, at once."""
        self.cuts, self.loss = frozenset(), 0.0
        self.delay(0.0)
        self._decide()

    def reset(self, one: int, another: int) -> None:
        """Reset the connections between two hosts: at the first, which tells the second if it can."""
        _run(*self.within(one), "ss", "--kill", "--tcp", "--no-header", "dst", self.address(another))

    def _decide(self) -> None:
        lost = "drop" if self.loss >= 1 else f"numgen random mod 10000 < {round(self.loss * 10000)} drop"
        rules = [
            *(f"ether saddr {_mac(a)} ether daddr {_mac(b)} drop" for a, b in sorted(self.cuts)),
            *([lost] if self.loss else []),
            *(f'iifname "p{sid}" drop' for sid in self.delays),  # the delay line has it
        ]
        table = "table bridge fle\ndelete table bridge fle\ntable bridge fle {\nchain forward {\n"
        table += "type filter hook forward priority 0;\n" + "\n".join(rules) + "\n}\n}\n"
        _run("ip", "netns", "exec", self.bridge, "nft", "-f", "-", told=table)

    def _delay(self, sid: int, mean_s: float, spread_s: float) -> None:
        if self._netem is None and mean_s:
            self._netem = self._has_netem(sid)
        if self._netem:
            words = f"delay {mean_s * 1e6:.0f}us {spread_s * 1e6:.0f}us limit 10000"
            _run(*f"tc -n {self.namespace(sid)} qdisc replace dev eth0 root netem {words}".split())
        elif mean_s:
            self._tell_line(sid, mean_s, spread_s)
            self.delays[sid] = (mean_s, spread_s)
            self._decide()
        elif self.delays.pop(sid, None) is not None:
            self._decide()
            self._tell_line(sid, 0, 0)

    def _has_netem(self, sid: int) -> bool:
        try:
            _run(*f"tc -n {self.namespace(sid)} qdisc replace dev eth0 root netem delay 1ms".split())
        except OSError:
            return False
        return True

    def _tell_line(self, sid: int, mean_s: float, spread_s: float) -> None:
        if self._line is None:
            self._line = subprocess.Popen(
                ["ip", "netns", "exec", self.bridge, sys.executable, str(DELAY_LINE)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._line.stdin is not None
        assert self._line.stdout is not None
        self._line.stdin.write(f"p{sid} {mean_s} {spread_s}\n")
        self._line.stdin.flush()
        if self._line.stdout.readline() != "done\n":
            raise OSError("the delay line has ended")


@contextmanager
def network(size: int) -> Iterator[Network]:
    """Make a network; it is removed at the end, whatever happened. Needs root, ``ip`` and ``nft``."""
    made = Network(size, f"fle{os.getpid()}n{next(_numbers)}")
    with ExitStack() as stack:
        stack.callback(made.remove)
        made.remove()  # what a killed process of the same number left
        made.build()
        yield made
