"""Where log messages go: a job's logger or the default one, and a registry of kinds.

Logging never fails its caller: what a logger or handler raises is reported, with
its traceback, to the standard library's logger named ``gowork``.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from typing import Any

from gowork.interfaces import ILogger

__all__ = ["logger", "register_default_logger", "register_logger", "set_default_log_level", "write"]

_fallback = logging.getLogger("gowork")
_default: Any = _fallback
_level = 0
_kinds: dict[str, Callable[..., object]] = {}
_off: set[str] = set()


def require_logger(candidate: Any) -> Any:
    """*candidate*, if it has a method ``log(level, msg, *args)``.

    :raises TypeError: if it has not.
    """
    if not (ILogger.providedBy(candidate) or callable(getattr(candidate, "log", None))):
        raise TypeError(
            f"a logger is a logging.Logger or has a method log(level, msg, *args): {candidate!r}"
        )
    return candidate


def register_default_logger(logger: Any) -> None:
    """Send the messages of jobs without a logger of their own to *logger*.

    :param logger: a :class:`logging.Logger` or anything with ``log(level, msg, *args)``;
        None brings back the standard library's logger named ``gowork``.
    :raises TypeError: if it is neither.
    """
    global _default
    _default = _fallback if logger is None else require_logger(logger)


def set_default_log_level(level: int) -> None:
    """Write messages up to *level*: 0, the default, is the least talkative.

    :raises TypeError: if *level* is not an integer.
    """
    global _level
    if isinstance(level, bool) or not isinstance(level, int):
        raise TypeError(f"a log level is an integer, not {level!r}")
    _level = level


def is_written(level: int) -> bool:
    """Whether messages of that *level* are written."""
    return level <= 0 or level <= _level


def write(
    logger: Any, level: int, message: str, args: tuple[Any, ...], job: Any, task: Any
) -> None:
    """Write one message of *job* to *logger*, or to the default one if it is None.

    A standard logger gets level 0 as ``INFO`` and higher ones as ``DEBUG``, with the
    names of job and task as the fields ``job`` and ``task`` of the record (a
    :class:`logging.LoggerAdapter` may replace those by its own).
    """
    target = _default if logger is None else logger
    try:
        if not is_written(level):
            return
        if isinstance(target, (logging.Logger, logging.LoggerAdapter)):
            fields = {"job": job.name, "task": None if task is None else task.name}
            target.log(logging.INFO if level <= 0 else logging.DEBUG, message, *args, extra=fields)
        else:
            target.log(level, message, *args)
    except Exception:
        _report(f"logger {target!r} failed on {message!r}")


def register_logger(kind: str, handler: Callable[..., object], on: bool = True) -> None:
    """Let ``logger(kind)`` call *handler*; a second handler replaces the first.

    :param on: False to begin switched off.
    :raises TypeError: if *handler* is not callable.
    """
    if not callable(handler):
        raise TypeError(f"the handler of log kind {kind!r} must be callable: {handler!r}")
    _kinds[kind] = handler
    toggle_logger(kind, on)


def toggle_logger(kind: str, on: bool) -> None:
    """Switch the handler of *kind* on or off, also for those who hold it already.

    :raises LookupError: if no handler of that kind is registered.
    """
    if kind not in _kinds:
        raise LookupError(f"no logger of kind {kind!r} is registered")
    (_off.discard if on else _off.add)(kind)


def logger(kind: str) -> Callable[..., None]:
    """A function that passes its arguments to the handler of *kind*.

    What is registered or switched later counts: while there is no handler, or it is
    off, the function does nothing. It never raises.
    """

    def log(*args: Any, **kwargs: Any) -> None:
        handler = _kinds.get(kind)
        if handler is None or kind in _off:
            return
        try:
            handler(*args, **kwargs)
        except Exception:
            _report(f"the handler of log kind {kind!r} failed")

    return log


def _report(what: str) -> None:
    try:
        _fallback.exception("%s", what)
    except Exception:  # its own filter failed: nobody but stderr is left to tell
        traceback.print_exc()
