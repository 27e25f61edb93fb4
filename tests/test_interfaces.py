"""What the parts promise is what they do."""

from __future__ import annotations

import logging

import pytest
from makers import done, routines
from zope.interface import Interface
from zope.interface.verify import verifyClass, verifyObject

from gowork import (
    Channel,
    Event,
    IChannel,
    IEvent,
    IJob,
    ILogger,
    IPingPong,
    IRoutines,
    ITask,
    Job,
    PingPong,
    Task,
    interfaces,
)
from gowork.net.frames import BytesCodec

PROMISES = [
    (IJob, Job),
    (ITask, Task),
    (IChannel, Channel),
    (IPingPong, PingPong),
    (IEvent, Event),
    (interfaces.ICodec, BytesCodec),
]


@pytest.mark.parametrize(("interface", "cls"), PROMISES)
def test_a_class_keeps_what_its_interface_promises(interface, cls):
    assert verifyClass(interface, cls)


def test_objects_keep_what_their_interfaces_promise():
    job = Job()
    verifyObject(IJob, job)
    verifyObject(ITask, job.add_task(routines(run=done)))
    verifyObject(IEvent, job.run())
    verifyObject(IChannel, job.task_done_notify())
    verifyObject(IPingPong, PingPong())
    job.join()


def test_what_a_factory_makes_may_be_verified_too():
    class Greeter:
        def init(self, task):
            raise NotImplementedError

        run = finalize = init

    verifyObject(IRoutines, Greeter(), tentative=True)


def test_a_standard_logger_is_a_logger():
    verifyObject(ILogger, logging.getLogger("gowork"), tentative=True)


def test_the_interfaces_say_what_they_promise():
    for name in interfaces.__all__:
        interface = getattr(interfaces, name)
        assert issubclass(type(interface), type(Interface))
        assert interface.__doc__, name
        for attribute in interface.names():
            assert interface[attribute].getDoc(), f"{name}.{attribute}"


def test_no_method_of_an_interface_names_self():
    for name in interfaces.__all__:
        for attribute in getattr(interfaces, name).names():
            description = getattr(interfaces, name)[attribute]
            if hasattr(description, "getSignatureInfo"):
                assert "self" not in description.getSignatureInfo()["positional"]
