"""The balancer example from end to end, and its client and backend with each other."""

from __future__ import annotations

import builtins
import errno
import logging
import math
import os
import time
from pathlib import Path

import gevent
import pytest
from balancing import HERE, a_backend, a_false_backend, connected, fill, nobody, outcomes, picture
from connections import read_all
from PIL import Image

import gowork
from examples.tcpbalancer import asking, backend, client, demo, resizing, scenes, workers
from examples.tcpbalancer.files import Outputs
from examples.tcpbalancer.pictures import SAMPLES, Sample, written
from examples.tcpbalancer.protocol import MAX_FRAME, Hello, Refusal, Resize, Result, codec
from examples.tcpbalancer.resizing import Refused, Resized, Wanted, fitted
from examples.tcpbalancer.serving import new_connection
from gowork.net.managers import ConnManager
from gowork.net.messages import Message

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.deadline(60)
def test_the_demo_resizes_what_can_be_resized_and_draws_a_contact_sheet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = [sample._replace(size=fitted(240, 0, sample.size)) for sample in SAMPLES]
    assert demo.run(tmp_path, small) == 0
    said = capsys.readouterr().out
    assert "1 (DAMAGED 1)" in said
    assert "resizing: 18 of 18" in said
    assert str(tmp_path / "contact-sheet.png") in said
    with Image.open(tmp_path / "contact-sheet.png") as sheet:
        assert sheet.format == "PNG"
    assert len([path for path in (tmp_path / "resized").rglob("*") if path.is_file()]) == 17


def test_the_demo_believes_no_result_that_it_has_not_opened(tmp_path: Path) -> None:
    sample = Sample("a.jpg", scenes.sea, (960, 720))
    (original,) = written(tmp_path, (sample,))
    request = asking.Request(0, tmp_path, Path("a.jpg"))

    def problem(picture: Image.Image, kind: str = "JPEG") -> str:
        picture.save(tmp_path / "result", kind)
        outcome = asking.Outcome(request, result=tmp_path / "result", size=(480, 360))
        return demo.problem_of(tmp_path, sample, outcome)

    right = Image.open(original).resize((480, 360))
    assert problem(right) == ""
    assert "PNG" in problem(right, "PNG")
    assert "(480, 361)" in problem(right.resize((480, 361)))
    assert "something else" in problem(scenes.dunes((480, 360)))
    assert demo.problem_of(tmp_path, sample, None) == "there is no outcome"


def test_one_bad_picture_costs_nobody_else_anything(tmp_path: Path) -> None:
    with a_backend() as address:
        came, client = outcomes(address, tmp_path, a=picture(), b=b"rubbish", c=picture())
    assert {name: outcome.failure for name, outcome in came.items()} == {
        "a": None, "b": "NOT_A_PICTURE", "c": None,
    }  # fmt: skip
    assert client.statistics.connections == 1
    with Image.open(tmp_path / "out" / "c-40x30.jpg") as result:
        assert result.size == came["c"].size == (40, 30)


def test_a_dry_run_moves_no_pictures_and_writes_no_files(tmp_path: Path) -> None:
    with a_backend() as address:
        came, client = outcomes(address, tmp_path, dry=True, a=picture((900, 900)), b=picture())
    assert [outcome.failure for outcome in came.values()] == [None, None]
    assert client.statistics.bytes_sent < 200
    assert client.statistics.bytes_received < 200
    assert os.listdir(tmp_path) == ["in"]


def test_bytes_and_backends_are_counted(tmp_path: Path) -> None:
    with a_backend("one") as address:
        _, client = outcomes(address, tmp_path, connections=2, a=picture(), b=picture())
    assert client.statistics.backends == {"one": 2}
    assert client.statistics.bytes_sent > 2 * len(picture())
    assert client.statistics.bytes_received > 0


def test_a_picture_whose_connection_is_lost_is_asked_for_again(tmp_path: Path) -> None:
    connections = iter([False, True])

    def lose_the_first(stream: object) -> None:
        head, body = stream.recv_frame()
        if next(connections):
            stream.write_frame(Message(Result(head.request_id, "JPEG", 4, 3, 0.0, "b"), body))

    with a_false_backend(lose_the_first) as address:
        came, client = outcomes(address, tmp_path, a=picture())
    assert came["a"].failure is None
    assert (client.statistics.retries, client.statistics.connections) == (1, 2)


def test_a_picture_that_loses_every_connection_is_given_up_after_three(tmp_path: Path) -> None:
    asked = []
    with a_false_backend(lambda stream: asked.append(stream.recv_frame())) as address:
        came, _ = outcomes(address, tmp_path, a=picture())
    assert came["a"].failure == "LOST"
    assert len(asked) == 3


def test_without_anybody_to_connect_to_each_picture_fails_by_itself(tmp_path: Path) -> None:
    came, client = outcomes(nobody(), tmp_path, 2, a=picture(), b=picture())
    assert [outcome.failure for outcome in came.values()] == ["NO_CONNECTION"] * 2
    assert client.statistics.failed == 2


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        (Result(0, "../../JPEG", 1, 1, 0.0, "evil"), "NOT_WRITTEN"),
        (Refusal(0, "OK", "", "evil"), "OK"),
        (Refusal(0, "", "", "evil"), ""),
        (Result(0, "JPEG", 1, 1, 0.0, "evil"), "NOT_WRITTEN"),
        (Result(0, "JPEG", 1, 1, math.nan, "evil"), "LOST"),
        (Result(0, "JPEG", 1, 1, math.inf, "evil"), "LOST"),
        (Result(0, "JPEG", 1, 1, 1e300, "evil"), "LOST"),
        (Result(7, "JPEG", 1, 1, 0.0, "evil"), "LOST"),
        (Resize(0, 1, 1), "LOST"),
    ],
)
def test_what_a_hostile_server_replies_is_a_failure_and_writes_nothing(
    tmp_path: Path, reply: object, failure: str
) -> None:
    def handle(stream: object) -> None:
        stream.recv_frame()
        stream.write_frame(Message(reply, b"x"))
        stream.recv_frame()

    with a_false_backend(handle) as address:
        came, _ = outcomes(address, tmp_path, a=picture())
    assert came["a"].failure == failure
    assert os.listdir(tmp_path / "out") == []


