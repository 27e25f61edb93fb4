"""gevent's own tests pass on the simulated loop, in virtual time."""

import unittest
from pathlib import Path

import gevent
import gevents_own
import pytest
from gevent._hub_local import set_hub

from gowork.testing import Simulation

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "gevent-tests.rst"
# One process for each, half a second: those that ask most of the loop. The others are run
# by tests/gevents_own.py alone.
SELECTION = gevents_own.available(
    """
    test__api test__api_timeout test__contextvars test__event test__greenlet test__greenletset
    test__hub test__hub_join_timeout test__local test__loop_callback test__order test__pool
    test__queue test__select test__selectors test__semaphore test__server test__socket_close
    test__systemerror test__timeout
    """.split()
)


@pytest.mark.parametrize("module", SELECTION)
def test_gevents_own_tests_pass_on_the_simulated_loop(module):
    report = gevents_own.run(module)
    assert report.unexpected == {}
    assert report.passed
    assert report.steps > 0, "they did not run on the simulated loop"


@pytest.mark.parametrize("module", ["test__event", "test__greenlet", "test__timeout"])
def test_gevents_own_tests_pass_in_another_legal_order(module):
    report = gevents_own.run(module, seed=1)
    assert report.unexpected == {}
    assert report.passed
    assert report.steps > 0


def test_the_clock_of_gevents_own_tests_is_the_virtual_one():
    # These wait for more than two seconds in all.
    report = gevents_own.run("test__greenletset")
    assert report.jumps > 0
    assert report.virtual > 2
    assert report.wall < report.virtual


def test_a_test_that_leaves_another_hub_than_the_simulations_is_an_error():
    class Leaves(unittest.TestCase):
        def runTest(self):  # noqa: N802
            set_hub(None)

    with Simulation():
        hub = gevent.get_hub()
        result = gevents_own.Result()
        Leaves().run(result)
        assert gevent.get_hub() is hub
    assert len(result.errors) == 1


def test_the_document_names_all_that_is_run_and_all_that_is_excluded():
    words = set(DOCUMENT.read_text().replace("``", " ").replace(",", " ").replace(":", " ").split())
    classes, methods = zip(*(test.rsplit(".", 1) for test in gevents_own.EXCLUDED), strict=True)
    assert {*gevents_own.MODULES, *classes, *methods} <= words
