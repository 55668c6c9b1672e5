"""The election task: what it logs of an election without a vote, and what a flood does to its time-outs."""

import structlog
import trio
from core_driver import Driver, claim, ensemble_of, looking
from structlog.testing import capture_logs
from trio.testing import MockClock

from trio_fle.election.events import Decided, Effect, Heard, Look
from trio_fle.election.options import ElectionOptions
from trio_fle.member.electing import ElectionTask


class Nobody:
    """A connection manager with nobody connected."""

    def tell(self, sid: int, frame: bytes) -> bool:
        return False

    def connection(self, sid: int) -> None:
        return None

    def greet_with(self, body: bytes | None) -> None:
        pass


async def test_who_joins_before_it_has_voted_tells_of_a_first_vote_and_of_the_outcome() -> None:
    one = Driver(1, ensemble_of(5), ElectionOptions()).look()
    for sid in (2, 3, 4, 5):
        one.hear(sid, looking(5))
    with capture_logs() as log:
        task = ElectionTask(one.fle, structlog.get_logger())
        task.manager, task.decided = Nobody(), lambda decided: None  # type: ignore[assignment]
        effects: list[Effect] = [*one.step(Look(0, 0))]
        for sid, state in ((2, "FOLLOWING"), (3, "FOLLOWING"), (5, "LEADING")):
            effects += one.step(Heard(sid, claim(state, 5)))
        for effect in effects:
            task._carry_out(effect)
    assert any(isinstance(each, Decided) for each in effects)
    told = [(each["event"], each["round"], each["leader"]) for each in log if each["log_level"] == "info"]
    assert told == [("election.started", 1, 5), ("election.decided", 1, 5)]


class Flood(trio.abc.Instrument):
    """Fifty more votes of the same voters before each step of any task."""

    def __init__(self, task: ElectionTask) -> None:
        self.task = task

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        for _ in range(25):
            self.task.put(1, Heard(1, looking(3)))
            self.task.put(2, Heard(2, looking(3)))


async def test_voters_that_repeat_themselves_without_end_do_not_hold_up_the_finalize_wait(
    mock_clock: MockClock,
) -> None:
    """Two of five have not voted; two vote again whenever anybody has a turn, before it begins, too."""
    one = Driver(3, ensemble_of(5), ElectionOptions())
    task = ElectionTask(one.fle, structlog.get_logger())
    decided: list[Decided] = []
    task.manager, task.decided = Nobody(), decided.append  # type: ignore[assignment]
    task.favoured = task.heard_looking = task.voter_looking = lambda _: None
    async with trio.open_nursery() as nursery:
        task.put(3, Look(0, 0))
        trio.lowlevel.add_instrument(flood := Flood(task))
        nursery.start_soon(task.run)
        for _ in range(250):
            mock_clock.jump(0.001)
            await trio.lowlevel.checkpoint()
        trio.lowlevel.remove_instrument(flood)
        nursery.cancel_scope.cancel()
    assert [each.vote.leader for each in decided] == [3]
