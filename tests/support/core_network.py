"""Pure election cores that hear each other over a network in virtual time."""

import attrs
from core_driver import Driver

from trio_fle.election.events import Heard, Send
from trio_fle.election.options import ElectionOptions
from trio_fle.ensemble import Ensemble
from trio_fle.vote import PeerState
from trio_fle.wire import Notification


@attrs.define
class Network:
    """Cores that hear each other after a delay; the dead hear and say nothing."""

    ensemble: Ensemble
    delay_s: float = 0.001
    cores: dict[int, Driver] = attrs.field(factory=dict, init=False)
    _flying: list[tuple[float, int, int, Notification]] = attrs.field(factory=list, init=False)
    _taken: dict[int, int] = attrs.field(factory=dict, init=False)
    now: float = 0.0
    options: ElectionOptions = attrs.field(factory=lambda: ElectionOptions(early_finalize=False))

    def start(self, sid: int, zxid: int = 0, epoch: int = 0) -> None:
        self._taken[sid] = 0
        self.cores[sid] = Driver(sid, self.ensemble, self.options, zxid=zxid, epoch=epoch, now=self.now)
        self.look(sid)

    def look(self, sid: int) -> None:
        self.cores[sid].look()
        self._collect(sid)

    def hear(self, sid: int, sender: int, notification: Notification) -> None:
        self.cores[sid].hear(sender, notification)
        self._collect(sid)

    def kill(self, sid: int) -> None:
        del self.cores[sid]

    def _collect(self, sid: int) -> None:
        core = self.cores[sid]
        for at, effect in core.effects[self._taken[sid] :]:
            if isinstance(effect, Send):
                self._flying.append((at + self.delay_s, sid, effect.to, effect.notification))
        self._taken[sid] = len(core.effects)

    def run(self, seconds: float) -> None:
        """Deliver and wake in order of time."""
        end = self.now + seconds
        while True:
            arrival = min((flight[0] for flight in self._flying), default=end)
            wake = min((core.wake_at for core in self.cores.values()), default=end)
            now = min(arrival, wake)
            if now >= end:
                break
            for core in self.cores.values():
                core.wait(now - core.now)
            arrived = [flight for flight in self._flying if flight[0] <= now]
            self._flying = [flight for flight in self._flying if flight[0] > now]
            for _, sender, to, notification in arrived:
                if to in self.cores and sender in self.cores:
                    self.cores[to].step(Heard(sender, notification))
            for sid in self.cores:
                self._collect(sid)
        self.now = end
        for core in self.cores.values():
            core.wait(end - core.now)

    def leader(self) -> int:
        """The one leader that all the living agree on."""
        leaders = {core.fle.current_vote.leader for core in self.cores.values() if core.fle.current_vote}
        states = {sid: core.fle.state for sid, core in self.cores.items()}
        assert len(leaders) == 1, states
        (leader,) = leaders
        for sid, state in states.items():
            assert state is (PeerState.LEADING if sid == leader else PeerState.FOLLOWING), states
        return leader
