"""The pytest plugin: what it promises to suites that use it, and to those that do not."""

from __future__ import annotations

import re
import shlex
import xml.etree.ElementTree as ET

import pytest
from suites import Suite

PATCH = ("gevent.monkey", "--module", "pytest")


@pytest.fixture
def suite(pytester, monkeypatch):
    return Suite(pytester, monkeypatch)


def ids_of(result):
    """The names of the tests that were collected."""
    return [line.partition("::")[2] for line in result.outlines if "::" in line]


# Virtual time


def test_a_test_that_waits_an_hour_passes_at_once(suite):
    result = suite.run(
        """
def test_an_hour(virtual_time):
    gevent.sleep(3600)
    assert time.monotonic() == virtual_time.now == 3600
"""
    )
    result.assert_outcomes(passed=1)


def test_each_test_has_a_simulation_of_its_own_and_then_there_is_none(suite):
    result = suite.run(
        """
hub, clock = gevent.get_hub(), time.monotonic

@pytest.mark.parametrize("n", [1, 2])
def test_an_hour(virtual_time, n):
    assert virtual_time.now == 0
    gevent.sleep(n)

def test_in_real_time():
    assert gevent.get_hub() is hub
    assert time.monotonic is clock
"""
    )
    result.assert_outcomes(passed=3)


def test_what_pytest_measures_is_real_time(suite):
    result = suite.run(
        "def test_a_year(virtual_time): gevent.sleep(365 * 24 * 3600)", "--junit-xml=it.xml"
    )
    result.assert_outcomes(passed=1)
    for one in ET.parse("it.xml").iter("testcase"):
        assert 0 <= float(one.get("time")) < 60


def test_a_fixture_that_is_taken_behind_it_is_set_up_and_torn_down_in_it(suite):
    result = suite.run(
        """
@pytest.fixture
def a_day():
    gevent.sleep(24 * 3600)
    yield
    gevent.sleep(24 * 3600)

def test_later(virtual_time, a_day):
    assert virtual_time.now == 24 * 3600
"""
    )
    result.assert_outcomes(passed=1)


# Schedules and seeds


def test_a_simulated_test_is_run_with_ten_seeds(suite):
    result = suite.run("def test_it(simulation): pass", "--collect-only", "-q")
    assert ids_of(result) == [f"test_it[seed={seed}]" for seed in range(10)]


@pytest.mark.parametrize(
    ("args", "seeds"), [(["--simulation-seeds=2"], [0, 1]), (["--simulation-seed", "77"], [77])]
)
def test_the_seeds_can_be_said_on_the_command_line(suite, args, seeds):
    result = suite.run("def test_it(simulation): pass", "--collect-only", "-q", *args)
    assert ids_of(result) == [f"test_it[seed={seed}]" for seed in seeds]


@pytest.mark.parametrize(
    "arg", ["--simulation-seeds=0", "--simulation-seeds=x", "--simulation-seed=-1"]
)
def test_nonsense_on_the_command_line_is_refused(suite, arg):
    result = suite.run("def test_it(simulation): pass", arg)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{arg[:17]}*whole number*or more, not *"])


def test_the_seeds_make_different_orders_and_the_same_seed_the_same(suite):
    result = suite.run(
        """
orders = {}

def order():
    done = []
    gevent.joinall([gevent.spawn(done.append, n) for n in range(5)])
    return tuple(done)

@pytest.mark.parametrize("n", [1, 2])
def test_orders(simulation, n):
    assert orders.setdefault(simulation.seed, order()) == orders[simulation.seed]

def test_all():
    assert len(orders) == 10 and len(set(orders.values())) > 3
"""
    )
    result.assert_outcomes(passed=21)


