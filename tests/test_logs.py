"""Logging: where messages go, that they know their job, and that they never hurt."""

from __future__ import annotations

import logging

import gevent
import pytest
from makers import ended, routines

import gowork
from gowork import Job, JobState, logs


class Kept(list):
    """A logger that keeps what it is given; no standard one."""

    def log(self, level, message, *args):
        self.append((level, message, *args))


class Broken:
    def log(self, level, message, *args):
        raise ValueError("broken logger")


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    """Give back the default logger, the level and the kinds as they were."""
    monkeypatch.setattr(logs, "_default", logs._default)
    monkeypatch.setattr(logs, "_level", logs._level)
    monkeypatch.setattr(logs, "_kinds", {})
    monkeypatch.setattr(logs, "_off", set())


# Levels


def test_at_first_only_level_0_is_written():
    kept = Kept()
    gowork.register_default_logger(kept)
    for level in (0, 1, 2):
        Job().log(level, "level %d", level)
    assert kept == [(0, "level %d", 0)]


def test_a_higher_log_level_is_more_talkative():
    kept = Kept()
    gowork.register_default_logger(kept)
    gowork.set_default_log_level(2)
    for level in range(4):
        Job().log(level, "message")
    assert [level for level, _ in kept] == [0, 1, 2]


def test_level_0_is_written_whatever_the_log_level():
    kept = Kept()
    gowork.register_default_logger(kept)
    gowork.set_default_log_level(-1)
    Job().log(0, "always")
    assert kept == [(0, "always")]


@pytest.mark.parametrize("level", ["1", None, 1.5, True])
def test_a_log_level_is_an_integer(level):
    with pytest.raises(TypeError, match="log level"):
        gowork.set_default_log_level(level)


def test_a_standard_logger_gets_level_0_as_info_and_higher_ones_as_debug(caplog):
    gowork.register_default_logger(logging.getLogger("somewhere"))
    gowork.set_default_log_level(9)
    with caplog.at_level(logging.DEBUG, "somewhere"):
        Job().log(0, "quiet")
        Job().log(1, "loud")
        Job().log(9, "louder")
    assert [(one.levelno, one.name) for one in caplog.records] == [
        (logging.INFO, "somewhere"),
        (logging.DEBUG, "somewhere"),
        (logging.DEBUG, "somewhere"),
    ]


# Where to


def test_messages_go_to_the_standard_logger_gowork_unless_told_otherwise(caplog):
    with caplog.at_level(logging.INFO, "gowork"):
        Job().log(0, "hello %s", "world")
    (record,) = caplog.records
    assert (record.name, record.getMessage()) == ("gowork", "hello world")


def test_a_jobs_own_logger_comes_before_the_default_one_until_it_is_taken_back():
    default, own = Kept(), Kept()
    gowork.register_default_logger(default)
    job = Job()
    job.register_logger(own)
    job.log(0, "to its own")
    job.register_logger(None)
    job.log(0, "to the default")
    assert (own, default) == ([(0, "to its own")], [(0, "to the default")])


def test_the_default_logger_can_be_taken_back(caplog):
    kept = Kept()
    gowork.register_default_logger(kept)
    gowork.register_default_logger(None)
    with caplog.at_level(logging.INFO, "gowork"):
        Job().log(0, "message")
    assert kept == []
    assert len(caplog.records) == 1


@pytest.mark.parametrize("register", [gowork.register_default_logger, Job().register_logger])
def test_what_has_no_log_is_no_logger(register):
    with pytest.raises(TypeError, match="log"):
        register(print)


def test_a_record_carries_the_names_of_its_job_and_task(caplog):
    def run(task):
        task.job.log(0, "inside")
        gevent.spawn(task.job.log, 0, "helper").join()
        task.done()

    job = Job(name="job")
    job.add_task(routines(run=run, finalize=lambda task: job.log(0, "finalize")), name="task")
    with caplog.at_level(logging.INFO, "gowork"):
        ended(job)
        job.log(0, "outside")
    fields = {record.msg: (record.job, record.task) for record in caplog.records}
    assert fields == {
        "inside": ("job", "task"),
        "helper": ("job", None),
        "finalize": ("job", "task"),
        "outside": ("job", None),
    }


def test_a_logger_adapter_is_a_standard_logger(caplog):
    job = Job(name="job")
    job.register_logger(logging.LoggerAdapter(logging.getLogger("somewhere"), {}))
    with caplog.at_level(logging.INFO, "somewhere"):
        job.log(0, "message")
    (record,) = caplog.records
    assert record.levelno == logging.INFO


