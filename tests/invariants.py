"""What is true of a job however its greenlets are scheduled, checked on the record of a play.

Each invariant is a function whose docstring is the sentence. It yields a pair for each
thing that it had to look at: whether it holds, and what to say if not. What it never had
anything to look at has not been tested, which is why the pairs are counted.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import gevent
from greenlet import GreenletExit
from scenario_plays import DECIDED, ENDED, Kill, Wrapped

from gowork import (
    AssertionFailed,
    Cancelled,
    FinalizeTimeout,
    IdleTimeout,
    JobCancelled,
    JobState,
    JobTimeout,
    StateError,
    TaskState,
    Unstopped,
    VerdictMissing,
)
from gowork.states import JOB_TABLE

INVARIANTS = {}
EPSILON = 1e-6
GLANCE = 0.01  # seconds that gowork may take more to look whether something is over
UNDECIDED = (JobState.NEW, JobState.WAITING, JobState.ONESHOT_RUNNING, JobState.RECURRENT_RUNNING)
ROUTINES = ("init", "run", "finalize")


def invariant(function):
    INVARIANTS[function.__name__] = function
    return function


class Story:
    """A play, and what can be read from its record.

    *exact* is whether every timer was on time, *fair* whether all had their turns.
    """

    def __init__(self, play, exact=True, fair=True):
        self.play = play
        self.exact = exact
        self.fair = fair
        self.scenario = play.scenario
        self.moments = play.moments
        self.job = play.job
        state, (self.task, self.error), self.errors, self.unstopped, *rest = play.after
        self.state = state
        self.timed_out = rest[0]
        self.decision = self.first("job", "moves", JobState.FINALIZING)
        self.end = next((m for m in self.moments if m.what == "moves" and m.value in ENDED), None)
        self.start = self.first("main", "runs")
        wrapped = [m.value for m in self.of("wrapper", "begins")]
        #: What interrupted the job before the wrapper made something of it.
        self.reason = wrapped[0] if wrapped else self.error
        self.bad = state is JobState.CANCELLED
        self.given_up = {each.task for each in self.unstopped}

    def of(self, who, *whats):
        return [m for m in self.moments if m.who == who and m.what in whats]

    def all_of(self, *whats):
        return [m for m in self.moments if m.what in whats]

    def first(self, who, what, value=None):
        for m in self.of(who, what):
            if value is None or m.value is value:
                return m
        return None

    def begins(self, *routines):
        """The moments at which a routine of a task began."""
        return [m for m in self.all_of(*routines) if m.who in self.play.seen]

    def raised(self, *routines):
        return [m for m in self.all_of(*(f"{r} raised" for r in routines)) if m.who in self.tasks]

    @property
    def tasks(self):
        return self.play.seen

    def spans(self, seen, routine):
        """Pairs of begin and end (None if it never came) of a routine of a task."""
        ends = (f"{routine} raised", f"{routine} returned")
        begun = None
        for m in self.of(seen, routine, *ends):
            if m.what == routine:
                begun = m
            else:
                yield begun, m
                begun = None
        if begun is not None:
            yield begun, None

    def claims(self):
        """What should have ended the job, had nothing done so before: moment, task, error."""
        for m in self.moments:
            if m.who in self.tasks and m.what in ("init raised", "run raised"):
                # A copy of what raised it: outside the state that its moment names.
                error = m.value
                if isinstance(error, AssertionFailed) and error.error is not None:
                    error = error.error
                yield m, m.who, error
            elif m.what in ("canceles", "finishes"):
                yield m, None, m.value

    def busy(self):
        """Seconds for which the hub may have been held up, by any job."""
        plays = [self.play.top()]
        for play in plays:
            plays += [inner for _, inner in play.inner]
        return sum(m.value for play in plays for m in play.moments if m.what == "is busy")


def examine(play, exact=True, fair=True):
    """What was checked, how often, and what does not hold: a Counter and a list of texts."""
    checked, broken = Counter(), []
    for each in [play, *(inner for _, inner in play.inner)]:
        if each.hung or each.after is None:
            if each is play:
                broken.append(f"i31_nothing_hangs: {each.job!r} has not ended")
            continue  # a nested job may have outlived what could be waited for
        story = Story(each, exact, fair)
        for name, check in INVARIANTS.items():
            for holds, text in check(story):
                checked[name] += 1
                if not holds:
                    broken.append(f"{name}: {text}")
    return checked, broken


# What begins, and how often


@invariant
def i01_init_runs_once(story):
    """Init runs at most once."""
    for seen in story.tasks:
        count = len(story.of(seen, "init"))
        if count:
            yield count == 1, f"{seen} {count} times"


@invariant
def i02_whatever_was_begun_is_finalized(story):
    """Every begun task's finalizer runs, whatever the end."""
    for seen in story.tasks:
        if seen.plan.finalize is not None and story.of(seen, "init", "run"):
            yield bool(story.of(seen, "finalize")), f"{seen} was not"