def test_a_picture_too_large_for_a_message_is_never_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "MAX_PICTURE", 1000)
    with a_backend() as address:
        came, _ = outcomes(address, tmp_path, a=picture() + b"T" * 2000, b=picture())
    assert (came["a"].failure, came["b"].failure) == ("TOO_LARGE", None)


def test_a_file_larger_than_memory_is_not_read_to_find_that_out(tmp_path: Path) -> None:
    fill(tmp_path / "in", a=b"")
    os.truncate(tmp_path / "in" / "a.jpg", 2**42)
    with a_backend() as address:
        came, _ = outcomes(address, tmp_path)
    assert (came["a"].failure, came["a"].message) == ("TOO_LARGE", f"{2**42} bytes")


@pytest.mark.parametrize(("failures", "outcome"), [(1, None), (3, "LOST")])
def test_a_picture_that_no_file_descriptor_is_left_for_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int, outcome: str | None
) -> None:
    errors = [OSError(errno.EMFILE, "too many open files")] * failures

    def open_or_fail(path: Path, *arguments: object, **options: object) -> object:
        if path.name == "a.jpg" and errors:
            raise errors.pop()
        return builtins.open(path, *arguments, **options)

    paths = fill(tmp_path / "in", a=picture())
    monkeypatch.setattr(Path, "open", open_or_fail)
    came = []
    with a_backend() as address:
        outputs = Outputs(tmp_path / "out")
        client.Client(address, Wanted(4, 3), outputs, came.append).resize(tmp_path / "in", paths, 1)
    assert [one.failure for one in came] == [outcome]


def test_a_result_too_large_for_a_message_is_refused_and_the_connection_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resize = resizing.resize

    def resize_to_much(data: memoryview, wanted: Wanted) -> Resized:
        result = resize(data, wanted)
        return result._replace(data=bytes(MAX_FRAME)) if b"much" in bytes(data) else result

    monkeypatch.setattr(resizing, "resize", resize_to_much)
    with a_backend() as address:
        came, client = outcomes(address, tmp_path, a=picture() + b"much", b=picture())
    assert (came["a"].failure, came["b"].failure) == ("TOO_LARGE", None)
    assert client.statistics.connections == 1


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", bytes(16)])
def test_a_backend_leaves_whoever_speaks_another_protocol(garbage: bytes) -> None:
    with a_backend() as address, connected(address) as sock:
        sock.sendall(garbage)
        assert len(read_all(sock)) < 100


def test_a_backend_leaves_whoever_sends_what_is_no_request() -> None:
    with a_backend() as address:
        stream = ConnManager(address, codec=codec).connect()
        assert isinstance(stream.recv_frame().head, Hello)
        stream.write_frame(Message(Refusal(1, "", "", "")))
        assert stream.recv_frame() is None
        stream.close()


def test_what_has_ended_a_connection_is_logged_printably_and_in_short(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "gowork")
    manager = ConnManager(HERE)
    manager.listen()
    gowork.set_default_log_level(1)
    job = new_connection(manager)
    job.run()
    job.cancel(ValueError("\n\x1b[2J" + "x" * 10_000))
    job.join()
    gowork.set_default_log_level(0)
    manager.close()
    (said,) = [text for text in caplog.messages if "gave up" in text]
    assert said.isprintable()
    assert len(said) < 300


def test_a_backend_gives_up_a_client_that_asks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "IDLE", 0.05)
    with a_backend() as address:
        stream = ConnManager(address, codec=codec).connect()
        assert stream.recv_frame().head == Hello(backend.CREDITS, MAX_FRAME)
        assert stream.recv_frame() is None
        stream.close()


def test_a_client_is_not_idle_while_its_picture_is_resized(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def slow(self: object, *request: object) -> object:
        gevent.sleep(1)
        return Refused("SLOW", "")

    monkeypatch.setattr(backend, "IDLE", 0.3)
    monkeypatch.setattr(workers.Resizer, "resize", slow)
    with a_backend() as address:
        stream = ConnManager(address, codec=codec).connect()
        stream.write_frame(Message(Resize(1, 2, 3)))
        assert isinstance(stream.recv_frame().head, Hello)
        assert stream.recv_frame().head.code == "SLOW"
        stream.close()


def test_resizing_does_not_hold_up_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    release = []

    def slow(data: object, wanted: Wanted) -> object:
        while not release:
            sleep(0.001)
        return Refused("SLOW", "")

    sleep = gevent.monkey.get_original("time", "sleep")
    monkeypatch.setattr(resizing, "resize", slow)
    resizer = workers.Resizer()
    with resizer.loan() as loan:
        answers = gevent.spawn(resizer.resize, loan, memoryview(picture()), Wanted(1, 1), 10.0)
        gevent.sleep(0.01)  # it is only if the loop goes on that this returns
        release.append(True)
        assert answers.get(timeout=10).code == "SLOW"
    resizer.close()


def test_an_idle_connection_costs_no_processor_time() -> None:
    with a_backend() as address, connected(address), connected(address):
        gevent.sleep(0.05)
        before = time.process_time()
        gevent.sleep(0.3)
        assert time.process_time() - before < 0.1
