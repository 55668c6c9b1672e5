"""What the log says of an election that a member ends without having voted."""

import structlog
from core_driver import Driver, claim, ensemble_of, looking
from structlog.testing import capture_logs

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
