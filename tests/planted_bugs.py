"""Bugs to be planted in gowork, each with the invariant that must notice it."""

from __future__ import annotations

from contextvars import copy_context

import gevent

from gowork import channels, jobs, lifecycles, logs, states, windups
from gowork.clocks import Alarm
from gowork.endings import stop_all
from gowork.errors import Cancelled
from gowork.lifecycles import Lifecycle
from gowork.outcomes import Interruption, Outcome
from gowork.pingpong import Ping
from gowork.states import JobGiven
from gowork.tasks import Task

#: By name: the invariant, a function that plants the bug by a pytest monkeypatch, and to
#: which features a search for it may keep, if it is rare.
BUGS = {}


def caught_by(invariant, *only):
    def register(plant):
        BUGS[plant.__name__] = (invariant, plant, only or None)
        return plant

    return register


@caught_by("i01_init_runs_once")
def init_runs_twice(monkeypatch):
    initialised = Lifecycle._initialised

    def again(job, task):
        if task.index == 2:
            task._init(task)
        return initialised(job, task)

    monkeypatch.setattr(Lifecycle, "_initialised", again)


@caught_by("i02_whatever_was_begun_is_finalized")
def failed_inits_get_no_finalizer(monkeypatch):
    raised = Lifecycle._task_raised

    def forgets(job, task, error):
        job._owed.pop(task, None)
        raised(job, task, error)

    monkeypatch.setattr(Lifecycle, "_task_raised", forgets)


@caught_by("i03_nothing_is_finalized_twice")
def two_ends_in_a_tick_finalize_twice(monkeypatch):
    def owed(job):
        for task in list(job._owed)[::-1]:
            yield task
            if job._outcome.errors[1:]:
                yield task

    monkeypatch.setattr(windups, "_owed", owed)


@caught_by("i04_nothing_is_finalized_that_did_not_begin")
def skipped_tasks_are_finalized(monkeypatch):
    skip = Lifecycle._skip

    def owes(job, task):
        skip(job, task)
        if task._finalize is not None:
            job._owed[task] = None

    monkeypatch.setattr(Lifecycle, "_skip", owes)


@caught_by("i07_no_finalizer_while_its_task_runs")
def finalizers_do_not_wait(monkeypatch):
    monkeypatch.setattr(windups, "stop_all", lambda *args: [])


@caught_by("i08_no_finalizer_is_interrupted", "finalizers act", "sleep", "from outside: cancel")
def cancel_hits_the_finalizer(monkeypatch):
    spawn, cancel = Lifecycle._spawn, jobs.Job._end_by

    def spawns(job, function, what):
        greenlet = spawn(job, function, what)
        if what == "finalizer":
            job._cleaner = greenlet
        return greenlet

    def hits(job, *error):
        if hasattr(job, "_cleaner"):
            job._cleaner.kill(Cancelled("again"), block=False)
        return cancel(job, *error)

    monkeypatch.setattr(Lifecycle, "_spawn", spawns)
    monkeypatch.setattr(jobs.Job, "_end_by", hits)


@caught_by("i09_no_run_after_done")
def done_only_ticks(monkeypatch):
    done = Task.done
    told = set()

    def at_the_second_time(task):
        (done if task in told else Task.tick)(task)
        told.add(task)

    monkeypatch.setattr(Task, "done", at_the_second_time)


@caught_by("i10_the_oneshot_goes_first")
def the_gate_of_the_oneshot_is_open(monkeypatch):
    def open_all(job):
        if 0 in job._tasks:
            job._move(JobGiven.GATE)
            job._start([job._tasks[0]])
        job._open_gate()

    monkeypatch.setattr(Lifecycle, "_open", open_all)


@caught_by("i14_the_first_claim_wins")
def the_last_error_is_the_reason(monkeypatch):
    record = Outcome.record

    def overwrites(outcome, task, error):
        kept = record(outcome, task, error)
        outcome.interruption = Interruption(task, kept)
        return kept

    monkeypatch.setattr(Outcome, "record", overwrites)


@caught_by("i15_complete_work_is_not_late", "timeout", "sleep", "finish")
def the_timeout_beats_complete_work(monkeypatch):
    all_done = Lifecycle._decide_if_all_done

    def later(job):
        gevent.get_hub().loop.run_callback(all_done, job)

    monkeypatch.setattr(Lifecycle, "_decide_if_all_done", later)


@caught_by("i16_nothing_begins_after_the_deadline")
def the_timeout_is_late(monkeypatch):
    watch = Alarm.watch
    monkeypatch.setattr(Alarm, "watch", lambda alarm, due, check: watch(alarm, due + 1, check))


