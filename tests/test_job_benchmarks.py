"""The benchmarks of jobs work, each runner in a process of its own, and leave out who is not here.

How fast anything is, is not tested here.
"""

from __future__ import annotations

import os
import re
import sys
import xml.etree.ElementTree as ElementTree
from functools import cache

import pytest
from test_benchmarks import NAMES, ROOT, run

from benchmarks import processes
from benchmarks.charts import chart
from benchmarks.contests import Contestant, Race, Row
from benchmarks.processes import Apart, figure, worker
from benchmarks.tables import BEGIN, END

SIZES = "spawn-1 tasks-1 spawn-10 tasks-10 spawn-1000 tasks-1000 spawn-100000 tasks-100000".split()
OTHERS = "small large tick tick-beside cancel memory connection import idle-tasks".split()
GO = ROOT / "benchmarks" / "go"
SVG = "{http://www.w3.org/2000/svg}"
SOURCE = (GO / "main.go").read_text()


@pytest.mark.parametrize("name", ["spawn-10", "tasks-10", *OTHERS])
def test_a_benchmark_of_jobs_runs_all_its_runners_and_loses_no_task(name):
    done = run("-m", "benchmarks", name, "--quick")
    assert (done.returncode, done.stderr) == (0, f"{name} .\n")
    assert f"\n{name}: " in done.stdout


def test_jobs_are_measured_behind_the_channels():
    program = "from benchmarks.__main__ import *; print(*(one.name for one in BENCHMARKS))"
    assert run("-c", program).stdout.split() == [*NAMES, *SIZES, *OTHERS]


def test_the_documents_show_every_benchmark_of_jobs_and_the_chart():
    page = ROOT / "docs" / "benchmarks.rst"
    before, _, after = page.read_text().partition(BEGIN)
    figures, _, words = after.partition(END)
    for name in [*SIZES, *OTHERS]:
        assert f"\n{name}: " in figures
        assert f"**{name}**" in words
    assert ".. figure:: benchmarks.svg" in before
    texts = ElementTree.parse(page.with_suffix(".svg")).iter(f"{SVG}text")
    shown = {text.text.partition(":")[0] for text in texts}
    assert {"unbuffered", "spawn-1000", "memory"} <= shown


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


def test_an_import_that_is_measured_finds_the_bytecode(tmp_path, monkeypatch):
    (tmp_path / "imported.py").touch()
    monkeypatch.setattr(processes, "ROOT", tmp_path)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.delenv("PYTHONPYCACHEPREFIX", raising=False)
    command = processes.importing("imported")(1)
    assert list(tmp_path.glob("__pycache__/imported.*.pyc"))
    assert 0 <= figure(command) < 10


def test_an_import_is_measured_without_what_merely_happens_to_be_installed(tmp_path, monkeypatch):
    (tmp_path / "zope").mkdir()
    for name in ("__init__", "schema"):
        (tmp_path / "zope" / f"{name}.py").touch()
    (tmp_path / "imported.py").write_text("import zope.schema")
    monkeypatch.setattr(processes, "ROOT", tmp_path)
    with pytest.raises(RuntimeError, match=r"zope\.schema"):
        figure(processes.importing("imported")(1))


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


def script(path, *lines):
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)


def test_the_go_program_is_built_once_and_asked_like_a_worker(tmp_path, monkeypatch):
    script(tmp_path / "peers", f"echo asked $* >> {tmp_path}/log", "echo 2.5e-07")
    script(
        tmp_path / "go",
        f"echo go $1 $2 $4 in $PWD >> {tmp_path}/log",
        f'cp {tmp_path}/peers "$3"',
    )
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(processes, "_go_program", cache(processes._go_program.__wrapped__))
    for command in (processes.in_go("group", 1000), processes.in_go("memory", 100, None)):
        assert Apart("goroutines", command).ready(0.5)() == 2.5e-07
    log = (tmp_path / "log").read_text().splitlines()
    assert log == [f"go build -o . in {GO}", "asked group 500 0.05", "asked memory 50"]