# Never in the way


@pytest.mark.parametrize("level", [-1, 0, 1, 99, 10**9])
def test_logging_works_in_every_state_of_the_job(level):
    kept = Kept()
    gowork.register_default_logger(kept)
    gowork.set_default_log_level(98)
    job = Job()
    job.add_task(routines(*[lambda task: job.log(level, "in") or task.done()] * 3))
    job.log(level, "new")
    ended(job)
    job.log(level, "ended")
    messages = [message for _, message, *rest in kept if not rest]
    assert messages == ([] if level > 98 else ["new", "in", "in", "ended"])


def test_logging_in_a_task_that_must_stop_does_not_stop_it():
    kept = Kept()

    def run(task):
        job.cancel()
        job.log(0, "still here")

    job = Job()
    job.register_logger(kept)
    job.add_task(routines(run=run))
    assert ended(job).state is JobState.CANCELLED
    assert kept == [(0, "still here")]


@pytest.mark.parametrize("message", [("%d", "x"), ("%s",), ("none", "too", "many")])
def test_arguments_that_do_not_fit_never_fail_the_caller(message):
    job = Job()
    job.register_logger(Kept())
    job.log(0, *message)


def test_a_logger_that_fails_never_fails_the_caller_and_is_reported(caplog):
    job = Job()
    job.register_logger(Broken())
    with caplog.at_level(logging.ERROR, "gowork"):
        job.add_task(routines(run=lambda task: job.log(0, "message") or task.done()))
        assert ended(job).state is JobState.DONE
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("gowork", logging.ERROR)
    assert "'message'" in record.getMessage()
    assert record.exc_info[0] is ValueError


def test_a_job_ends_although_its_logger_fails(caplog):
    gowork.set_default_log_level(1)
    job = Job()
    job.register_logger(Broken())
    job.spawn(int)
    assert ended(job).state is JobState.DONE
    assert all(record.exc_info[0] is ValueError for record in caplog.records)


def test_when_even_the_report_fails_it_goes_to_stderr(capsys):
    def broken_filter(record):
        raise KeyError("broken filter")

    job, reports = Job(), logging.getLogger("gowork")
    job.register_logger(Broken())
    reports.addFilter(broken_filter)
    try:
        job.log(0, "message")
    finally:
        reports.removeFilter(broken_filter)
    printed = capsys.readouterr().err
    assert "broken logger" in printed
    assert "broken filter" in printed


# Kinds


def test_the_handler_of_a_kind_gets_what_it_is_called_with():
    calls = []
    gowork.register_logger("traffic", lambda *args, **kwargs: calls.append((args, kwargs)))
    gowork.logger("traffic")("in", 42, peer="a")
    assert calls == [(("in", 42), {"peer": "a"})]


def test_a_handler_that_was_captured_obeys_every_later_toggle():
    calls = []
    captured = gowork.logger("traffic")
    captured("before there was one")
    gowork.register_logger("traffic", calls.append, on=False)
    captured("while off")
    gowork.toggle_logger("traffic", True)
    captured("while on")
    gowork.toggle_logger("traffic", False)
    captured("off again")
    assert calls == ["while on"]


def test_a_second_handler_replaces_the_first_for_who_has_captured_it():
    first, second = [], []
    gowork.register_logger("traffic", first.append)
    captured = gowork.logger("traffic")
    gowork.register_logger("traffic", second.append)
    captured("message")
    assert (first, second) == ([], ["message"])


def test_kinds_are_apart():
    calls = []
    gowork.register_logger("a", calls.append, on=False)
    gowork.register_logger("b", calls.append)
    gowork.logger("a")("a")
    gowork.logger("b")("b")
    assert calls == ["b"]


def test_an_unknown_kind_does_nothing_and_cannot_be_toggled():
    assert gowork.logger("unknown")("message") is None
    for on in (True, False):
        with pytest.raises(LookupError, match="unknown"):
            gowork.toggle_logger("unknown", on)


def test_a_handler_must_be_callable():
    with pytest.raises(TypeError, match="traffic"):
        gowork.register_logger("traffic", "not callable")


def test_a_handler_that_fails_never_fails_the_caller_and_is_reported(caplog):
    def handler(message):
        raise ValueError(message)

    gowork.register_logger("traffic", handler)
    with caplog.at_level(logging.ERROR, "gowork"):
        gowork.logger("traffic")("message")
    (record,) = caplog.records
    assert "'traffic'" in record.getMessage()
    assert record.exc_info[0] is ValueError
