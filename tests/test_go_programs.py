"""Go's larger test programs on our channels, in gevent's order of things and in any other.

The originals are in golang/go: a file is one of ``test/chan``, a ``Test`` or a ``Benchmark`` one
of ``src/runtime/chan_test.go``.
"""

# sieve1.go                      a_sieve_that_is_a_chain_of_filters_finds_the_primes
# sieve2.go                      a_sieve_that_feeds_its_primes_back_finds_the_primes
# doubleselect.go                a_value_that_a_select_sends_arrives_once_and_in_order, once through
#                                four channels and once through four cases of one
# TestSelfSelect                 two_selects_on_both_ends_never_receive_their_own
# TestSelectStress               sends_receives_and_selects_in_great_number_all_meet
# TestMultiConsumer              many_workers_lose_and_invent_nothing
# BenchmarkSelectProdCons, BenchmarkSelectSyncContended, BenchmarkSelectAsyncContended
#                                closing_one_case_ends_all_selects_and_loses_nothing
# BenchmarkChanPopular           a_channel_on_which_everybody_waits_makes_no_difference
# powser1.go, powser2.go         in test_go_power_series

import heapq
from collections import Counter, deque
from itertools import count, islice

import gevent
import pytest
from gophers import going, play

from gowork import Channel, select

PRIMES = [n for n in range(2, 100) if all(n % divisor for divisor in range(2, n))]


def pour(values, channel):
    for value in values:
        channel.send(value)


# Sieves


def test_a_sieve_that_is_a_chain_of_filters_finds_the_primes():
    def without_multiples(prime, numbers):
        return (number for number in numbers if number % prime)

    def program():
        primes, numbers = [], Channel()
        with going() as group:
            group.spawn(pour, count(2), numbers)
            while len(primes) < len(PRIMES):
                primes.append(numbers.recv())
                rest, numbers = without_multiples(primes[-1], numbers), Channel()
                group.spawn(pour, rest, numbers)
        return primes

    assert play(program) == [PRIMES]


class Feedback:
    """A sieve of the odd numbers by the merged multiples of the primes it has found itself."""

    def __init__(self, group):
        self.group = group
        self.primes, self.found = Channel(10), Channel(10)
        self.composites, back = Channel(50), Channel(10)
        group.spawn(self.merge, back)
        group.spawn(self.keep_all, self.found, back)
        group.spawn(self.sift)

    def poured(self, values, capacity):
        channel = Channel(capacity)
        self.group.spawn(pour, values, channel)
        return channel

    def sift(self):
        composite = 4  # less than 5: the first odd one needs that 3 is found
        for candidate in self.poured(count(3, 2), 50):
            while composite < candidate:
                composite = self.composites.recv()
            if candidate != composite:
                self.primes.send(candidate)
                self.found.send(candidate)

    @staticmethod
    def keep_all(inlet, outlet):
        """Be a channel without bound: what feeds itself must never wait for itself."""
        kept = deque()
        while True:
            index, value, _ = select([inlet.receiving(), outlet.sending(kept[0]) if kept else None])
            if index == 0:
                kept.append(value)
            else:
                kept.popleft()

    def merge(self, primes):
        prime, heads = 1, []
        while True:
            # No earlier: the next prime is found once the composites before it are out.
            if not heads or heads[0][0] >= (prime + 2) ** 2:
                prime = primes.recv()
                multiples = self.poured(count(prime**2, 2 * prime), 10)
                heapq.heappush(heads, (multiples.recv(), prime, multiples))
            number, its_prime, multiples = heads[0]
            self.composites.send(number)
            heapq.heapreplace(heads, (multiples.recv(), its_prime, multiples))


def test_a_sieve_that_feeds_its_primes_back_finds_the_primes():
    def program():
        with going() as group:
            return [2, *islice(Feedback(group).primes, len(PRIMES) - 1)]

    assert play(program) == [PRIMES]


# Never twice


