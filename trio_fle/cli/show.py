"""What a person sees of a running ensemble: a live table on a terminal, plain lines elsewhere."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, Protocol

import attrs
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

_KEPT_LINES: Final = 14
_COLOURS: Final = {"LEADING": "bold green", "FOLLOWING": "cyan", "LOOKING": "yellow", "killed": "bold red"}
_SHOWN: Final = {
    "election.started", "election.vote", "election.decided", "member.state", "leading.established",
    "following.synced", "killed",
}  # fmt: skip


class Show(Protocol):
    """Takes the members' events and the demo's own words."""

    def event(self, sid: int, event: dict[str, Any]) -> None:
        """Show an event of member ``sid``."""

    def say(self, words: str) -> None:
        """Show what the demo does."""


@contextmanager
def open_show(members: int) -> Iterator[Show]:
    """Choose the show that fits stdout."""
    console = Console(highlight=False)
    if not console.is_terminal:
        yield PlainShow(console)
        return
    # drawn when something happens, not by a thread of its own
    with Live(console=console, auto_refresh=False) as live:
        yield LiveShow(members, live)


def describe(event: dict[str, Any]) -> str | None:
    """Put an event into words, or return None for one that the demo leaves out."""
    name = event["event"]
    if name not in _SHOWN:
        return None
    match name:
        case "election.decided":
            took = f"{event['duration_ms']:.0f} ms, {event['sent']} sent, {event['received']} received"
            return f"round {event['round']}: leader is {event['leader']} ({took})"
        case "election.started":
            return f"round {event['round']}: looking for a leader, proposes {event['leader']}"
        case "election.vote":
            return f"round {event['round']}: votes for {event['leader']}, convinced by {event['because']}"
        case "leading.established":
            return f"epoch {event['epoch']}: leads, with {event['followers']} behind it"
        case "following.synced":
            return f"epoch {event['epoch']}: follows {event['leader']}"
        case "member.state":
            reason = f" ({event['reason']})" if "reason" in event else ""
            return f"{event['from']} -> {event['to']}{reason}"
    return str(name)


@attrs.define
class PlainShow:
    """One line for each thing that happens."""

    console: Console

    def event(self, sid: int, event: dict[str, Any]) -> None:
        """Show an event of member ``sid``."""
        if (words := describe(event)) is not None:
            self._print(f"member {sid}  {words}")

    def say(self, words: str) -> None:
        """Show what the demo does."""
        self._print(f"-- {words}")

    def _print(self, line: str) -> None:
        self.console.print(f"{_now()}  {line}", soft_wrap=True, markup=False)


@attrs.define
class LiveShow:
    """A table of the members over the last lines of their story."""

    members: int
    live: Live
    _states: dict[int, str] = attrs.field(factory=dict, init=False)
    _leaders: dict[int, str] = attrs.field(factory=dict, init=False)
    _rounds: dict[int, str] = attrs.field(factory=dict, init=False)
    _lines: deque[Text] = attrs.field(factory=lambda: deque(maxlen=_KEPT_LINES), init=False)

    def event(self, sid: int, event: dict[str, Any]) -> None:
        """Show an event of member ``sid``."""
        match event["event"]:
            case "member.state":
                self._states[sid] = event["to"]
                self._leaders[sid] = str(event["leader"] or "-")
            case "killed":
                self._states[sid], self._leaders[sid] = "killed", "-"
            case "member.started":
                self._states[sid] = "LOOKING"
        if "round" in event:
            self._rounds[sid] = str(event["round"])
        if (words := describe(event)) is not None:
            self._lines.append(Text(f"{_now()}  member {sid}  {words}"))
        self.live.update(self.render(), refresh=True)

    def say(self, words: str) -> None:
        """Show what the demo does."""
        self._lines.append(Text(f"{_now()}  {words}", style="bold"))
        self.live.update(self.render(), refresh=True)

    def render(self) -> Group:
        """Draw the present moment."""
        table = Table("member", "state", "leader", "round")
        for sid in range(1, self.members + 1):
            state = self._states.get(sid, "starting")
            cells = (Text(state, style=_COLOURS.get(state, "")), self._leaders.get(sid, "-"))
            table.add_row(str(sid), *cells, self._rounds.get(sid, "-"))
        return Group(table, *self._lines)


def _now() -> str:
    return datetime.now().astimezone().strftime("%H:%M:%S.%f")[:-3]
