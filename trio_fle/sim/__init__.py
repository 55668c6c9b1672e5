"""Elections in virtual time: of pure cores on an event queue, or of whole members on a virtual network.

Nothing in here is needed by a member that runs; the command ``trio-fle simulate`` is its front door.
"""

from trio_fle.sim.conditions import Conditions, Latency
from trio_fle.sim.cores.run import run_cores
from trio_fle.sim.explore.bounds import Bounds
from trio_fle.sim.explore.breadth_first import explore
from trio_fle.sim.invariants import Checker, ViolationError
from trio_fle.sim.measure import Case, Host, Sample, Setup, sample
from trio_fle.sim.members.ensemble import VirtualEnsemble, VirtualMember
from trio_fle.sim.members.network import VirtualNetwork
from trio_fle.sim.members.play import run_members
from trio_fle.sim.outcome import Outcome

__all__ = [
    "Bounds",
    "Case",
    "Checker",
    "Conditions",
    "Host",
    "Latency",
    "Outcome",
    "Sample",
    "Setup",
    "ViolationError",
    "VirtualEnsemble",
    "VirtualMember",
    "VirtualNetwork",
    "explore",
    "run_cores",
    "run_members",
    "sample",
]
