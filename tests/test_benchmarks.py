"""The benchmarks work, and say what they measured; how fast anything is, is not tested."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from itertools import repeat
from pathlib import Path

import pytest

from benchmarks.contests import Contestant, Entry, Gauge, Race, Row, check
from benchmarks.tables import around, marks, table

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = marks()
NAMES = (
    "unbuffered buffered pingpong pingpong-steps select select-anew wake idle chain growth".split()
)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a Python of its own: trio cannot run where gevent has patched the process."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=25
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_runs_all_its_contestants_and_loses_no_value(name):
    done = run("-m", "benchmarks", name, "--quick")
    assert (done.returncode, done.stderr) == (0, f"{name} .\n")
    assert f"\n{name}: " in done.stdout


def test_without_names_all_run_but_the_one_that_takes_minutes():
    program = "from benchmarks.__main__ import *; print(*(one.name for one in BENCHMARKS))"
    assert run("-c", program).stdout.split()[: len(NAMES)] == NAMES


def test_an_unknown_name_is_refused_with_those_that_are_known():
    done = run("-m", "benchmarks", "unbufered")
    assert done.returncode == 2
    assert "none is 'unbufered'" in done.stderr
    assert all(name in done.stderr for name in [*NAMES, "million"])


@pytest.mark.parametrize(("limit", "code"), [(2, 0), (1, 1)])
def test_a_missed_goal_is_a_failure_only_if_it_is_to_be_checked(limit, code):
    program = (
        "import sys; from benchmarks import __main__ as program, contests;"
        f"made_up = contests.Gauge('made-up', 'a figure', lambda amount: amount, 2, 'm', {limit});"
        "program.BY_NAME['made-up'] = made_up; sys.exit(program.main())"
    )
    assert run("-c", program, "made-up").returncode == 0
    assert run("-c", program, "made-up", "--check").returncode == code


MADE_UP = (
    "import sys; from benchmarks import __main__ as program, contests;"
    "made_up = lambda name, figure:"
    "    contests.Gauge(name, 'a figure', lambda amount: figure(), 2, 'm', 1);"
    "good, bad = made_up('good', lambda: 0.5), made_up('bad', lambda: 1 / 0);"
    "program.BY_NAME.update(good=good, bad=bad); sys.exit(program.main())"
)


def test_a_benchmark_that_fails_is_told_and_its_row_says_so_while_the_next_ones_run():
    done = run("-c", MADE_UP, "bad", "good")
    assert done.returncode == 1
    assert re.findall(r"^(\w+): a figure +(\S+)", done.stdout, re.M) == [
        ("bad", "failed"),
        ("good", "0.50"),
    ]
    assert done.stderr.startswith("bad .\nFAILED, bad: a figure\nTraceback")
    assert done.stderr.endswith("ZeroDivisionError: division by zero\ngood .\n")


def test_the_table_is_written_into_a_page_at_the_place_of_this_python_each_time_anew(tmp_path):
    page = tmp_path / "page.rst"
    other = "\n\nold\n\n".join(marks("2.7"))
    page.write_text(f"{other}\n\n{BEGIN}\n\nold\n\n{END}\n\n{other}\n")
    for _ in range(2):
        done = run("-c", MADE_UP, "good", "--write", str(page))
        assert page.read_text() == f"{other}\n\n{BEGIN}\n\n{done.stdout}\n{END}\n\n{other}\n"


def test_a_table_in_which_something_has_failed_is_not_written(tmp_path):
    page = tmp_path / "page.rst"
    page.write_text(f"{BEGIN}\n\ngood\n\n{END}\n")
    done = run("-c", MADE_UP, "good", "bad", "--write", str(page))
    assert done.returncode == 1
    assert done.stderr.endswith(f"{page} stays as it was, since something has failed.\n")
    assert page.read_text() == f"{BEGIN}\n\ngood\n\n{END}\n"
    assert list(tmp_path.iterdir()) == [page]


WITHOUT_PEERS = (
    "import sys; peers = 'trio', 'anyio', 'uvloop', 'goless';"
    "sys.modules.update(dict.fromkeys(peers)); from benchmarks import __main__, regressions;"
    "sys.exit(__main__.main())"
)


def test_peers_that_are_not_installed_are_left_out_and_they_alone():
    done = run("-c", WITHOUT_PEERS, "buffered", "spawn-1", "--quick")
    assert (done.returncode, done.stderr) == (0, "buffered .\nspawn-1 .\n")
    left_out = re.findall(r"^- (.*?)  +left out$", done.stdout, re.M)
    assert [name for name in left_out if not name.startswith("Go, ")] == [
        "trio open_memory_channel(100)",
        *("the same on uvloop", "trio nursery", "anyio task group", "goless go()"),
    ]
    _, _, context = done.stdout.partition("Medians of ")
    assert "gevent " in context and "trio" not in context


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--rounds", "0"], "argument --rounds: must be at least 1"),
        (["--rounds", "-3"], "argument --rounds: must be at least 1"),
        (["--rounds", "many"], "argument --rounds: invalid int value: 'many'"),
        (["--write", "missing.rst"], "No such file or directory: 'missing.rst'"),
        (["--write", "docs"], "Is a directory: 'docs'"),
        (["--write", "README.rst"], "argument --write: README.rst has no place for the figures"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_before_anything_runs(arguments, complaint):
    done = run("-m", "benchmarks", "idle", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: python -m benchmarks")
    assert complaint in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("text", ["", BEGIN, END, f"{END}\n{BEGIN}", "\n".join(marks("2.7"))])
def test_a_page_without_both_marks_of_this_python_is_refused(tmp_path, text):
    page = tmp_path / "page.rst"
    page.write_text(text)
    with pytest.raises(ValueError, match="has no place for the figures"):
        around(page)


def shown(python):
    """The figures of a Python in the documents, and the words below them."""
    begin, end = marks(python)
    _, _, after = (ROOT / "docs" / "benchmarks.rst").read_text().partition(begin)
    figures, _, words = after.partition(end)
    return figures, words


@pytest.mark.parametrize("python", ["3.11", "3.13"])
def test_the_documents_show_every_benchmark(python):
    figures, words = shown(python)
    assert f", with CPython {python}." in figures.replace("\n", " ")
    for name in NAMES:
        assert f"\n{name}: " in figures
        assert f"**{name}**" in words


def test_a_table_is_as_wide_as_what_stands_in_it():
    rows = [
        Row("first: gowork", "1.00 µs", spread="±3 %"),
        Row("- a peer", "4.00 µs", "0.25", "0.45", True),
        Row("- another", "10.00 µs", "0.10", "0.05", False),
    ]
    assert table(rows).splitlines() == [
        "=============  ========  ======  =====  ====  ===",
        "what             figure  spread  ratio  goal  met",
        "=============  ========  ======  =====  ====  ===",
        "first: gowork   1.00 µs    ±3 %",
        "- a peer        4.00 µs           0.25  0.45  yes",
        "- another      10.00 µs           0.10  0.05   no",
        "=============  ========  ======  =====  ====  ===",
    ]


def contestant(name, times, runs, goal=None):
    """One that claims to need the next of *times* for each item, and notes its *runs*."""

    def measure(count):
        runs.append(name)
        return next(times) * count

    return Contestant(name, measure, goal)


def test_contestants_take_turns_and_the_median_of_their_rounds_counts():
    runs = []
    ours = contestant("ours", iter([1, 3e-6, 9e-6, 1e-6]), runs)
    peer = contestant("peer", iter([1, 4e-6, 4e-6, 4e-6]), runs, goal=0.8)
    rows = Race("race", ours, (peer,)).run(3, 1, lambda: runs.append("round"))
    prepared = ["ours", "ours", "peer", "peer", "round"]
    assert runs == [*prepared, *["ours", "peer", "round"] * 2]
    assert rows == [
        Row("race: ours", "3.00 µs", spread="±67 %"),
        Row("- peer", "4.00 µs", "0.75", "0.80", True, spread="±0 %"),
    ]


def entry(coming):
    made = Entry(iter(coming))
    made.run()
    return made


def test_a_goal_is_met_up_to_the_very_figure_and_not_beyond():
    peers = [Contestant("peer", float, goal) for goal in (0.5, 0.49, None)]
    entries = [entry([figure]) for figure in (1.0, 2.0, 2.0, 2.0)]
    _, *rows = Race("race", Contestant("ours", float), tuple(peers)).rows(*entries)
    assert [row.met for row in rows] == [True, False, None]


def test_a_peer_that_fails_once_is_out_and_its_row_says_so_while_the_others_go_on():
    runs = []
    ours, peer = contestant("ours", repeat(2e-6), runs), contestant("peer", repeat(1e-6), runs)
    broken = contestant("broken", (time or 1 / 0 for time in [1, 4, 0, 4]), runs)
    rows = Race("race", ours, (broken, peer)).run(4, 0, lambda: None)
    assert [row[:3] for row in rows] == [
        ("race: ours", "2.00 µs", ""),
        ("- broken", "failed", ""),
        ("- peer", "1.00 µs", "2.00"),
    ]
    assert [bool(row.error) for row in rows] == [False, True, False]
    assert (runs.count("broken"), runs.count("peer")) == (3, 5)


def test_where_gowork_fails_its_peers_keep_their_figures_and_no_goal_is_met():
    peer = Contestant("peer", lambda count: count * 1e-6, goal=1)
    ours, other = Race("race", Contestant("ours", lambda count: 1 / 0), (peer,)).run(
        1, 0.001, lambda: None
    )
    assert ours.error.endswith("ZeroDivisionError: division by zero\n")
    assert ours == Row("race: ours", "failed", error=ours.error)
    assert other == Row("- peer", "1.00 µs", spread="±0 %")


def test_where_gowork_is_left_out_nobody_runs():
    runs = []
    ours = contestant("ours", repeat(1), runs)._replace(is_here=False)
    rows = Race("race", ours, (contestant("peer", repeat(1), runs),)).run(3, 1, lambda: None)
    assert (rows, runs) == ([Row("race: ours", "left out"), Row("- peer", "left out")], [])


def test_a_contestant_runs_long_enough():
    assert Contestant("quick", lambda count: count * 1e-6).count(least=0.1) == 128_000


def test_a_gauge_measures_once_with_its_amount_to_scale():
    amounts = []
    gauge = Gauge("gauge", "a figure", lambda amount: amounts.append(amount) or 0.5, 200, "m", 0.4)
    rows = gauge.run(9, 0.01, lambda: None)
    assert amounts == [2]
    assert rows == [Row("gauge: a figure", "0.50 m", "", "0.4 m", False)]


def test_a_gauge_may_come_out_as_nothing_at_all():
    gauge = Gauge("gauge", "a figure", lambda amount: 0.0, 200, "m", 0.4)
    assert gauge.run(9, 1, lambda: None) == [Row("gauge: a figure", "0.00 m", "", "0.4 m", True)]


def test_a_gauge_that_fails_has_no_figure_and_meets_no_limit():
    gauge = Gauge("gauge", "a figure", lambda amount: 1 / 0, 200, "m", 0.4)
    (row,) = gauge.run(9, 1, lambda: None)
    assert row == Row("gauge: a figure", "failed", "", "0.4 m", None, error=row.error)
    assert "ZeroDivisionError" in row.error


@pytest.mark.parametrize("received", [[0, 1], [0, 1, 1, 2], [0, 2, 1], [0, 1, 2, 3]])
def test_a_run_in_which_a_value_is_lost_or_doubled_or_late_does_not_count(received):
    with pytest.raises(RuntimeError, match="not those that were sent"):
        check(received, 3)


def test_a_contestant_that_delivers_what_was_not_sent_ends_the_run():
    program = "from benchmarks.handovers import *; between_greenlets(id, lambda: 1, 3)"
    done = run("-c", program)
    assert done.returncode == 1
    assert "not those that were sent" in done.stderr


def script(path, *lines):
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)


@pytest.fixture
def make_bench(tmp_path):
    """Run ``make bench`` where the Pythons are stubs: what they measure is told in a log."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / ".ci").mkdir()
    script(tmp_path / ".ci" / "pythons", f"echo {tmp_path}")
    for name in ("setup.cfg", "setup.py", "log"):
        (tmp_path / name).touch()

    def make(pythons, *variables):
        for version, status in pythons.items():
            script(
                tmp_path / f"python{version}",
                'if [ "$2" = venv ]; then mkdir -p "$4/bin" && cp "$0" "$4/bin/python"; fi',
                f'if [ "$2" = benchmarks ]; then echo {version} $3 >> log; exit {status}; fi',
            )
        done = subprocess.run(
            ["make", "bench", "COMPILED=", *variables],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={"PATH": os.defpath},
            timeout=25,
        )
        return done.returncode, done.stdout.splitlines(), (tmp_path / "log").read_text()

    return make