@invariant
def i03_nothing_is_finalized_twice(story):
    """A finalizer runs never twice, whatever falls into one tick."""
    for seen in story.tasks:
        count = len(story.of(seen, "finalize"))
        if count:
            yield count == 1, f"{seen} {count} times"


@invariant
def i04_nothing_is_finalized_that_did_not_begin(story):
    """No finalizer for a task whose init, or without one whose run, was not entered."""
    for seen in story.tasks:
        if story.of(seen, "finalize"):
            if seen.plan.init is not None:
                yield bool(story.of(seen, "init")), f"{seen} had no init"
            elif seen.plan.runs is not None:
                begun = story.of(seen, "run") or was_done_early(story, seen)
                yield bool(begun), f"{seen} had no run"


def was_done_early(story, seen):
    """Whether somebody said done() to a task before it ran, which then need not."""
    done = [m for m in story.all_of("done") if m.value is seen]
    runs = story.of(seen, "run")
    return bool(done) and (not runs or done[0].number < runs[0].number)


@invariant
def i05_init_comes_before_run(story):
    """Run is called only after its init has returned."""
    for seen in story.tasks:
        if seen.plan.init is not None:
            for m in story.of(seen, "run"):
                returned = story.first(seen, "init returned")
                yield bool(returned and returned.number < m.number), f"{seen} at {m.at}"


@invariant
def i06_no_run_after_its_finalizer(story):
    """No run begins after its finalizer began."""
    for seen in story.tasks:
        finalized = story.first(seen, "finalize")
        if finalized:
            late = [m for m in story.of(seen, "init", "run") if m.number > finalized.number]
            yield not late, f"{seen}: {late}"


@invariant
def i07_no_finalizer_while_its_task_runs(story):
    """No finalizer begins while a routine of its own task is active, unless that was given up."""
    for seen in story.tasks:
        finalized = story.first(seen, "finalize")
        if finalized and seen.task not in story.given_up:
            for routine in ("init", "run"):
                for begun, ended in story.spans(seen, routine):
                    over = ended is not None and ended.number < finalized.number
                    yield over, f"{routine} of {seen} at {begun.at}"


@invariant
def i08_no_finalizer_is_interrupted(story):
    """A finalizer is never interrupted by the job, except when its time is over."""
    for seen in story.tasks:
        for begun, ended in story.spans(seen, "finalize"):
            if ended is not None and ended.what == "finalize raised":
                error = ended.value
                if type(error) is Cancelled and error.reason is not None:
                    overrun = ended.at - begun.at >= story.scenario.finalize_timeout - EPSILON
                    late = isinstance(error.reason, FinalizeTimeout) and overrun
                    yield late, f"{seen} after {ended.at - begun.at}: {error!r}"
                    continue
            yield True, ""


@invariant
def i09_no_run_after_done(story):
    """No run begins after done()."""
    for seen in story.tasks:
        done = next((m for m in story.all_of("done") if m.value is seen), None)
        if done is not None:
            late = [m for m in story.of(seen, "run") if m.number > done.number]
            yield not late, f"{seen}: {late}"


@invariant
def i10_the_oneshot_goes_first(story):
    """No other init or run begins before the oneshot is done, and never if it failed."""
    oneshot = next((seen for seen in story.tasks if seen.index == 0), None)
    if oneshot is None:
        return
    ends = story.of(oneshot, "init returned", "run returned", "init raised", "run raised")
    for m in story.begins("init", "run"):
        if m.who is not oneshot:
            before = [each for each in ends if each.number < m.number]
            fine = oneshot.task.state is TaskState.FINISHED and (
                before or was_done_early(story, oneshot) or oneshot.plan.runs is None
            )
            last = not [each for each in ends if each.number > m.number]
            yield bool(fine and last), f"{m.what} of {m.who} at {m.at}"


@invariant
def i10_every_init_before_any_run(story):
    """The inits of the tasks there from the start are over before any of their runs begins."""
    first = [seen for seen in story.tasks if seen.index and was_there(story, seen)]
    begun = [story.first(seen, "run") for seen in first]
    begun = [m.number for m in begun if m is not None]
    for seen in first:
        for _, ended in story.spans(seen, "init") if begun else ():
            yield ended is not None and ended.number < min(begun), f"init of {seen}"


def was_there(story, seen):
    added = next(m for m in story.all_of("adds") if m.value is seen)
    return story.start is not None and added.number < story.start.number


# The end


@invariant
def i11_nothing_goes_on_after_the_end(story):
    """After the end no routine of the job does anything, unless it was given up."""
    if story.end is None:
        return
    for m in story.moments:
        if m.number > story.end.number and m.who in story.tasks:
            given_up = m.who.task in story.given_up
            begins = m.what in ROUTINES
            yield given_up and not begins, f"{m.what} of {m.who} at {m.at}"
    yield True, ""


