"""What the balancer example's client asks for, how often, and where again."""

from __future__ import annotations

import itertools
from pathlib import Path

import gevent
import pytest
from balancing import a_backend, a_false_backend, a_server, fill, outcomes, picture

from examples.tcpbalancer import client
from examples.tcpbalancer.client import Client
from examples.tcpbalancer.files import Outputs
from examples.tcpbalancer.protocol import MAX_FRAME, Hello, Refusal, Resize, Result
from examples.tcpbalancer.resizing import Wanted
from gowork.net.messages import Message
from gowork.net.streams import Stream


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAUSE", 0.01)


def result(head: Resize, body: object) -> Message[Result]:
    return Message(Result(head.request_id, "JPEG", 4, 3, 0.0, "good"), body)


def refusal(head: Resize, retryable: bool) -> Message[Refusal]:
    return Message(Refusal(head.request_id, "EXPIRED", "too busy", "busy", retryable))


def test_what_is_refused_for_a_passing_reason_is_asked_for_again_on_another_connection(
    tmp_path: Path,
) -> None:
    connections = itertools.count()

    def refuse_on_the_first(stream: Stream) -> None:
        busy = next(connections) == 0
        for head, body in iter(stream.recv_frame, None):
            stream.write_frame(refusal(head, True) if busy else result(head, body))

    with a_false_backend(refuse_on_the_first) as address:
        came, asker = outcomes(address, tmp_path, a=picture(), b=picture())
    assert [outcome.failure for outcome in came.values()] == [None, None]
    assert (asker.statistics.retries, asker.statistics.connections) == (1, 2)


def test_what_is_refused_three_times_is_a_failure_for_the_reason_given_last(tmp_path: Path) -> None:
    asked = []

    def refuse(stream: Stream) -> None:
        for head, _ in iter(stream.recv_frame, None):
            asked.append(head)
            stream.write_frame(refusal(head, True))

    with a_false_backend(refuse) as address:
        came, _ = outcomes(address, tmp_path, a=picture())
    assert (came["a"].failure, came["a"].backend, len(asked)) == ("EXPIRED", "busy", 3)


def test_what_is_refused_for_good_is_not_asked_for_again(tmp_path: Path) -> None:
    def refuse(stream: Stream) -> None:
        for head, _ in iter(stream.recv_frame, None):
            stream.write_frame(refusal(head, False))

    with a_false_backend(refuse) as address:
        came, asker = outcomes(address, tmp_path, a=picture(), b=picture())
    assert [outcome.failure for outcome in came.values()] == ["EXPIRED"] * 2
    assert (asker.statistics.retries, asker.statistics.connections) == (0, 1)


def test_no_more_is_asked_for_than_the_other_end_takes(tmp_path: Path) -> None:
    more = []

    def answer_by_twos(stream: Stream) -> None:
        while (first := stream.recv_frame()) is not None:
            second = stream.recv_frame()
            with gevent.Timeout(0.02, False):
                more.append(stream.recv_raw())
            for head, body in (second, first):
                stream.write_frame(result(head, body))

    with a_false_backend(answer_by_twos, 2) as address:
        came, _ = outcomes(address, tmp_path, **{name: picture() for name in "abcdef"})
    assert [outcome.failure for outcome in came.values()] == [None] * 6
    assert more == []


def test_nothing_is_asked_for_before_the_other_end_has_said_what_it_takes(tmp_path: Path) -> None:
    early = []

    def greet_late(stream: Stream) -> None:
        with gevent.Timeout(0.05, False):
            early.append(stream.recv_raw())
        stream.write_frame(Message(Hello(1, MAX_FRAME)))
        stream.write_frame(result(*stream.recv_frame()))

    with a_server(greet_late) as address:
        came, _ = outcomes(address, tmp_path, a=picture())
    assert (came["a"].failure, early) == (None, [])


def test_a_picture_larger_than_the_other_end_takes_is_not_sent(tmp_path: Path) -> None:
    def take_little(stream: Stream) -> None:
        stream.write_frame(Message(Hello(1, 2000)))
        for head, body in iter(stream.recv_frame, None):
            stream.write_frame(result(head, body))

    with a_server(take_little) as address:
        came, _ = outcomes(address, tmp_path, a=picture() + b"T" * 2000, b=picture())
    assert (came["a"].failure, came["b"].failure) == ("TOO_LARGE", None)


def test_who_says_twice_what_it_takes_is_left(tmp_path: Path) -> None:
    def greet_again(stream: Stream) -> None:
        stream.write_frame(Message(Hello(1000, MAX_FRAME)))
        stream.write_frame(result(*stream.recv_frame()))

    with a_false_backend(greet_again) as address:
        came, _ = outcomes(address, tmp_path, a=picture())
    assert came["a"].failure in ("LOST", "NO_CONNECTION")


def test_the_seconds_that_a_picture_may_take_go_with_it(tmp_path: Path) -> None:
    heard = []

    def listen(stream: Stream) -> None:
        for head, body in iter(stream.recv_frame, None):
            heard.append(head.seconds)
            stream.write_frame(result(head, body))

    paths = fill(tmp_path / "in", a=picture())
    with a_false_backend(listen) as address:
        asker = Client(address, Wanted(4, 3), Outputs(tmp_path / "out"), seconds=7.0)
        asker.resize(tmp_path / "in", paths, 1)
    assert heard == [7.0]


def test_answers_that_come_in_another_order_go_to_the_right_files(tmp_path: Path) -> None:
    sizes = {"a": (100, 10), "b": (100, 20), "c": (100, 30), "d": (100, 40)}
    paths = fill(tmp_path / "in", **{name: picture(size) for name, size in sizes.items()})
    with a_backend() as address:
        Client(address, Wanted(50, 0), Outputs(tmp_path / "out")).resize(tmp_path / "in", paths, 1)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["a-50x5.jpg", "b-50x10.jpg", "c-50x15.jpg", "d-50x20.jpg"]


def test_no_connection_is_asked_for_more_than_it_may_be(tmp_path: Path) -> None:
    asked: list[int] = []

    def count(stream: Stream) -> None:
        asked.append(0)
        for head, body in iter(stream.recv_frame, None):
            asked[-1] += 1
            stream.write_frame(result(head, body))

    paths = fill(tmp_path / "in", **{name: picture() for name in "abcde"})
    with a_false_backend(count, 4) as address:
        asker = Client(address, Wanted(4, 3), Outputs(tmp_path / "out"), most=2)
        asker.resize(tmp_path / "in", paths, 1)
    assert (asked, asker.statistics.ok) == ([2, 2, 1], 5)
