"""What a job is told before it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from gevent import getcurrent

from gowork import states
from gowork.clocks import as_seconds
from gowork.errors import StateError
from gowork.homes import Home
from gowork.lifecycles import DECIDED, Lifecycle
from gowork.scopes import current_task
from gowork.states import JobState

__all__ = ["Setup"]


class Setup(Lifecycle):
    """The part of a job that is set up by a chain of calls."""

    def with_prerequisites(self, *waitables: Any) -> Self:
        """Wait for each of *waitables*, anything with ``wait()``, before any task begins.

        The wait counts against the job's timeout, and can be cancelled. Does not block itself.

        :raises StateError: if the job has been run.
        :raises TypeError: if one has no ``wait``.
        """
        self._require_open("with_prerequisites", states.NEW)
        for waitable in waitables:
            if not callable(getattr(waitable, "wait", None)):
                raise TypeError(f"a prerequisite has a method wait(): {waitable!r}")
        self._prerequisites.extend(waitables)
        return self

    def with_timeout(self, seconds: float) -> Self:
        """Cancel the job with :exc:`JobTimeout` when it has run for *seconds*.

        :raises StateError: if the job has been run.
        :raises TypeError: if *seconds* is no number.
        :raises ValueError: if it is negative.
        """
        self._require_open("with_timeout", states.NEW)
        self._timeout = as_seconds("timeout", seconds)
        return self

    def with_shutdown(self, handler: Callable[[Any], object]) -> Self:
        """Call *handler(error)* once when the job is cancelled, before its tasks are stopped.

        It runs in a greenlet of the job's own, for ``finalize_timeout`` at most; what it
        raises is kept in `errors`. Where a job turns out bad only in its clean-up, it is
        called behind the finalizers.

        :raises StateError: if the job has been run.
        :raises TypeError: if *handler* is not callable.
        """
        self._require_open("with_shutdown", states.NEW)
        self._handler = _require_callable("a shutdown handler", handler)
        self._home = Home()  # where it is called, should the job be cancelled before it is run
        return self

    def with_error_wrapper(self, wrapper: Callable[[Any], Any]) -> Self:
        """Let *wrapper(error)* make what `interrupted_by` and all else shows as the error.

        It is called once, before the tasks are stopped, in the greenlet of whoever interrupts
        the job: it should not block, and may for ``finalize_timeout`` at most. None leaves the
        error as it is, and so does an exception out of the wrapper, which is kept in `errors`.

        :raises StateError: if the job has been run.
        :raises TypeError: if *wrapper* is not callable.
        """
        self._require_open("with_error_wrapper", states.NEW)
        self._outcome.wrapper = _require_callable("an error wrapper", wrapper)
        return self

    def _require_open(self, given: str, *legal: JobState) -> None:
        """:raises StateError: if the job is in none of *legal*, or not for this thread."""
        if self._state is states.NEW and (not legal or states.NEW in legal):
            return
        if self._is_elsewhere():
            raise StateError(self._state, given, "the job belongs to another thread's hub")
        if legal and self._state not in legal:
            when = " or ".join(state.name for state in legal)
            raise StateError(self._state, given, f"call it while the job is {when}")
        if self._state in DECIDED:
            raise StateError(self._state, given, "its end is decided, make a new Job")
        if self._in_finalizer():
            raise StateError(self._state, given, "a finalizer begins nothing")

    def _is_elsewhere(self) -> bool:
        """Whether the caller runs in another thread than the job does."""
        return self._state is not states.NEW and bool(self._home and self._home.is_elsewhere())

    def _in_finalizer(self) -> bool:
        """Whether a finalizer calls: of a job with ``forget`` they run beside its tasks."""
        task = current_task()
        return task is not None and task.job is self and task._greenlet is not getcurrent()


def _require_callable(what: str, candidate: Any) -> Any:
    if not callable(candidate):
        raise TypeError(f"{what} must be callable: {candidate!r}")
    return candidate