@invariant
def i12_states_follow_the_table(story):
    """The job's states follow the table, and the terminal one is entered once and stays."""
    states = [JobState.NEW, *(m.value for m in story.of("job", "moves"))]
    for before, after in pairwise(states):
        yield after in JOB_TABLE[before].values(), f"{before.name} to {after.name}"
    ended = [state for state in states if state in ENDED]
    yield ended == [story.state], f"{states}"


@invariant
def i12_every_task_has_ended(story):
    """At the end every task is in an end state, and a SKIPPED one never began."""
    for seen in story.tasks:
        state = seen.task.state
        yield state not in (TaskState.PENDING, TaskState.RUNNING), f"{seen} is {state}"
        if state is TaskState.SKIPPED:
            yield not story.of(seen, *ROUTINES), f"{seen} was skipped and began"
        failed = state is TaskState.FAILED
        yield failed == (seen.task.error is not None), f"{seen} {state} {seen.task.error!r}"


@invariant
def i13_done_means_no_error(story):
    """DONE if and only if there is no error."""
    interrupted = story.error is not None or story.task is not None
    yield story.bad == interrupted, f"{story.state} {story.error!r}"
    yield story.bad == bool(story.errors), f"{story.state} {story.errors}"
    if story.bad:
        yield story.errors[0] is story.error, f"{story.errors} {story.error!r}"


@invariant
def i14_the_first_claim_wins(story):
    """The first failure, cancel or finish is what ended the job: by identity, with its task."""
    decision = story.decision
    first = next(iter(story.claims()), None)
    if first is None or decision is None:
        return
    claim, seen, error = first
    if claim.number > decision.number:
        return
    between = [m for m in story.moments if claim.number < m.number < decision.number]
    yield not between, f"{claim} did not decide, but {between}"
    if between:
        return
    if claim.what == "finishes":
        # What fails while it unwinds, or in the clean-up, still turns it bad.
        yield not story.timed_out, f"{claim} and {story.error!r}"
        return
    if error is None:
        yield type(story.reason) is Cancelled, f"{claim} and {story.reason!r}"
    else:
        yield story.reason is error, f"{claim} and {story.reason!r}"
    yield story.task is (seen and seen.task), f"{claim} and {story.task}"
    if seen is not None:
        yield seen.task.error is story.error, f"{claim} and {seen.task.error!r}"
        if error is claim.value:  # not what was only asserted
            yield error.__traceback__ is not None, f"{error!r} has lost its traceback"


@invariant
def i14_who_fails_is_failed(story):
    """A task whose init or run raised an error of its own before it ended is FAILED with it."""
    for m in story.raised("init", "run"):
        stopped = isinstance(m.value, GreenletExit) and m.state in DECIDED
        if not stopped and m.who.task not in story.given_up:
            yield m.who.task.state is TaskState.FAILED, f"{m} {m.who.task}"
            error = m.value
            if isinstance(error, AssertionFailed) and error.error is not None:
                error = error.error
            # Who has idled out has failed before it raises; the first error may be wrapped.
            if story.task is not m.who.task:
                yield m.who.task.error is error, f"{m} {m.who.task.error!r}"


@invariant
def i14_unclaimed_ends_have_a_cause(story):
    """A job that nobody ended has timed out, idled out, missed a verdict, was hit, or is done."""
    decision = story.decision
    if decision is None:
        return
    if any(m.number < decision.number for m, _, _ in story.claims()):
        return
    if not [m for m in story.moments if m.number < decision.number]:
        return
    if story.play.parent is not None:
        return  # its waiter is a task, which may be stopped
    causes = (JobTimeout, IdleTimeout, VerdictMissing)
    hit = [m.value[1] for m in story.all_of("kills", "hits")]
    interrupted = [m.value for m in story.all_of("raised", "will expire")]
    late = [m.value for m in story.raised("finalize")]
    unwound = [each for m, _, each in story.claims() if m.state in DECIDED]
    if story.reason is None:
        over = [
            seen
            for seen in story.tasks
            if seen.task.state in (TaskState.PENDING, TaskState.RUNNING, TaskState.SKIPPED)
        ]
        yield not over, f"done, but {[(seen, seen.task.state) for seen in over]}"
        return
    known = hit + interrupted + late + unwound
    fine = isinstance(story.reason, (*causes, FinalizeTimeout)) or any(
        story.reason is each for each in known
    )
    yield fine, f"{story.reason!r} is none of {known}"


# Time


def deadline(story):
    if story.scenario.timeout is None or story.start is None:
        return None
    return story.start.at + story.scenario.timeout


@invariant
def i15_complete_work_is_not_late(story):
    """What is done strictly before the deadline has not timed out."""
    due = deadline(story)
    if due is None or story.scenario.before:
        return
    if story.decision.at < due - EPSILON:
        yield not story.timed_out, f"decided at {story.decision.at}, due at {due}"
    finished = all(ended_by_itself(story, seen) for seen in story.tasks)
    if story.tasks and finished and not story.scenario.forget:
        last = max((m.number for m in story.moments if m.who in story.tasks), default=0)
        late = story.timed_out and last < story.decision.number
        yield not late, f"all was done before the timeout at {story.decision.at}"


