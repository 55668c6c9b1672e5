"""Every order in which three servers may meet, within bounds: exhaustive and breadth first.

A state is three servers (the real election core and ``Discovery``, and what their disks hold) and the
messages between them. What comes next is free: which message arrives, whether a wait ends, a crash (with the
write under way kept or lost), a restart, a connection that is reset, and when anybody notices that a server
is gone. A finalize wait may end at any time, a vote be repeated where nothing is under way, and a role be
given up for its time-out where nothing is under way to or from its server, or so often as ``Bounds.hasty``
says at any time. From one server to another one notification is under way; a newer one takes its place.

A write, and the first proposal of a leader that is free, come at once: what others do meanwhile commutes
with them. A server that writes may crash instead.

An heir (``Bounds.heirs``) is left out unless asked for: elections with it have many more steps.

Left out: time, and so leases. A promise binds until the port of its leader refuses, or that leader proposes.
All three have the same history, vote, and may be elected. So *one acts* is asked of leaders that are
established, whatever their leases say; and that a quorum is bound to each of them as long as it is.

How the invariants correspond to those of the published TLA+ specifications (Disalg-ICS-NJU,
``FastLeaderElection.tla``, ``ZkV3_7_0.tla`` and ``Zab.tla``):

============================  ==========================================================================
*Leadership1*                 *leadership* at the moment at which a quorum has accepted the epoch (there: in
                              SYNCHRONIZATION or BROADCAST): its leader is established at the same moment here
*Leadership2*                 *leadership* over all that was ever established, as *epochLeader* there
*ShouldBeTriggered1*          is meant to be violated there: a quorum with one leader can be reached. Here
                              *a leader can be reached* asks it of every state
*ShouldNotBeTriggered*        assertions inside of actions: those of the core, and *a vote has its quorum*
*PrefixConsistency*,          of transactions: no member stores any
*Integrity*, *Agreement*,
*TotalOrder*, ...
============================  ==========================================================================

*epochs grow*, *one acts*, *accepted once* and *promises are kept* have no counterpart there.
"""

from array import array
from collections.abc import Callable, Iterator
from typing import Any, Final

import attrs

from trio_fle.election.options import ElectionOptions
from trio_fle.ensemble import build_ensemble
from trio_fle.sim.explore.bounds import SIDS, Bounds, Report
from trio_fle.sim.explore.heirs import Successor
from trio_fle.sim.explore.moves import Action, actions, at, check_leaders, close, linked, send, tell
from trio_fle.sim.explore.replica import END, Out, Replica
from trio_fle.sim.explore.roles import Follow
from trio_fle.sim.invariants import ENDS, Checker, ViolationError

FAULTS: Final = ("crash", "leave", "hurries off", "reset")
State = tuple[Any, ...]
"""Numbers of the servers' states, both kinds of channels, who led which epoch, losses, crashes and haste."""


