"""Test gevent programs in virtual time, under schedules that can be had again.

::

    from gowork.testing import simulate

    def test_an_hour_passes():
        assert simulate(gevent.sleep, 3600).now == 3600

The pytest plugin is :mod:`gowork.testing.plugin`, the Hypothesis strategy
:mod:`gowork.testing.strategies`.
"""

from gowork.testing.errors import (
    Deadlock,
    Livelock,
    NotSimulated,
    ScheduleDiverged,
    SimulationError,
)
from gowork.testing.explorations import Exploration, explore
from gowork.testing.faults import (
    Fault,
    bandwidth,
    corrupt,
    cut,
    latency,
    refuse,
    reset,
    slicer,
    stall,
)
from gowork.testing.networks import Listener, Network
from gowork.testing.schedules import (
    Bounded,
    Drawn,
    Fifo,
    Lifo,
    Pct,
    Random,
    Replay,
    Schedule,
)
from gowork.testing.simulations import Simulation, simulate
from gowork.testing.traces import Step

__all__ = [
    "Bounded",
    "Deadlock",
    "Drawn",
    "Exploration",
    "Fault",
    "Fifo",
    "Lifo",
    "Listener",
    "Livelock",
    "Network",
    "NotSimulated",
    "Pct",
    "Random",
    "Replay",
    "Schedule",
    "ScheduleDiverged",
    "Simulation",
    "SimulationError",
    "Step",
    "bandwidth",
    "corrupt",
    "cut",
    "explore",
    "latency",
    "refuse",
    "reset",
    "simulate",
    "slicer",
    "stall",
]
