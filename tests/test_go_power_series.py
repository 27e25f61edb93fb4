"""Power series as streams of coefficients that flow, when asked for, through trees of channels.

After M. D. McIlroy, "Squinting at Power Series", as golang/go's ``test/chan/powser1.go`` and
``powser2.go``. Each operation is a greenlet. A series that is made of itself, as the exponential
is, is a loop of them: one that waited for the wrong channel would stop them all.
"""

# Each check of powser1.go and powser2.go is a row of SERIES below; to the right of a name stand
# its first coefficients. The tangent, which Go leaves out, and the laws at the end are ours.

from collections import deque
from fractions import Fraction
from functools import wraps
from itertools import chain, islice, repeat

import pytest
from gophers import going, play

from gowork import Channel, select


def flowing(coefficients):
    """Make of a method that returns coefficients one that returns a series of the same group."""

    @wraps(coefficients)
    def start(self, *args):
        series = Series(self.group)
        series.pour(coefficients(self, *args))
        return series

    return start


class Series:
    """A stream of coefficients, each computed no sooner than it is asked for."""

    def __init__(self, group):
        self.group = group
        self.asked, self.given = Channel(), Channel()

    def pour(self, coefficients):
        def give():
            while True:
                self.asked.recv()
                self.given.send(next(coefficients))

        self.group.spawn(give)

    def __iter__(self):
        while True:
            self.asked.send("please")
            yield self.given.recv()

    def pairs(self, other):
        """The coefficients of both, whichever of them is the first to have its next."""
        both = (self, other)
        while True:
            values, cases = {}, [one.asked.sending("please") for one in both]
            while len(values) < 2:
                at, value, _ = select(cases)
                if value is None:  # it has been asked
                    cases[at] = both[at].given.receiving()
                else:
                    values[at], cases[at] = value, None
            yield values[0], values[1]

    def split(self, *parts):
        """Let each of the empty series *parts* be this one, at a pace of its own."""
        kept = {part: deque() for part in parts}

        def serve():
            waiting, asking = [], False
            while True:
                cases = [None if one in waiting else one.asked.receiving() for one in parts]
                mine = self.given.receiving() if asking else self.asked.sending("please")
                at, value, _ = select([*cases, mine if waiting else None])
                if at < len(parts):
                    waiting.append(parts[at])
                else:
                    asking = not asking
                    if not asking:
                        for values in kept.values():
                            values.append(value)
                for part in [one for one in waiting if kept[one]]:
                    waiting.remove(part)
                    part.given.send(kept[part].popleft())

        self.group.spawn(serve)

    def twins(self):
        twins = Series(self.group), Series(self.group)
        self.split(*twins)
        return twins

    @flowing
    def __add__(self, other):
        return (a + b for a, b in self.pairs(other))

    @flowing
    def scaled(self, factor):
        return (factor * a for a in self)

    @flowing
    def shifted(self, first):
        return chain([first], self)

    @flowing
    def spread(self, factor, step):
        """It with ``factor * x ** step`` in the place of x."""
        for at, a in enumerate(self):
            yield a * factor**at
            yield from repeat(0, step - 1)

    @flowing
    def __mul__(self, other):
        a, b = next(self.pairs(other))
        yield a * b
        ones, others = self.twins(), other.twins()
        crosswise = ones[0].scaled(b) + others[0].scaled(a)
        yield next(iter(crosswise))
        yield from crosswise + ones[1] * others[1]

    @flowing
    def derivative(self):
        return (at * a for at, a in enumerate(self) if at)

    @flowing
    def integral(self, constant):
        return chain([constant], (Fraction(a) / at for at, a in enumerate(self, 1)))

    def exponential(self):
        """e to the power of it; its constant is taken for 0."""
        loop, result = Series(self.group), Series(self.group)
        (loop * self.derivative()).integral(1).split(loop, result)
        return result

    @flowing
    def reciprocal(self):
        first = 1 / Fraction(next(iter(self)))
        loop, result = Series(self.group), Series(self.group)
        (self.scaled(-first) * loop.shifted(first)).split(loop, result)
        return chain([first], result)

    @flowing
    def of(self, inner):
        """It with the series *inner*, whose constant is taken for 0, in the place of x."""
        yield next(iter(self))
        factor, rest = inner.twins()
        next(iter(factor))
        yield from factor * self.of(rest)

    @flowing
    def inverse(self):
        """What it has to be applied to for x; its constant is taken for 0."""
        next(iter(self))
        yield 0
        loop, result = Series(self.group), Series(self.group)
        self.of(loop.shifted(0)).reciprocal().split(loop, result)
        yield from result


def constant(group, number):
    series = Series(group)
    series.pour(repeat(number))
    return series


def arctangent(ones):
    return ones.spread(-1, 2).integral(0)


def fractions(text):
    return [Fraction(number) for number in text.split()]


SERIES = {
    "ones": (lambda ones, twos: ones, "1 1 1 1 1 1 1 1"),
    "sum": (lambda ones, twos: ones + twos, "3 3 3 3 3 3 3 3"),
    "sum of the same": (lambda ones, twos: ones + ones, "2 2 2 2 2 2 2 2"),
    "multiple": (lambda ones, twos: twos.scaled(-1), "-2 -2 -2 -2 -2 -2 -2 -2"),
    "difference": (lambda ones, twos: ones + twos.scaled(-1), "-1 -1 -1 -1 -1 -1 -1 -1"),
    "derivative": (lambda ones, twos: ones.derivative(), "1 2 3 4 5 6 7 8"),
    "integral": (lambda ones, twos: ones.integral(0), "0 1 1/2 1/3 1/4 1/5 1/6 1/7"),
    "product": (lambda ones, twos: ones * twos, "2 4 6 8 10 12 14 16"),
    "exponential": (
        lambda ones, twos: ones.exponential(),
        "1 1 3/2 13/6 73/24 167/40 4051/720 37633/5040",
    ),
    "arctangent": (lambda ones, twos: arctangent(ones), "0 1 0 -1/3 0 1/5 0 -1/7"),
    "tangent": (lambda ones, twos: arctangent(ones).inverse(), "0 1 0 1/3 0 2/15 0 17/315"),
}


@pytest.mark.parametrize(("build", "coefficients"), SERIES.values(), ids=SERIES)
def test_a_series_flows_through_a_tree_of_channels(build, coefficients):
    expected = fractions(coefficients)

    def program(terms):
        with going() as group:
            series = build(constant(group, 1), constant(group, 2))
            return list(islice(series, terms))

    assert program(8) == expected
    assert play(program, 5) == [expected[:5]]


@pytest.mark.parametrize(
    ("law", "coefficients"),
    [
        (lambda ones: ones * ones.reciprocal(), "1 0 0 0"),
        (lambda ones: ones.exponential() * ones.scaled(-1).exponential(), "1 0 0 0"),
        (lambda ones: arctangent(ones).of(arctangent(ones).inverse()), "0 1 0 0"),
        (lambda ones: ones.of(ones.integral(0)), "1 1 3/2 7/3"),
    ],
)
def test_series_keep_their_laws(law, coefficients):
    def program():
        with going() as group:
            return list(islice(law(constant(group, 1)), 4))

    assert play(program) == [fractions(coefficients)]
