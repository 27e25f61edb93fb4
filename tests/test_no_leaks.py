"""The fixture no_leaks: it fails the guilty test, by name, and no other."""

from __future__ import annotations

import pytest
from suites import Suite

LEAKS = {
    "greenlet": "gevent.spawn(gevent.event.Event().wait)",
    "active watcher": "gevent.Timeout.start_new(1000)",
    "pool work": "gevent.get_hub().threadpool.spawn(lock.acquire)",
    "thread": "start_a_thread()",
    "descriptor": "kept.append(gevent.socket.socket())",
    "reference cycle": "Knot(gevent.socket.socket())",
}
LEAKING = """
from gevent.monkey import get_original
start_new_thread = get_original("_thread", "start_new_thread")
allocate_lock = get_original("_thread", "allocate_lock")
lock, begun = allocate_lock(), allocate_lock()
lock.acquire()
begun.acquire()
kept = []

def start_a_thread():
    start_new_thread(lambda: (begun.release(), lock.acquire()), ())
    begun.acquire()

@pytest.fixture(scope="module", autouse=True)
def end_of_the_lock():
    yield
    lock.release()
    while kept:
        kept.pop().close()

class Knot:
    def __init__(self, held):
        self.held, self.itself = held, self
"""


@pytest.fixture
def suite(pytester, monkeypatch):
    return Suite(pytester, monkeypatch)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("kind", LEAKS)
def test_each_kind_of_leak_fails_the_test_that_left_it_and_no_other(suite, kind):
    result = suite.run(
        f"""
{LEAKING}
def test_before(no_leaks): pass
def test_guilty(no_leaks): {LEAKS[kind]}
def test_after(no_leaks): gevent.sleep(0)
""",
        "-Wignore:unclosed:ResourceWarning",
    )
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(
        ["*ERROR at teardown of test_guilty*", "test_guilty left behind:", f"{kind} *"]
    )


def test_a_leak_is_shown_with_where_it_waits_and_where_it_was_spawned(suite):
    result = suite.run(
        """
def forgotten(event): event.wait()
def forgetful(): gevent.spawn(forgotten, gevent.event.Event())
def test_guilty(no_leaks): forgetful(); gevent.sleep(0)
"""
    )
    result.stdout.fnmatch_lines(
        ["*greenlet <Greenlet*forgotten*", "*in forgotten*", "*spawned at*", "*in forgetful*"]
    )


def test_of_very_many_leaks_only_some_are_shown(suite):
    result = suite.run(
        """
def test_guilty(no_leaks):
    for _ in range(30): gevent.spawn(gevent.event.Event().wait)
"""
    )
    result.stdout.fnmatch_lines(["... 30 in all"])
    assert result.stdout.str().count("\ngreenlet <Greenlet") == 10


def test_what_wider_fixtures_and_the_ones_before_hold_is_theirs(suite):
    result = suite.run(
        """
@pytest.fixture(scope="module")
def server():
    server = gevent.spawn(gevent.event.Event().wait)
    gevent.sleep(0)
    with gevent.socket.socket():
        yield
    server.kill()

@pytest.fixture
def client(server):
    client = gevent.spawn(gevent.event.Event().wait)
    yield
    client.kill()

def test_it(client, no_leaks): gevent.sleep(0)
def test_before_it(no_leaks, client): gevent.sleep(0)
"""
    )
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize(
    "opening",
    [
        '@pytest.mark.usefixtures("no_leaks")',
        "@pytest.fixture(autouse=True)\ndef clean(no_leaks): pass\n",
    ],
)
def test_it_can_be_used_by_a_mark_and_for_a_whole_suite(suite, opening):
    result = suite.run(f"{opening}\ndef test_guilty(): gevent.spawn_later(1000, print)")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["test_guilty left behind:"])


def test_tests_of_unittest_are_blamed_by_name(suite):
    result = suite.run(
        """
@pytest.mark.usefixtures("no_leaks")
class TestIt(unittest.TestCase):
    def setUp(self):
        self.socket = gevent.socket.socket()
        self.addCleanup(self.socket.close)
    def test_clean(self): self.assertRaises(OSError, self.socket.listen, "x")
    def test_guilty(self): gevent.spawn_later(1000, print)
""".replace("OSError", "TypeError")
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["test_guilty left behind:"])


# In simulations


@pytest.mark.parametrize("fixture", ["virtual_time", "simulation"])
@pytest.mark.parametrize("order", ["no_leaks, {}", "{}, no_leaks"])
def test_leaks_are_looked_for_in_the_simulation_whatever_the_order(suite, fixture, order):
    result = suite.run(
        f"""
def test_guilty({order.format(fixture)}): gevent.spawn_later(1000, print)
def test_clean({order.format(fixture)}): gevent.spawn_later(1000, print).join()
""",
        "--simulation-seeds=1",
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["test_guilty* left behind:", "greenlet *", "active watcher *"])
    result.stdout.fnmatch_lines(["this test again: pytest *test_guilty*"])