def ended_by_itself(story, seen):
    """Whether a task had finished when its last routine returned."""
    last = max((m.number for m in story.of(seen, "init returned", "run returned")), default=-1)
    told = [m for m in story.all_of("done") if m.value is seen and m.number > last]
    return seen.task.state is TaskState.FINISHED and not told


@invariant
def i16_nothing_begins_after_the_deadline(story):
    """No init or run begins after the deadline, and the timeout itself is on time."""
    due = deadline(story)
    if due is None or not story.exact or story.scenario.before:
        return
    due += story.busy()
    for m in story.begins("init", "run"):
        yield m.at <= due + EPSILON, f"{m.what} of {m.who} at {m.at}, due at {due}"
    yield story.decision.at <= due + EPSILON, f"decided at {story.decision.at}, due at {due}"


@invariant
def i17_a_timeout_was_asked_for(story):
    """A JobTimeout comes only if it was asked for and has elapsed."""
    yield story.timed_out == (type(story.reason) is JobTimeout), f"{story.reason!r}"
    if story.timed_out:
        due = deadline(story)
        yield due is not None and story.decision.at >= due - EPSILON, f"{story.decision}, {due}"
        yield story.task is None, f"by {story.task}"


def progress_of(story, seen, before):
    """When the idle clock of a task may have begun last: the latest such moment."""
    run = first_run(story, seen) if waited_at_the_gate(story, seen) else None
    moments = [
        m.at
        for m in story.moments
        if m.number < before.number
        and (
            (m.who is seen and (m.what in ("init", "progresses") or m.number == run))
            or (m.what == "tick" and m.value is seen)
        )
    ]
    return max(moments, default=None)


def waited_at_the_gate(story, seen):
    """Whether the clock stood still between the init of a task and its first run."""
    if seen.plan.init is None or not was_there(story, seen):
        return seen.plan.init is None
    inits = [m for m in story.all_of("init returned") if was_there(story, m.who)]
    return bool(inits) and inits[-1].who is not seen


def first_run(story, seen):
    run = story.first(seen, "run")
    return run and run.number


@invariant
def i18_who_idles_out_was_idle(story):
    """An IdleTimeout comes only after so many seconds without tick() or progress()."""
    if isinstance(story.reason, IdleTimeout):
        seen = next((each for each in story.tasks if each.task is story.task), None)
        yield seen is not None and seen.plan.idle_timeout is not None, f"{story.task}"
        if seen is not None:
            last = progress_of(story, seen, story.decision)
            idle = story.decision.at - (last or 0)
            yield idle >= seen.plan.idle_timeout - EPSILON, f"{seen} idle for {idle}"


@invariant
def i18_who_is_idle_idles_out(story):
    """A running task that makes no progress for its idle timeout does not go on."""
    if not story.exact or story.decision is None:
        return
    slack = story.busy() + EPSILON
    for seen in story.tasks:
        run = story.first(seen, "run")
        if seen.plan.idle_timeout is None or run is None or run.number > story.decision.number:
            continue
        over = seen.task.state is TaskState.FINISHED
        for before, m in pauses(story, seen, over):
            idle = m.at - before
            yield idle <= seen.plan.idle_timeout + slack, f"{seen} idle till {m.at} for {idle}"


def pauses(story, seen, over):
    """From progress to progress of a task: when the last was, and the moment of the next."""
    last = None
    until = story.decision.number
    if over:
        until = min(until, max(m.number for m in story.of(seen, "run returned")))
    for m in story.moments:
        if m.number > until:
            return
        fresh = m.who is seen and (
            m.what == "progresses" or (m.what == "run" and m.number == first_run(story, seen))
        )
        if fresh or (m.what == "tick" and m.value is seen) or m.number == until:
            if last is not None:
                yield last, m
            if first_run(story, seen) <= m.number:
                last = m.at


@invariant
def i20_no_timer_is_left(story):
    """When the end is told no timer of the job is armed."""
    if story.play.ends:
        yield not story.play.armed, f"{story.play.armed}"


@invariant
def i22_the_end_comes_in_time(story):
    """The end comes within the grace time and the finalizers', though tasks swallow kills."""
    if story.end is None or not story.exact:
        return
    scenario = story.scenario
    calls = 1 + sum(seen.plan.finalize is not None for seen in story.tasks)
    bound = 2 * scenario.grace + calls * (scenario.finalize_timeout + scenario.grace + 0.3) + 0.3
    bound += story.busy() + (scenario.finalize_timeout if scenario.wrapper == "blocks" else 0)
    took = story.end.at - story.decision.at
    yield took <= bound + EPSILON, f"{took} s from the decision to the end, bound {bound}"


