"""A hierarchical ensemble of nine: three groups of three, with weights; the last server has none.

Group 1 is won by any two, group 2 by its heavy server and any other, group 3 by server 7 alone.
"""

from typing import Final

GROUPED: Final = (
    "group.1=1:2:3", "group.2=4:5:6", "group.3=7:8:9",
    "weight.1=1", "weight.2=1", "weight.3=1",
    "weight.4=1", "weight.5=2", "weight.6=1",
    "weight.7=3", "weight.8=1", "weight.9=0",
)  # fmt: skip
WEIGHTLESS: Final = 9
"""It has the highest id, and must not lead."""
