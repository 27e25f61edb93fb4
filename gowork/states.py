"""The lives of a job and of a task, as two tables.

Rows are states, columns what is given; a cell is the next state, None where that
is refused. From the moment the end of a job is decided until it is published the
job is FINALIZING: its outcome can still turn bad (a finalizer fails), but never
good, and nothing new begins. In a forked child every job that was under way is
CANCELLED at once: its greenlets are copies, and must not act.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, TypeVar

from gowork.errors import StateError

__all__ = [
    "BEGIN",
    "DECIDE",
    "FINALIZING",
    "FINISH",
    "JOB_TABLE",
    "LIVING",
    "NEW",
    "ONESHOT",
    "OPEN",
    "PENDING",
    "RECURRENT",
    "STOP",
    "SUCCEED",
    "TASK_TABLE",
    "JobGiven",
    "JobState",
    "TaskGiven",
    "TaskState",
    "step",
]

S = TypeVar("S", bound=enum.Enum)
G = TypeVar("G", bound=enum.Enum)


class _Plain(enum.Enum):
    """Hashed as what it is: an Enum calls Python to hash its name, at each look-up."""

    __hash__ = object.__hash__


class JobState(_Plain):
    """Where a job is in its life; CANCELLED and DONE are the ends."""

    NEW = "new"
    WAITING = "waiting"
    ONESHOT_RUNNING = "oneshot running"
    RECURRENT_RUNNING = "recurrent running"
    FINALIZING = "finalizing"
    CANCELLED = "cancelled"
    DONE = "done"


class JobGiven(_Plain):
    """What moves a job from state to state."""

    WAIT = "wait for the prerequisites"
    GATE = "run the oneshot"
    OPEN = "run the other tasks"
    DECIDE = "decide the end"
    SUCCEED = "end well"
    FAIL = "end badly"
    FORK = "become a forked child's copy"


class TaskState(_Plain):
    """Where a task is in its life; all but PENDING and RUNNING are ends."""

    PENDING = "pending"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


class TaskGiven(_Plain):
    """What moves a task from state to state."""

    BEGIN = "begin"
    FINISH = "finish"
    FAIL = "fail"
    STOP = "be stopped by the job"
    SKIP = "be skipped"


# The commonest by names of their own: to ask an Enum for its member costs CPython 3.11 ten
# times as much.
NEW, FINALIZING = JobState.NEW, JobState.FINALIZING
ONESHOT, RECURRENT = JobState.ONESHOT_RUNNING, JobState.RECURRENT_RUNNING
OPEN, DECIDE, SUCCEED = JobGiven.OPEN, JobGiven.DECIDE, JobGiven.SUCCEED
PENDING, LIVING = TaskState.PENDING, TaskState.RUNNING
BEGIN, FINISH, STOP = TaskGiven.BEGIN, TaskGiven.FINISH, TaskGiven.STOP


def _table(states: type[S], given: type[G], rows: str) -> Mapping[S, Mapping[G, S | None]]:
    """Parse *rows*: a line per state, a word per given, ``-`` for None."""
    parsed: dict[S, Mapping[G, S | None]] = {}
    for line in rows.strip().splitlines():
        name, *cells = line.split()
        parsed[states[name]] = {
            column: None if cell == "-" else states[cell]
            for column, cell in zip(given, cells, strict=True)
        }
    return parsed


# given:          WAIT    GATE            OPEN              DECIDE     SUCCEED FAIL     FORK
JOB_TABLE = _table(
    JobState,
    JobGiven,
    """
NEW               WAITING ONESHOT_RUNNING RECURRENT_RUNNING FINALIZING -    -         -
WAITING           -       ONESHOT_RUNNING RECURRENT_RUNNING FINALIZING -    -         CANCELLED
ONESHOT_RUNNING   -       -               RECURRENT_RUNNING FINALIZING -    -         CANCELLED
RECURRENT_RUNNING -       -               -                 FINALIZING -    -         CANCELLED
FINALIZING        -       -               -                 -          DONE CANCELLED CANCELLED
CANCELLED         -       -               -                 -          -    -         -
DONE              -       -               -                 -          -    -         -
""",
)

# given:   BEGIN    FINISH    FAIL    STOP       SKIP
TASK_TABLE = _table(
    TaskState,
    TaskGiven,
    """
PENDING    RUNNING  -         FAILED  -          SKIPPED
RUNNING    -        FINISHED  FAILED  CANCELLED  -
FINISHED   -        -         -       -          -
FAILED     -        -         -       -          -
CANCELLED  -        -         -       -          -
SKIPPED    -        -         -       -          -
""",
)


_FOLLOWING: dict[Any, Mapping[Any, Any]] = {**JOB_TABLE, **TASK_TABLE}


def step(state: S, given: enum.Enum) -> S:
    """The state that follows *state*, a `JobState` or a `TaskState`, when *given*.

    :raises StateError: if the table refuses it.
    """
    following: S | None = _FOLLOWING[state].get(given)
    if following is None:
        raise StateError(state, given)
    return following
