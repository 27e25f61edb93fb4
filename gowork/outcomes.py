"""How a job ends: what interrupted it, and whatever else went wrong."""

# Annotations are evaluated here: a NamedTuple would compile them as strings, at each import.

from collections.abc import Callable
from typing import Any, NamedTuple

from gevent import Timeout, getcurrent
from gevent.hub import Hub

from gowork.clocks import countable
from gowork.errors import AssertionFailed, FinalizeTimeout
from gowork.tasks import Task

__all__ = ["Interruption", "Outcome"]


class Interruption(NamedTuple):
    """What interrupted a job: the task, or None, and the error, or None."""

    task: Task | None
    error: Any


NOTHING = Interruption(None, None)


class Outcome:
    """The first reason, which stays, and all errors in the order they came."""

    def __init__(self, limit: float | None) -> None:
        self._limit = limit
        self.interruption = NOTHING
        #: Whether anything has interrupted the job; the error alone may be any object.
        self.is_bad = False
        self.errors: list[Any] = []
        #: Whether the end was published: from then on nothing changes.
        self.is_closed = False
        #: A KeyboardInterrupt or SystemExit, which concerns more than the job.
        self.exit: BaseException | None = None
        self.wrapper: Callable[[Any], Any] | None = None
        #: A kill or a timeout that hit, in the wrapper, whoever interrupted the job.
        self.stray: BaseException | None = None

    def cause_of(self, error: BaseException) -> Any:
        """What is kept of an exception: of a failed assertion, what was asserted."""
        if isinstance(error, (KeyboardInterrupt, SystemExit)) and self.exit is None:
            self.exit = error
        if isinstance(error, AssertionFailed) and error.error is not None:
            return error.error
        return error

    def record(self, task: Task | None, error: Any) -> Any:
        """Keep *error*, as the reason if it is the first; what is kept of it."""
        if self.is_bad:
            self.errors.append(error)
            return error
        # Said before the wrapper is called: should that fail or block, there is a reason.
        self.is_bad = True
        self.interruption = Interruption(task, error)
        self.errors.append(error)
        if self.wrapper is not None:
            wrapped = self._wrapped(error)
            if not self.is_closed:  # while it blocked the task may have been given up
                error = self.errors[0] = wrapped
                self.interruption = Interruption(task, error)
        return error

    def _wrapped(self, error: Any) -> Any:
        assert self.wrapper is not None
        late = FinalizeTimeout(f"the error wrapper took longer than {self._limit} s")
        # In the hub there is nothing to bound: what blocks there fails at once.
        limit = None if isinstance(getcurrent(), Hub) else countable(self._limit)
        try:
            with Timeout(limit, late):
                wrapped = self.wrapper(error)
        except BaseException as failure:
            if not isinstance(failure, (Exception, KeyboardInterrupt, SystemExit)):
                self.stray = failure
            cause = self.cause_of(failure)
            if not self.is_closed:
                self.errors.append(cause)
            return error
        return error if wrapped is None else wrapped
