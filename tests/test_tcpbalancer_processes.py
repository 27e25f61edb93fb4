"""The balancer example's commands as processes of their own."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from balancing import eventually
from gevent.subprocess import PIPE, Popen

from examples.tcpbalancer.processes import ProcessFailed, Server
from examples.tcpbalancer.protocol import Resize, Result, codec
from gowork import Job, JobState
from gowork.net.managers import ConnManager
from gowork.net.messages import Message

ROOT = Path(__file__).resolve().parents[1]
BACKEND = "examples.tcpbalancer.backend"


def start(*arguments: str) -> Popen:
    return Popen([sys.executable, "-m", *arguments], stdout=PIPE, stderr=PIPE, cwd=ROOT)


def running(tmp_path: Path, module: str, *options: str) -> tuple[Job, Server]:
    """A server, in a job that runs."""
    server = Server("server", module, lambda: options, tmp_path)
    job = Job()
    job.add_task(server)
    job.run()
    return job, server


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_backend_told_to_stop_leaves_its_clients_and_ends_well(number: signal.Signals) -> None:
    with start(BACKEND, "--port", "0") as process:
        said = process.stdout.readline().decode()
        host, port = said.removeprefix("listening on ").strip().split(":")
        stream = ConnManager((host, int(port)), codec=codec).connect()
        stream.recv_frame()  # what it takes
        stream.write_frame(Message(Resize(1, 2, 3, dry_run=True)))
        assert stream.recv_frame().head == Result(1, "", 2, 3, 0.0, f"{host}:{port}")
        process.send_signal(number)
        assert stream.recv_frame() is None
        stream.close()
        assert process.wait(10) == 0
        assert process.stderr.read() == b""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_backend_told_to_stop_as_soon_as_it_listens_ends_well(number: signal.Signals) -> None:
    with start(BACKEND, "--port", "0") as process:
        process.stdout.readline()
        process.send_signal(number)
        assert process.wait(10) == 0


@pytest.mark.parametrize("command", ["proxy", "backend", "client", "demo"])
def test_each_command_has_help(command: str) -> None:
    with start(f"examples.tcpbalancer.{command}", "--help") as process:
        said = process.stdout.read().decode()
        assert process.wait(10) == 0
    assert f"python -m examples.tcpbalancer.{command}" in said


def test_a_process_is_stopped_with_its_job(tmp_path: Path) -> None:
    job, server = running(tmp_path, BACKEND, "--port", "0")
    assert eventually(lambda: server.address.startswith("127.0.0.1:"))
    job.finish()
    job.join()
    assert job.state is JobState.DONE, job.errors
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


def test_a_process_that_dies_cancels_its_job(tmp_path: Path) -> None:
    job, server = running(tmp_path, BACKEND, "--port", "0")
    assert eventually(lambda: bool(server.address))
    os.kill(server.pid, signal.SIGKILL)
    job.join()
    assert isinstance(job.interrupted_by.error, ProcessFailed)
    assert "status -9" in str(job.interrupted_by.error)


def test_a_process_that_cannot_start_says_where_to_look(tmp_path: Path) -> None:
    job, _ = running(tmp_path, BACKEND, "--port", "0", "--nonsense")
    job.join()
    assert str(tmp_path / "server.log") in str(job.interrupted_by.error)
    assert "--nonsense" in (tmp_path / "server.log").read_text()
