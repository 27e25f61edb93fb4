"""Postponing: what comes too late to interrupt a call that has done its work already.

gevent may throw an exception into a greenlet whose wake-up is already due. If a value of
it has been sent meanwhile, ``send`` can neither take that back nor raise, or its caller
would believe that the value is still its own. So the call returns, and the exception is
thrown once more: within the same pass of the loop, or, earlier than that, at the next
call that waits. (That it comes at the next wait at the latest matters: a greenlet that
does nothing but send could otherwise be caught in such a moment again and again.)

A :class:`gevent.Timeout` that has been cancelled or closed by then, because its block has
been left, comes no more; nor does what was thrown into a greenlet that has ended by then.
"""

from __future__ import annotations

from typing import Any

from gevent import Timeout

__all__ = ["next_postponed", "postpone", "postponed"]

#: The ids of greenlets that have something postponed; empty but for passing moments.
postponed: dict[int, None] = {}


def postpone(error: BaseException, greenlet: Any, hub: Any) -> None:
    """Have *error*, which was thrown into the running *greenlet*, come again later."""
    timer = _timer_behind(greenlet, hub)
    if timer is not None:
        timer.start(_throw, greenlet)  # for its owner to stop, or to use for something else
    # With the greenlet, so that the two can be freed together whatever becomes of the loop.
    # There is one at most: before the greenlet can wait again, it comes.
    greenlet.gowork_postponed = error, timer
    postponed[id(greenlet)] = None
    if hub.loop is not None:
        hub.loop.run_callback(_throw, greenlet)


def next_postponed(
    greenlet: Any, kind: type[BaseException] = BaseException
) -> BaseException | None:
    """What is now to be raised in *greenlet*, of *kind*; None if nothing is, or no longer."""
    error, timer = greenlet.__dict__.get("gowork_postponed", (None, None))
    if not isinstance(error, kind):
        return None
    del greenlet.gowork_postponed
    postponed.pop(id(greenlet), None)
    if timer is not None:
        if getattr(timer, "callback", None) is not _throw:
            return None
        timer.stop()
    return error


def _throw(greenlet: Any) -> None:
    """In the hub: raise what is postponed in *greenlet*, which waits, but not in gowork."""
    error = next_postponed(greenlet)
    if error is not None and not greenlet.dead:
        greenlet.throw(error)


def _timer_behind(greenlet: Any, hub: Any) -> Any:
    """The timer of the :class:`gevent.Timeout` that is throwing into *greenlet*, or None.

    What it throws may be an exception of its user's choice; but the hub stands in it.
    """
    frame = hub.gr_frame
    while frame is not None:
        if frame.f_code.co_name == "_on_expiration":
            variables = frame.f_locals
            timeout = variables.get("self")
            if isinstance(timeout, Timeout) and any(one is greenlet for one in variables.values()):
                # One that has closed itself has none that could be started.
                return timeout.timer if hasattr(timeout.timer, "callback") else None
        frame = frame.f_back
    return None
