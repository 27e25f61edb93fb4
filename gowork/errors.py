"""Every way in which gowork refuses, fails or stops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from greenlet import GreenletExit

__all__ = [
    "AssertionFailed",
    "Cancelled",
    "ChannelClosed",
    "ChannelTimeout",
    "FinalizeTimeout",
    "GoworkError",
    "IdleTimeout",
    "JobCancelled",
    "JobTimeout",
    "NotAcknowledged",
    "StateError",
    "VerdictMissing",
    "WouldBlock",
]


class GoworkError(Exception):
    """The root of what gowork raises, but for :exc:`Cancelled`."""


class StateError(GoworkError):
    """The call is not allowed in this state; nothing was changed.

    ``state`` is the state that refused, ``given`` names what it was asked.
    """

    def __init__(self, state: Any, given: Any, advice: str = "") -> None:
        self.state = state
        self.given = given
        super().__init__(state, given, advice)

    def __str__(self) -> str:
        state = getattr(self.state, "name", self.state)
        given = getattr(self.given, "name", self.given)
        text = f"{given} is not allowed in state {state}"
        return f"{text}: {self.args[2]}" if self.args[2] else text

    def __repr__(self) -> str:
        return f"StateError({str(self)!r})"


class AssertionFailed(GoworkError):
    """An ``assert*`` method of a task failed; ``error`` is what it was given, or None.

    It is not an :exc:`AssertionError`: gevent raises those for its own misuse.
    """

    def __init__(self, error: Any = None) -> None:
        self.error = error
        super().__init__(error)

    def __str__(self) -> str:
        return "the assertion failed" if self.error is None else str(self.error)

    def __repr__(self) -> str:
        return f"AssertionFailed({'' if self.error is None else repr(self.error)})"


class VerdictMissing(GoworkError):
    """A task's ``run`` returned without saying what comes next."""


class JobTimeout(GoworkError, TimeoutError):
    """The job ran longer than its ``with_timeout``."""


class IdleTimeout(GoworkError, TimeoutError):
    """A task made no progress for its ``idle_timeout``."""


class FinalizeTimeout(GoworkError):
    """A finalizer or shutdown handler ran longer than the job's ``finalize_timeout``."""


class JobCancelled(GoworkError):
    """The job ended CANCELLED.

    ``job``, the ``task`` that interrupted it (None for a cancel from outside or a
    timeout), the ``error`` that did, all ``errors`` in the order they came, and
    the ``unstopped`` tasks and finalizers.
    """

    def __init__(
        self,
        job: Any,
        task: Any = None,
        error: Any = None,
        errors: Sequence[Any] = (),
        unstopped: Sequence[Any] = (),
    ) -> None:
        self.job = job
        self.task = task
        self.error = error
        self.errors = tuple(errors)
        self.unstopped = tuple(unstopped)
        super().__init__(job, task, error)

    def __str__(self) -> str:
        name = getattr(self.job, "name", self.job)
        by = f" by task {self.task.name}" if self.task is not None else ""
        text = f"job {name} was cancelled{by}: {self.error!r}"
        if len(self.errors) > 1:
            text += f" (and {len(self.errors) - 1} more in .errors)"
        if self.unstopped:
            text += f" ({len(self.unstopped)} did not stop, see .unstopped)"
        return text


class ChannelClosed(GoworkError):
    """The channel is closed, and drained if it was to be received from."""


class ChannelTimeout(GoworkError, TimeoutError):
    """The channel operation did not happen in time; the value is still the sender's."""


class WouldBlock(GoworkError):
    """A ``*_nowait`` operation would have to wait."""


class NotAcknowledged(GoworkError):
    """The receiver took the data and did not process it; ``reason`` says why."""

    def __init__(self, reason: Any = None) -> None:
        self.reason = reason
        super().__init__(reason)

    def __str__(self) -> str:
        return f"not acknowledged: {self.reason!r}"


class Cancelled(GreenletExit):
    """What a stopped task sees; ``reason`` is what interrupted its job, or None.

    Like every :exc:`greenlet.GreenletExit` it is no :exc:`Exception`. Let it pass:
    a task that swallows it meets it again in its next blocking call to gowork.
    """

    def __init__(self, reason: Any = None) -> None:
        self.reason = reason
        super().__init__(reason)

    def __str__(self) -> str:
        return "cancelled" if self.reason is None else f"cancelled: {self.reason!r}"
