"""All that add_task takes, and how it says no."""

from __future__ import annotations

import functools
from typing import NamedTuple

import pytest
from makers import done, ended, noting, park, routines
from zope.interface import implementer, provider
from zope.interface.interface import adapter_hooks

from gowork import IRoutines, Job, JobState, StateError, TaskState


class Noting:
    """Notes each of its routines when it is called; others derive from it."""

    def __init__(self, job=None):
        self.notes = []

    def init(self, task):
        self.notes.append("init")

    def run(self, task):
        self.notes.append("run")
        task.done()

    def finalize(self, task):
        self.notes.append("finalize")


WHOLE = ["init", "run", "finalize"]


def notes_of(candidate, notes):
    """What the routines of *candidate* have put into *notes* in a job that went well."""
    job = Job()
    task = job.add_task(candidate)
    assert ended(job).state is JobState.DONE
    assert task.state is TaskState.FINISHED
    return notes


def test_a_factory_that_returns_three_routines():
    notes = []
    made = routines(noting(notes, "init"), noting(notes, "run", done), noting(notes, "finalize"))
    assert notes_of(made, notes) == WHOLE


def test_each_of_the_three_may_be_none():
    for present in range(8):
        notes = []
        whole = noting(notes, "init"), noting(notes, "run", done), noting(notes, "finalize")
        made = [one if present >> n & 1 else None for n, one in enumerate(whole)]
        expected = [what for n, what in enumerate(WHOLE) if made[n]]
        assert notes_of(routines(*made), notes) == expected


def test_a_named_tuple_is_a_tuple():
    class Three(NamedTuple):
        init: object = None
        run: object = None
        finalize: object = None

    notes = []
    assert notes_of(lambda job: Three(run=noting(notes, "run", done)), notes) == ["run"]


def test_an_object_with_the_methods():
    made = Noting()
    assert notes_of(made, made.notes) == WHOLE


def test_an_object_with_some_of_the_methods():
    notes = []

    class Once:
        def run(self, task):
            notes.append("run")
            task.done()

    assert notes_of(Once(), notes) == ["run"]


def test_a_factory_that_returns_an_object():
    made = Noting()
    assert notes_of(lambda job: made, made.notes) == WHOLE


def test_a_class_is_a_factory_and_its_instance_is_made_for_the_job():
    made = []

    class Kept(Noting):
        def __init__(self, job):
            super().__init__(job)
            made.append((self, job))

    job = Job()
    task = job.add_task(Kept)
    ((one, given),) = made
    assert given is job
    assert task.name == "Kept"
    ended(job)
    assert one.notes == WHOLE


def test_a_class_whose_instances_provide_the_interface_is_a_factory_too():
    implementer(IRoutines)(declared := type("Declared", (Noting,), {}))
    job = Job()
    job.add_task(declared)
    assert ended(job).state is JobState.DONE


def test_an_object_that_provides_the_interface_is_no_factory_though_callable():
    @implementer(IRoutines)
    class Both(Noting):
        def __call__(self, job):
            raise AssertionError("it was called as a factory")

    made = Both()
    assert notes_of(made, made.notes) == WHOLE


def test_a_function_may_provide_the_interface():
    notes = []

    @provider(IRoutines)
    def namespace():
        raise AssertionError("it was called as a factory")

    namespace.init, namespace.finalize = None, None
    namespace.run = noting(notes, "run", done)
    assert notes_of(namespace, notes) == ["run"]


@pytest.fixture
def adapting():
    """Adapt instances of a class to `IRoutines` for the length of the test."""
    hooks = []

    def adapt(cls, adapter):
        def hook(interface, candidate):
            if interface is IRoutines and isinstance(candidate, cls):
                return adapter(candidate)
            return None

        hooks.append(hook)
        adapter_hooks.append(hook)

    yield adapt
    for hook in hooks:
        adapter_hooks.remove(hook)


class Errand:
    """Nothing that gowork knows."""


def test_an_object_that_adapts_to_the_interface(adapting):
    made = Noting()
    adapting(Errand, lambda errand: made)
    assert notes_of(Errand(), made.notes) == WHOLE


def test_a_factory_may_return_what_adapts(adapting):
    made = Noting()
    adapting(Errand, lambda errand: made)
    assert notes_of(lambda job: Errand(), made.notes) == WHOLE


def test_an_object_may_adapt_itself():
    made = Noting()

    class Conforming:
        def __conform__(self, interface):
            return made if interface is IRoutines else None

    assert notes_of(Conforming(), made.notes) == WHOLE


def test_a_partial_and_a_bound_method_are_factories():
    notes = []

    class Maker:
        def make(self, job):
            return None, noting(notes, "method", done), None

    def make(what, job):
        return None, noting(notes, what, done), None

    notes_of(functools.partial(make, "partial"), notes)
    assert notes_of(Maker().make, notes) == ["partial", "method"]


def test_the_factory_is_called_once_when_the_task_is_added():
    calls = []

    def factory(job):
        calls.append(job)
        return None, done, None

    job = Job()
    job.add_task(factory)
    assert calls == [job]
    ended(job)
    assert calls == [job]


def test_the_routines_are_called_with_the_task():
    given = []
    job = Job()
    task = job.add_task(routines(given.append, done, given.append))
    ended(job)
    assert given == [task, task]


def test_a_task_is_called_what_its_factory_is_called():
    job = Job()
    assert job.add_task(lambda job: (None, done, None)).name == "<lambda>"
    assert job.add_task(Noting()).name == "Noting"
    assert job.add_task(Noting(), name="mine").name == "mine"
    job.cancel()


@pytest.mark.parametrize(
    ("candidate", "said"),
    [
        (None, "None"),
        (42, "42"),
        ("run", "'run'"),
        (object, "object"),
        ((None, done, None), "give a factory"),
        (lambda job: None, "give a factory"),
        (lambda job: (None, done), "2 routines, not 3"),
        (lambda job: (None, 42, None), "run of .* neither callable nor None: 42"),
        (lambda job: ("init", None, None), "init of .* neither callable nor None"),
    ],
)
def test_what_has_no_routines_is_refused_and_the_error_says_what_to_give(candidate, said):
    job = Job()
    with pytest.raises(TypeError, match=said):
        job.add_task(candidate)
    assert job.tasks == ()


def test_an_error_of_the_factory_is_the_callers_and_leaves_no_gap():
    job = Job()
    with pytest.raises(ZeroDivisionError):
        job.add_task(lambda job: 1 / 0)
    assert job.add_task(routines(run=done)).index == 1
    assert ended(job).state is JobState.DONE


def test_a_factory_that_ends_the_job_adds_nothing():
    job = Job()

    def factory(job):
        job.finish()
        return None, done, None

    with pytest.raises(StateError):
        job.add_task(factory)
    assert job.tasks == ()
    assert job.state is JobState.DONE


def test_a_factory_of_a_oneshot_cannot_slip_in_another():
    def factory(job):
        job.add_oneshot_task(routines(run=done), name="slipped in")
        return None, done, None

    job = Job()
    with pytest.raises(StateError):
        job.add_oneshot_task(factory)
    assert [task.name for task in job.tasks] == ["slipped in"]
    assert ended(job).state is JobState.DONE


def test_a_factory_of_a_oneshot_cannot_open_the_gate_before_it():
    def factory(job):
        job.run()
        return None, done, None

    job = Job()
    parked = job.add_task(routines(run=park))
    with pytest.raises(StateError):
        job.add_oneshot_task(factory)
    assert job.tasks == (parked,)
    job.finish()
    assert ended(job).state is JobState.DONE
