"""The pytest plugin: tests in virtual time, under many schedules, that leave nothing behind.

It does nothing until a test asks for one of its fixtures. A simulation surrounds the
body of the test, as any fixture does: what a test takes behind ``simulation`` is set up in
its hub; what it takes before, autouse fixtures and ``setup_method`` are not. ``no_leaks``
goes into the simulation of its test first: so it looks in the hub where the test ran, and
before the simulation itself makes an end of what is left there.
"""

from __future__ import annotations

import argparse
import gc
import inspect
import logging
import os
import shlex
import sys
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from types import FrameType, TracebackType
from typing import NoReturn

import pytest

from gowork.testing import Schedule, Simulation
from gowork.testing.leaks import Census, left_since, sweep, watch

__all__ = ["GreenletFailed", "no_leaks", "simulation", "virtual_time"]

SEEDS = 10
SHOWN = 10  # of the things that are left behind
UNSEEDED = ("fifo", "lifo")
GENERATORS = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR

_simulation = pytest.StashKey[Simulation]()
_raised = pytest.StashKey[bool]()
_account = pytest.StashKey[str]()


class GreenletFailed(pytest.PytestWarning):
    """Greenlets of a test failed, and the test did not."""


# What pytest is told


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("gowork", "gowork: gevent programs in simulations")
    group.addoption(
        "--simulation-seeds",
        type=_at_least(1),
        default=SEEDS,
        metavar="N",
        help=f"seeds for each test with the fixture simulation (default: {SEEDS})",
    )
    group.addoption(
        "--simulation-seed",
        type=_at_least(0),
        metavar="SEED",
        help="this seed alone, to have a failure again",
    )


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        with suppress(ValueError):
            if (value := int(text)) >= least:
                return value
        raise argparse.ArgumentTypeError(f"takes a whole number, {least} or more, not {text!r}")

    return number


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "simulation(schedule='random', seeds=10, ...): how the fixture simulation runs the test:"
        " with how many seeds, or with which; the rest are arguments of Simulation",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    try:
        _parametrize(metafunc)
    except pytest.fail.Exception as refused:
        pytest.fail(f"{metafunc.definition.nodeid}: {refused.msg}", pytrace=False)


def _parametrize(metafunc: pytest.Metafunc) -> None:
    marker = metafunc.definition.get_closest_marker("simulation")
    if _is_simulated(metafunc):
        seeds = _seeds(marker, metafunc.config)
        ids = ["no seed" if seed is None else f"seed={seed}" for seed in seeds]
        metafunc.parametrize("simulation", seeds, ids=ids, indirect=True)
    elif marker and marker.kwargs and marker in metafunc.definition.own_markers:
        _refuse("says how to simulate a test that does not take the fixture simulation")


def _is_simulated(metafunc: pytest.Metafunc) -> bool:
    """Whether the test takes our fixture, and not one of the same name."""
    found = metafunc._arg2fixturedefs.get("simulation") or ()
    return any(one.func.__module__ == __name__ for one in found[-1:])


def _seeds(marker: pytest.Mark | None, config: pytest.Config) -> list[int | None]:
    """The seeds that a test is run with; None for a schedule that takes none."""
    if marker is None:
        marker = pytest.mark.simulation().mark
    if marker.args:
        _refuse(f"takes keywords only, not {', '.join(map(repr, marker.args))}")
    if "seed" in marker.kwargs:
        _refuse(f"takes seeds, as in seeds=[{marker.kwargs['seed']!r}], not seed")
    seeds = marker.kwargs.get("seeds")
    if "choices" in marker.kwargs or marker.kwargs.get("schedule") in UNSEEDED:
        if seeds is not None:
            _refuse("has seeds for a schedule that takes none")
        return [None]
    if (seed := config.getoption("simulation_seed")) is not None:
        return [seed]
    if seeds is None:
        seeds = config.getoption("simulation_seeds")
    if isinstance(seeds, int):
        seeds = range(seeds)
    if not seeds or not all(isinstance(seed, int) and seed >= 0 for seed in seeds):
        _refuse(f"needs seeds, one at least: a number of them, or a list, not {seeds!r}")
    return list(seeds)


def _refuse(why: str) -> NoReturn:
    pytest.fail(f"the marker simulation {why}", pytrace=False)


# The fixtures


@pytest.fixture
def virtual_time(request: pytest.FixtureRequest) -> Iterator[Simulation]:
    """The :class:`~gowork.testing.Simulation` in which the test runs, in gevent's own order.

    ::

        def test_it_gives_up_after_an_hour(virtual_time):
            assert not gevent.event.Event().wait(3600)
            assert virtual_time.now == 3600
    """
    yield from _simulated(request, Simulation())


