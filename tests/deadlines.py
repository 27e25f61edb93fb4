"""A deadline that holds whatever the test does to the loop.

An interval timer of the system raises `DeadlineExceeded` in the main thread: in the
greenlet that hogs it, or through the hub in the main greenlet, again each second until
the test gives in. Where not even Python runs any more, faulthandler ends the process.
"""

from __future__ import annotations

import faulthandler
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import gevent
from gevent.util import format_run_info
from greenlet import getcurrent

LAST_RESORT = 15.0  # seconds after the deadline
LINES = 300  # of the stacks that are shown


class DeadlineExceeded(BaseException):
    """The test took too long."""


@contextmanager
def deadline(seconds: float, stderr: int) -> Iterator[None]:
    """Bound the block; on expiry its error carries the stacks of all greenlets.

    :param stderr: descriptor for the last words, if the process has to be ended.
    :raises DeadlineExceeded: if the block took longer, even if it swallowed that.
    """
    main = getcurrent()
    expired: list[DeadlineExceeded] = []

    def expire(_number: int, _frame: FrameType | None) -> None:
        if not expired:
            expired.append(DeadlineExceeded(f"not over after {seconds} seconds"))
            signal.setitimer(signal.ITIMER_REAL, 0)  # with very many greenlets this takes a while
            expired[0].add_note("\n".join(format_run_info()[:LINES]))
            signal.setitimer(signal.ITIMER_REAL, 1.0, 1.0)
        hub = gevent.get_hub()
        if getcurrent() is not hub:
            raise expired[0]
        hub.loop.run_callback(main.throw, expired[0])

    former = signal.signal(signal.SIGALRM, expire)
    faulthandler.dump_traceback_later(seconds + LAST_RESORT, exit=True, file=stderr)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, former)
        if expired:
            raise expired[0]
