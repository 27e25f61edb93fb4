"""What the parts of gowork promise each other and their users, and nothing of how."""

# The annotations stand with the classes: an interface says what, in words.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from zope.interface import Attribute, Interface

__all__ = [
    "IChannel",
    "ICodec",
    "IEvent",
    "IJob",
    "ILogger",
    "IPingPong",
    "IRoutines",
    "IStream",
    "ITask",
]


class IRoutines(Interface):
    """The three routines of a task. Each is called with the task and may be None.

    ``add_task`` takes whatever provides this, adapts to it, merely has methods of
    these names, or is a callable ``factory(job)`` that returns such an object or
    the tuple ``(init, run, finalize)``.
    """

    init = Attribute("Called once, before the first ``run`` of the tasks it began with; or None.")
    run = Attribute(
        "Called again and again until its verdict is ``done``; or None, and the task"
        " is done after its ``init``."
    )
    finalize = Attribute(
        "Called exactly once if the task has begun, on every outcome, when all tasks"
        " of the job are dead, or in a ``forget`` job when this one is; or None."
    )


class IEvent(Interface):
    """Something that happens once and stays happened. Read-only."""

    def wait(timeout=None):
        """True once it has happened, False when *timeout* seconds passed before."""

    def is_set():
        """Whether it has happened."""

    def rawlink(callback):
        """Call *callback(event)* in the hub once it has happened."""

    def unlink(callback):
        """Take a :meth:`rawlink` back."""


class ITask(Interface):
    """What a job does in one greenlet."""

    job = Attribute("The job that owns the task.")
    index = Attribute("Its place in the job: 0 is the oneshot, the others count from 1.")
    name = Attribute("Its name; its greenlet is called ``job/task``.")
    state = Attribute("A `TaskState`.")
    error = Attribute("What made the task fail, or None.")
    result = Attribute("Anything the task wants to leave behind.")

    def tick():
        """Verdict: call ``run`` again at once. Wakes an idle or parked task."""

    def idle(seconds=None):
        """Verdict: call ``run`` again after *seconds*, or after a growing pause."""

    def park():
        """Verdict: call ``run`` again when somebody calls :meth:`tick`."""

    def done():
        """Verdict: the task is over. Wakes an idle or parked task."""

    def finish_job():
        """:meth:`done`, and the job stops its other tasks and ends well."""

    def progress():
        """Restart the idle timeout's clock."""

    def assert_(error):
        """Fail the task with *error* unless it is falsy."""

    def assert_true(condition, error=None):
        """Fail the task with *error* unless *condition* is true."""

    def assert_not_none(value):
        """Fail the task if *value* is None."""

    def join(timeout=None):
        """True once the task has ended, False when *timeout* seconds passed before."""


class IJob(Interface):
    """A set of tasks that live and die together."""

    name = Attribute("The job's name.")
    value = Attribute("Anything that the tasks share.")
    state = Attribute("A `JobState`.")
    tasks = Attribute("A tuple of the tasks, in index order.")
    errors = Attribute("A tuple of every error, in the order they came.")
    interrupted_by = Attribute("``(task, error)``; two None when nothing interrupted the job.")
    unstopped = Attribute("A tuple of `Unstopped`: what still lived when the job ended.")

    def add_task(routines, *, name=None, idle_timeout=None):
        """Add a task and return it."""

    def add_oneshot_task(routines, *, name=None):
        """Add the task that must be done before any other begins."""

    def spawn(function, /, *args, **kwargs):
        """Add a task that calls *function* once and keeps what it returns."""

    def run():
        """Start the job and return the event of its end."""

    def cancel(error=None):
        """Stop every task; the job ends CANCELLED."""

    def finish():
        """Stop every task; the job ends DONE."""

    def join(timeout=None):
        """Wait for the end of the job; a waiter that is interrupted cancels it."""

    def check():
        """Raise `JobCancelled` if the job ended CANCELLED."""


class IChannel(Interface):
    """A typed pipe between greenlets, after Go's."""

    capacity = Attribute("How many values it holds; 0 is a rendezvous.")
    closed = Attribute("Whether it has been closed.")

    def send(value, timeout=None):
        """Hand *value* over, waiting for a receiver or for room."""

    def recv(timeout=None):
        """The next value, waiting for it."""

    def send_nowait(value):
        """Hand *value* over without waiting."""

    def recv_nowait():
        """The next value without waiting."""

    def close():
        """No value may be sent any more; those inside may still be received."""


class IPingPong(Interface):
    """A channel whose sender learns that its data has been processed."""

    def send(data, timeout=None):
        """Return when a receiver has processed *data*."""

    def recv(timeout=None):
        """The next piece of data, to be acknowledged."""

    def close():
        """Nothing may be sent any more."""


class ILogger(Interface):
    """Where a job's log messages go; every :class:`logging.Logger` will do."""

    def log(level, msg, *args):
        """Write *msg* ``%`` *args*."""


class ICodec(Interface):
    """Turns messages into the payloads of frames and back."""

    def encode(message):
        """A sequence of buffers, which are sent one behind the other."""

    def decode(payload):
        """The message in a :class:`memoryview`; raises a `FrameError` if there is none."""


class IStream(Interface):
    """One connected socket that moves bytes or frames."""

    is_connected = Attribute("Whether both ends are there, as far as can be known.")

    def recv_raw():
        """The next bytes, ``b""`` at the end."""

    def recv_frame():
        """The next message, None at the end."""

    def write_raw(data):
        """Return when *data* has been written."""

    def write_frame(message):
        """Return when *message* has been written as one frame."""

    def shutdown_write():
        """Tell the peer that nothing more will come; reading goes on."""

    def close():
        """Close the socket."""
