"""Scenarios played: a job that does what its plan says, and a record of every moment of it."""

from __future__ import annotations

import itertools
import time
from collections import Counter, namedtuple
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import gevent
from gevent.lock import Semaphore
from greenlet import GreenletExit
from scenario_plans import Plan, Scenario
from small_tasks import Broken

from gowork import (
    Cancelled,
    ChannelClosed,
    ChannelTimeout,
    Job,
    JobState,
    NotAcknowledged,
    StateError,
    current_task,
    select,
    set_default_log_level,
)
from gowork.channels import seed

LAST_WORD = 12  # units after which a job is cancelled that has not ended by itself
BOUND = 500  # units after which it hangs
TIRED = 20  # times after which a busy task sleeps instead: an unfair schedule runs nobody else
WATCHED = 20  # units that it is watched after its end

DECIDED = (JobState.FINALIZING, JobState.CANCELLED, JobState.DONE)
ENDED = (JobState.CANCELLED, JobState.DONE)
NO_TIMEOUT = 9

_name = ContextVar("_name", default=None)
_begun = ContextVar("_begun", default=None)

#: ``number`` counts on through nested jobs; ``who`` is a `Seen`, or the name of a bystander;
#: ``state`` is that of the job.
Moment = namedtuple("Moment", "number at who what value state")


class Dreadful(BaseException):
    """What goes wrong and is no Exception."""


class Kill(GreenletExit):
    """A kill from outside."""


class Wrapped(Exception):
    """What the error wrapper makes of an error."""


@dataclass(eq=False)
class Seen:
    """A task and what was seen of it."""

    name: str
    plan: Plan
    index: int | None = None
    task: Any = None
    greenlet: Any = None  # that of its run, once it has begun
    calls: int = 0  # of run

    def __repr__(self):
        return self.name


class WatchedJob(Job):
    """A job whose moves are recorded."""

    play = None

    def _move(self, given):
        super()._move(given)
        self.play.note("job", "moves", self._state)

    def log(self, level, message, *args):
        """Be a logger, too: its own."""
        self.play.note("log", "writes", (level, message % args))


