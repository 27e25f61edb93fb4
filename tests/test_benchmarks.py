"""The benchmarks work, and say what they measured; how fast anything is, is not tested."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.contests import Contestant, Gauge, Race, Row, check
from benchmarks.tables import BEGIN, END, around, table

ROOT = Path(__file__).resolve().parents[1]
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


def test_the_table_is_written_into_a_page_each_time_anew(tmp_path):
    page = tmp_path / "page.rst"
    page.write_text(f"before\n\n{BEGIN}\n\nold\n\n{END}\n\nafter\n")
    for _ in range(2):
        done = run("-m", "benchmarks", "idle", "--quick", "--write", str(page))
        assert page.read_text() == f"before\n\n{BEGIN}\n\n{done.stdout}\n{END}\n\nafter\n"


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


@pytest.mark.parametrize("text", ["", BEGIN, END, f"{END}\n{BEGIN}"])
def test_a_page_without_both_marks_is_refused(tmp_path, text):
    page = tmp_path / "page.rst"
    page.write_text(text)
    with pytest.raises(ValueError, match="has no place for the figures"):
        around(page)


def test_the_documents_show_every_benchmark():
    page = ROOT / "docs" / "benchmarks.rst"
    _, _, after = page.read_text().partition(BEGIN)
    figures, _, words = after.partition(END)
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
    assert runs == ["ours", "peer", *["ours", "peer", "round"] * 3]
    assert rows == [
        Row("race: ours", "3.00 µs", spread="±67 %"),
        Row("- peer", "4.00 µs", "0.75", "0.80", True, spread="±0 %"),
    ]


def test_a_goal_is_met_up_to_the_very_figure_and_not_beyond():
    peers = [Contestant("peer", float, goal) for goal in (0.5, 0.49, None)]
    _, *rows = Race("race", Contestant("ours", float), tuple(peers)).rows(
        [[1.0], [2.0], [2.0], [2.0]]
    )
    assert [row.met for row in rows] == [True, False, None]


def test_a_contestant_runs_long_enough():
    assert Contestant("quick", lambda count: count * 1e-6).count(least=0.1) == 128_000


def test_a_gauge_measures_once_with_its_amount_to_scale():
    amounts = []
    gauge = Gauge("gauge", "a figure", lambda amount: amounts.append(amount) or 0.5, 200, "m", 0.4)
    rows = gauge.run(9, 0.01, lambda: None)
    assert amounts == [2]
    assert rows == [Row("gauge: a figure", "0.50 m", "", "0.4 m", False)]


@pytest.mark.parametrize("received", [[0, 1], [0, 1, 1, 2], [0, 2, 1], [0, 1, 2, 3]])
def test_a_run_in_which_a_value_is_lost_or_doubled_or_late_does_not_count(received):
    with pytest.raises(RuntimeError, match="not those that were sent"):
        check(received, 3)


def test_a_contestant_that_delivers_what_was_not_sent_ends_the_run():
    program = "from benchmarks.handovers import *; between_greenlets(id, lambda: 1, 3)"
    done = run("-c", program)
    assert done.returncode == 1
    assert "not those that were sent" in done.stderr