def test_the_go_program_has_all_that_the_races_ask_of_it():
    program = (
        "from benchmarks import __main__ as program, processes;"
        "processes._go_program = lambda: 'in Go';"
        "races = [one for one in program.BENCHMARKS if hasattr(one, 'peers')];"
        "peers = [one for race in races for one in race.peers if hasattr(one, 'command')];"
        "print(*{name for go, name, *_ in (one.command(1) for one in peers) if go == 'in Go'})"
    )
    asked = set(run("-c", program).stdout.split())
    assert asked >= {"group", "cancel", "memory", "unbuffered"}
    assert asked == set(re.findall(r'^\t"(\w+)": ', SOURCE, re.M)) | {"memory"}


def test_the_go_program_needs_the_standard_library_alone():
    _, _, rest = SOURCE.partition("import (\n")
    packages = re.findall(r'"(.+)"', rest.partition(")")[0])
    assert "sync" in packages
    assert not [package for package in packages if "." in package]
    assert "require" not in (GO / "go.mod").read_text()


ROWS = [
    Row("first: ours", "1.00 µs"),
    Row("- one & <another>", "4.00 µs", "0.25", "0.50", True),
    Row("- without a goal", "1.00 µs", "1.00"),
    Row("- left out", "left out"),
    Row("second: ours", "1.00 µs"),
    Row("- better", "0.25 µs", "4.00", "2.00", False),
    Row("third: a gauge", "0.02 % CPU", "", "1 % CPU", True),
]


def drawn(rows, kind):
    return list(ElementTree.fromstring(chart(rows)).iter(f"{SVG}{kind}"))


def test_the_chart_shows_each_ratio_that_has_a_goal():
    texts = [text.text for text in drawn(ROWS, "text")]
    assert texts == [
        "goal",
        *("first: one & <another>", "0.25 of 0.50"),
        *("second: better", "4.00 of 2.00"),
    ]


def test_a_bar_is_as_long_as_its_share_of_the_goal_and_hatched_if_that_is_missed():
    met, missed = [bar for bar in drawn(ROWS, "rect") if bar.get("stroke")]
    assert float(missed.get("width")) == pytest.approx(4 * float(met.get("width")))
    assert (met.get("fill"), missed.get("fill")) == ("#bbb", "url(#missed)")
    goal = float(drawn(ROWS, "text")[0].get("x"))
    assert goal == pytest.approx(float(met.get("x")) + 2 * float(met.get("width")), abs=0.1)


def test_no_word_of_a_chart_is_cut_at_its_edge():
    long = [Row("race: ours", "1"), Row(f"- {80 * 'long'}", "1", "12.34", "0.10", False)]
    width = float(ElementTree.fromstring(chart(long)).get("width"))
    for text in drawn(long, "text"):
        anchor, extent = float(text.get("x")), 7.3 * len(text.text)
        start = anchor - {"end": extent, "middle": extent / 2}.get(text.get("text-anchor"), 0)
        assert 0 <= start < start + extent <= width


def test_a_chart_of_nothing_is_a_picture_too(tmp_path):
    page = tmp_path / "page.rst"
    page.write_text(f"{BEGIN}{END}")
    run("-m", "benchmarks", "idle", "--quick", "--write", str(page))
    assert (tmp_path / "page.svg").read_text() == chart([])


def test_gowork_has_not_become_slower_beside_its_peers():
    program = "import sys; sys.path.append('.'); from benchmarks.regressions import *; exit(main())"
    done = run("-P", "-c", program)  # where gowork is installed, its extensions are there
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


GUARD = (
    "import sys; from benchmarks import regressions;"
    "ours, kind = map(int, sys.argv[1].split(',')), regressions.kind();"
    "made_up = regressions.Guard('made-up', lambda: next(ours), lambda: 1, {kind: 2.0});"
    "regressions.GUARDS = [made_up]; regressions.RUNS = 1; sys.exit(regressions.main())"
)


def test_one_quick_run_out_of_several_is_enough():
    assert run("-c", GUARD, "9,9,3,2").stdout.startswith("made-up     2.00, at most  2.80")


def test_what_is_slow_in_all_its_runs_is_a_failure():
    done = run("-c", GUARD, "9,9,3,9,3")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.endswith("TOO SLOW\n")
