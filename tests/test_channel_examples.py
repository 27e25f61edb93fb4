"""The sieve and the pipeline: what they are for, what stops them, and that nothing is left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import gevent
import pytest
from simulating import played

from examples import pipeline
from examples.pipeline import count_words
from examples.sieve import sieve
from gowork import JobCancelled

ROOT = Path(__file__).resolve().parents[1]
PRIMES = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71]

as_it_is_and_patched = pytest.mark.parametrize(
    "how", [["-m"], ["-m", "gevent.monkey", "--module"]], ids=["unpatched", "patched"]
)


def start(how: list[str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *how, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """How the process ended, and what it said on either stream."""
    with process:
        said, complained = process.communicate(timeout=20)
    return process.returncode, said, complained


def lines(*texts: object) -> str:
    return "".join(f"{text}\n" for text in texts)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree of 40 files: 40 times "the", 10 times each "word0" to "word3"."""
    for number in range(40):
        parent = tmp_path / f"part{number % 3}" / f"part{number % 2}"
        parent.mkdir(parents=True, exist_ok=True)
        (parent / f"{number}.txt").write_text(f"The, word{number % 4}!")
    return tmp_path


WORDS = Counter({"the": 40} | {f"word{number}": 10 for number in range(4)})


# The sieve


@pytest.mark.parametrize("how_many", [0, 1, 20])
def test_the_sieve_shows_as_many_primes_as_it_should(how_many: int) -> None:
    shown: list[int] = []
    sieve(how_many, shown.append)
    assert shown == PRIMES[:how_many]


@pytest.mark.parametrize("seed", range(10))
def test_the_sieve_shows_the_same_in_any_order_of_its_tasks(seed: int) -> None:
    shown: list[int] = []
    played(sieve, 10, shown.append, seed=seed)
    assert shown == PRIMES[:10]


def test_a_sieve_that_is_killed_takes_its_filters_along() -> None:
    shown: list[int] = []

    def show(prime: int) -> None:
        shown.append(prime)
        if prime == 71:
            gevent.spawn(sieving.kill)

    sieving = gevent.spawn(sieve, 10**6, show)
    sieving.join()
    assert shown[:20] == PRIMES and len(shown) < 10**6