def test_the_last_steps_that_are_shown_are_those_of_the_test(suite):
    result = suite.run(
        """
def test_guilty(virtual_time, no_leaks):
    gevent.spawn_later(1000, print)
    gevent.sleep(5)
"""
    )
    result.stdout.fnmatch_lines(["*in 5 virtual seconds*"])
    assert result.stdout.str().count("timer main") == 1


def test_for_a_whole_suite_it_is_in_the_simulation_too(suite):
    result = suite.run(
        """
@pytest.fixture(autouse=True)
def clean(no_leaks): pass
@pytest.fixture
def system(simulation): return simulation
def test_guilty(system):
    gevent.spawn_later(1000, print)
    assert system.now == 0
""",
        "--simulation-seeds=2",
    )
    result.assert_outcomes(passed=2, errors=2)


def test_what_a_simulated_test_without_it_leaves_is_not_found_by_the_next(suite):
    result = suite.run(
        """
def test_careless(virtual_time): gevent.spawn(gevent.event.Event().wait); gevent.sleep(0)
def test_clean(no_leaks): gevent.sleep(0)
"""
    )
    result.assert_outcomes(passed=2)


# No false alarms


def test_a_test_that_fails_is_not_blamed_a_second_time_and_swept_up_after(suite):
    result = suite.run(
        """
held = []
def test_failing(no_leaks):
    held.append(gevent.socket.socket())
    gevent.spawn(gevent.event.Event().wait)
    assert 0
@pytest.mark.xfail
def test_failing_as_expected(no_leaks):
    held.append(gevent.socket.socket())
    assert 0
def test_after(no_leaks):
    while held: held.pop().close()
    with pytest.raises(gevent.exceptions.LoopExit):
        gevent.event.Event().wait()
"""
    )
    result.assert_outcomes(passed=1, failed=1, xfailed=1)


@pytest.mark.parametrize(
    "keeping",
    [
        "with pytest.raises(KeyError) as caught: fail()",
        "try: fail()\n    except KeyError as error: caught = error",
        "fail_and_log()",
    ],
)
def test_what_is_open_in_the_tracebacks_that_pytest_keeps_is_not_blamed(suite, keeping):
    suite.write(
        """
def fail():
    held = gevent.socket.socket()
    {}["no such key"]
def fail_and_log():
    try: fail()
    except KeyError: logging.exception("no luck")
""",
        "product.py",
    )
    result = suite.run(
        f"from product import *\ndef test_it(no_leaks):\n    {keeping}",
        "-Wignore:unclosed:ResourceWarning",
    )
    result.assert_outcomes(passed=1)


def test_a_cycle_by_a_traceback_that_the_code_itself_keeps_is_blamed(suite):
    suite.write(
        """
class Connection:
    def __init__(self): self.socket = gevent.socket.socket()
    def use(self):
        try: {}["no such key"]
        except KeyError as error: self.error = error
""",
        "product.py",
    )
    result = suite.run(
        "from product import *\ndef test_guilty(no_leaks): Connection().use()",
        "-Wignore:unclosed:ResourceWarning",
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["reference cycle that holds *socket*"])


def test_generators_that_wait_are_left_alone(suite):
    result = suite.run(
        """
@pytest.fixture
def waiting(no_leaks):
    with pytest.raises(KeyError) as caught: {}[1]
    yield
    assert caught.type is KeyError

@pytest.fixture(scope="module")
def outer():
    with pytest.raises(KeyError) as caught: {}[1]
    yield
    assert caught.type is KeyError

def steps():
    with pytest.raises(KeyError) as caught: {}[1]
    yield 1
    yield caught.type

going = []
def test_it(outer, no_leaks):
    going.append(steps())
    next(going[0])
    kept.append(os.open(os.devnull, os.O_RDONLY))

kept = []
def test_it_goes_on(outer, waiting, no_leaks):
    assert next(going[0]) is KeyError
    os.close(kept.pop())
"""
    )
    result.assert_outcomes(passed=2, errors=1)


def test_the_first_use_of_the_hubs_own_pool_is_no_leak(suite):
    result = suite.run_apart(
        """
def test_pool(no_leaks): gevent.get_hub().threadpool.apply(len, ((),))
def test_names(no_leaks): gevent.socket.gethostbyname("localhost")
"""
    )
    result.assert_outcomes(passed=2)


def test_a_job_that_failed_is_no_leak(suite):
    result = suite.run(
        """
from gowork import Job

def init(task): raise ValueError

def test_it(no_leaks):
    job = Job()
    job.add_task(lambda job: (init, None, None))
    job.run().wait()
    assert isinstance(job.errors[0], ValueError)
"""
    )
    result.assert_outcomes(passed=1)