@invariant
def i23_nothing_begins_after_the_decision(story):
    """After the decision no init or run begins."""
    for m in story.begins("init", "run"):
        yield m.state in UNDECIDED, f"{m.what} of {m.who} at {m.at} in {m.state.name}"


# Waiting


def waiters(story):
    for number, _ in enumerate(story.scenario.waiters):
        waits = story.first(f"waiter {number}", "waits")
        last = story.of(f"waiter {number}", "raised", "returned")
        if waits is not None:
            yield waits.value, waits, last[-1] if last else None


@invariant
def i24_the_waiter_takes_the_job_with_him(story):
    """Who joins and is killed or timed out leaves when the job has ended, as it was told."""
    for waiter, waits, last in waiters(story):
        if last is None or waiter.how in ("event", "gevent") or last.what == "returned":
            continue
        error = last.value
        if isinstance(error, (JobCancelled, SystemExit, KeyboardInterrupt)):
            continue
        yield last.state in ENDED, f"{waiter} left at {last.at} in {last.state.name}: {error!r}"
        fine = isinstance(error, (Kill, gevent.Timeout)) or "hit" in str(error)
        yield fine, f"{waiter} got {error!r}"
        others = [m for m, _, _ in story.claims() if m.number < story.decision.number]
        if not others and story.bad and waits.number < story.decision.number:
            known = isinstance(story.reason, (JobTimeout, IdleTimeout, VerdictMissing))
            known = known or story.task is not None or story.reason is error
            hit = [m.value for m in story.all_of("raised", "will expire")]
            hit += [m.value[1] for m in story.all_of("hits")]
            yield known or any(story.reason is each for each in hit), f"{error!r} {story.reason!r}"


@invariant
def i35_the_end_is_told_once(story):
    """The end is published once, with all that belongs to it; all waiters wake."""
    ends = story.play.ends
    yield len(ends) == 1, f"{len(ends)} times"
    for waiter, _, last in waiters(story):
        yield last is not None, f"{waiter} waits still"
        if last is not None and last.what == "returned" and waiter.how != "limit":
            yield last.state in ENDED, f"{waiter} returned in {last.state.name}"
            if waiter.how == "with":
                yield not story.bad, f"{waiter} heard nothing of {story.error!r}"


@invariant
def i35_join_with_a_limit_cancels_nothing(story):
    """join(limit) says whether the job has ended, on time."""
    for waiter, waits, last in waiters(story):
        if waiter.how == "limit" and last is not None and last.what == "returned":
            yield last.value == (last.state in ENDED), f"{waiter} {last}"
            if not last.value and story.exact:
                waited = last.at - waits.at
                late = waiter.limit + story.busy() + EPSILON
                yield waiter.limit - EPSILON <= waited <= late, f"{waiter} waited {waited}"


@invariant
def i36_each_task_is_told_once(story):
    """There is one notice for each task, none is lost, and none is of something else."""
    if story.play.noticed is None:
        return
    told = Counter(id(task) for task in story.play.noticed)
    for seen in story.tasks:
        yield told[id(seen.task)] == 1, f"{seen} {told[id(seen.task)]} times"
    yield len(story.play.noticed) == len(story.tasks), f"{story.play.noticed}"


@invariant
def i37_nothing_changes_after_the_end(story):
    """Results do not change after the end."""
    for end in story.play.ends:
        yield end == story.play.after, f"{end} became {story.play.after}"


# Clean-up


@invariant
def i25_what_a_finalizer_raises_is_kept(story):
    """An error in a finalizer is recorded, and replaces no first failure."""
    for m in story.raised("finalize"):
        if isinstance(m.value, Cancelled) and isinstance(m.value.reason, FinalizeTimeout):
            kept = story.reason is m.value.reason
            kept = kept or any(each is m.value.reason for each in story.errors)
            yield kept, f"{m} {story.errors}"
        elif m.state not in ENDED:
            error = m.value
            first = story.reason is error
            yield first or any(each is error for each in story.errors), f"{m} {story.errors}"


@invariant
def i26_finalizers_run_in_reverse_order(story):
    """Finalizers run one after another, in the reverse order in which their tasks began."""
    if story.scenario.forget:
        return
    begins = {}
    for m in story.begins("init", "run"):
        begins.setdefault(m.who, m.number)
    order = [m.who for m in story.begins("finalize") if m.who in begins]
    for before, after in pairwise(order):
        yield begins[before] > begins[after], f"{before} before {after}"
    for before, after in pairwise(order):
        _, ended = next(iter(story.spans(before, "finalize")))
        over = ended is not None and ended.number < story.first(after, "finalize").number
        given_up = before.task in story.given_up
        yield over or given_up, f"{before} beside {after}"


