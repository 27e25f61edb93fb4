"""What may be given to ``add_task``, brought into one form."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import FunctionType, MethodType
from typing import Any

from zope.interface.interface import adapter_hooks

from gowork.interfaces import IRoutines

__all__ = ["Once", "Routines", "name_of", "routines_from"]

_NAMES = ("init", "run", "finalize")
_ADVICE = "give a factory(job) -> (init, run, finalize), or an object with those methods"

#: A task's ``init``, ``run`` and ``finalize``, each called with the task, or None.
Routine = Callable[[Any], object] | None
Routines = tuple[Routine, Routine, Routine]


class Once(partial[Any]):
    """A ``run`` that is not given the task, and whose one call returns the task's result."""


def routines_from(candidate: Any, job: Any) -> Routines:
    """The routines that *candidate* is, adapts to, has as methods, or makes for *job*.

    :raises TypeError: if there are none to be had.
    """
    made = None if _is_plain_function(candidate) else _routines_of(candidate)
    if made is None and callable(candidate):
        try:
            made = candidate(job)
        except (AttributeError, TypeError) as error:
            error.add_note(f"{candidate!r} was called with the job to make routines: {_ADVICE}")
            raise
        if not isinstance(made, tuple):
            made = _routines_of(made)
        elif len(made) != 3:
            raise TypeError(f"{candidate!r} returned {len(made)} routines, not 3; {_ADVICE}")
    if made is None:
        raise TypeError(f"no routines in {candidate!r}; {_ADVICE}")
    for routine in made:
        if routine is not None and not callable(routine):
            name = _NAMES[made.index(routine)]
            raise TypeError(f"{name} of {candidate!r} is neither callable nor None: {routine!r}")
    return made


def name_of(candidate: Any) -> str:
    """What a task made of *candidate* is called unless it is named."""
    name = getattr(candidate, "__name__", None)
    return name if type(name) is str else type(candidate).__name__


def _is_plain_function(candidate: Any) -> bool:
    # Interfaces know nothing of most functions, and take longer to say so than a task takes.
    kind = type(candidate)
    is_function = kind is FunctionType or kind is MethodType
    return is_function and not candidate.__dict__ and not adapter_hooks


def _routines_of(candidate: Any) -> Routines | None:
    # A class is a factory, unless it says otherwise: its instances have the methods.
    is_factory = isinstance(candidate, type) and not IRoutines.providedBy(candidate)
    if is_factory or candidate is None:
        return None
    provider = IRoutines(candidate, None)
    if provider is None:
        init, run = getattr(candidate, "init", None), getattr(candidate, "run", None)
        finalize = getattr(candidate, "finalize", None)
        if not (callable(init) or callable(run) or callable(finalize)):
            return None
        provider = candidate
    init, run, finalize = (getattr(provider, name, None) for name in _NAMES)
    return init, run, finalize
