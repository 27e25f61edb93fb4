"""The balancer example's backend: what it holds, how long it takes, who works for it."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import pytest
from balancing import a_backend, eventually, picture
from gevent.monkey import get_original
from PIL import Image, ImageFile

from examples.tcpbalancer import backend, resizing
from examples.tcpbalancer.memory import Budget, Intake
from examples.tcpbalancer.protocol import MAX_FRAME, Hello, Refusal, Resize, Result, codec
from examples.tcpbalancer.resizing import Resized, Wanted
from examples.tcpbalancer.workers import Resizer
from gowork.net.frames import encode_frame
from gowork.net.managers import ConnManager
from gowork.net.messages import Message
from gowork.net.streams import Stream

SMALL, LARGE = (40, 30), (640, 480)


@contextmanager
def greeted(address: tuple[str, int]) -> Iterator[Stream]:
    """A stream to the backend at *address*, which has said what it takes."""
    stream = ConnManager(address, codec=codec, max_frame=MAX_FRAME).connect()
    try:
        with gevent.Timeout(10):
            assert isinstance(stream.recv_frame().head, Hello)
            yield stream
    finally:
        stream.close()


class Gate:
    """Stands in for ``resizing.resize``; holds the threads of large pictures up until opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = get_original("threading", "Event")()
        self.at_work = 0
        self._resize = resizing.resize
        monkeypatch.setattr(resizing, "resize", self)

    def __call__(self, data: Any, wanted: Wanted) -> Resized:
        if Image.open(io.BytesIO(data)).size == LARGE:
            self.at_work += 1
            assert self.opened.wait(20)
        return self._resize(data, wanted)

    def open(self) -> None:
        self.opened.set()


def frame(number: int, body: bytes) -> bytes:
    return b"".join(encode_frame(codec.encode(Message(Resize(number, 10, 10), body)), MAX_FRAME))


# What is held


def test_bytes_are_lent_in_the_order_of_asking() -> None:
    budget, order = Budget(10), []
    budget.take(8)
    for size in (5, 1, 4):
        gevent.spawn(lambda size=size: (budget.take(size), order.append(size)))
    gevent.sleep(0)
    assert order == []  # 1 would fit, but stands behind
    budget.give(8)
    assert eventually(lambda: order == [5, 1, 4])
    assert budget.held == 10


def test_who_gives_up_waiting_makes_way_for_those_behind() -> None:
    budget = Budget(10)
    budget.take(8)
    first, second = gevent.spawn(budget.take, 5), gevent.spawn(budget.take, 2)
    gevent.sleep(0)
    first.kill()
    second.get(timeout=10)
    assert budget.held == 10


def test_who_is_killed_when_the_bytes_have_been_lent_gives_them_back() -> None:
    budget = Budget(10)
    budget.take(8)
    waiting = gevent.spawn(budget.take, 5)
    gevent.sleep(0)
    waiting.kill(block=False)
    budget.give(8)
    waiting.join()
    assert budget.held == 0


def test_what_could_never_be_lent_is_an_error() -> None:
    with pytest.raises(ValueError, match="11 bytes of 10"):
        Budget(10).take(11)


def test_at_the_limit_nobody_reads_on_until_a_picture_has_left() -> None:
    intake = Intake(10)
    intake.came(10)
    intake.begun("a", 3)
    waiting = [gevent.spawn(intake.wait, who) for who in "ab"]
    gevent.sleep(0.01)
    assert [each.dead for each in waiting] == [False, False]
    intake.left(10)
    gevent.joinall(waiting, timeout=10, raise_error=True)


def test_where_all_are_beginnings_the_oldest_alone_reads_on() -> None:
    intake = Intake(10)
    intake.begun("a", 5)
    intake.begun("b", 6)
    intake.wait("a")
    younger = gevent.spawn(intake.wait, "b")
    gevent.sleep(0.01)
    assert not younger.dead
    intake.begun("a", 0)
    younger.get(timeout=10)