def test_make_bench_measures_with_each_python_in_an_environment_of_its_own(make_bench, tmp_path):
    code, told, log = make_bench({"3.11": 0, "3.13": 0}, "ARGS=--check")
    assert (code, told) == (0, ["With Python 3.11:", "With Python 3.13:"])
    assert log == "3.11 --check\n3.13 --check\n"
    assert (tmp_path / ".venv-bench" / "3.13" / "bin" / "python").exists()


def test_make_bench_tells_of_a_python_that_is_not_here_and_measures_with_the_other(make_bench):
    pythons = "PYTHONS=9.8 9.9"
    code, told, log = make_bench({"9.9": 0}, pythons)
    absent = "Python 9.8 is not here, or too old for gowork: nothing is measured with it."
    assert (code, told, log) == (0, [absent, "With Python 9.9:"], "9.9\n")


def test_make_bench_goes_on_after_a_failure_but_fails(make_bench):
    code, _, log = make_bench({"3.11": 1, "3.13": 0})
    assert code != 0
    assert log == "3.11\n3.13\n"


def test_make_bench_fails_where_there_is_nothing_to_measure_with(make_bench):
    code, told, log = make_bench({}, "PYTHONS=9.9")
    assert code != 0 and log == ""
    assert told[-1] == 'PYTHONS="3.12" would measure with 3.12.'
