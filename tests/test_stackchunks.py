"""The cache of stack chunks: what it keeps, gives, and gives back; nobody sees it otherwise."""

from __future__ import annotations

import functools

import pytest
from gevent.monkey import get_original
from greenlet import greenlet
from stacks import ArenaAllocator, counted, end, parked

import benchmarks.stacks
from gowork import stackchunks
from gowork.stackchunks import CHUNK, Statistics, install, statistics, trim, uninstall

start_new_thread = get_original("_thread", "start_new_thread")
allocate_lock = get_original("_thread", "allocate_lock")
sleep = get_original("time", "sleep")


@pytest.fixture(autouse=True)
def an_empty_cache():
    before = statistics()
    install()
    trim()
    yield
    if before.installed:
        install(before.limit)
    else:
        uninstall()


def on_a_stack_of_its_own(test):
    """Run *test* where calls do not need another chunk, as on the deep stack of pytest they may."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        trim()  # what is held by now was that stack's
        return greenlet(test).switch(*args, **kwargs)

    return run


@on_a_stack_of_its_own
def test_a_greenlet_takes_the_stack_of_one_that_has_ended():
    assert counted(lambda: end(parked(1))) == (0, 1, 1)
    assert counted(lambda: end(parked(1))) == (1, 0, 0)


@on_a_stack_of_its_own
def test_a_crowd_that_ends_leaves_its_stacks_to_the_next_one():
    assert counted(lambda: end(parked(50))) == (0, 50, 50)
    crowd = []
    assert counted(lambda: crowd.extend(parked(30))) == (30, 0, -30)
    end(crowd)


@on_a_stack_of_its_own
def test_no_more_is_kept_than_the_limit_says():
    install(limit=11 * CHUNK - 1)
    end(parked(50))
    assert statistics()[-3:] == (10, 10 * CHUNK, 10 * CHUNK)


@on_a_stack_of_its_own
def test_a_lower_limit_gives_back_what_exceeds_it():
    end(parked(50))
    assert install(limit=5 * CHUNK)
    assert statistics().held_chunks <= 5


@on_a_stack_of_its_own
@pytest.mark.parametrize(
    ("keep", "left"), [(0, 0), (CHUNK - 1, 0), (3 * CHUNK, 3), (2**40, 50)], ids=str
)
def test_trim_gives_back_all_but_what_it_is_told_to_keep(keep, left):
    end(parked(50))
    trim(keep)
    assert statistics().held_chunks == left
    assert counted(lambda: end(parked(50))) == (left, 50 - left, 50 - left)


@on_a_stack_of_its_own
def test_stacks_that_were_mapped_before_are_kept_and_those_that_were_kept_are_freed_after():
    uninstall()
    before = parked(5)
    install()
    assert counted(end, before)[2] == 5
    taken = parked(5)
    uninstall()
    assert counted(end, taken) == (0, 0, 0)


@on_a_stack_of_its_own
def test_once_it_is_uninstalled_it_counts_and_keeps_nothing():
    end(parked(5))
    uninstall()
    assert counted(lambda: end(parked(5))) == (0, 0, 0)
    assert statistics()[:2] == (False, "it was uninstalled")
    assert statistics()[-3:] == (0, 0, 0)


def test_it_can_be_installed_and_uninstalled_again_and_again():
    for _ in range(3):
        uninstall()
        uninstall()
        assert install()
        assert install()
    assert statistics()[:2] == (True, "")


def test_its_default_limit_is_that_of_the_module():
    assert statistics().limit == stackchunks.LIMIT
    assert statistics()._fields == Statistics._fields


@pytest.mark.parametrize("limit", [0, -1, CHUNK - 1, -(10**30), 10**30])
def test_a_wild_limit_is_refused_and_changes_nothing(limit):
    with pytest.raises(ValueError, match=f"a limit is from 16384.* bytes, not {limit}$"):
        install(limit)
    assert statistics().limit == stackchunks.LIMIT


@pytest.mark.parametrize("keep", [-1, 10**30])
def test_a_wild_amount_to_keep_is_refused(keep):
    with pytest.raises(ValueError, match=f"what to keep is from 0 .* bytes, not {keep}$"):
        trim(keep)


@pytest.mark.parametrize("amount", [1e9, "1000000", None])
def test_what_is_no_number_of_bytes_is_refused(amount):
    for call in (install, trim):
        with pytest.raises(TypeError):
            call(amount)


# Directly


def test_the_size_is_the_extensions():
    assert stackchunks.chunks.CHUNK_SIZE == CHUNK


def test_the_last_one_that_was_freed_is_the_first_to_be_taken():
    arenas = ArenaAllocator.current()
    first, second = arenas.alloc(CHUNK), arenas.alloc(CHUNK)
    arenas.free(first, CHUNK)
    arenas.free(second, CHUNK)
    assert [arenas.alloc(CHUNK), arenas.alloc(CHUNK)] == [second, first]
    arenas.free(first, CHUNK)
    arenas.free(second, CHUNK)


@on_a_stack_of_its_own
@pytest.mark.parametrize("size", [CHUNK // 2, CHUNK - 1, CHUNK + 1, 2 * CHUNK, 1 << 20])
def test_other_sizes_pass_through(size):
    arenas = ArenaAllocator.current()
    assert counted(lambda: arenas.free(arenas.alloc(size), size)) == (0, 0, 0)


def test_more_than_there_is_cannot_be_had():
    assert ArenaAllocator.current().alloc(1 << 62) is None


# Threads


def in_threads(fn, each):
    """Call *fn* with each, in a native thread for each, at the same time."""
    running = []

    def run(argument, lock):
        fn(argument)
        lock.release()

    for argument in each:
        lock = allocate_lock()
        lock.acquire()
        running.append(lock)
        start_new_thread(run, (argument, lock))
    for lock in running:
        lock.acquire()


@on_a_stack_of_its_own
def test_the_stack_of_a_thread_that_has_ended_is_kept_too():
    alive = []

    def live_together(number):
        alive.append(number)
        while len(alive) < 5:
            sleep(0.001)

    in_threads(live_together, range(5))
    while statistics().held_chunks < 5:  # the last thing that a thread does is to leave it
        sleep(0.001)


def test_threads_without_the_gil_do_not_get_in_each_others_way():
    arenas = ArenaAllocator.current()

    def take_and_give(mine):
        for _ in range(2000):
            mine.append(arenas.alloc(CHUNK))
            if len(mine) == 5:
                arenas.free(mine.pop(0), CHUNK)

    taken = [[] for _ in range(4)]
    in_threads(take_and_give, taken)
    everything = [address for mine in taken for address in mine]
    assert len({*everything}) == len(everything) == 16
    in_threads(lambda address: arenas.free(address, CHUNK), everything)


# Time


def test_its_benchmark_compares_each_work_with_it_and_without(capsys):
    benchmarks.stacks.main(turns=1)
    lines = capsys.readouterr().out.splitlines()[2:]
    assert [line[:34].strip() for line in lines] == [work.name for work in benchmarks.stacks.WORKS]
    assert float(lines[0].split()[-1]) < 0.5  # it is a tenth


@pytest.mark.parametrize(("number", "most"), [(200, 7), (6000, 128)])
def test_of_what_nobody_needs_for_a_second_a_few_are_given_back(number, most):
    install(limit=number * CHUNK)
    end(parked(number))
    while (held := statistics().held_chunks) == number:
        end(parked(1))
        sleep(0.01)
    assert number - most <= held < number
