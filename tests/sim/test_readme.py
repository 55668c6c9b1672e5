"""The example of the README, as it stands there."""

import re
from pathlib import Path
from typing import Any

from trio.testing import MockClock

README = Path(__file__).parents[2] / "README.md"


async def test_the_example_of_a_test_in_virtual_time(autojump_clock: MockClock) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    (code,) = (block for block in blocks if "autojump_clock" in block)
    names: dict[str, Any] = {}
    exec(compile(code, str(README), "exec"), names)
    await names["test_my_work_moves_to_another_server"](autojump_clock)
