"""Structured concurrency for gevent: jobs, their tasks, and the channels between them."""

from gowork import stackchunks as stackchunks  # imported for what it does
from gowork.channels import Case, Channel, select
from gowork.endings import Unstopped
from gowork.errors import (
    AssertionFailed,
    Cancelled,
    ChannelClosed,
    ChannelTimeout,
    FinalizeTimeout,
    GoworkError,
    IdleTimeout,
    JobCancelled,
    JobTimeout,
    NotAcknowledged,
    StateError,
    VerdictMissing,
    WouldBlock,
)
from gowork.events import Event
from gowork.interfaces import (
    IChannel,
    ICodec,
    IEvent,
    IJob,
    ILogger,
    IPingPong,
    IRoutines,
    IStream,
    ITask,
)
from gowork.jobs import Job
from gowork.logs import (
    logger,
    register_default_logger,
    register_logger,
    set_default_log_level,
    toggle_logger,
)
from gowork.outcomes import Interruption
from gowork.pingpong import Ping, PingPong
from gowork.scopes import current_task
from gowork.states import JobState, TaskState
from gowork.tasks import Task

__all__ = [
    "AssertionFailed",
    "Cancelled",
    "Case",
    "Channel",
    "ChannelClosed",
    "ChannelTimeout",
    "Event",
    "FinalizeTimeout",
    "GoworkError",
    "IChannel",
    "ICodec",
    "IEvent",
    "IJob",
    "ILogger",
    "IPingPong",
    "IRoutines",
    "IStream",
    "ITask",
    "IdleTimeout",
    "Interruption",
    "Job",
    "JobCancelled",
    "JobState",
    "JobTimeout",
    "NotAcknowledged",
    "Ping",
    "PingPong",
    "StateError",
    "Task",
    "TaskState",
    "Unstopped",
    "VerdictMissing",
    "WouldBlock",
    "current_task",
    "logger",
    "register_default_logger",
    "register_logger",
    "select",
    "set_default_log_level",
    "toggle_logger",
]
