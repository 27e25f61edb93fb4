"""The structured wait: who is interrupted while he waits for a job takes it with him."""

from __future__ import annotations

from typing import Any

from gevent.exceptions import LoopExit
from greenlet import GreenletExit

__all__ = ["wait_out"]


def wait_out(job: Any, error: BaseException) -> None:
    """Cancel *job* because of *error*, and wait for its end, whatever happens meanwhile.

    :raises BaseException: what came meanwhile, if it outranks *error*: a later kill outranks
        a timeout, and a KeyboardInterrupt or SystemExit outranks both.
    """
    job.cancel(error)
    strongest = error
    while not job._done.is_set() and not job._is_a_copy():
        try:
            job._done._event.wait()
        except LoopExit:  # only an endless grace comes here: nothing will ever happen
            raise
        except BaseException as later:
            strongest = max(strongest, later, key=_rank)
    if job._outcome.exit is not None:
        strongest = max(strongest, job._outcome.exit, key=_rank)
    if strongest is not error:
        raise strongest


def _rank(error: BaseException) -> int:
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        return 2
    return 1 if isinstance(error, GreenletExit) else 0
