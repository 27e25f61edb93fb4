"""Crews: the greenlets of a job's tasks, which serve again when nobody can tell.

A greenlet of its own would make a small task two to four times as dear: CPython gets memory
for its frames from the system, and gives it back. So a greenlet whose task is over serves
the next task of its job, as in Go. But a greenlet of gevent can be known: a timer, a lock or
a program may hold it, and mean the task that was. One that anybody has come to know, by a
reference, a weak one, a link or an attribute, ends with its task. So does one that has waited
for anything: who wakes it knows it. Only who is unknown serves again.

They are raw greenlets. What a :class:`gevent.Greenlet` has besides, for others who get it
from ``getcurrent()``, is made when it is asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cached_property
from sys import getrefcount
from typing import Any
from weakref import getweakrefcount, ref

import gevent
from gevent import Timeout
from gevent.greenlet import SpawnedLink  # type: ignore[attr-defined]
from gevent.pool import Group
from greenlet import GreenletExit, getcurrent, greenlet

from gowork import states
from gowork.greenlets import switch, throw

__all__ = ["Crew", "Member"]

SPARE = object()  # what the hub is told by a greenlet whose task is over


def _count_references() -> int:
    """How many references to an object its crew has, and a method to which it is passed."""

    def passed(one: object) -> int:
        return getrefcount(one)

    def entered() -> int:
        one = object()
        members.add(one)
        return passed(one)

    members: set[object] = set()
    return entered()


# Counted, for Python's versions differ in this. Who traces Python may hold some more, and let go of
# them later: then no greenlet serves again.
UNKNOWN = 0 if sys.gettrace() or sys.getprofile() else _count_references()


class Crew(Group):
    """The greenlets of the tasks of one job, in *hub*."""

    greenlets: set[Any]
    _empty_event: Any
    _discard: Callable[[Any], None]

    def __init__(self, hub: Any) -> None:
        super().__init__()
        self.hub = hub
        self._spare: Member | None = None  # whose task is over: the next one is for it
        self._is_dismissed = False
        self._newcomer: Any = None  # the task that has come in, and has not waited yet
        spawner = getcurrent()
        self.spawner = ref(spawner)
        self._tree_locals = getattr(spawner, "spawn_tree_locals", None)

    def enter(self, task: Any) -> None:
        """In the hub: let *task* live in a greenlet, until it blocks or is over."""
        if task._state is not states.PENDING:  # its job has ended, and it is skipped
            return
        try:
            member, self._spare = self._spare, None
            if member is not None and not self._is_unknown(member):
                throw(member, GreenletExit)  # somebody has found it meanwhile
                member = None
            if member is None:
                member = self._recruit()
            member.gowork_task = task
            member.gr_context = task._context
            self._newcomer, task._greenlet = task, member
            # Looked at in the hub, where no code of others comes between the look and the act.
            if member.switch() is SPARE:
                if self._is_unknown(member):
                    member.gowork_task = member.gr_context = None
                    self._spare = member
                else:
                    throw(member, GreenletExit)
        except BaseException as error:  # there is no memory for it, say
            if not task._fail_unborn(error):
                raise
        finally:
            self._newcomer = None

    def _is_unknown(self, member: Member) -> bool:
        """Whether nobody could mean *member* who has met it; to be asked by :meth:`enter`."""
        return (
            getrefcount(member) == UNKNOWN
            and not getweakrefcount(member)
            and len(member.__dict__) == 2  # _crew and gowork_task
            and member.parent is self.hub
        )

    def _recruit(self) -> Member:
        member = Member(self)
        self.greenlets.add(member)  # without the link of Group.add: it leaves by itself
        self._empty_event.clear()
        return member

    def work(self) -> None:
        """What each greenlet does; while it waits here, it must not refer to itself."""
        try:
            while self._serve(getcurrent()):
                switch(self.hub, SPARE)
        finally:
            self._bury(getcurrent())

    def _serve(self, member: Any) -> bool:
        """Let the task of *member* live; whether it has done so without ever waiting."""
        task = member.gowork_task
        task._live()
        task._greenlet = None
        return self._newcomer is task and not self._is_dismissed

    def _bury(self, member: Any) -> None:
        """The last that *member* does."""
        self._discard(member)
        member.end()

    def dismiss(self) -> None:
        """End the one without a task, now; every other will end with its own."""
        self._is_dismissed = True
        spare, self._spare = self._spare, None
        if spare is not None:
            spare.parent = getcurrent()  # where it goes when it ends
            throw(spare, GreenletExit)
            spare.parent = self.hub

    def tree_locals(self) -> dict[str, Any]:
        """What gevent shares among all who descend from one greenlet, by way of its spawner."""
        if self._tree_locals is None:  # the spawner is the first of its tree
            self._tree_locals = {}
        return self._tree_locals


class Member(greenlet):
    """A greenlet of a crew, with the name, the links, ``kill`` and ``join`` of gevent's."""

    gowork_task: Any = None  # whom it serves
    value = exception = exc_info = None
    _links: list[Callable[[Any], object]] | None = None

    def __init__(self, crew: Crew) -> None:
        greenlet.__init__(self, crew.work, crew.hub)
        self._crew = crew

    def kill(
        self, exception: Any = GreenletExit, block: bool = True, timeout: float | None = None
    ) -> None:
        """Have the hub raise *exception* in it, and wait for its end unless *block* is false."""
        if not self.dead:
            self.loop.run_callback(self.throw, exception)
        if block:
            self.join(timeout)

    def throw(self, *exception: Any) -> Any:
        """Raise *exception* in it now; nothing happens to one that is dead."""
        return None if self.dead else throw(self, *exception)

    def join(self, timeout: float | None = None) -> None:
        """Wait until it is dead, *timeout* seconds at most."""
        gevent.wait([self], timeout)

    def ready(self) -> bool:
        """Whether it is dead."""
        return self.dead

    def successful(self) -> bool:
        """The same: a task tells of its failure, not its greenlet."""
        return self.dead

    def get(self, block: bool = True, timeout: float | None = None) -> None:
        """Wait until it is dead.

        :raises Timeout: if it is not after *timeout* seconds, or now if *block* is false.
        """
        if not self.dead:
            with Timeout(timeout if block else 0):
                self.join()

    def rawlink(self, callback: Callable[[Any], object]) -> None:
        """Have the hub call *callback* with it when it is dead; it must not block."""
        if self._links is None:
            self._links = []
        self._links.append(callback)
        if self.dead:
            self.loop.run_callback(self._tell)

    def link(self, callback: Callable[[Any], object]) -> None:
        """Have *callback* called with it in a greenlet of its own when it is dead."""
        self.rawlink(SpawnedLink(callback))

    def unlink(self, callback: Callable[[Any], object]) -> None:
        """Take a link back; unknown ones are ignored."""
        if self._links and callback in self._links:
            self._links.remove(callback)

    def end(self) -> None:
        """Do the last before it is dead."""
        if self._links:
            self.loop.run_callback(self._tell)

    def _tell(self) -> None:
        while self._links:
            callback = self._links.pop(0)
            try:
                callback(self)
            except BaseException:
                self._crew.hub.handle_error((callback, self), *sys.exc_info())

    @cached_property
    def name(self) -> str:
        """``job/task``, unless somebody has called it otherwise."""
        task = self.gowork_task
        return "(spare)" if task is None else f"{task.job.name}/{task.name}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} at {id(self):#x}>"

    @property
    def loop(self) -> Any:
        """The loop of its hub."""
        return self._crew.hub.loop

    @cached_property
    def minimal_ident(self) -> int:
        """A small number that no other living greenlet of its hub has."""
        return int(self._crew.hub.ident_registry.get_ident(self))

    @property
    def spawning_greenlet(self) -> Any:
        """A weak reference to the greenlet that has run the job."""
        return self._crew.spawner

    @cached_property
    def spawn_tree_locals(self) -> dict[str, Any]:
        """The dictionary of all who descend from the same greenlet."""
        return self._crew.tree_locals()
