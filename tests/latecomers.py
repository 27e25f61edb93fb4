"""Exceptions that come too late to stop a send, and senders who note what befalls them."""

import gevent

LONG = 10


class Late(Exception):
    """What is thrown into a sender."""


def in_the_hub(*functions):
    """Call them one behind the other, before anybody runs whom they wake."""

    def call():
        for function in functions:
            function()

    gevent.get_hub().loop.run_callback(call)


def living(function, *args):
    """A greenlet that has called *function* and waits in it."""
    greenlet = gevent.spawn(function, *args)
    gevent.sleep(0)
    return greenlet


class Story(list):
    """What befalls a sender: of each step that it has returned, or what it has raised."""

    def step(self, name, function, *args):
        try:
            function(*args)
        except BaseException as error:
            self.append((name, type(error)))
        else:
            self.append(name)


def rest():
    """What a sender does last: nothing may come to it any more."""
    gevent.sleep(LONG)