@attrs.define(eq=False)
class Explorer:
    """Explores; ``run`` raises ``ViolationError`` with the shortest way to what must not be."""

    bounds: Bounds
    _numbers: dict[Any, int] = attrs.field(factory=dict, init=False)
    _replicas: list[Replica] = attrs.field(factory=list, init=False)
    _steps: dict[tuple[Any, ...], tuple[int, tuple[Out, ...]] | None] = attrs.field(factory=dict, init=False)
    _index: dict[State, int] = attrs.field(factory=dict, init=False)
    _states: list[State] = attrs.field(factory=list, init=False)
    _came: list[tuple[int, Action]] = attrs.field(factory=list, init=False)
    _sources: "array[int]" = attrs.field(factory=lambda: array("I"), init=False)
    _targets: "array[int]" = attrs.field(factory=lambda: array("I"), init=False)
    _bounded: set[int] = attrs.field(factory=set, init=False)
    _led: list[int] = attrs.field(factory=list, init=False)

    def run(self) -> Report:
        """Explore all states within the bounds."""
        self._begin()
        depth, expanded, level_ends = 0, 0, 1
        while expanded < len(self._states) < self.bounds.states:
            if expanded == level_ends:
                depth, level_ends = depth + 1, len(self._states)
            self._expand(expanded)
            expanded += 1
        self._check_ends(expanded)
        return Report(
            len(self._states),
            len(self._sources),
            depth,
            len(self._states) - expanded,
            len(self._led),
            len(self._bounded),
            len(self._replicas),
        )

    def _begin(self) -> None:
        ensemble = build_ensemble({f"server.{sid}": f"h{sid}:{sid}:{1000 + sid}" for sid in SIDS}, 0)
        options = ElectionOptions(early_finalize=self.bounds.early_finalize)
        kind = Successor if self.bounds.heirs else Replica
        replicas = [self._number(kind(sid, ensemble, options)) for sid in SIDS]
        state: State = (
            tuple(replicas), ((),) * 9, ((),) * 9, (),
            self.bounds.losses, self.bounds.crashes, self.bounds.hasty,
        )  # fmt: skip
        for sid in SIDS:
            state = self._next(state, ("start", sid)) or state
        while self.bounds.settled and not self._is_settled(state):
            does = [each for each in self._actions(state) if each[0] not in FAULTS]
            state = self._next(state, does[0]) or state
        for action in self.bounds.first:
            assert action in set(self._actions(state)), action
            state = self._next(state, action) or state
        self._add(state, 0, ("start", 0))

    def _number(self, replica: Replica) -> int:
        key = replica.sid, replica.key()
        number = self._numbers.setdefault(key, len(self._replicas))
        if number == len(self._replicas):
            self._replicas.append(replica)
        return number

    def _add(self, state: State, source: int, action: Action) -> int:
        number = self._index.setdefault(state, len(self._states))
        if number == len(self._states):
            self._states.append(state)
            self._came.append((source, action))
        return number

    def _expand(self, number: int) -> None:
        state, found = self._states[number], 0
        for action in self._actions(state):
            try:
                after = self._next(state, action)
            except ViolationError as error:
                raise ViolationError(error.invariant, 0.0, self._story(number, action, error.what)) from error
            if after is None:
                self._bounded.add(number)
            elif after != state:
                found += 1
                self._sources.append(number)
                self._targets.append(self._add(after, number, action))
        if self._is_led(state):
            self._led.append(number)
        elif not found and number not in self._bounded:
            raise ViolationError(
                ENDS, 0.0, self._story(number, (), "nothing more happens, and nobody leads all")
            )

    def _is_settled(self, state: State) -> bool:
        does = [] if self._is_led(state) and not self.bounds.heirs else self._actions(state)
        return self._is_led(state) and all(each[0] in FAULTS for each in does)

    def _is_led(self, state: State) -> bool:
        alive = [replica for replica in map(self._replicas.__getitem__, state[0]) if replica.core is not None]
        leaders = {replica.leader for replica in alive}
        return len(alive) > 1 and len(leaders) == 1 and None not in leaders

    # What may happen

    def _actions(self, state: State) -> Iterator[Action]:
        servers = [self._replicas[number] for number in state[0]]
        return actions(servers, state[1], state[2], *state[4:])

    # What comes of it

    def _next(self, state: State, action: Action) -> State | None:
        """Return the state after ``action``; None where it would need an election too many."""
        kind, sid, *rest = action
        replicas, told, sent, led, losses, crashes, hasty = state
        if kind == "reset":
            return self._reset(state, sid, rest[0])
        channels = list(told), list(sent)
        number = (rest[0] - 1) * 3 + sid - 1 if kind in ("hear", "take") else 0
        event = action
        if kind == "hear":
            event, channels[0][number] = (*action, told[number][0]), told[number][1:]
        elif kind == "take":
            event, channels[1][number] = (*action, sent[number][0]), sent[number][1:]
        elif kind == "crash":
            crashes -= 1
        elif kind == "hurries off":
            hasty, event = hasty - 1, ("leave", sid)
        step = self._step(replicas[sid - 1], event)
        if step is None:
            return None
        before, after = self._replicas[replicas[sid - 1]], self._replicas[step[0]]
        replicas = (*replicas[: sid - 1], step[0], *replicas[sid:])
        servers = [self._replicas[number] for number in replicas]
        if before.role is not None and (after.role is None or after.looks > before.looks):
            self._close_all(before, servers, channels[1])
        if kind == "crash":
            for other in servers:
                channels[0][at(other, after)] = ()
        checker = Checker(lambda sids: len(sids) > 1)
        checker.leaders = dict(led)
        for out in step[1]:
            self._carry_out(after, servers, channels, checker, out)
        if kind == "start":
            replicas = self._meet(after, servers, channels, checker)
        check_leaders(servers, checker)
        return (
            replicas, tuple(channels[0]), tuple(channels[1]),
            tuple(sorted(checker.leaders.items())), losses, crashes, hasty,
        )  # fmt: skip

    def _step(self, number: int, event: Action) -> tuple[int, tuple[Out, ...]] | None:
        """Step one server, or remember what came of it; None: it must look, and has looked often enough."""
        if (known := self._steps.get((number, event), ...)) is not ...:
            return known
        before = self._replicas[number]
        after = before.copy()
        kind, _, *rest = event
        outs: list[Out] | None
        if kind == "take":
            outs = self._take(after, rest[0], rest[1])
        elif kind in ("leave", "start"):
            outs = None
        else:
            does: dict[str, Callable[..., list[Out]]] = {
                "hear": after.hear, "silence": after.silence, "written": after.written, "dial": after.dial,
                "propose": after.propose, "crash": after.crash, "meets": lambda sid: after.note(sid, True),
                "knows gone": lambda sid: after.note(sid, False), "greet": after.greet,
                **after.own_events(),
            }  # fmt: skip
            outs = does[kind](*rest)
        if outs is None:
            if before.looks >= self.bounds.elections:
                self._steps[number, event] = None
                return None
            outs = after.start() if kind == "start" else after.look()
        step = self._steps[number, event] = self._number(after), tuple(outs)
        return step

    def _take(self, server: Replica, sender: int, message: Action) -> list[Out] | None:
        role = server.role
        if isinstance(role, Follow) and role.leader == sender and role.stage:
            return server.hear_leader(message)
        return server.hear_learner(sender, message)

    def _carry_out(
        self,
        server: Replica,
        servers: list[Replica],
        channels: tuple[list[Any], list[Any]],
        checker: Checker,
        out: Out,
    ) -> None:
        told, sent = channels
        match out:
            case ("tell", to, notification):
                tell(server, servers[to - 1], notification, told)
            case ("send", to, message):
                send(server, servers[to - 1], message, sent)
            case ("close", to):
                close(server, servers[to - 1], sent)
            case ("accepted", before, epoch, leader):
                for each in before:
                    checker.accepted(0.0, server.sid, *each)
                checker.accepted(0.0, server.sid, epoch, leader)
            case ("established", epoch):
                checker.established(0.0, server.sid, epoch)
            case ("holds", acknowledged, held):
                for epoch, _ in acknowledged:
                    checker.acknowledged(server.sid, epoch)
                checker.holds(0.0, server.sid, held)
            case ("decided", round_, vote, joined):
                for each in servers:
                    checker.chosen |= each.chosen
                    for voted in each.voted:
                        checker.voted(each.sid, *voted)
                checker.decided(0.0, server.sid, round_, vote, joined=joined)

    def _meet(
        self,
        server: Replica,
        servers: list[Replica],
        channels: tuple[list[Any], list[Any]],
        checker: Checker,
    ) -> tuple[int, ...]:
        """Connect one that has started with all that run; both begin with what they have to say."""
        for other in list(servers):
            if other.sid != server.sid and other.core is not None:
                for one, two in ((other.sid, server.sid), (server.sid, other.sid)):
                    step = self._step(self._number(servers[one - 1]), ("meets", one, two))
                    assert step is not None
                    servers[one - 1] = self._replicas[step[0]]
                    for out in step[1]:
                        self._carry_out(servers[one - 1], servers, channels, checker, out)
        return tuple(self._number(each) for each in servers)

    def _close_all(self, before: Replica, servers: list[Replica], sent: list[Any]) -> None:
        """Let all links of a role that has ended end."""
        for other in servers:
            if other.sid != before.sid and linked(before, other):
                close(before, other, sent)

    def _reset(self, state: State, one: int, two: int) -> State:
        """Reset what is between two servers: both greet again, and a link ends at both ends."""
        replicas, told, sent, led, losses, crashes, hasty = state
        channels = list(told), list(sent)
        servers = [self._replicas[number] for number in replicas]
        for sid, other in ((one, two), (two, one)):
            number = at(servers[sid - 1], servers[other - 1])
            first = servers[sid - 1].greet(other)
            channels[0][number] = (first[0][2],) if first else ()
            if linked(servers[sid - 1], servers[other - 1]):
                channels[1][number] = (END,)
        return replicas, tuple(channels[0]), tuple(channels[1]), led, losses - 1, crashes, hasty

    # The end

    def _check_ends(self, expanded: int) -> None:
        """Check that from each state a leader of all can be reached, or a bound."""
        back: list[list[int]] = [[] for _ in self._states]
        for source, target in zip(self._sources, self._targets, strict=True):
            back[target].append(source)
        ends = [*self._led, *sorted(self._bounded), *range(expanded, len(self._states))]
        reached = bytearray(len(self._states))
        while ends:
            number = ends.pop()
            if not reached[number]:
                reached[number] = 1
                ends += back[number]
        for number, can in enumerate(reached):
            if not can:
                raise ViolationError(ENDS, 0.0, self._story(number, (), "no leader can be reached any more"))

    def _story(self, number: int, action: Action, what: str) -> str:
        """Tell the shortest way to a state, and what was wrong then."""
        actions = [action]
        while number:
            number, came = self._came[number]
            actions.append(came)
        lines = [self._line(each) for each in reversed(actions) if each]
        return "\n".join([what, *(f"{step:>4}  {line}" for step, line in enumerate(lines, 1))])

    def _line(self, action: Action) -> str:
        kind, sid, *rest = action
        match kind:
            case "hear":
                return f"{sid} hears the next notification of {rest[0]}"
            case "take":
                return f"{sid} takes the next packet of {rest[0]}"
            case "crash":
                return f"{sid} crashes" + (", its write done" if rest[0] else "")
        return " ".join([str(sid), kind, *map(str, rest)])


def explore(bounds: Bounds | None = None) -> Report:
    """Explore three servers; raises ``ViolationError`` with the shortest way to what is wrong."""
    return Explorer(bounds or Bounds()).run()
