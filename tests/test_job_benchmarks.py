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
from test_benchmarks import BEGIN, END, NAMES, ROOT, run, script, shown

from benchmarks import jobs, processes
from benchmarks.charts import chart
from benchmarks.contests import Contestant, Race, Row
from benchmarks.processes import Apart, figure, worker
from benchmarks.tables import PYTHON

SIZES = [
    *("spawn-1", "tasks-1"),
    *(
        f"{name}-{size}{suffix}"
        for size in (10, 1_000, 100_000)
        for suffix, names in (
            ("", "spawn tasks"),
            ("-cached", "spawn tasks group parked"),
        )
        for name in names.split()
    ),
]
OTHERS = [
    *("waits", "waits-cached", "small", "large", "tick", "tick-beside"),
    *("cancel", "memory", "connection", "import", "idle-tasks"),
]
GO = ROOT / "benchmarks" / "go"
SVG = "{http://www.w3.org/2000/svg}"
SOURCE = (GO / "main.go").read_text()


@pytest.mark.parametrize("name", [*SIZES[2:8], *OTHERS])
def test_a_benchmark_of_jobs_runs_all_its_runners_and_loses_no_task(name):
    done = run("-m", "benchmarks", name, "--quick")
    assert (done.returncode, done.stderr) == (0, f"{name} .\n")
    assert f"\n{name}: " in done.stdout


def test_jobs_are_measured_behind_the_channels():
    program = "from benchmarks.__main__ import *; print(*(one.name for one in BENCHMARKS))"
    assert run("-c", program).stdout.split() == [*NAMES, *SIZES, *OTHERS]


@pytest.mark.parametrize("python", ["3.11", "3.13"])
def test_the_documents_show_every_benchmark_of_jobs_and_the_chart(python):
    figures, words = shown(python)
    for name in [*SIZES, *OTHERS]:
        assert f"\n{name}: " in figures
        assert f"**{name}**" in words
    picture = f"benchmarks-{python}.svg"
    assert f".. figure:: {picture}\n" in (ROOT / "docs" / "benchmarks.rst").read_text()
    texts = {text.text for text in ElementTree.parse(ROOT / "docs" / picture).iter(f"{SVG}text")}
    assert {"unbuffered", "spawn-1000", "memory"} <= texts


def loaded(program):
    """The modules of a process that begins as workers do."""
    done = run("-c", f"import sys, benchmarks.worker; {program}; print(*sys.modules)")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize("module", ["on_gevent", "plain"])
def test_a_peer_has_not_met_gowork(module):
    names = loaded(f"import benchmarks.apart.{module}")
    assert not [name for name in names if name.startswith("gowork")]


STUB = (
    "import types, gowork; cache = types.ModuleType('gowork.stackchunks');"
    "cache.install = lambda: {}; gowork.stackchunks = sys.modules[cache.__name__] = cache;"
    "import benchmarks.apart.on_cached"
)


def test_where_the_cache_cannot_be_switched_on_nothing_is_measured():
    assert "benchmarks.apart.on_cached" in loaded(STUB.format(True))
    done = run("-c", f"import sys; {STUB.format(False)}")
    assert done.returncode == 1
    assert done.stderr.endswith("RuntimeError: the stack-chunk cache cannot be switched on\n")


def test_the_cache_is_on_for_what_is_called_cached_and_off_for_all_else(monkeypatch):
    monkeypatch.setattr(processes, "_go_program", lambda: "in Go")
    for race in jobs.RACES:
        ours, *peers = (runner.command(1) for runner in (race.gowork, *race.peers))
        assert ("GOWORK_STACK_CACHE=1" in ours) == race.name.endswith("-cached")
        assert not [peer for peer in peers if "GOWORK_STACK_CACHE=1" in peer]


@pytest.mark.parametrize("cached", [False, True])
def test_a_worker_knows_from_its_environment_whether_the_cache_is_on(cached, monkeypatch):
    monkeypatch.setenv("GOWORK_STACK_CACHE", "as before")
    program = "import os; print(os.environ['GOWORK_STACK_CACHE'])"
    command = worker("plain.calls", 1, cached=cached)(1)
    command[command.index("-m") :] = ["-c", program]
    assert figure(command) == cached


def test_greenlets_that_wait_and_go_on_all_come_to_their_end():
    assert 0 < figure(worker("on_gevent.parked", 100)(0.01)) < 1


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
    Row("- as good", "1.00 µs", "1.00", "1.00", True),
    Row("- without a goal", "1.00 µs", "1.00"),
    Row("- left out", "left out"),
    Row("second-cached: ours", "1.00 µs"),
    Row("- better", "0.25 µs", "4.00", "2.00", False),
    Row("third: a gauge", "0.02 % CPU", "", "1 % CPU", True),
]


def drawn(rows, kind):
    return list(ElementTree.fromstring(chart(rows)).iter(f"{SVG}{kind}"))


def drawn_bars(rows):
    return [bar for bar in drawn(rows, "rect") if bar.get("stroke")][3:]  # behind the legend


def test_the_chart_shows_each_ratio_that_has_a_goal():
    texts = [text.text for text in drawn(ROWS, "text")]
    assert texts == [
        *("met", "missed", "stack-chunk cache on", "goal"),
        *("first", "one & <another>", "0.25 of 0.50", "as good", "1.00 of 1.00"),
        *("second-cached", "better", "4.00 of 2.00"),
    ]


def test_a_bar_is_as_long_as_its_share_of_the_goal_and_hatched_if_that_is_missed():
    met, _, missed = drawn_bars(ROWS)
    assert float(missed.get("width")) == pytest.approx(4 * float(met.get("width")))
    assert (met.get("fill"), missed.get("fill")) == ("#bbb", "url(#missed)")
    (goal,) = (float(text.get("x")) for text in drawn(ROWS, "text") if text.text == "goal")
    assert goal == pytest.approx(float(met.get("x")) + 2 * float(met.get("width")), abs=0.1)


def test_what_is_measured_with_the_cache_stands_on_grey_ground():
    *_, last = drawn_bars(ROWS)
    (shade,) = [ground for ground in drawn(ROWS, "rect") if ground.get("fill") == "#eee"][1:]
    top, bottom = float(shade.get("y")), float(shade.get("y")) + float(shade.get("height"))
    above = [float(bar.get("y")) + float(bar.get("height")) for bar in drawn_bars(ROWS)[:-1]]
    assert max(above) < top < float(last.get("y"))
    assert bottom > float(last.get("y")) + float(last.get("height"))


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
    assert (tmp_path / f"page-{PYTHON}.svg").read_text() == chart([])


def test_gowork_has_not_become_slower_beside_its_peers():
    program = "import sys; sys.path.append('.'); from benchmarks.regressions import *; exit(main())"
    done = run("-P", "-c", program)  # where gowork is installed, its extensions are there
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_the_stack_chunk_cache_is_switched_off_before_gowork_is_imported_for_the_guards():
    program = (
        "import os, sys, types;"
        "tell = lambda name, *_: name == 'gowork' and print(os.environ['GOWORK_STACK_CACHE']);"
        "finder = types.SimpleNamespace(find_spec=lambda *what: tell(*what) or None);"
        "sys.meta_path.insert(0, finder); import benchmarks.regressions"
    )
    assert run("-c", program).stdout == "0\n"


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
