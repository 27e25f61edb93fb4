"""The two tables: each cell is meant, what is refused says so, the ends are ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gowork import JobState, StateError, TaskState
from gowork.states import JOB_TABLE, TASK_TABLE, JobGiven, TaskGiven, step

JOB_STEPS = {
    (JobState.NEW, JobGiven.WAIT): JobState.WAITING,
    (JobState.NEW, JobGiven.GATE): JobState.ONESHOT_RUNNING,
    (JobState.NEW, JobGiven.OPEN): JobState.RECURRENT_RUNNING,
    (JobState.NEW, JobGiven.DECIDE): JobState.FINALIZING,
    (JobState.WAITING, JobGiven.GATE): JobState.ONESHOT_RUNNING,
    (JobState.WAITING, JobGiven.OPEN): JobState.RECURRENT_RUNNING,
    (JobState.WAITING, JobGiven.DECIDE): JobState.FINALIZING,
    (JobState.WAITING, JobGiven.FORK): JobState.CANCELLED,
    (JobState.ONESHOT_RUNNING, JobGiven.OPEN): JobState.RECURRENT_RUNNING,
    (JobState.ONESHOT_RUNNING, JobGiven.DECIDE): JobState.FINALIZING,
    (JobState.ONESHOT_RUNNING, JobGiven.FORK): JobState.CANCELLED,
    (JobState.RECURRENT_RUNNING, JobGiven.DECIDE): JobState.FINALIZING,
    (JobState.RECURRENT_RUNNING, JobGiven.FORK): JobState.CANCELLED,
    (JobState.FINALIZING, JobGiven.SUCCEED): JobState.DONE,
    (JobState.FINALIZING, JobGiven.FAIL): JobState.CANCELLED,
    (JobState.FINALIZING, JobGiven.FORK): JobState.CANCELLED,
}

TASK_STEPS = {
    (TaskState.PENDING, TaskGiven.BEGIN): TaskState.RUNNING,
    (TaskState.PENDING, TaskGiven.FAIL): TaskState.FAILED,
    (TaskState.PENDING, TaskGiven.SKIP): TaskState.SKIPPED,
    (TaskState.RUNNING, TaskGiven.FINISH): TaskState.FINISHED,
    (TaskState.RUNNING, TaskGiven.FAIL): TaskState.FAILED,
    (TaskState.RUNNING, TaskGiven.STOP): TaskState.CANCELLED,
}

JOB_CELLS = [(state, what) for state in JobState for what in JobGiven]
TASK_CELLS = [(state, what) for state in TaskState for what in TaskGiven]
ENDS = [
    JobState.DONE,
    JobState.CANCELLED,
    TaskState.FINISHED,
    TaskState.FAILED,
    TaskState.CANCELLED,
    TaskState.SKIPPED,
]
LIFE = list(JobState)


def follow(state, givens):
    """The states that *givens* lead through; what is refused changes nothing."""
    states = [state]
    for what in givens:
        try:
            states.append(step(states[-1], what))
        except StateError:
            states.append(states[-1])
    return states


@pytest.mark.parametrize(
    ("table", "states", "givens"),
    [(JOB_TABLE, JobState, JobGiven), (TASK_TABLE, TaskState, TaskGiven)],
)
def test_every_cell_of_a_table_is_written(table, states, givens):
    assert list(table) == list(states)
    assert all(list(row) == list(givens) for row in table.values())


def test_every_cell_means_what_it_should():
    for table, cells, steps in (
        (JOB_TABLE, JOB_CELLS, JOB_STEPS),
        (TASK_TABLE, TASK_CELLS, TASK_STEPS),
    ):
        for state, what in cells:
            assert table[state][what] is steps.get((state, what)), (state, what)


def test_step_reads_the_tables():
    for (state, what), following in {**JOB_STEPS, **TASK_STEPS}.items():
        assert step(state, what) is following


def test_what_a_table_refuses_raises_and_says_what_was_refused():
    for state, what in set(JOB_CELLS + TASK_CELLS) - {*JOB_STEPS, *TASK_STEPS}:
        with pytest.raises(StateError) as refusal:
            step(state, what)
        assert refusal.value.state is state
        assert refusal.value.given is what
        assert state.name in str(refusal.value)
        assert what.name in str(refusal.value)


def test_a_given_of_the_other_table_is_refused():
    with pytest.raises(StateError):
        step(JobState.NEW, TaskGiven.BEGIN)


@pytest.mark.parametrize("end", ENDS)
def test_nothing_leads_out_of_an_end(end):
    givens = JobGiven if isinstance(end, JobState) else TaskGiven
    assert follow(end, givens) == [end] * (len(givens) + 1)


@given(st.lists(st.sampled_from(JobGiven)))
def test_a_job_goes_forward_only(givens):
    places = [LIFE.index(state) for state in follow(JobState.NEW, givens)]
    assert places == sorted(places)


@given(st.lists(st.sampled_from(JobGiven)))
def test_a_job_that_was_not_forked_ends_well_or_badly_only_after_finalizing(givens):
    states = follow(JobState.NEW, [what for what in givens if what is not JobGiven.FORK])
    if states[-1] in (JobState.DONE, JobState.CANCELLED):
        assert JobState.FINALIZING in states


@given(st.lists(st.sampled_from(TaskGiven)))
def test_a_task_ends_at_most_once(givens):
    states = follow(TaskState.PENDING, givens)
    assert len(set(states) & set(ENDS)) <= 1
