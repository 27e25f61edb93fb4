"""The structured wait: who is interrupted while he waits for a job takes it with him."""

from __future__ import annotations

from typing import Any

from gevent import Timeout
from gevent.exceptions import LoopExit
from greenlet import GreenletExit

__all__ = ["wait_out"]


def wait_out(job: Any, error: BaseException) -> None:
    """Cancel *job* because of *error*, and wait for its end, whatever happens meanwhile.

    :raises BaseException: what came meanwhile, if it outranks *error*: a later kill outranks
        a timeout, and a KeyboardInterrupt or SystemExit outranks both.
    """
    strongest = error
    job._joining += 1
    try:
        try:
            job.cancel(error)
        except BaseException as later:  # an error wrapper may block, and be interrupted
            strongest = max(strongest, later, key=_rank)
        while not job._done.is_set() and not job._is_a_copy():
            try:
                job._done._wait(None)
            except LoopExit:  # only an endless grace comes here: nothing will ever happen
                raise
            except BaseException as later:
                strongest = max(strongest, later, key=_rank)
    finally:
        job._joining -= 1
    if job._outcome.exit is not None:
        strongest = max(strongest, job._outcome.exit, key=_rank)
    if strongest is not error:
        raise strongest


def _rank(error: BaseException) -> int:
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        return 3
    if isinstance(error, GreenletExit):
        return 2
    return 0 if isinstance(error, Timeout) else 1  # a greenlet may be killed with any exception
