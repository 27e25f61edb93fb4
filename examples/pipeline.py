"""A bounded pipeline: count the words of all the regular files below a directory.

One task walks the tree, several read and count, one adds up:

    walk -> paths -> count, count, count -> counts -> add up

The channels between them are bounded, so that a fast stage waits for a slow one, and however
large the tree is, only a few files are in hand. A stage that fails stops all the others.

python -m examples.pipeline docs
python -m examples.pipeline --workers 8 --top 20 docs
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import stat
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from gevent import get_hub, getcurrent, kill, signal_handler
from gevent.util import wrap_errors

from gowork import Channel, Job, JobCancelled, Task


def words_of(path: Path) -> Counter[str]:
    """How often each word is in the file, in lower case."""
    words: Counter[str] = Counter()
    with path.open(encoding="utf-8", errors="replace") as file:
        while piece := file.readline(1 << 16):  # of bytes that are no text, a part of a line
            words.update(re.findall(r"\w+", piece.lower()))
    return words


def walk(directory: Path, paths: Channel[Path]) -> None:
    """Send the path of each regular file; the only sender, so it closes."""

    def refuse(error: OSError) -> None:
        raise error  # os.walk would pass over what it cannot list

    for parent, _, names in os.walk(directory, onerror=refuse):
        for path in (Path(parent, name) for name in names):
            if stat.S_ISREG(path.stat().st_mode):  # a pipe might never end
                paths.send(path)
    paths.close()


def count(paths: Channel[Path], counts: Channel[Counter[str]]) -> None:
    """Count what is in each file; one of several that send, so it closes nothing."""
    attempt = wrap_errors((OSError,), words_of)  # returned; a raised one is printed, too
    for path in paths:
        words = get_hub().threadpool.apply(attempt, (path,))  # files block the thread they are in
        if isinstance(words, OSError):
            raise words
        counts.send(words)


def close_after(workers: Sequence[Task], counts: Channel[Counter[str]]) -> None:
    """Close *counts* when nobody sends to it any more."""
    for worker in workers:
        worker.join()
    counts.close()


def add_up(counts: Channel[Counter[str]], show: Callable[[int], object]) -> Counter[str]:
    """The sum of what comes, until no more comes; *show* is told how many files that are."""
    total: Counter[str] = Counter()
    for files, words in enumerate(counts, start=1):
        total.update(words)
        show(files)
    return total


def count_words(directory: Path, workers: int, show: Callable[[int], object]) -> Counter[str]:
    """Run the pipeline. An error of any stage is the ``error`` of a :exc:`JobCancelled`."""
    with Job(name="pipeline") as job:
        paths, counts = job.channel(workers), job.channel(workers)
        job.spawn(walk, directory, paths)
        counting = [job.spawn(count, paths, counts) for _ in range(workers)]
        job.spawn(close_after, counting, counts)
        adding = job.spawn(add_up, counts, show)
    return adding.result


def show_progress(files: int) -> None:
    """Say now and then how far it is."""
    if files % 100 == 0:
        print(f"{files} files so far", file=sys.stderr, flush=True)


def main() -> None:
    """Print the most frequent words."""
    parser = argparse.ArgumentParser("python -m examples.pipeline", description="Count words.")
    parser.add_argument("directory", type=Path, help="whose regular files are read")
    parser.add_argument("--workers", type=int, default=4, help="files at a time (default: 4)")
    parser.add_argument("--top", type=int, default=10, help="words to show (default: 10)")
    options = parser.parse_args()
    if not options.directory.is_dir():
        parser.error(f"there is no directory {options.directory}")
    if options.workers < 1 or options.top < 1:
        parser.error("--workers and --top must be at least 1")

    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # whoever reads, as head, may have enough
    # A KeyboardInterrupt of Python's own may find the loop asleep, and is noticed when it wakes.
    signal_handler(signal.SIGINT, kill, getcurrent(), KeyboardInterrupt)
    try:
        words = count_words(options.directory, options.workers, show_progress)
    except KeyboardInterrupt:
        sys.exit("stopped")
    except JobCancelled as cancelled:
        if not isinstance(cancelled.error, OSError):
            raise
        sys.exit(f"stopped: {cancelled.error}")
    for word, number in words.most_common(options.top):
        print(f"{number:7} {word}")


if __name__ == "__main__":
    main()
