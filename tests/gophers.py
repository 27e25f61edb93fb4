"""Programs in the manner of Go: greenlets that end with their block, played in any order."""

from contextlib import contextmanager

import gevent
from gevent.pool import Group
from simulating import played_in_every_order

from gowork import select


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


def does_not_switch(call, *args):
    """What *call(\\*args)* returns, which lets no other greenlet run meanwhile."""
    ran = []
    other = gevent.spawn(ran.append, "another")
    value = call(*args)
    assert ran == []
    other.join()
    return value


def receive(channel):
    """Go's ``value, ok := <-channel``: ``(None, False)`` if it is closed and drained."""
    _, value, ok = select([channel.receiving()])
    return value, ok
