"""Schedules find what plain order hides, fairly, and can be had again."""

from __future__ import annotations

import gevent
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from gowork.testing import (
    Bounded,
    Drawn,
    Fifo,
    Lifo,
    Pct,
    Random,
    Replay,
    Schedule,
    ScheduleDiverged,
    Simulation,
    SimulationError,
    explore,
    simulate,
)
from gowork.testing.strategies import schedules

OPTIONS = ["1:a", "2:b", "timer 3:c"]


def lost_update():
    """Two greenlets add 1 to one number: 2 in gevent's order, 1 if an update is lost."""
    total = [0]

    def adder(turns):
        for _ in range(turns):
            gevent.sleep(0)
        seen = total[0]
        gevent.sleep(0)
        total[0] = seen + 1

    greenlets = [gevent.spawn(adder, turns) for turns in (0, 2)]
    gevent.sleep(1)
    assert all(one.dead for one in greenlets)
    return total[0]


def test_each_schedule_picks_as_its_name_says():
    assert Fifo().pick(OPTIONS) == 0
    assert Lifo().pick(OPTIONS) == 2
    assert {Random(seed).pick(OPTIONS) for seed in range(30)} == {0, 1, 2}
    assert Replay([2]).pick(OPTIONS) == 2
    assert Drawn(lambda count: count - 1).pick(OPTIONS) == 2


def test_a_replay_goes_on_in_order_when_its_choices_are_used_up():
    replay = Replay([1])
    assert [replay.pick(OPTIONS) for _ in range(3)] == [1, 0, 0]


@pytest.mark.parametrize("choice", [3, -1])
def test_a_choice_that_there_is_not_means_another_program(choice):
    with pytest.raises(ScheduleDiverged, match="recorded"):
        Replay([choice]).pick(OPTIONS)


@pytest.mark.parametrize("seed", range(20))
def test_a_bounded_schedule_deviates_no_more_often_than_it_may(seed):
    schedule = Bounded(seed, deviations=2)
    picks = [schedule.pick(OPTIONS) for _ in range(1000)]
    assert sum(pick > 0 for pick in picks) <= 2


def test_a_bounded_schedule_does_deviate():
    picks = [Bounded(seed).pick(OPTIONS) for seed in range(50)]
    assert any(picks)


def test_pct_keeps_to_its_highest_priority_until_it_is_demoted():
    schedule = Pct(1, changes=0)
    first = schedule.pick(OPTIONS)
    assert [schedule.pick(OPTIONS) for _ in range(Pct.FAIR - 1)] == [first] * (Pct.FAIR - 1)
    later = [schedule.pick(OPTIONS) for _ in range(12 * Pct.FAIR)]
    assert set(later) == set(later[-3 * Pct.FAIR :]) == {0, 1, 2}


@pytest.mark.parametrize("schedule", ["random", "bounded", "pct"])
def test_a_lost_update_is_found_by_some_seed(schedule):
    results = {simulate(lost_update, schedule=schedule, seed=seed).value for seed in range(60)}
    assert results == {1, 2}


def test_an_own_schedule_is_asked_with_labels():
    seen = []

    class Spy(Schedule):
        def pick(self, options):
            seen.append([options[index] for index in range(len(options))])
            return len(options) - 1

    simulate(lost_update, schedule=Spy())
    assert ["1:adder", "2:adder"] in seen


def test_what_a_schedule_raises_is_raised_in_the_main_greenlet_and_the_program_may_clear_up():
    class Fails(Schedule):
        def pick(self, options):
            raise LookupError("no more")

    def program():
        greenlets = [gevent.spawn(gevent.sleep, 0) for _ in range(3)]
        try:
            gevent.sleep(1)
        finally:
            gevent.killall(greenlets)  # among them the option that would have been taken
            gevent.sleep(1)

    simulation = Simulation(schedule=Fails())
    with pytest.raises(LookupError, match="no more"), simulation:
        program()
    assert simulation.left == []
    assert simulation.now == 1


# Hypothesis


def test_the_schedule_shrinks_to_the_fewest_deviations():
    lost = []

    def fails(schedule):
        ended = simulate(lost_update, schedule=schedule)
        if ended.value == 1:
            lost.append(ended.choices)
        return ended.value == 1

    find(schedules(), fails, settings=settings(database=None))
    assert sum(lost[-1]) == min(map(sum, lost)) <= 2


@given(schedules(), st.floats(0, 100))
@settings(max_examples=20)
def test_a_drawn_schedule_is_as_good_as_any(schedule, seconds):
    assert simulate(gevent.sleep, seconds, schedule=schedule).now == seconds


def test_a_failing_drawn_schedule_says_in_its_note_how_to_replay_it():
    @given(schedules())
    @settings(database=None, max_examples=200)
    def nothing_is_lost(schedule):
        def program():
            assert lost_update() == 2

        simulate(program, schedule=schedule)

    with pytest.raises(AssertionError) as caught:
        nothing_is_lost()
    note = next(one for one in caught.value.__notes__ if "choices=" in one)
    choices = eval(note.partition("choices=")[2].partition("]")[0] + "]")
    assert simulate(lost_update, schedule="replay", choices=choices).value == 1
    assert sum(map(bool, choices)) <= 2  # it was shrunk


# Every schedule


def three_by_three():
    order = []

    def runner(name):
        for step in range(3):
            order.append(name)
            if step < 2:
                gevent.sleep(0)

    for name in "abc":
        gevent.spawn(runner, name)
    gevent.sleep(1)
    return "".join(order)


def test_exploring_runs_each_order_exactly_once():
    explored = explore(three_by_three)
    assert explored.executions == 1680  # 9! / (3! 3! 3!)
    assert len(set(explored.values)) == 1680


def test_exploring_ends_with_the_first_failure_and_says_how_to_have_it_again():
    def program():
        assert three_by_three() != "abcabccba"

    with pytest.raises(AssertionError) as caught:
        explore(program)
    note = caught.value.__notes__[0]
    choices = eval(note.partition("choices=")[2].partition("]")[0] + "]")
    assert simulate(three_by_three, schedule="replay", choices=choices).value == "abcabccba"


def test_too_many_schedules_are_an_error_and_no_silent_half():
    with pytest.raises(SimulationError, match="more than 100"):
        explore(three_by_three, limit=100)


def test_a_program_with_one_schedule_is_run_once():
    assert explore(gevent.sleep, 5) == (1, [None])


def test_a_program_that_is_not_deterministic_is_found_out():
    runs = []

    def program():
        runs.append(1)
        for _ in range(1 + len(runs) % 2):
            gevent.spawn(gevent.sleep, 0)
        gevent.sleep(1)

    with pytest.raises(ScheduleDiverged, match="set"):
        explore(program)