@pytest.mark.parametrize(
    ("marker", "ids"),
    [
        ("seeds=2", ["seed=0", "seed=1"]),
        ("seeds=[3, 9]", ["seed=3", "seed=9"]),
        ("schedule='pct', seeds=1, late=0.5", ["seed=0"]),
        ("schedule='fifo'", ["no seed"]),
        ("choices=[1]", ["no seed"]),
    ],
)
def test_a_marker_says_how_to_simulate(suite, marker, ids):
    result = suite.run(
        f"""
@pytest.mark.simulation({marker})
def test_it(simulation): gevent.sleep(1)
""",
        "-v",
    )
    assert re.findall(r"test_it\[(.*?)\] PASSED", result.stdout.str()) == ids


def test_the_marker_reaches_the_simulation(suite):
    result = suite.run(
        """
from gowork.testing import Pct

@pytest.mark.simulation(schedule="bounded", seeds=[5], cost=1.0)
def test_named(simulation):
    gevent.sleep(0)
    assert (simulation.seed, simulation.schedule) == (5, "bounded")
    assert simulation.now >= 1

@pytest.mark.simulation(schedule=lambda seed: Pct(seed, changes=5), seeds=2)
def test_made(simulation):
    assert simulation.schedule == "pct"
"""
    )
    result.assert_outcomes(passed=3)