class Play:
    """One job of a scenario, and its record; *unit* is how many seconds a second takes."""

    def __init__(self, scenario, unit=1.0, parent=None):
        self.scenario: Scenario = scenario
        self.unit = unit
        self.parent = parent
        self.numbers = itertools.count() if parent is None else parent.numbers
        self.values = itertools.count() if parent is None else parent.values
        self.released = False
        self.worked: Counter[Any] = Counter()
        self.moments: list[Moment] = []
        self.seen: list[Seen] = []
        self.inner: list[tuple[Seen, Play]] = []
        self.helpers: list[Any] = []
        self.waiting: list[Any] = []
        self.awake: set[int] = set()  # who has begun, by number
        self.routines: set[Any] = set()  # greenlets
        self.began_at = 0.0
        self.hung = False
        self.ends: list[Any] = []  # snapshots at the end; should be one
        self.armed: list[str] = []  # timers at the end
        self.after: Any = None  # the snapshot some time later
        self.noticed: list[Any] | None = None
        self.inside: dict[str, list[int]] = {}  # what the channels still hold at the end

    # The record

    def note(self, who, what, value=None):
        if not self.top().released:
            now = (time.monotonic() - self.top().began_at) / self.unit
            state = self.job._state
            self.moments.append(Moment(next(self.numbers), now, who, what, value, state))

    def top(self):
        return self if self.parent is None else self.parent.top()

    def ended(self, event):
        self.ends.append(self.snapshot())
        alarm, clock = self.job._alarm, getattr(gevent.get_hub(), "gowork_idle_clock", None)
        if alarm is not None and alarm._timer is not None:
            self.armed.append("the job's alarm")
        if clock is not None and clock._timer is not None and not clock._live:
            self.armed.append("the idle clock, for nobody")

    def snapshot(self):
        job = self.job
        return (
            job.state,
            tuple(job.interrupted_by),
            job.errors,
            job.unstopped,
            job.was_timed_out(),
            tuple((seen.task.state, seen.task.error) for seen in self.seen if seen.task),
        )

    # The job

    def prepare(self):
        """Make the job as the scenario says."""
        scenario = self.scenario
        job = self.job = WatchedJob(
            name="job" if self.parent is None else "inner",
            grace=scenario.grace * self.unit,
            finalize_timeout=scenario.finalize_timeout * self.unit,
            forget=scenario.forget,
        )
        job.play = self
        job.register_logger(job)
        self.notices = job.task_done_notify()
        job.job_done_notify().rawlink(self.ended)
        self.channels = {
            "one": job.channel(scenario.capacity),
            "other": job.channel(scenario.capacity),
        }
        self.pingpong = job.pingpong()
        if scenario.timeout is not None:
            job.with_timeout(scenario.timeout * self.unit)
        if scenario.handler is not None:
            job.with_shutdown(self.handle)
        if scenario.wrapper is not None:
            job.with_error_wrapper(self.wrap)
        job.with_prerequisites(*map(self.prerequisite, scenario.prerequisites))
        for plan in scenario.plans():
            self.add(plan)

    def prerequisite(self, at):
        if at < 0:
            return FailingPrerequisite(self)
        return self.helper(lambda: None, at, start=False)

    def perform(self):
        """Play the scenario from its begin till long after its end; returns this record."""
        set_default_log_level(1)
        seed(0)  # the choices of select
        try:
            self.began_at = time.monotonic()
            self.prepare()
            self.begin()
            self.patiently(lambda: self.job.run().wait(BOUND * self.unit))
            self.hung = not self.job.run().is_set()
            self.patiently(lambda: gevent.sleep(WATCHED * self.unit))
            self.look_back()
        finally:
            self.clear_away()
            set_default_log_level(0)
            seed()
        return self

    def begin(self):
        scenario = self.scenario
        if scenario.before is not None:
            self.end_by(scenario.before, 1)
        for helper in self.helpers:  # the prerequisites
            helper.start()
        for at, what, number in scenario.outside:
            self.helper(lambda what=what, number=number: self.meddle(what, number), at)
        for number, waiter in enumerate(scenario.waiters):
            name = f"waiter {number}"
            greenlet = gevent.spawn(self.wait, waiter, name, number)
            self.waiting.append(greenlet)
        self.helper(lambda: self.end_by("cancel", 1), LAST_WORD)
        self.note("main", "runs")
        self.job.run()

    def patiently(self, function):
        """What *function* returns, whatever ends programs and comes meanwhile."""
        while True:
            try:
                return function()
            except (SystemExit, KeyboardInterrupt) as error:
                self.note("main", "raised", error)

    def look_back(self):
        """What is to be seen of a job that has ended long ago."""
        job = self.job
        self.after = self.snapshot()
        if self.hung:
            return
        for name, channel in self.channels.items():
            self.inside[name] = [channel.recv_nowait() for _ in range(len(channel))]
        self.noticed = list(self.notices)
        self.note("main", "runs again", job.run() is job.job_done_notify())
        self.note("main", "waits again", job.run().wait(0))
        self.note("main", "cancels again", (job.cancel(), job.finish()))
        try:
            self.note("main", "joins again", job.join(0))
        except BaseException as error:
            self.note("main", "join raised", error)
        try:
            job.add_task(lambda job: (None, None, None))
        except StateError as error:
            self.note("main", "add refused", error)

    def clear_away(self):
        """Let nothing live on that is no matter of the job: helpers, and what did not stop."""
        self.released = True
        plays = [self]
        for play in plays:
            plays += [inner for _, inner in play.inner]
        for _ in range(100):
            all_of_them = itertools.chain.from_iterable(
                (*play.helpers, *play.waiting, *play.routines) for play in plays
            )
            # A greenlet that was killed before its begin is ready, but not dead at once.
            living = [each for each in all_of_them if not each.ready()]
            for greenlet in living:
                self.patiently(lambda greenlet=greenlet: greenlet.kill(block=False))
            self.patiently(lambda: gevent.sleep(0.1 * self.unit))
            if not living:
                return

    # Those around the job

    def helper(self, function, at=0, start=True):
        """A greenlet that calls *function* at some time; nobody learns what it raises."""

        def helps():
            try:
                gevent.sleep(at * self.unit)
                function()
            except BaseException as error:
                self.note("helper", "raised", error)

        helper = gevent.Greenlet(helps)
        # As a prerequisite it has its event's wait() and no error.
        helper.wait = helper.join
        self.helpers.append(helper)
        if start:
            helper.start()
        return helper

    def wait(self, waiter, name, number):
        job, limit = self.job, waiter.limit * self.unit
        self.awake.add(number)
        try:
            gevent.sleep(waiter.at * self.unit)
            self.note(name, "waits", waiter)
            if waiter.how == "join":
                said = job.join()
            elif waiter.how == "event":
                said = job.run().wait()
            elif waiter.how == "with":
                with job:
                    said = None
            elif waiter.how == "gevent":
                said = gevent.wait([job.run()])
            elif waiter.how == "limit":
                said = job.join(limit)
            else:
                with gevent.Timeout(limit) as timeout:
                    self.note(name, "will expire", timeout)
                    said = job.join()
        except BaseException as error:
            self.note(name, "raised", error)
        else:
            self.note(name, "returned", said)

    def meddle(self, what, number):
        """Do to the job what happens from outside."""
        if what in ("kill waiter", "throw waiter"):
            if self.waiting:
                error = Kill() if what == "kill waiter" else Broken("a waiter was hit")
                number %= len(self.waiting)
                if number not in self.awake:
                    error = Kill()  # gevent itself prints what else hits who has not begun
                self.note("outside", "hits", (f"waiter {number}", error))
                self.waiting[number].kill(error, block=False)
        elif what == "add":
            self.add_extra("outside", number)
        elif what == "cancel in the hub":
            gevent.get_hub().loop.run_callback(self.end_by, "cancel", number)
        elif what in ("cancel", "finish"):
            self.end_by(what, number)
        elif what == "storm":
            self.storm(number)
        elif self.seen:
            seen = self.seen[number % len(self.seen)]
            if what == "poke":
                self.tick(seen)
            elif what == "end":
                self.end_task(seen)
            else:
                self.kill(seen, Kill() if what == "kill" else Broken("thrown"))

    def kill(self, seen, error):
        greenlet = seen.task and seen.task._greenlet
        if greenlet and not greenlet.dead:
            if seen.greenlet is None:
                error = Kill()  # as for a waiter
            self.note("outside", "kills", (seen, error))
            greenlet.kill(error, block=False)

    def handle(self, error):
        self.note("handler", "begins", error)
        self.routine("handler", self.scenario.handler, None)

    def wrap(self, error):
        self.note("wrapper", "begins", error)
        how = self.scenario.wrapper
        if how == "fails":
            raise Broken("the wrapper fails")
        if how == "blocks":
            gevent.sleep(self.unit)
        return Wrapped(error) if how == "wraps" else None

    # Tasks

    def add(self, plan, by="main"):
        """Add a task that does what *plan* says; None if that is refused."""
        seen = Seen(f"task {len(self.seen)}", plan)
        self.seen.append(seen)
        token = _name.set(seen.name)
        self.note(by, "adds", seen)
        try:
            if plan.kind == "spawned":
                seen.task = self.job.spawn(self.spawned, seen)
            elif plan is self.scenario.oneshot and self.parent is None:
                seen.task = self.job.add_oneshot_task(lambda job: self.routines_of(seen))
            else:
                limit = None if plan.idle_timeout is None else plan.idle_timeout * self.unit
                seen.task = self.job.add_task(
                    lambda job: self.routines_of(seen), idle_timeout=limit
                )
        except StateError as error:
            self.seen.remove(seen)
            self.note(by, "add refused", error)
            return None
        finally:
            _name.reset(token)
        seen.index = seen.task.index
        self.note(by, "added", seen)
        return seen

    def add_extra(self, by, number):
        if self.scenario.extras:
            self.add(self.scenario.extras[number % len(self.scenario.extras)], by)

    def routines_of(self, seen):
        plan = seen.plan

        def init(task):
            _begun.set(seen.name)
            self.routine("init", plan.init, seen)

        def run(task):
            seen.calls += 1
            self.routine("run", plan.runs[min(seen.calls, len(plan.runs)) - 1], seen)

        def finalize(task):
            self.routine("finalize", plan.finalize, seen)

        return (
            None if plan.init is None else init,
            None if plan.runs is None else run,
            None if plan.finalize is None else finalize,
        )

    def spawned(self, seen):
        assert current_task() is seen.task
        self.routine("run", seen.plan.runs[0], seen)
        return seen.name

    def routine(self, where, call, seen):
        """Do what *call* says, and record how it went."""
        who = seen or where
        greenlet = gevent.getcurrent()
        self.routines.add(greenlet)
        if seen is not None and where != "finalize":
            seen.greenlet = greenlet
        self.note(who, where, (_name.get(), _begun.get()))
        try:
            for what, number in call:
                self.act(what, number, where, seen)
        except BaseException as error:
            self.note(who, f"{where} raised", error)
            raise
        self.note(who, f"{where} returned")

    def act(self, what, number, where, seen):
        task = seen.task if seen else None
        limit = None if number == NO_TIMEOUT else number * self.unit
        if what == "sleep":
            gevent.sleep(number * self.unit)
        elif what == "busy":
            self.busy(number, seen or where)
        elif what == "guard":
            with gevent.Timeout(number * self.unit, False):
                gevent.sleep(2 * self.unit)
        elif what == "swallow":
            self.swallow(number, seen or where)
        elif what in ("send", "recv", "select", "ping", "pong"):
            try:
                getattr(self, what)(limit, seen or where)
            except (ChannelTimeout, ChannelClosed, NotAcknowledged):
                pass
        elif what == "add":
            self.add_extra(seen or where, number)
        elif what == "nest":
            self.nest(number, seen)
        elif what == "storm":
            self.storm(number)
        elif what in ("cancel", "finish"):
            self.end_by(what, number, where, seen)
        elif what == "lock":
            Semaphore(0).acquire()
        elif what in ("poke", "end", "await"):
            self.turn_to(what, number, seen)
        elif what in FAILURES:
            raise FAILURES[what][number]()
        elif what == "expire":
            with gevent.Timeout(number * self.unit):
                gevent.sleep(99 * self.unit)
        elif task is not None:
            self.speak(what, number, where, seen, task)

    def speak(self, what, number, where, seen, task):
        """Say something to the own task."""
        if what == "progress":
            task.progress()
            self.note(seen, "progresses")
        elif what == "assert":
            if number == 2:
                task.assert_true(False)
            task.assert_(Broken("asserted") if number == 0 else "a text")
        elif what == "tick":
            self.tick(seen)
        elif what == "done":
            self.end_task(seen)
        elif what == "finish_job":
            self.note(seen, "done", seen)
            if where != "finalize":
                self.note(seen, "finishes")
            task.finish_job()
        elif what == "idle":
            task.idle()
        elif what == "idle for":
            task.idle(number * self.unit)
        elif what == "park":
            task.park()

    def turn_to(self, what, number, seen):
        """Do something to another task."""
        others = [each for each in self.seen if each is not seen and each.task]
        if others:
            other = others[number % len(others)]
            if what == "poke":
                self.tick(other)
            elif what == "end":
                self.end_task(other)
            else:
                other.task.join()

    def tick(self, seen):
        self.note("somebody", "tick", seen)
        seen.task.tick()

    def end_task(self, seen):
        self.note("somebody", "done", seen)
        seen.task.done()

    def end_by(self, what, number, where=None, seen=None):
        error = Broken("cancelled") if number else None
        in_vain = where == "finalize"
        who = seen or where or "outside"
        self.note(who, f"{what}es in vain" if in_vain else f"{what}es", error)
        decided = self.job.state in DECIDED
        try:
            said = self.job.cancel(error) if what == "cancel" else self.job.finish()
        except BaseException as error:
            self.note(who, f"{what} raised", error)
            raise
        self.note(who, f"{what} said", (said, decided or in_vain))

    def storm(self, number):
        """Many greenlets that cancel, again and again."""

        def cancels():
            for _ in range(10):
                self.end_by("cancel", 1)

        for _ in range(number):
            self.helper(cancels)

    def busy(self, seconds, who):
        self.worked[who] += 1
        if self.worked[who] > TIRED:
            gevent.sleep(seconds * self.unit)
        else:
            self.note(who, "is busy", seconds)
            time.sleep(seconds * self.unit)

    def swallow(self, times, who):
        for_ever = False
        while times and not self.top().released:
            try:
                gevent.sleep(2 * self.unit)
            except GreenletExit as error:
                self.note(who, "swallows", error)
                times -= 1
                for_ever = times > 9
            else:
                if not for_ever:
                    return

    def nest(self, number, seen):
        extras = self.scenario.extras
        if not extras or self.parent is not None:
            return
        plans = tuple(extras[(number + more) % len(extras)] for more in range(2))
        scenario = Scenario(tasks=plans, grace=1, finalize_timeout=1)
        play = Play(scenario, self.unit, parent=self)
        self.inner.append((seen, play))
        play.prepare()
        with play.job:
            play.note("main", "runs")

    # Channels

    def send(self, limit, who):
        value = next(self.values)
        self.note(who, "sends", ("one", value))
        self.channels["one"].send(value, limit)
        self.note(who, "sent", ("one", value))

    def recv(self, limit, who):
        value = self.channels["one"].recv(limit)
        self.note(who, received(limit), ("one", value))

    def select(self, limit, who):
        value = next(self.values)
        one, other = self.channels.values()
        self.note(who, "sends", ("other", value))
        index, got, ok = select([one.receiving(), other.sending(value), other.receiving()], limit)
        if index == 1:
            self.note(who, "sent", ("other", value))
        elif ok:
            self.note(who, received(limit), ("one" if index == 0 else "other", got))

    def ping(self, limit, who):
        value = next(self.values)
        self.note(who, "pings", value)
        try:
            self.pingpong.send(value, limit)
        except BaseException as error:
            self.note(who, "ping failed", (value, error))
            raise
        self.note(who, "pinged", value)

    def pong(self, limit, who):
        with self.pingpong.recv(limit) as value:
            self.note(who, "takes", value)
            try:
                gevent.sleep(self.unit)
            except BaseException as error:
                self.note(who, "drops", (value, error))
                raise
            self.note(who, "pongs", value)


def received(limit):
    return "received at once" if limit == 0 else "received"


class FailingPrerequisite:
    """Raises in its wait."""

    def __init__(self, play):
        self.play = play

    def wait(self):
        gevent.sleep(self.play.unit)
        error = Broken("a prerequisite fails")
        self.play.note("prerequisite", "raised", error)
        raise error


FAILURES = {
    "fail": (lambda: Broken("failed"), lambda: ValueError("failed"), Dreadful, gevent.Timeout),
    "exit": (lambda: SystemExit("exit"), lambda: KeyboardInterrupt("interrupt")),
    "quit": (GreenletExit, Cancelled),
}
