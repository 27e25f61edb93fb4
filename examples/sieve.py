"""The prime sieve: a chain of filters, a task for each prime, joined by channels.

Numbers come from the left. The first that gets through to the right end is a prime; a new
filter is put there, which lets no multiple of it pass:

    2 3 4 5 ... -> [not 2] -> [not 3] -> [not 5] -> 7

python -m examples.sieve 20
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from itertools import count

from gevent import getcurrent, kill, signal_handler

from gowork import Channel, Job


def count_up(out: Channel[int]) -> None:
    """Send 2, 3, 4 ... for ever: the channel is unbuffered, so no faster than they are taken."""
    for number in count(2):
        out.send(number)


def drop_multiples(prime: int, source: Channel[int], out: Channel[int]) -> None:
    """Pass on what *prime* does not divide."""
    for number in source:
        if number % prime:
            out.send(number)


def grow(job: Job, how_many: int, show: Callable[[int], object]) -> None:
    """Show so many primes, each of which makes the chain longer, and end the job."""
    end: Channel[int] = job.channel()
    job.spawn(count_up, end)
    for _ in range(how_many):
        prime = end.recv()
        show(prime)
        source, end = end, job.channel()
        job.spawn(drop_multiples, prime, source, end)
    # The others would go on for ever. They are stopped where they wait, and nothing is left.
    job.finish()


def sieve(how_many: int, show: Callable[[int], object] = print) -> None:
    """Call *show* with each of the first primes, as it is found."""
    with Job(name="sieve") as job:
        job.spawn(grow, job, how_many, show)


def main() -> None:
    """Print as many primes as were asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.sieve",
        description="Print the first primes, sieved by a chain of greenlets.",
    )
    parser.add_argument("how_many", type=int, help="how many primes; each needs a greenlet")
    how_many = parser.parse_args().how_many
    if how_many < 0:
        parser.error(f"there are no {how_many} primes")
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # whoever reads, as head, may have enough
    # A KeyboardInterrupt of Python's own may come in the loop, which prints it, too.
    signal_handler(signal.SIGINT, kill, getcurrent(), KeyboardInterrupt)
    try:
        sieve(how_many, lambda prime: print(prime, flush=True))
    except KeyboardInterrupt:
        sys.exit("stopped")


if __name__ == "__main__":
    main()