def test_the_command_line_outranks_a_marker_by_a_seed_and_not_by_their_number(suite):
    body = "@pytest.mark.simulation(seeds=2)\ndef test_it(simulation): pass"
    suite.run(body, "--simulation-seed=6").assert_outcomes(passed=1)
    suite.run(body, "--simulation-seeds=9").assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("marker", "why"),
    [
        ("'pct'", "takes keywords only, not 'pct'"),
        ("seeds=0", "needs seeds, one at least*"),
        ("seeds=[]", "needs seeds, one at least*"),
        ("seeds=[-1]", "needs seeds, one at least*"),
        ("seeds='many'", "needs seeds, one at least*"),
        ("schedule='lifo', seeds=2", "has seeds for a schedule that takes none"),
    ],
)
def test_a_marker_that_makes_no_sense_is_refused(suite, marker, why):
    result = suite.run(
        f"@pytest.mark.simulation({marker})\ndef test_it(simulation): pass",
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*the marker simulation {why}"])


@pytest.mark.parametrize(
    ("marker", "why"),
    [
        ("schedule=Fifo()", "*serves one run only*"),
        ("schedule='best'", "*there is no schedule 'best'*"),
        ("sedes=2", "*sedes*"),
    ],
)
def test_what_no_simulation_can_be_made_of_is_an_error(suite, marker, why):
    result = suite.run(
        f"""
from gowork.testing import Fifo
@pytest.mark.simulation({marker})
def test_it(simulation): pass
""",
        "--simulation-seeds=1",
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([why])


def test_a_marker_without_the_fixture_is_refused_for_it_would_do_nothing(suite):
    result = suite.run("@pytest.mark.simulation(seeds=5)\ndef test_it(): pass")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*does not take the fixture simulation*"])


def test_a_marker_for_a_module_is_for_those_of_its_tests_that_are_simulated(suite):
    result = suite.run(
        """
pytestmark = pytest.mark.simulation(seeds=3)
def test_it(simulation): pass
def test_in_real_time(): pass
"""
    )
    result.assert_outcomes(passed=4)


# Failures


RACE = """
@pytest.mark.parametrize("x", ["a b"])
def test_nothing_is_lost(simulation, x):
    total = [0]
    def add():
        read = total[0]
        gevent.sleep(0.001)
        total[0] = read + 1
    def late():
        gevent.sleep(0.001)
        add()
    gevent.joinall([gevent.spawn(add), gevent.spawn(late)])
    assert total == [2]
"""


def test_a_failure_says_how_to_have_it_again_and_so_it_is(suite):
    result = suite.run(RACE, "--simulation-seeds=20")
    failed = result.parseoutcomes()["failed"]
    assert 0 < failed < 20
    result.stdout.fnmatch_lines(["*- Simulation -*", "*schedule='random', seed=*", "*steps in *"])
    (command, *_) = re.findall("this test again: (.*)", result.stdout.str())
    name, *args = shlex.split(command)
    assert name == "pytest"
    again = suite.run(RACE, *args)
    again.assert_outcomes(failed=1)
    assert command in again.stdout.str()


def test_a_failure_in_virtual_time_says_so_too(suite):
    result = suite.run("def test_it(virtual_time): gevent.sleep(5); assert 0")
    result.stdout.fnmatch_lines(
        ["this test again: pytest test_it.py::test_it", "*schedule='fifo'*"]
    )
    result.stdout.fnmatch_lines(["*in 5 virtual seconds*"])


def test_the_command_fits_the_directory_where_pytest_was_started(suite, monkeypatch):
    path = suite.write("def test_it(virtual_time): assert 0")
    suite.pytester.makeini("[pytest]")
    inner = suite.pytester.mkdir("inner")
    monkeypatch.chdir(inner)
    result = suite.pytester.runpytest_inprocess(path)
    result.stdout.fnmatch_lines(["this test again: pytest ../test_it.py::test_it"])


def test_a_test_that_passes_or_is_not_simulated_has_no_such_section(suite):
    result = suite.run("def test_it(virtual_time): pass\ndef test_other(): assert 0", "-rA")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.no_fnmatch_line("*- Simulation -*")


def test_a_deadlock_fails_at_once_and_says_who_waits(suite):
    result = suite.run("def test_it(virtual_time): gevent.spawn(gevent.event.Event().wait).join()")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*Deadlock: nobody can go on*"])


def test_a_fixture_that_fails_in_the_simulation_has_the_section_as_well(suite):
    result = suite.run(
        """
@pytest.fixture
def broken():
    gevent.sleep(60)
    raise ValueError
def test_it(virtual_time, broken): pass
"""
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*in 60 virtual seconds*"])


@pytest.mark.parametrize("fixture", ["virtual_time", "simulation"])
def test_errors_that_reach_the_hub_are_seen_in_the_captured_output(suite, fixture):
    result = suite.run(
        f"""
def test_it({fixture}):
    gevent.spawn(int, "no number").join()
    assert {fixture}.hub_errors == []
""",
        "--simulation-seeds=1",
    )
    result.stdout.fnmatch_lines(["*Captured stderr call*", "ValueError: *'no number'"])


def test_two_simulations_around_one_test_are_refused(suite):
    result = suite.run("def test_it(virtual_time, simulation): pass", "--simulation-seeds=1")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*a simulation runs already*"])


# All kinds of suites


SIMULATED = """
def test_an_hour(virtual_time):
    gevent.sleep(3600)
    time.sleep(3600)
    assert virtual_time.now == 7200

def test_in_any_order(simulation, no_leaks):
    gevent.joinall([gevent.spawn(gevent.sleep, 3600) for _ in range(3)])

def test_in_real_time(no_leaks):
    with gevent.socket.socket():
        gevent.sleep(0)
"""


def test_a_suite_that_patches_in_its_conftest_sees_no_warning(suite):
    suite.pytester.makeconftest("from gevent import monkey\nmonkey.patch_all()")
    result = suite.run_apart("from gevent import monkey\n" + SIMULATED + IS_PATCHED)
    result.assert_outcomes(passed=13)


def test_a_suite_that_is_patched_before_pytest_sees_no_warning(suite):
    result = suite.run_apart(SIMULATED + IS_PATCHED, module=PATCH)
    result.assert_outcomes(passed=13)


IS_PATCHED = """
def test_it_is_patched():
    assert gevent.monkey.is_module_patched("threading")
"""


def test_the_command_patches_what_was_patched_before_pytest(suite):
    result = suite.run_apart("def test_it(virtual_time): assert 0", module=PATCH)
    result.stdout.fnmatch_lines(
        ["this test again: python -m gevent.monkey --module pytest test_it.py::test_it"]
    )


def test_a_suite_that_asks_for_nothing_is_left_alone(suite):
    suite.pytester.makeconftest(
        """
import gc, sys, threading, time
frozen = gc.get_freeze_count()  # Python 3.12 freezes some of its own
from gevent._hub_local import get_hub_if_exists
clock, start = time.monotonic, threading.Thread.start

def pytest_sessionfinish(session):
    assert session.config.pluginmanager.has_plugin("gowork")
    assert get_hub_if_exists() is None
    assert "ssl" not in sys.modules
    assert time.monotonic is clock and threading.Thread.start is start
    assert gc.get_freeze_count() == frozen
"""
    )
    result = suite.run_apart("def test_it(): pass", "-p", "no:hypothesispytest")
    assert result.ret == pytest.ExitCode.OK


def test_a_suite_that_is_not_patched_can_simulate(suite):
    suite.run_apart(SIMULATED).assert_outcomes(passed=12)


def test_the_plugin_can_be_switched_off(suite):
    result = suite.run("def test_it(virtual_time): pass", "-p", "no:gowork")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'virtual_time' not found*"])


def test_tests_in_classes_are_simulated(suite):
    result = suite.run(
        """
@pytest.mark.simulation(seeds=2)
class TestIt:
    def test_an_hour(self, simulation):
        gevent.sleep(3600)

@pytest.mark.usefixtures("virtual_time")
class TestThat:
    def test_an_hour(self):
        gevent.sleep(3600)
"""
    )
    result.assert_outcomes(passed=3)


def test_tests_of_unittest_are_simulated_with_one_seed(suite):
    body = """
class TestIt(unittest.TestCase):
    def setUp(self):
        gevent.sleep(3600)
    @pytest.mark.usefixtures("virtual_time")
    def test_in_virtual_time(self):
        gevent.sleep(3600)
        self.assertEqual(time.monotonic(), 7200)
    @pytest.mark.usefixtures("simulation")
    def test_simulated(self):
        self.fail("to see the seed")
"""
    result = suite.run(body, "--simulation-seed=5")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["this test again: pytest test_it.py::TestIt::test_simulated --simulation-seed 5"]
    )


def test_fixtures_and_parameters_of_the_same_name_are_the_users(suite):
    result = suite.run(
        """
class TestIt:
    @pytest.fixture
    def simulation(self): return "mine"
    def test_it(self, simulation): assert simulation == "mine"

@pytest.mark.parametrize("simulation", [1, 2])
def test_with_parameters(simulation): assert simulation in (1, 2)
"""
    )
    result.assert_outcomes(passed=3)


def test_a_fixture_may_pass_the_simulation_on(suite):
    result = suite.run(
        """
@pytest.fixture
def system(simulation):
    gevent.sleep(1)
    return simulation
def test_it(system): assert system.now == 1
def test_at_run_time(request): assert request.getfixturevalue("simulation").now == 0
"""
    )
    result.assert_outcomes(passed=11)


# Greenlets that fail

FAILING = """
def test_it({fixture}):
    gevent.spawn(int, "no number").join()
    {then}
"""


@pytest.mark.parametrize("fixture", ["virtual_time", "simulation"])
def test_a_greenlet_that_fails_in_a_test_that_does_not_is_a_warning_that_names_both(suite, fixture):
    program = FAILING.format(fixture=fixture, then="")
    kind = "default::gowork.testing.plugin.GreenletFailed"
    result = suite.run(program, "--simulation-seeds=1", "-W", kind)
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*GreenletFailed: 1 greenlets failed in test_it*", "*no number*"])
    result = suite.run(program, "--simulation-seeds=1")
    result.assert_outcomes(passed=1, errors=1)


def test_a_greenlet_that_should_fail_can_be_said_to(suite):
    then = "assert len(virtual_time.hub_errors) == 1; virtual_time.hub_errors.clear()"
    result = suite.run(FAILING.format(fixture="virtual_time", then=then))
    result.assert_outcomes(passed=1)


def test_a_marker_that_is_wrong_is_told_with_the_name_of_the_test(suite):
    result = suite.run(
        """
@pytest.mark.simulation(seeds=0)
def test_it(simulation): pass
"""
    )
    result.stdout.fnmatch_lines(["*test_it: the marker simulation needs seeds*"])