@invariant
def i26_each_finalizer_has_a_time_limit(story):
    """Each finalizer that can be stopped ends within its time limit."""
    if not story.exact:
        return
    for seen in story.tasks:
        for begun, ended in story.spans(seen, "finalize"):
            if ended is not None and seen.task not in story.given_up:
                limit = story.scenario.finalize_timeout + story.scenario.grace + story.busy()
                if story.scenario.wrapper == "blocks":  # who watches the finalizer
                    limit += story.scenario.finalize_timeout
                took = ended.at - begun.at
                yield took <= limit + GLANCE, f"{seen} took {took}"


@invariant
def i26_finalizers_come_when_all_is_dead(story):
    """Finalizers run when no task that could be stopped is alive, in the state FINALIZING."""
    if story.scenario.forget:
        return
    for m in story.begins("finalize"):
        yield m.state is JobState.FINALIZING, f"{m.who} in {m.state.name}"
        for seen in story.tasks:
            for routine in ("init", "run"):
                for begun, ended in story.spans(seen, routine):
                    over = ended is not None and ended.number < m.number
                    given_up = seen.task in story.given_up
                    yield over or given_up, f"{m.who} while {seen} has been in {begun.what}"


@invariant
def the_shutdown_handler_is_called_once(story):
    """The shutdown handler is called once with the error if the job is cancelled, else never."""
    if story.scenario.handler is not None:
        called = [m.value for m in story.of("handler", "begins")]
        expected = [story.error] if story.bad else []
        yield len(called) == len(expected), f"{called}"
        if called and expected:
            yield called[0] is story.error, f"{called} {story.error!r}"
        for m in story.of("handler", "handler raised"):
            if m.state not in ENDED and not is_overrun(m.value):
                yield any(m.value is each for each in story.errors), f"{m} {story.errors}"


@invariant
def the_error_wrapper_is_called_once(story):
    """The error wrapper is called once, and what it makes is what all else shows."""
    if story.scenario.wrapper is not None:
        called = story.of("wrapper", "begins")
        yield len(called) == story.bad, f"{called}"
        if called and story.scenario.wrapper == "wraps":
            yield isinstance(story.error, Wrapped), f"{story.error!r}"
        elif called:
            yield story.error is called[0].value, f"{story.error!r}"


def is_overrun(error):
    return isinstance(error, Cancelled) and isinstance(error.reason, FinalizeTimeout)


# Calls at any time


@invariant
def i27_ending_a_job_is_always_legal(story):
    """Cancel and finish are idempotent, legal from anywhere, and say whether they decided."""
    if story.scenario.wrapper != "blocks":
        for m in story.all_of("cancel raised", "finish raised"):
            yield False, f"{m}"
    decided = 0
    for m in story.all_of("cancel said", "finish said"):
        said, in_vain = m.value
        decided += said
        yield said != in_vain, f"{m}"
    yield decided <= 1, f"{decided} times"
    again = story.first("main", "cancels again")
    if again is not None:
        yield again.value == (False, False), f"{again}"


@invariant
def i27_nothing_legal_is_refused(story):
    """No call that a routine may make is refused."""
    for m in story.all_of(*(f"{where} raised" for where in (*ROUTINES, "handler"))):
        yield not isinstance(m.value, StateError), f"{m}"


@invariant
def i28_cancelled_before_it_ran(story):
    """A job that is cancelled or finished before it runs never runs anything."""
    if story.scenario.before is not None:
        yield not story.begins(*ROUTINES), f"{story.begins(*ROUTINES)}"
        bad = story.scenario.before == "cancel"
        yield story.bad == bad, f"{story.state}"


@invariant
def i29_it_runs_once(story):
    """run() again returns the same event, which is set; later waiters get it at once."""
    for what in ("runs again", "waits again", "joins again"):
        again = story.first("main", what)
        if again is not None:
            yield again.value is True, f"{again}"


@invariant
def i30_who_is_added_lives_or_is_refused(story):
    """A task is added until the decision, and lives a full life; after it, it is refused."""
    for m in story.all_of("add refused"):
        in_finalizer = story.scenario.forget
        yield m.state in DECIDED or in_finalizer, f"{m}"
    for m in story.all_of("added"):
        yield m.state in UNDECIDED, f"{m}"
        gate_is_open = [each for each in story.begins("run") if each.number < m.number]
        gate_is_open = [each for each in gate_is_open if each.who.index]
        later = story.decision is not None and story.decision.at > m.at + story.busy() + EPSILON
        if gate_is_open and later and story.exact:
            begun = m.value.task.state is not TaskState.SKIPPED
            yield begun, f"{m.value} added at {m.at} never began"
    if story.first("main", "runs again") is not None:
        refused = story.of("main", "add refused")
        yield bool(refused), "a job that has ended takes tasks"


# Strangers