@caught_by("i18_who_idles_out_was_idle", "idle timeout", "poke", "sleep", "endless")
def ticks_are_no_progress(monkeypatch):
    tick = Task.tick

    def ticks(task):
        before = task._progressed
        tick(task)
        task._progressed = before

    monkeypatch.setattr(Task, "tick", ticks)


@caught_by("i18_who_is_idle_idles_out", "idle timeout", "sleep", "endless")
def idleness_is_seen_late(monkeypatch):
    overdue = Task._overdue

    def looks_late(task, now):
        due = task._progressed + task._idle_timeout
        return overdue(task, now) if due < now else due + 1

    monkeypatch.setattr(Task, "_overdue", looks_late)


@caught_by("i23_nothing_begins_after_the_decision")
def the_decision_is_not_looked_at(monkeypatch):
    def begun(job, task):
        task._state = states.LIVING
        job._living[task._greenlet] = task

    monkeypatch.setattr(Lifecycle, "_begun", begun)
    monkeypatch.setattr(lifecycles, "deliver", lambda greenlet, reason: None)
    monkeypatch.setattr(Task, "_stop", lambda task, error: None)


@caught_by("i24_the_waiter_takes_the_job_with_him")
def a_killed_waiter_just_leaves(monkeypatch):
    monkeypatch.setattr(jobs, "wait_out", lambda job, error: None)


@caught_by("i25_what_a_finalizer_raises_is_kept")
def errors_of_finalizers_are_lost(monkeypatch):
    monkeypatch.setattr(Lifecycle, "_clean_up_failed", lambda job, task, error: None)


@caught_by("i26_finalizers_run_in_reverse_order")
def finalizers_run_forwards(monkeypatch):
    def owed(job):
        while job._owed:
            task = next(iter(job._owed))
            del job._owed[task]
            yield task

    monkeypatch.setattr(windups, "_owed", owed)


@caught_by("i32_an_exit_is_passed_on")
def exits_are_lost(monkeypatch):
    cause_of = Outcome.cause_of

    def forgets(outcome, error):
        cause = cause_of(outcome, error)
        outcome.exit = None
        return cause

    monkeypatch.setattr(Outcome, "cause_of", forgets)


@caught_by("i36_each_task_is_told_once")
def notices_of_failures_are_lost(monkeypatch):
    tell = Lifecycle._tell

    def tells(job, task, notices):
        if task.error is None:
            tell(job, task, notices)

    monkeypatch.setattr(Lifecycle, "_tell", tells)


@caught_by("i42_a_kill_reaches_who_is_blocked", "swallow", "from outside: cancel")
def the_second_kill_is_never_sent(monkeypatch):
    def stops(living, quiet, grace, reason, goes_on):
        quiet.wait(grace)
        return [] if quiet.is_set() else stop_all(living, quiet, 0, reason, goes_on)

    monkeypatch.setattr(windups, "stop_all", stops)


@caught_by("i42_a_kill_comes_at_once")
def the_first_kill_is_never_sent(monkeypatch):
    monkeypatch.setattr(lifecycles, "deliver", lambda greenlet, reason: None)
    monkeypatch.setattr(Task, "_stop", lambda task, error: None)


@caught_by("i43_each_value_passes_once", "send", "recv", "sleep", "fail", "cancel")
def what_a_dead_receiver_had_is_lost(monkeypatch):
    monkeypatch.setattr(channels.Channel, "_put_back", lambda channel, number, value: None)


@caught_by("i44_one_ping_at_a_time_for_each_sender", "ping", "pong")
def a_ping_returns_when_it_was_taken(monkeypatch):
    take = Ping._take
    monkeypatch.setattr(Ping, "_take", lambda ping: (take(ping), ping.ack()))


@caught_by("i47_the_end_is_logged_once")
def the_end_is_not_logged(monkeypatch):
    monkeypatch.setattr(logs, "write", lambda *args: None)


@caught_by("every_routine_has_its_context")
def finalizers_run_in_the_jobs_context(monkeypatch):
    finalizer_of = windups._finalizer_of

    def strange(job, task):
        return finalizer_of(job, task)._replace(context=copy_context())

    monkeypatch.setattr(windups, "_finalizer_of", strange)


@caught_by("i20_no_timer_is_left")
def a_timer_is_left(monkeypatch):
    def closes(alarm):
        alarm._closed = True

    monkeypatch.setattr(Alarm, "close", closes)


@caught_by("i21_the_hub_prints_nothing")
def the_end_fails_in_the_hub(monkeypatch):
    def fails():
        raise ValueError("planted")

    end = Lifecycle._end

    def ends(job):
        end(job)
        gevent.get_hub().loop.run_callback(fails)

    monkeypatch.setattr(Lifecycle, "_end", ends)