def test_an_error_in_what_shows_the_primes_stops_the_sieve() -> None:
    with pytest.raises(JobCancelled) as caught:
        sieve(3, lambda prime: 1 // (prime - 3))
    assert isinstance(caught.value.error, ZeroDivisionError)


@as_it_is_and_patched
def test_the_command_prints_the_first_primes(how: list[str]) -> None:
    assert ended(start(how, "examples.sieve", "20")) == (0, lines(*PRIMES), "")


@as_it_is_and_patched
def test_the_sieve_can_be_interrupted(how: list[str]) -> None:
    process = start(how, "examples.sieve", "1000000")
    assert process.stdout is not None
    first = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    status, _, complained = ended(process)
    assert (first, status, complained) == ("2\n", 1, "stopped\n")


# The pipeline


@pytest.mark.parametrize("workers", [1, 4, 50])
def test_the_pipeline_counts_the_words_of_all_files(tree: Path, workers: int) -> None:
    shown: list[int] = []
    assert count_words(tree, workers, shown.append) == WORDS
    assert shown == list(range(1, 41))


def test_a_tree_without_files_has_no_words(tmp_path: Path) -> None:
    assert count_words(tmp_path, 2, lambda files: None) == Counter()


def test_bytes_that_are_no_text_are_no_error(tmp_path: Path) -> None:
    (tmp_path / "picture").write_bytes(b"\xff word \xfe")
    assert count_words(tmp_path, 1, lambda files: None) == Counter(["word"])


def test_a_word_is_one_wherever_the_pieces_of_its_file_end(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a word\n" * 50_000)
    assert count_words(tmp_path, 1, lambda files: None) == Counter(a=50_000, word=50_000)


def test_what_is_no_regular_file_is_left_out(tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(tree / "socket"))  # whole, it may be too long
        assert count_words(tree, 2, lambda files: None) == WORDS


def test_only_a_few_files_are_in_hand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("word")
    workers, done, most = 3, 0, 0

    def names():
        nonlocal most
        for found in range(1, 101):
            most = max(most, found - done)
            yield "file"

    def show(files: int) -> None:
        nonlocal done
        done = files

    monkeypatch.setattr(pipeline.os, "walk", lambda *_, **__: [(tmp_path, [], names())])
    assert count_words(tmp_path, workers, show) == Counter({"word": 100})
    # Both channels are full, each worker has one, and so have the ends of the pipeline.
    assert workers <= most <= 3 * workers + 2


def test_a_file_that_cannot_be_read_stops_the_pipeline(
    monkeypatch: pytest.MonkeyPatch, tree: Path
) -> None:
    def refuse(path: Path) -> Counter[str]:
        raise PermissionError(path)

    monkeypatch.setattr(pipeline, "words_of", refuse)
    with pytest.raises(JobCancelled) as caught:
        count_words(tree, 2, lambda files: None)
    assert isinstance(caught.value.error, PermissionError)
    assert caught.value.task.name == "count"


def test_a_link_to_nothing_stops_the_pipeline(tree: Path) -> None:
    (tree / "dangling").symlink_to("nowhere")
    with pytest.raises(JobCancelled) as caught:
        count_words(tree, 2, lambda files: None)
    assert isinstance(caught.value.error, FileNotFoundError)
    assert caught.value.task.name == "walk"


def test_a_directory_that_cannot_be_listed_stops_the_pipeline(tmp_path: Path) -> None:
    with pytest.raises(JobCancelled) as caught:
        count_words(tmp_path / "gone", 2, lambda files: None)
    assert isinstance(caught.value.error, FileNotFoundError)
    assert caught.value.task.name == "walk"


def test_a_pipeline_that_is_killed_takes_its_stages_along(tree: Path) -> None:
    shown: list[int] = []

    def stuck(files: int) -> None:
        shown.append(files)
        gevent.spawn(counting.kill)
        gevent.sleep(3600)

    counting = gevent.spawn(count_words, tree, 2, stuck)
    counting.join()
    assert shown == [1]


@as_it_is_and_patched
def test_the_command_prints_the_most_frequent_words(how: list[str], tree: Path) -> None:
    (tree / "more").write_text("word2 word2 word2")
    counting = start(how, "examples.pipeline", "--workers", "3", "--top", "2", str(tree))
    assert ended(counting) == (0, lines("     40 the", "     13 word2"), "")


def test_the_command_says_how_far_it_is(tmp_path: Path) -> None:
    for number in range(201):
        (tmp_path / str(number)).write_text("word")
    counting = start(["-m"], "examples.pipeline", str(tmp_path))
    progress = lines("100 files so far", "200 files so far")
    assert ended(counting) == (0, lines("    201 word"), progress)


@as_it_is_and_patched
def test_the_command_tells_of_a_file_that_cannot_be_read(how: list[str], tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to("nowhere")
    status, said, complained = ended(start(how, "examples.pipeline", str(tmp_path)))
    assert (status, said) == (1, "")
    assert complained.startswith("stopped: ") and complained.endswith("dangling'\n")
    assert complained.count("\n") == 1


@as_it_is_and_patched
def test_the_pipeline_can_be_interrupted_while_it_reads(how: list[str], tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / str(number)).write_text("word")
    (tmp_path / "below").mkdir()
    with open(tmp_path / "below" / "large", "wb") as file:
        file.truncate(1 << 33)  # minutes to read, and no disk can tell
    process = start(how, "examples.pipeline", str(tmp_path))
    assert process.stderr is not None
    first = process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert (first, ended(process)) == ("100 files so far\n", (1, "", "stopped\n"))


# Both


@as_it_is_and_patched
@pytest.mark.parametrize("example", ["sieve", "pipeline"])
def test_an_example_ends_quietly_when_its_reader_has_enough(
    example: str, how: list[str], tree: Path
) -> None:
    arguments = {"sieve": ["1000000"], "pipeline": [str(tree)]}[example]
    process = start(how, f"examples.{example}", *arguments)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    complained = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=20), complained) == (-signal.SIGPIPE, "")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["sieve", "--", "-1"], "there are no -1 primes"),
        (["sieve", "many"], "invalid int value: 'many'"),
        (["sieve"], "required: how_many"),
        (["pipeline", "missing"], "there is no directory missing"),
        (["pipeline", "setup.py"], "there is no directory setup.py"),
        (["pipeline", ".", "--workers", "0"], "--workers and --top must be at least 1"),
        (["pipeline", ".", "--top", "0"], "--workers and --top must be at least 1"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: list[str], complaint: str) -> None:
    example, *rest = arguments
    status, said, complained = ended(start(["-m"], f"examples.{example}", *rest))
    assert (status, said) == (2, "")
    assert complained.startswith(f"usage: python -m examples.{example}")
    assert complained.endswith(f"{complaint}\n")


@pytest.mark.parametrize("example", ["sieve", "pipeline"])
def test_an_example_to_learn_from_is_short_and_has_help(example: str) -> None:
    status, said, complained = ended(start(["-m"], f"examples.{example}", "--help"))
    assert (status, complained) == (0, "")
    assert said.startswith(f"usage: python -m examples.{example}")
    assert len((ROOT / "examples" / f"{example}.py").read_text().splitlines()) < 130