@invariant
def i31_who_is_killed_ends_the_job(story):
    """A task's greenlet that is killed from outside, and dies of it, ends the job badly."""
    for m in story.all_of("kills"):
        seen, error = m.value
        died = [each for each in story.raised("init", "run") if each.value is error]
        if died:
            fine = story.decision.number <= died[0].number + 1
            yield fine, f"{seen} died at {died[0].at}, decided at {story.decision.at}"
        elif m.state in UNDECIDED and not story.of(seen, "init", "run"):
            # It was hit before it began; whatever else then happens, it never does.
            yield seen.task.state is not TaskState.FINISHED or seen.plan.runs is None, f"{seen}"


@invariant
def i32_an_exit_is_passed_on(story):
    """SystemExit and KeyboardInterrupt are raised to who joins, or in main, when all is over."""
    exits = [
        m.value
        for m in story.raised(*ROUTINES)
        if isinstance(m.value, (SystemExit, KeyboardInterrupt))
        and not (m.state in ENDED or m.who.task in story.given_up)
    ]
    if not exits or story.play.parent is not None:
        return
    got = [
        m
        for m in story.moments
        if m.what in ("raised", "join raised")
        and isinstance(m.value, (SystemExit, KeyboardInterrupt))
        and m.who not in story.tasks
    ]
    early = [m for m in got if m.number < story.end.number]
    inner = [inner for _, inner in story.play.inner]
    yield bool(got), f"{exits} got lost"
    yield not early or bool(inner), f"{early} before the end"
    for waiter, waits, last in waiters(story):
        joins = waiter.how in ("join", "with", "timeout")
        if joins and last is not None and waits.number < story.end.number:
            passed = isinstance(last.value, (SystemExit, KeyboardInterrupt))
            yield passed, f"{waiter} got {last.value!r}"


@invariant
def i33_a_strange_timeout_is_a_failure(story):
    """A timeout of its own that escapes a task is that task's failure."""
    for m in story.raised("init", "run"):
        if isinstance(m.value, gevent.Timeout) and m.who.task not in story.given_up:
            yield m.who.task.state is TaskState.FAILED, f"{m}"
            yield not story.timed_out or m.state in DECIDED, f"{m}"


@invariant
def i34_there_is_one_reason(story):
    """Whatever falls into one tick: one reason, and state, errors and notices agree."""
    if story.decision is None:
        return
    yield len(story.of("job", "moves")) >= 2, f"{story.of('job', 'moves')}"
    same = [m for m, _, _ in story.claims() if abs(m.at - story.decision.at) < EPSILON]
    if len(same) > 1 or (same and deadline(story) == story.decision.at):
        decisions = [m for m in story.of("job", "moves") if m.value is JobState.FINALIZING]
        yield len(decisions) == 1, f"{decisions}"
        yield story.bad == bool(story.errors) == (story.error is not None), f"{story.errors}"
    failed = [seen for seen in story.tasks if seen.task.state is TaskState.FAILED]
    for seen in failed:
        yield any(seen.task.error is each for each in story.errors), f"{seen} {story.errors}"


@invariant
def i36_an_error_is_counted_once(story):
    """No error is in errors twice, unless it was raised twice."""
    counted = Counter(id(each) for each in story.errors if isinstance(each, BaseException))
    raised = Counter(
        id(m.value) for m in story.moments if m.what.endswith("raised") and m.who in story.tasks
    )
    for error in story.errors:
        if isinstance(error, BaseException):
            once = counted[id(error)] <= max(1, raised[id(error)])
            yield once, f"{error!r} in {story.errors}"


@invariant
def i40_nested_jobs_end_first(story):
    """A nested job has ended before its task has, and its failure surfaces once."""
    for seen, inner in story.play.inner:
        nested = Story(inner) if inner.after else None
        ended = next((m for m in inner.moments if m.what == "moves" and m.value in ENDED), None)
        if seen is None or seen.task in story.given_up:
            continue
        finalized = story.first(seen, "finalize")
        if finalized is not None and ended is not None and ended.number < story.end.number:
            own = [m for m in story.of(seen, "finalize") if m.number < inner.moments[0].number]
            yield bool(own) or ended.number < finalized.number, f"{seen} at {finalized.at}"
        if nested is None:
            continue
        surfaced = [
            each
            for each in story.errors
            if isinstance(each, JobCancelled) and each.job is inner.job
        ]
        yield len(surfaced) <= 1, f"{surfaced}"


@invariant
def i41_who_ticks_starves_nobody(story):
    """A task that ticks for ever starves neither the job's timeout nor the last word."""
    ticking = [
        seen
        for seen in story.tasks
        if seen.plan.runs and seen.plan.runs[-1] == (("busy", 1), ("tick", 0)) and seen.calls > 3
    ]
    if ticking and story.exact and story.fair:
        each = max(busy_of(call) for seen in story.tasks for call in seen.plan.runs or ((),))
        due = min(12, 12 if deadline(story) is None else deadline(story))
        late = due + 3 * each * len(story.tasks)
        yield story.decision.at <= late + EPSILON, f"decided at {story.decision.at}, due at {due}"


