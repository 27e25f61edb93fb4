"""Programs in the manner of Go: greenlets that end with their block, played in any order."""

from contextlib import contextmanager

import gevent
from gevent.pool import Group
from simulating import played_in_every_order

from gowork import Channel, select
from gowork.channels import seed
from gowork.testing import explore


@contextmanager
def going():
    """A group for greenlets; those that still go when the block ends are killed."""
    group = Group()
    try:
        yield group
    finally:
        group.kill()


def play(program, *args):
    """What *program(\\*args)* returns on the real loop and under each schedule, equals once."""
    values = [program(*args), *played_in_every_order(program, *args)]
    return [value for at, value in enumerate(values) if value not in values[:at]]


def every_outcome(program):
    """The set of what *program()* returns under all schedules, with some choices of select.

    Whatever polls is found out, as there is a schedule that has it poll for ever.
    """

    def choosing(number):
        seed(number)
        return program()

    outcomes = set()
    for number in range(4):
        outcomes.update(explore(choosing, number, spin_limit=100, on_spin="raise").values)
    return outcomes


def does_not_switch(call, *args):
    """What *call(\\*args)* returns, which lets no other greenlet run meanwhile."""
    ran = []
    other = gevent.spawn(ran.append, "another")
    value = call(*args)
    assert ran == []
    other.join()
    return value


def kept(value):
    """A channel that has *value* and no room for another."""
    channel = Channel(1)
    channel.send(value)
    return channel


def closed():
    """A channel that is closed and drained."""
    channel = Channel()
    channel.close()
    return channel


def receive(channel):
    """Go's ``value, ok := <-channel``: ``(None, False)`` if it is closed and drained."""
    _, value, ok = select([channel.receiving()])
    return value, ok