def test_pictures_that_all_begin_at_once_all_get_done_within_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    noisy = io.BytesIO()
    Image.effect_noise((700, 700), 90).save(noisy, "PNG")
    whole = frame(1, noisy.getvalue())
    most, begun = [0], Intake.begun
    monkeypatch.setattr(Intake, "begun", lambda self, *given: (
        begun(self, *given), most.append(max(most.pop(), self.held))
    ))  # fmt: skip
    with a_backend(intake=len(whole)) as address:
        streams = [ConnManager(address, codec=codec).connect() for _ in range(6)]
        for part in (whole[: len(whole) // 2], whole[len(whole) // 2 :]):
            gevent.joinall([gevent.spawn(stream.write_raw, part) for stream in streams])
        for stream in streams:
            assert isinstance(stream.recv_frame().head, Hello)
            assert isinstance(stream.recv_frame().head, Result)
            stream.close()
    assert most[0] <= 2 * len(whole) + 6 * 65536


def test_a_client_that_leaves_leaves_nothing_held(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    with a_backend() as address:
        with greeted(address) as stream:
            stream.write_raw(10 * frame(1, picture(LARGE)) + frame(2, picture())[:100])
            assert eventually(lambda: gate.at_work > 0)
        gate.open()
    # The backend has looked, at its end.


def test_what_unpacking_takes_is_known_from_the_header(monkeypatch: pytest.MonkeyPatch) -> None:
    size, scans = (2000, 1500), io.BytesIO()
    jpeg, png = picture(size), picture(size, "PNG")
    Image.new("RGB", size).save(scans, "JPEG", progressive=True)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("was unpacked"))
    assert resizing.cost(jpeg, Wanted(100, 0)) < 2000 * 1500  # it is not decoded in full
    assert resizing.cost(png, Wanted(100, 0)) > 2000 * 1500 * 4
    assert resizing.cost(scans.getvalue(), Wanted(100, 0)) > 2000 * 1500 * 3


def test_a_picture_that_takes_more_than_all_the_memory_is_too_large() -> None:
    resizer = Resizer(memory=1000)
    with resizer.loan() as loan:
        outcome = resizer.resize(loan, memoryview(picture()), Wanted(10, 10), 10.0)
    assert (outcome.code, outcome.retryable) == ("TOO_LARGE", False)
    resizer.close()


def test_a_result_is_held_until_it_has_been_written() -> None:
    resizer = Resizer()
    with resizer.loan() as loan:
        outcome = resizer.resize(loan, memoryview(picture()), Wanted(10, 10), 10.0)
        assert resizer.held == len(outcome.data)
    assert resizer.held == 0
    resizer.close()


# Several at a time


def test_a_quick_picture_overtakes_a_slow_one_of_its_own_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = Gate(monkeypatch)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with a_backend() as address, greeted(address) as stream:
        stream.write_frame(Message(Resize(1, 10, 10), picture(LARGE)))
        stream.write_frame(Message(Resize(2, 10, 10), picture(SMALL)))
        assert stream.recv_frame().head.request_id == 2
        gate.open()
        assert stream.recv_frame().head.request_id == 1


def test_one_connection_has_no_more_at_work_than_it_has_credits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = Gate(monkeypatch)
    monkeypatch.setattr(os, "cpu_count", lambda: 2 * backend.CREDITS)
    with a_backend() as address, greeted(address) as stream:
        for number in range(2 * backend.CREDITS):
            stream.write_frame(Message(Resize(number, 10, 10), picture(LARGE)))
        assert eventually(lambda: gate.at_work == backend.CREDITS)
        gevent.sleep(0.05)
        assert gate.at_work == backend.CREDITS
        gate.open()
        answered = {stream.recv_frame().head.request_id for _ in range(2 * backend.CREDITS)}
    assert answered == set(range(2 * backend.CREDITS))


def test_a_client_that_has_asked_its_last_gets_all_answers_and_then_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = Gate(monkeypatch)
    with a_backend() as address, greeted(address) as stream:
        stream.write_frame(Message(Resize(1, 10, 10), picture(LARGE)))
        stream.shutdown_write()
        assert eventually(lambda: gate.at_work == 1)
        gate.open()
        assert isinstance(stream.recv_frame().head, Result)
        assert stream.recv_frame() is None


# Deadlines


def test_a_picture_that_takes_too_long_is_refused_in_time_and_held_until_its_thread_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = Gate(monkeypatch)
    resizer = Resizer()
    with resizer.loan() as loan:
        outcome = resizer.resize(loan, memoryview(picture(LARGE)), Wanted(10, 10), 0.1)
    assert (outcome.code, outcome.retryable) == ("EXPIRED", True)
    assert resizer.held > 0
    gate.open()
    assert eventually(lambda: resizer.held == 0)
    resizer.close()


def test_a_picture_whose_turn_comes_too_late_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    with a_backend() as address, greeted(address) as stream:
        stream.write_frame(Message(Resize(1, 10, 10), picture(LARGE)))
        assert eventually(lambda: gate.at_work == 1)
        stream.write_frame(Message(Resize(2, 10, 10, 0.05), picture(LARGE)))
        stream.write_frame(Message(Resize(3, 10, 10, 0.0), picture(LARGE)))
        replies = [stream.recv_frame().head for _ in range(2)]
        gate.open()
        assert isinstance(stream.recv_frame().head, Result)
    assert {(each.code, each.retryable) for each in replies} == {("EXPIRED", True)}
    assert gate.at_work == 1


# Processes


def workers_of(resizer: Resizer) -> list[Any]:
    return resizer._workers._idle


def test_processes_answer_as_threads_do() -> None:
    with a_backend(processes=True) as address, greeted(address) as stream:
        for number, body in enumerate((picture(), b"rubbish", picture(kind="PNG"))):
            stream.write_frame(Message(Resize(number, 10, 10), body))
        replies = {head.request_id: (head, body) for head, body in (
            stream.recv_frame() for _ in range(3)
        )}  # fmt: skip
    assert [type(replies[number][0]) for number in range(3)] == [Result, Refusal, Result]
    assert replies[1][0].code == "NOT_A_PICTURE"
    assert Image.open(io.BytesIO(replies[2][1])).size == (10, 10)


def test_a_process_is_killed_on_the_deadline_and_another_takes_its_place() -> None:
    resizer = Resizer(processes=True)
    data = memoryview(picture())
    with resizer.loan() as loan:
        assert isinstance(resizer.resize(loan, data, Wanted(10, 10), 20.0), Resized)
    (worker,) = workers_of(resizer)
    os.kill(worker._process.pid, signal.SIGSTOP)  # it takes for ever now
    with resizer.loan() as loan:
        assert resizer.resize(loan, data, Wanted(10, 10), 0.3).code == "EXPIRED"
    assert worker.status == -signal.SIGKILL
    assert resizer.held == 0
    with resizer.loan() as loan:
        assert isinstance(resizer.resize(loan, data, Wanted(10, 10), 20.0), Resized)
    resizer.close()


def test_a_process_that_dies_costs_one_picture_that_may_be_asked_for_again() -> None:
    resizer = Resizer(processes=True)
    data = memoryview(picture())
    with resizer.loan() as loan:
        resizer.resize(loan, data, Wanted(10, 10), 20.0)
    os.kill(workers_of(resizer)[0]._process.pid, signal.SIGKILL)
    with resizer.loan() as loan:
        outcome = resizer.resize(loan, data, Wanted(10, 10), 20.0)
    assert (outcome.code, outcome.retryable) == ("INTERNAL", True)
    assert "-9" in outcome.message
    resizer.close()


def test_a_process_ends_when_its_backend_is_gone() -> None:
    resizer = Resizer(processes=True)
    with resizer.loan() as loan:
        resizer.resize(loan, memoryview(picture()), Wanted(10, 10), 20.0)
    (worker,) = workers_of(resizer)
    worker._stream.close()
    assert worker._process.wait(10) == 0
    resizer.close()