@pytest.fixture
def simulation(request: pytest.FixtureRequest) -> Iterator[Simulation]:
    """The :class:`~gowork.testing.Simulation` in which the test runs, once for each seed.

    The marker ``simulation`` has its arguments, besides ``seeds``: how many, or a list. Its
    ``schedule`` may also be a function that makes one for a seed::

        @pytest.mark.simulation(schedule=lambda seed: Pct(seed, changes=5), seeds=50, late=0.1)
        def test_no_update_is_lost(simulation):
            ...

    Where pytest has no parameters, as in a ``unittest.TestCase``, the first seed is the only one.
    """
    marker = request.node.get_closest_marker("simulation")
    settings = dict(marker.kwargs) if marker else {}
    settings.pop("seeds", None)
    has_param = hasattr(request, "param")
    seed = request.param if has_param else _seeds(marker, request.config)[0]
    schedule = settings.get("schedule")
    if isinstance(schedule, Schedule):
        _refuse("has a Schedule, which serves one run only: give a function that makes one")
    if callable(schedule):
        settings["schedule"] = schedule(seed)
    yield from _simulated(request, Simulation(seed=seed, **settings))


def _simulated(request: pytest.FixtureRequest, simulation: Simulation) -> Iterator[Simulation]:
    with simulation:
        request.node.stash[_simulation] = simulation
        yield simulation
    if simulation.hub_errors and not request.node.stash.get(_raised, False):
        told = "".join(traceback.format_exception(simulation.hub_errors[0]))
        warnings.warn(
            GreenletFailed(
                f"{len(simulation.hub_errors)} greenlets failed in {request.node.name}, the first"
                f" with\n{told}If they should, clear the hub_errors of the simulation"
            ),
            stacklevel=1,
        )


@pytest.fixture
def no_leaks(request: pytest.FixtureRequest, _a_small_heap: None) -> Iterator[None]:
    """Fail the test if it leaves greenlets, watchers, threads or descriptors behind.

    What it left is stopped then, so that no other test fails by it. A test that failed
    anyway is not blamed: what should have cleaned up did perhaps not run.
    """
    for name in ("virtual_time", "simulation"):
        if name in request.fixturenames:
            request.getfixturevalue(name)
    with watch() as before:
        yield
        raised = request.node.stash.get(_raised, False)
        if (simulation := request.node.stash.get(_simulation, None)) is not None:
            simulation.conclude()  # the looking must not be taken for the program
        if Census().opened_since(before):
            _let_go(str(request.node.path))
        left = left_since(before)
        if left:
            sweep(before)
    if left and not raised:
        more = f"\n... {len(left)} in all" if len(left) > SHOWN else ""
        shown = "\n".join(map(str, left[:SHOWN]))
        pytest.fail(f"{request.node.name} left behind:\n{shown}{more}", pytrace=False)


@pytest.fixture(scope="module")
def _a_small_heap() -> None:
    """Freeze what is there before the module's tests: a census goes through the rest."""
    gc.collect()
    gc.freeze()


def _let_go(path: str) -> None:
    """Empty the frames that only pytest keeps, with all that is open in them.

    It keeps them in the tracebacks of what was raised: in the log it captures, and in the
    ExceptionInfo of ``pytest.raises``, which is in a cycle with the frame of the test. So
    are the exceptions that the code of the test itself has caught and kept.
    """
    for one in gc.get_objects():
        if issubclass(type(one), FrameType):
            if one.f_code.co_filename == path:
                _empty(one)
        elif issubclass(type(one), pytest.ExceptionInfo):
            _empty_all(one.tb)
        elif issubclass(type(one), logging.LogRecord) and one.exc_info:
            _empty_all(one.exc_info[2])


def _empty_all(tb: TracebackType | None) -> None:
    while tb is not None:
        _empty(tb.tb_frame)
        tb = tb.tb_next


def _empty(frame: FrameType) -> None:
    # A generator that waits, such as a fixture, would be closed by it.
    if not frame.f_code.co_flags & GENERATORS:
        with suppress(RuntimeError):  # it is running
            frame.clear()


# What pytest reports


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when != "teardown":
        item.stash[_raised] = call.excinfo is not None
        if (simulation := item.stash.get(_simulation, None)) is not None:
            # Now, for later its last steps would be those of no_leaks.
            command = f"this test again: {_command(item, simulation.seed)}"
            item.stash[_account] = f"{command}\n{simulation.replay_note()}"
    if report.failed and _account in item.stash:
        report.sections.append(("Simulation", item.stash[_account]))
    return report


def _command(item: pytest.Item, seed: int | None) -> str:
    """What to type to have the test again, where pytest was started."""
    is_patched = "gevent.monkey" in sys.orig_argv
    words = ["python", "-m", "gevent.monkey", "--module"] if is_patched else []
    path = os.path.relpath(item.path, item.config.invocation_params.dir)
    words += ["pytest", "::".join([path, *str(item.nodeid).split("::")[1:]])]
    if seed is not None:
        words += ["--simulation-seed", str(seed)]
    return shlex.join(words)
