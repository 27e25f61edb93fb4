"""The small examples run, and show what they are there to show."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from examples.echo_server import connection_job
from gowork.net.managers import ConnManager

ROOT = Path(__file__).resolve().parents[1]


def output_of(*arguments: str) -> str:
    """What the example prints; it must end well and complain of nothing."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=20
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_hello_job_greets_three_times_and_says_goodbye_in_ten_lines() -> None:
    assert output_of("examples.hello_job") == "hello 1\nhello 2\nhello 3\ngoodbye\n"
    code = (ROOT / "examples" / "hello_job.py").read_text().splitlines()[2:]
    assert len([line for line in code if line]) <= 10


def test_the_fan_out_that_can_be_done_gives_all_results() -> None:
    first, _ = output_of("examples.fan_out").split("one that cannot:")
    assert "roots: [2.0, 3.0, 4.0]" in first
    assert first.count("cleared up, FINISHED") == 3


def test_the_fan_out_that_fails_stops_the_others_and_clears_up_in_reverse_order() -> None:
    _, second = output_of("examples.fan_out").split("one that cannot:")
    assert [line.strip() for line in second.splitlines()[4:]] == [
        "root of 900: cleared up, CANCELLED",
        "root of -1: cleared up, FAILED",
        "root of 400: cleared up, CANCELLED",
        "CANCELLED by 'root of -1': -1 has no square root",
    ]


def test_every_room_of_the_balancer_is_in_its_readme() -> None:
    balancer = ROOT / "examples" / "tcpbalancer"
    readme = (balancer / "README.rst").read_text()
    rooms = [path.name for path in balancer.glob("*.py") if path.name != "__init__.py"]
    assert [room for room in rooms if f"``{room}``" not in readme] == []


@pytest.mark.parametrize("clients", [0, 1, 25])
def test_the_echo_server_answers_all_clients_of_its_self_test_and_stops(clients: int) -> None:
    said = output_of("examples.echo_server", "--self-test", str(clients))
    assert said.startswith("listening on 127.0.0.1:")
    assert said.endswith(f"{clients} clients got what they wanted\n")


def test_the_echo_server_tells_of_a_connection_that_fails(
    capsys: pytest.CaptureFixture[str],
) -> None:
    manager = ConnManager(("127.0.0.1", 0))
    manager.listen()
    job = connection_job(manager)
    job.run()
    job.cancel(ValueError("no more"))
    job.join()
    manager.close()
    assert capsys.readouterr().err == "a connection was cut: ValueError('no more')\n"
