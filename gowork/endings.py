"""How greenlets are brought to their end: the stop ladder, and bounded clean-up calls.

One kill is never enough: a greenlet may catch it, or lose it to a timeout that fires
while it unwinds. But a second kill interrupts the ``finally`` that the first has
begun. So there are two rungs: *grace* seconds of peace, then another delivery every
100 ms for *grace* seconds more. What still lives then is reported, with its stack.

Clean-up calls run one behind the other in a greenlet that nobody else knows. One that
has had its time is stopped at once, and again every 100 ms for *grace* seconds; if in
vain, the rest goes on in another greenlet.
"""

# Annotations are evaluated here: a NamedTuple would compile them as strings, at each import.

import math
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextvars import Context
from typing import Any, NamedTuple

from gevent import Greenlet, getcurrent
from gevent.event import Event

from gowork.clocks import countable
from gowork.errors import Cancelled, FinalizeTimeout

__all__ = ["Call", "Unstopped", "deliver", "run_bounded", "stop_all"]

REDELIVERY = 0.1
GLANCE = 0.001  # seconds that are no rest worth a wait: no loop counts finer


class Unstopped(NamedTuple):
    """What still lived when its job ended: a task, or a finalizer of it.

    ``task`` is None for the shutdown handler and for the wait for prerequisites; ``stack``
    is where it stood, as text; ``seconds`` is how long it was waited for.
    """

    task: Any
    stack: str
    seconds: float


class Call(NamedTuple):
    """A clean-up call: ``function(argument)`` in *context*, on behalf of *task* or of none."""

    what: str
    function: Any
    argument: Any
    context: Context
    task: Any


def deliver(greenlet: "Greenlet[..., Any]", reason: Any) -> None:
    """Have the hub raise :exc:`Cancelled` in *greenlet*; never blocks."""
    greenlet.kill(Cancelled(reason), block=False)


def stop_all(
    living: Mapping["Greenlet[..., Any]", Any],
    quiet: Event,
    grace: float | None,
    reason: Any,
    goes_on: Callable[[], bool],
) -> list[Unstopped]:
    """Wait until nothing is *living*, which sets *quiet*; what did not stop.

    The first delivery has been made. Blocks for twice *grace* seconds at most.
    """
    began = time.monotonic()
    if quiet.wait(countable(grace)) or not goes_on():
        return []
    # grace is a number here: an endless first wait has not ended.
    end = time.monotonic() + (grace or 0.0)
    while True:
        for greenlet in list(living):
            deliver(greenlet, reason)
        if quiet.wait(_until(end, REDELIVERY)) or not goes_on():
            return []
        if end - time.monotonic() < GLANCE:
            waited = time.monotonic() - began
            return [Unstopped(task, _stack(glet), waited) for glet, task in living.items()]


def run_bounded(
    calls: Iterator[Call],
    limit: float | None,
    grace: float | None,
    spawn: Callable[[Callable[[], None]], "Greenlet[..., Any]"],
    failed: Callable[[Any, BaseException], None],
) -> list[Unstopped]:
    """Make *calls*, each for *limit* seconds at most; those that could not be stopped.

    What a call raises, and an overrun, goes to ``failed(task, error)``. Blocks.
    """
    unstopped = []
    while True:
        worker = _Worker(calls, failed)
        greenlet = spawn(worker.run)
        if not _watch(worker, greenlet, limit, grace):
            assert worker.call is not None
            waited = time.monotonic() - worker.since
            unstopped.append(Unstopped(worker.call.task, _stack(greenlet), waited))
        if worker.exhausted:
            return unstopped


class _Worker:
    """Makes calls one behind the other till there are none, or it is abandoned."""

    def __init__(self, calls: Iterator[Call], failed: Callable[[Any, BaseException], None]) -> None:
        self.calls = calls
        self.failed = failed
        self.call: Call | None = None
        self.since = time.monotonic()
        self.overrun: FinalizeTimeout | None = None
        self.abandoned = False
        self.exhausted = False

    def run(self) -> None:
        greenlet: Any = getcurrent()
        for call in self.calls:
            greenlet.gowork_task = call.task
            self.call, self.since = call, time.monotonic()
            try:
                call.context.run(call.function, call.argument)
            except BaseException as error:
                if not (isinstance(error, Cancelled) and error.reason is self.overrun is not None):
                    self.failed(call.task, error)
            if self.abandoned or self.overrun:
                return  # what was to stop this call may be on its way still: not to the next one
        self.exhausted = True


def _watch(
    worker: _Worker, greenlet: "Greenlet[..., Any]", limit: float | None, grace: float | None
) -> bool:
    """Wait for *worker*, stopping what overruns; False if it had to be abandoned."""
    while True:
        call = worker.call
        greenlet.join(None if limit is None else _until(worker.since + limit))
        if greenlet.dead:
            return True
        if limit is None or call is None or worker.call is not call:
            continue  # another call has begun meanwhile, or the first one
        overrun = worker.overrun = FinalizeTimeout(f"{call.what} took longer than {limit:g} s")
        worker.failed(call.task, overrun)
        end = math.inf if grace is None else time.monotonic() + grace
        while True:
            deliver(greenlet, overrun)
            greenlet.join(_until(end, REDELIVERY))
            if greenlet.dead:
                return True
            if end - time.monotonic() < GLANCE:
                worker.abandoned = True
                return False


def _until(end: float, longest: float = math.inf) -> float | None:
    """How many seconds to wait for *end*, *longest* at most."""
    return countable(min(longest, max(0.0, end - time.monotonic())))


def _stack(greenlet: "Greenlet[..., Any]") -> str:
    frame = greenlet.gr_frame
    return "".join(traceback.format_stack(frame)) if frame is not None else ""
