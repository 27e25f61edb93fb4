"""Postponing: what comes too late to interrupt a call that has done its work already.

gevent may throw an exception into a greenlet whose wake-up is already due. If a value of
it has been sent meanwhile, ``send`` can neither take that back nor raise, or its caller
would believe that the value is still its own. So the call returns, and the exception is
thrown once more: within the same pass of the loop, or, earlier than that, at the next
call that waits. (That it comes at the next wait at the latest matters: a greenlet that
does nothing but send could otherwise be caught in such a moment again and again.)

A :class:`gevent.Timeout` that has been cancelled or closed by then, because its block has
been left, comes no more.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from gevent import Timeout

__all__ = ["postpone", "postponed", "raise_postponed"]


class _Postponed(NamedTuple):
    error: BaseException
    timeout: Timeout | None

    @property
    def is_wanted(self) -> bool:
        """Whether it should be raised still; stops the timeout's clock."""
        if self.timeout is None:
            return True
        wanted: bool = self.timeout.pending
        self.timeout.timer.stop()
        return wanted


#: What is to be thrown once more, by greenlet; empty but for passing moments.
postponed: dict[Any, list[_Postponed]] = {}


def postpone(error: BaseException, greenlet: Any, hub: Any) -> None:
    """Have *error*, which was thrown into the running *greenlet*, come again later."""
    timeout = _timeout_behind(error, hub)
    if timeout is not None:
        timeout.start()  # so that it can be cancelled
        if not timeout.pending:
            timeout = None
    postponed.setdefault(greenlet, []).append(_Postponed(error, timeout))
    hub.loop.run_callback(_throw, greenlet)


def raise_postponed(greenlet: Any) -> None:
    """Raise what has been postponed for *greenlet*, if it is wanted still."""
    errors = postponed.get(greenlet, [])
    while errors:
        first = errors.pop(0)
        if not errors:
            del postponed[greenlet]
        if first.is_wanted:
            raise first.error


def _throw(greenlet: Any) -> None:
    """In the hub: as :func:`raise_postponed`, but in *greenlet*, which waits elsewhere."""
    try:
        raise_postponed(greenlet)
    except BaseException as error:
        if not greenlet.dead:
            greenlet.throw(error)


def _timeout_behind(error: BaseException, hub: Any) -> Timeout | None:
    """The timeout that has thrown *error*, which may be an exception of its user's choice."""
    if isinstance(error, Timeout):
        return error
    # A timer calls in the hub, which stands where it has thrown.
    frame = hub.gr_frame
    expiring = Timeout._on_expiration.__code__  # type: ignore[attr-defined]
    if frame is not None and frame.f_code is expiring:
        timeout: Timeout = frame.f_locals["self"]
        return timeout
    return None