def busy_of(call):
    return sum(number for what, number in call if what == "busy")


@invariant
def i42_a_kill_reaches_who_is_blocked(story):
    """What the job stops, and what does not swallow that, dies: it is never given up."""
    for seen in story.tasks:
        # A grace time may go by while somebody else is busy, or with one late timer.
        stubborn = story.busy() or not story.exact or acts_of(seen) & {"swallow 99", "nest"}
        if story.scenario.grace and not stubborn:
            yield seen.task not in story.given_up, f"{seen} was given up: {story.unstopped}"


@invariant
def i42_a_kill_comes_at_once(story):
    """What is blocked when the job is decided, and does not swallow, ends there and then."""
    if story.decision is None or story.scenario.handler or story.scenario.wrapper == "blocks":
        return
    for seen in story.tasks:
        acts = acts_of(seen)
        if acts & {"nest", "swallow 1", "swallow 2", "swallow 99"} or not story.exact:
            continue
        for routine in ("init", "run"):
            for begun, ended in story.spans(seen, routine):
                if begun.number < story.decision.number and ended is not None:
                    late = ended.at - story.decision.at
                    yield late <= story.busy() + EPSILON, f"{seen} ended {late} s later"


def acts_of(seen):
    """What a task does by its plan: names of acts, those of swallow with their number."""
    plan = seen.plan
    calls = (*(plan.runs or ()), plan.init or (), plan.finalize or ())
    return {f"{what} {n}" if what == "swallow" else what for call in calls for what, n in call}


# Channels

RECEIVED = ("received", "received at once")


@invariant
def i43_each_value_passes_once(story):
    """What the channel accepted was received once, in order, or is still inside."""
    for name, inside in story.play.inside.items():
        accepted = [m.value[1] for m in story.all_of("sent") if m.value[0] == name]
        received = [m.value[1] for m in story.all_of(*RECEIVED) if m.value[0] == name]
        at_once = {m.value[1] for m in story.all_of("received at once")}
        got = received + inside
        if accepted or got:
            yield len(set(got)) == len(got), f"twice: {got}"
            # Who receives without waiting may take it from a sender that is just being killed.
            unknown = set(got) - set(accepted) - at_once
            yield not unknown or bool(story.unstopped), f"{got} of {accepted}"
            yield set(accepted) <= set(got), f"{accepted} but {got}"


@invariant
def i43_nobody_waits_at_a_channel(story):
    """When the job has ended, no operation of a dead task waits at its channels."""
    for channel in (*story.play.channels.values(), story.play.pingpong._pings):
        waiting = (*channel._senders, *channel._receivers)
        yield not waiting or bool(story.unstopped), f"{channel!r}"


@invariant
def i44_one_ping_at_a_time_for_each_sender(story):
    """A sender goes on when its data was processed, and learns when it was not."""
    for m in story.all_of("pinged"):
        ponged = [each for each in story.all_of("pongs") if each.value == m.value]
        yield len(ponged) == 1 and ponged[0].number < m.number, f"{m}"
    for m in story.all_of("pongs", "drops"):
        value = m.value if m.what == "pongs" else m.value[0]
        taken = [each for each in story.all_of("takes") if each.value == value]
        yield len(taken) == 1, f"{value} was taken {len(taken)} times"


@invariant
def i47_the_end_is_logged_once(story):
    """There is one record of the end in the log, and none after it."""
    written = [m for m in story.of("log", "writes") if "ended" in m.value[1]]
    yield len(written) == 1, f"{written}"
    if written:
        yield story.state.name in written[0].value[1], f"{written}"
        later = [m for m in story.of("log", "writes") if m.number > written[0].number]
        yield not later, f"{later}"


@invariant
def i48_a_storm_changes_nothing(story):
    """However many cancels come in one tick, only the first says that it decided."""
    storms = [m for m in story.all_of("cancel said") if m.who == "outside"]
    if len(storms) > 20:
        yield sum(m.value[0] for m in storms) <= 1, f"{len(storms)} cancels"
        yield all(story.errors.count(each) <= 1 for each in story.errors), f"{story.errors}"


@invariant
def every_routine_has_its_context(story):
    """All routines of a task run in the one context in which it was added."""
    for m in story.begins(*ROUTINES):
        name, begun = m.value
        yield name == m.who.name, f"{m}"
        if m.what != "init" and m.who.plan.init is not None:
            yield begun == m.who.name, f"{m}"


@invariant
def what_did_not_stop_is_reported(story):
    """What still lives at the end is reported, with its stack, and what is reported lived."""
    for each in story.unstopped:
        yield isinstance(each, Unstopped) and each.seconds >= 0, f"{each}"
    for seen in story.tasks:
        for routine in ROUTINES:
            for begun, ended in story.spans(seen, routine):
                over = ended is not None and story.end and ended.number < story.end.number
                yield over or seen.task in story.given_up, f"{routine} of {seen} at {begun.at}"
