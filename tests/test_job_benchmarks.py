"""The benchmarks of jobs work, each runner in a process of its own, and leave out who is not here.

How fast anything is, is not tested here.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
from test_benchmarks import NAMES, ROOT, run

from benchmarks import jobs, processes
from benchmarks.contests import Contestant, Race, Row
from benchmarks.processes import Apart, figure, worker

SIZES = "spawn-1 tasks-1 spawn-10 tasks-10 spawn-1000 tasks-1000 spawn-100000 tasks-100000".split()
OTHERS = "small large tick tick-beside cancel memory connection import idle-tasks".split()
GO = ROOT / "benchmarks" / "go"


@pytest.mark.parametrize("name", ["spawn-10", "tasks-10", *OTHERS])
def test_a_benchmark_of_jobs_runs_all_its_runners_and_loses_no_task(name):
    done = run("-m", "benchmarks", name, "--quick")
    assert (done.returncode, done.stderr) == (0, f"{name} .\n")
    assert f"\n{name}: " in done.stdout


def test_jobs_are_measured_behind_the_channels():
    program = "from benchmarks.__main__ import *; print(*(one.name for one in BENCHMARKS))"
    assert run("-c", program).stdout.split() == [*NAMES, *SIZES, *OTHERS]


@pytest.mark.parametrize("module", ["on_gevent", "plain"])
def test_a_peer_has_not_met_gowork(module):
    program = f"import sys, benchmarks.worker, benchmarks.apart.{module}; print(*sys.modules)"
    assert not [name for name in run("-c", program).stdout.split() if name.startswith("gowork")]


def test_a_worker_prints_the_time_of_one_item_out_of_as_many_runs_as_it_takes():
    program = (
        "import sys; from benchmarks import timing, worker; from benchmarks.apart import plain;"
        "plain.calls = timing.per_item(lambda *runs: print(*runs) or runs[0] * runs[1] / 1024);"
        "worker.main()"
    )
    done = run("-c", program, "plain.calls", "256", "0.9")
    assert done.stdout.splitlines() == ["100 1", "256 1", "256 2", "256 4", repr(1 / 1024)]


def test_a_worker_that_fails_ends_the_run_with_what_it_said():
    with pytest.raises(RuntimeError, match=r"worker no_such\.thing 1 0\.1 failed:(?s:.*)No module"):
        figure(worker("no_such.thing", 1)(1))


def test_a_scale_shortens_what_a_worker_does_but_never_to_nothing():
    commands = [worker("on_gevent.group", 1000)(scale)[-2:] for scale in (1, 0.01, 0.0001)]
    assert commands == [["1000", "0.1"], ["10", "0.001"], ["1", "1e-05"]]


def test_a_runner_whose_library_is_not_here_is_named_and_left_out():
    peers = (
        Apart("absent", lambda scale: ["no", "such", "program"], is_here=False),
        Apart("a process", lambda scale: [sys.executable, "-c", "print(2e-6)"], goal=2),
    )
    ours = Contestant("ours", lambda count: count * 1e-6)
    rows = Race("race", ours, peers).run(3, 0.01, lambda: None)
    assert rows == [
        Row("race: ours", "1.00 µs", spread="±0 %"),
        Row("- absent", "left out"),
        Row("- a process", "2.00 µs", "0.50", "2.00", True, "±0 %"),
    ]


def runners_in_go() -> list[str]:
    """What the races ask of the Go program."""
    runners = [one for race in jobs.RACES for one in (race.gowork, *race.peers)]
    return [one.name for one in runners if "Go" in one.name or "goroutine" in one.name]


def test_the_go_program_is_built_once_and_asked_like_a_worker(tmp_path, monkeypatch):
    stub = tmp_path / "go"
    built = tmp_path / "built"
    stub.write_text(
        f'#!/bin/sh\n[ "$1 $2 $4" = "build -o ." ] && pwd >> {built} &&'
        ' printf "#!/bin/sh\\necho \\$# \\$2 | tr -d \\" \\"" > "$3" && chmod +x "$3"\n'
    )
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    processes._go_program.cache_clear()
    goroutines = Apart("goroutines", processes.in_go("group", 1000))
    memory = Apart("memory", processes.in_go("memory", 1000, None))
    assert (goroutines.ready(1)(), memory.ready(1)()) == (31000, 21000)
    processes._go_program.cache_clear()
    assert built.read_text().split() == [str(GO)]


def test_the_go_program_needs_the_standard_library_alone():
    source = (GO / "main.go").read_text()
    _, _, rest = source.partition("import (\n")
    packages = re.findall(r'"(.+)"', rest.partition(")")[0])
    assert "sync" in packages
    assert not [package for package in packages if "." in package]
    assert "require" not in (GO / "go.mod").read_text()
