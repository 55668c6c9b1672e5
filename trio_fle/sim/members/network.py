"""A network in memory: hosts, listeners and streams, for whole members under virtual time.

Without ``conditions`` whatever is sent arrives at once. What is sent over a cut path waits, as TCP would send
it again, and arrives in order once the path is mended; so does the news that a connection was closed.
"""

import errno
import heapq
import itertools
import math
import os
import random
import socket
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final

import attrs
import trio
from trio.abc import Listener, Stream

from trio_fle.ensemble import HostPort
from trio_fle.errors import ConnectionLostError, RefusedError
from trio_fle.peers import Transport
from trio_fle.sim.conditions import RETRANSMIT_S, Conditions
from trio_fle.sim.members.streams import Arrive, VirtualListener, VirtualStream

UNREACHABLE_S: Final = 1.0
"""After how long somebody on the way says that there is no route."""

_PREFIX: Final = "192.0.2."


def host_of(sid: int) -> str:
    """Return the address of a server's host (192.0.2.0/24 is for documentation)."""
    return f"{_PREFIX}{sid}"


def sid_of(host: str) -> int:
    """Return the server on a host; 0 for a stranger's."""
    return int(host.removeprefix(_PREFIX)) if host.startswith(_PREFIX) else 0


@attrs.define(eq=False)
class VirtualNetwork:
    """Who listens where, who dialled what, and what goes wrong. Hosts are named by their addresses.

    With ``conditions`` everything takes its time, and ``run`` must run. ``timeout_s`` is the user time-out of
    all connections (``tickTime * syncLimit`` in a member): a path that was cut for so long breaks them.
    A host handles what arrives one by one, ``work_s`` each; ``cores`` of a machine serve all hosts together
    (0: each host is a machine of its own).
    """

    conditions: Conditions | None = None
    rng: random.Random = attrs.field(factory=lambda: random.Random(0))
    timeout_s: float | None = None
    work_s: float = 0.0
    cores: int = 0
    tap: Callable[[VirtualStream, bytes], None] = lambda stream, data: None
    """Is told of everything that is sent."""
    listeners: dict[HostPort, VirtualListener] = attrs.field(factory=dict)
    dialled: list[tuple[str, HostPort]] = attrs.field(factory=list)
    black_holes: set[HostPort] = attrs.field(factory=set)
    """A dial there never returns."""
    moved: dict[HostPort, HostPort] = attrs.field(factory=dict)
    """What a name stands for now, where not for itself."""
    unresolved: set[HostPort] = attrs.field(factory=set)
    """Names that stand for nothing now."""
    bind_errors: list[OSError] = attrs.field(factory=list)
    """Raised by the next attempts to listen."""
    streams: list[VirtualStream] = attrs.field(factory=list, init=False)
    _cut: dict[tuple[str, str], float] = attrs.field(factory=dict, init=False)
    """Paths that are cut, and since when."""
    _asleep: dict[str, float] = attrs.field(factory=dict, init=False)
    _waiting: dict[tuple[str, str], list[VirtualStream]] = attrs.field(
        factory=lambda: defaultdict(list), init=False
    )
    """Ends to which a cut holds something up, once for each thing."""
    _under_way: list[tuple[float, int, Arrive]] = attrs.field(factory=list, init=False)
    _numbers: "itertools.count[int]" = attrs.field(factory=itertools.count, init=False)
    _busy_until: dict[str, float] = attrs.field(factory=dict, init=False)
    _core_free_at: list[float] = attrs.field(init=False)
    _sooner: trio.Event = attrs.field(factory=trio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self._core_free_at = [0.0] * self.cores

    def host(self, name: str) -> "VirtualHost":
        """Return the transport of a host of this name."""
        return VirtualHost(self, name)

    async def run(self) -> None:
        """Let what is under way arrive, for ever."""
        while True:
            now = trio.current_time()
            while self._under_way and self._under_way[0][0] <= now:
                heapq.heappop(self._under_way)[2]()
            with trio.move_on_at(self._under_way[0][0] if self._under_way else math.inf):
                await self._sooner.wait()
            self._sooner = trio.Event()

    # What goes wrong

    def is_cut(self, source: str, target: str) -> bool:
        """Whether nothing gets from one host to the other now."""
        return (source, target) in self._cut or source in self._asleep or target in self._asleep

    def knows_at_once(self, source: str, target: str) -> bool:
        """Whether a sender meets the other end's close before it arrives: where nothing takes time."""
        return self.conditions is None and not self.is_cut(source, target)

    def cut(self, source: str, target: str) -> None:
        """Let nothing get from one host to another; their connections break after ``timeout_s``."""
        since = trio.current_time()
        if self._cut.setdefault((source, target), since) == since and self.timeout_s is not None:

            def give_up() -> None:
                if self._cut.get((source, target)) == since:
                    for stream in self.between(source, target):
                        stream.reset()

            self._put(since + self.timeout_s, give_up)

    def mend(self, source: str, target: str) -> None:
        """End a cut; what waited arrives."""
        self._cut.pop((source, target), None)
        self._deliver()

    def mend_all(self) -> None:
        """End all cuts."""
        self._cut.clear()
        self._deliver()

    def put_to_sleep(self, host: str) -> None:
        """Cut a host off from everybody, until it wakes; the others break their connections in time."""
        since = self._asleep.setdefault(host, trio.current_time())

        def give_up() -> None:
            if self._asleep.get(host) == since:
                for stream in self.streams:
                    if stream.there == host:
                        stream.reset()

        if self.timeout_s is not None:
            self._put(since + self.timeout_s, give_up)

    def wake(self, host: str) -> None:
        """Let a host take part again."""
        self._asleep.pop(host, None)
        self._deliver()

    def between(self, one: str, another: str) -> list[VirtualStream]:
        """Return the ends of open connections between two hosts."""
        return [
            stream
            for stream in self.streams
            if {stream.here, stream.there} == {one, another} and not stream.closed
        ]

    def kill(self, host: str) -> None:
        """End all that a process on ``host`` had open, as its kernel does."""
        for listener in [each for address, each in self.listeners.items() if address.host == host]:
            listener.close()
        for stream in self.streams:
            if stream.here == host and not stream.closed:
                stream.orphan_it(tell=True)

    def reset(self, stream: VirtualStream) -> None:
        """Break one end; the other finds out when it sends, or after ``timeout_s`` (keep-alive)."""
        stream.reset()
        if self.timeout_s is not None:
            self._put(trio.current_time() + self.timeout_s, stream.other.reset)

    def forget(self, one: str, another: str) -> None:
        """Let something on the way forget their connections: half open until ``timeout_s``."""
        for stream in self.between(one, another):
            stream.forgotten = True
            if self.timeout_s is not None:
                self._put(trio.current_time() + self.timeout_s, stream.reset)

    def lose(self, host: str) -> None:
        """Forget all that a machine had open, as a power loss does: nobody is told.

        The other ends find out when what they send is refused, or after ``timeout_s``.
        """
        for listener in [each for address, each in self.listeners.items() if address.host == host]:
            listener.close()
        for stream in self.streams:
            if stream.here == host and not stream.closed:
                stream.orphan_it(tell=False)
                if self.timeout_s is not None:
                    self._put(trio.current_time() + self.timeout_s, stream.other.reset)

    # Carrying

    def sends(self, stream: VirtualStream, data: bytes) -> None:
        """Tell the tap."""
        self.tap(stream, data)

    def unlisten(self, listener: VirtualListener) -> None:
        """Note that nobody listens there any more."""
        if self.listeners.get(listener.address) is listener:
            del self.listeners[listener.address]

    def carry(self, source: str, target: str, arrive: Arrive, to: VirtualStream) -> None:
        """Let something arrive at one end, in its time and after all that was sent to it before."""
        to.incoming.append(arrive)
        if self.is_cut(source, target):
            self._waiting[source, target].append(to)
        elif self.conditions is None:
            to.incoming.popleft()()
        else:
            delay_s = self.conditions.delay_s(self.rng, sid_of(source), sid_of(target))
            self._carry_within(delay_s, source, target, to)

    def _carry_within(self, delay_s: float, source: str, target: str, to: VirtualStream) -> None:
        """Let the next of what is under way to one end arrive after ``delay_s``, unless a cut holds it up."""

        def there() -> None:
            if self.is_cut(source, target):
                self._waiting[source, target].append(to)
            else:
                to.incoming.popleft()()

        to.arrives_at = max(trio.current_time() + delay_s, to.arrives_at)
        self._handle(to.arrives_at, target, there)

    def _handle(self, at: float, target: str, arrive: Arrive) -> None:
        """Let ``target`` handle something that reaches it at a time, once it has handled what came before."""
        if not self.work_s:
            self._put(at, arrive)
            return

        def begin() -> None:
            at = max(trio.current_time(), self._busy_until.get(target, 0.0))
            if self._core_free_at:
                at = max(at, heapq.heappop(self._core_free_at))
                heapq.heappush(self._core_free_at, at + self.work_s)
            self._busy_until[target] = at + self.work_s
            self._put(at + self.work_s, arrive)

        self._put(at, begin)

    def _put(self, at: float, arrive: Arrive) -> None:
        heapq.heappush(self._under_way, (at, next(self._numbers), arrive))
        if self._under_way[0][0] == at:
            self._sooner.set()

    def _deliver(self) -> None:
        for path in [path for path in self._waiting if not self.is_cut(*path)]:
            again_s = self.rng.uniform(0, RETRANSMIT_S)
            for to in self._waiting.pop(path):
                if self.conditions is None:
                    to.incoming.popleft()()
                else:
                    self._carry_within(again_s, *path, to)

    async def dial(self, source: str, address: HostPort) -> Stream:
        """Connect two hosts. Raises ``RefusedError``, ``ConnectionLostError``."""
        await self._reach(source, address.host)
        if self.conditions is None:
            return self.call(address, source)
        one, another = sid_of(source), sid_of(address.host)
        await self._travel(self.conditions.dial_s(self.rng, one, another), address.host)
        back_s = self.conditions.dial_s(self.rng, another, one)
        await self._reach(source, address.host)
        try:
            near = self.call(address, source)
        except RefusedError:
            await trio.sleep(back_s)
            raise
        try:
            await trio.sleep(back_s)
        except BaseException:
            near.close()
            raise
        return near

    async def _travel(self, delay_s: float, target: str) -> None:
        arrived = trio.Event()
        self._handle(trio.current_time() + delay_s, target, arrived.set)
        await arrived.wait()

    async def _reach(self, source: str, target: str) -> None:
        """Return once a packet could go there and another come back; a host in between may give up first."""
        with trio.move_on_after(UNREACHABLE_S):
            while self.is_cut(source, target) or self.is_cut(target, source):  # noqa: ASYNC110
                await trio.sleep(0.01)
            return
        raise ConnectionLostError(f"{target}: No route to host")

    def call(self, address: HostPort, source: str = "198.51.100.7") -> VirtualStream:
        """Connect at once, as a stranger; ``RefusedError`` where nobody listens."""
        listener = self.listeners.get(address)
        if listener is None:
            raise RefusedError(f"{address}: Connection refused")
        near = VirtualStream(self, source, address.host, address.port, address)
        far = VirtualStream(self, address.host, source, address.port, HostPort(source, 40_000))
        near.other, far.other = far, near
        self.streams = [each for each in self.streams if not each.closed] + [near, far]
        listener.call(far)
        return near


@attrs.frozen(eq=False)
class VirtualHost(Transport):
    """The network as one host sees it."""

    net: VirtualNetwork
    name: str

    async def dial(self, addresses: Sequence[HostPort]) -> Stream:
        """Connect to the first of the addresses."""
        await trio.lowlevel.checkpoint()
        for address in addresses:
            self.net.dialled.append((self.name, address))
            if address in self.net.unresolved:
                raise ConnectionLostError(f"{address}: Name or service not known")
            if address in self.net.black_holes:
                await trio.sleep_forever()
            return await self.net.dial(self.name, self.net.moved.get(address, address))
        raise ConnectionLostError("no address is known")

    async def listen(self, addresses: Sequence[HostPort]) -> Sequence[Listener[Stream]]:
        """Listen on all addresses."""
        await trio.lowlevel.checkpoint()
        if self.net.bind_errors:
            raise self.net.bind_errors.pop(0)
        if self.net.unresolved.intersection(addresses):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        found = []
        for name in addresses:
            address = self.net.moved.get(name, name)
            if address in self.net.listeners:
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
            listener = self.net.listeners[address] = VirtualListener(self.net, address)
            found.append(listener)
        return found

    async def numeric(self, address: HostPort) -> HostPort:
        """Return the address: it is one."""
        await trio.lowlevel.checkpoint()
        return address

    async def hosts(self, addresses: Sequence[HostPort]) -> frozenset[str]:
        """Return where the addresses lead now."""
        await trio.lowlevel.checkpoint()
        if self.net.unresolved.intersection(addresses):
            return frozenset()
        return frozenset(self.net.moved.get(address, address).host for address in addresses)

    def remote(self, stream: Stream) -> HostPort:
        """Say where the other end is."""
        assert isinstance(stream, VirtualStream)
        return stream.address