@pytest.mark.parametrize("several", [True, False], ids=["four channels", "one channel"])
def test_a_value_that_a_select_sends_arrives_once_and_in_order(several):
    def program(amount):
        channels = [Channel() for _ in range(4)] if several else [Channel()] * 4
        got = {channel: [] for channel in channels}

        def choose():
            for number in range(amount):
                select([channel.sending(number) for channel in channels])
            for channel in got:
                channel.close()

        with going() as group:
            group.spawn(choose)
            for channel, numbers in got.items():
                group.spawn(lambda channel=channel, numbers=numbers: numbers.extend(channel))
            group.join()
        assert all(numbers == sorted(numbers) for numbers in got.values())
        return sorted(number for numbers in got.values() for number in numbers)

    assert program(2000) == list(range(2000))
    assert play(program, 50) == [list(range(50))]


@pytest.mark.parametrize("capacity", [0, 10])
def test_two_selects_on_both_ends_never_receive_their_own(capacity):
    def program(rounds):
        channel, done = Channel(capacity), Counter()

        def choose(name):
            for number in range(rounds):
                cases = [channel.sending(name), channel.receiving()]
                _, value, _ = select(cases if number % 2 else cases[::-1])
                assert value != name or capacity
                done["sent" if value is None else "received"] += 1

        with going() as group:
            group.spawn(choose, "one")
            group.spawn(choose, "two")
            group.join()
        return done.total(), done["sent"] - done["received"] - len(channel)

    assert program(500) == (1000, 0)
    assert play(program, 20) == [(40, 0)]


def test_sends_receives_and_selects_in_great_number_all_meet():
    """To and from each channel: as many values by plain calls as by one select for all."""

    def program(amount):
        channels, got = [Channel(), Channel(), Channel(2), Channel(3)], []

        def choose(case):
            left = [amount] * 4
            while any(left):
                cases = [case(at, left[at]) if left[at] else None for at in range(4)]
                index, value, _ = select(cases)
                left[index] -= 1
                got.append(value)

        with going() as group:
            group.spawn(choose, lambda at, number: channels[at].sending((at, number)))
            group.spawn(choose, lambda at, number: channels[at].receiving())
            for at, channel in enumerate(channels):
                group.spawn(pour, [(at, -number) for number in range(amount)], channel)
                group.spawn(lambda one=channel: got.extend(one.recv() for _ in range(amount)))
            group.join()
        return sorted(value for value in got if value is not None)

    def expected(amount):
        return [(at, number) for at in range(4) for number in range(1 - amount, amount + 1)]

    assert program(300) == expected(300)
    assert play(program, 10) == [expected(10)]


# Many at work


def test_many_workers_lose_and_invent_nothing():
    def program(amount):
        queue, results = Channel(12), Channel(12)

        def work(number):
            for value in queue:
                if value % 5 == number:
                    gevent.sleep(0)  # so that values overtake each other
                results.send(value)

        def feed():
            pour(range(amount), queue)
            queue.close()
            gevent.joinall(workers)
            results.close()

        with going() as group:
            workers = [group.spawn(work, number) for number in range(5)]
            group.spawn(feed)
            return sorted(results)

    assert program(3000) == list(range(3000))
    assert play(program, 60) == [list(range(60))]


@pytest.mark.parametrize("capacity", [0, 1, 10])
def test_closing_one_case_ends_all_selects_and_loses_nothing(capacity):
    def program():
        work, over, sent, got = Channel(capacity), Channel(), [], []

        def produce(number):
            while select([work.sending(number), over.receiving()])[0] == 0:
                sent.append(number)
                number += 3

        def consume():
            while True:
                index, value, _ = select([over.receiving(), work.receiving()])
                if index == 0:
                    return
                got.append(value)
                if len(got) == 50:
                    over.close()

        with going() as group:
            for number in range(3):
                group.spawn(produce, number)
                group.spawn(consume)
            group.join()
        work.close()
        assert sorted(sent) == sorted([*got, *work])
        return len(got) >= 50

    assert play(program) == [True]


def test_a_channel_on_which_everybody_waits_makes_no_difference():
    def program():
        popular, own, got = Channel(), [Channel() for _ in range(30)], Counter()

        def choose(channel):
            for _ in range(4):
                got[select([popular.receiving(), channel.receiving()])] += 1

        with going() as group:
            for channel in own:
                group.spawn(choose, channel)
            for number in range(4):
                for channel in own:
                    channel.send(number)
            group.join()
        assert "senders=0 receivers=0" in repr(popular)
        return got

    assert play(program) == [{(1, number, True): 30 for number in range(4)}]
