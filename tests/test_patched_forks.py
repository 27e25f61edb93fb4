"""Forks of a monkey-patched process, each in a process of its own.

gevent's own fork hangs in the child of a patched process that has used the threadpool, as
a process that runs tests has: there test_forks.py is not collected, and this is left.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")

SCRIPT = """
from gevent import monkey
monkey.patch_all()
import os, sys, time
from gowork import Job, JobState

def note(text):
    os.write(1, (text + "\\n").encode())

def family(job):
    def run(task):
        pid = os.fork()
        who = "child" if pid == 0 else "parent"
        if pid == 0:
            task.done()
        else:
            os.waitpid(pid, 0)
            job.finish()
    return None, run, lambda task: note("finalizer of " + name())

def name():
    return "parent" if os.getpid() == parent else "child"

def neighbour(job):
    def run(task):
        task.idle(0.01)
        if name() == "child":
            note("a routine of the child")
    return None, run, lambda task: note("finalizer of " + name())

parent = os.getpid()
job = Job()
job.add_task(neighbour)
job.add_task(family)
job.run()
if name() == "parent":
    while job.state is JobState.RECURRENT_RUNNING:
        time.sleep(0.01)
if name() == "parent":
    job.join()
    note(job.state.name)
else:
    time.sleep(0.1)
    note("child " + job.state.name)
    os._exit(0)
"""


def test_in_a_patched_process_too_the_copies_of_a_forked_child_begin_nothing():
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=25, check=False
    )
    assert (ran.stderr, ran.returncode) == ("", 0)
    assert sorted(ran.stdout.splitlines()) == [
        "DONE",
        "child CANCELLED",
        "finalizer of parent",
        "finalizer of parent",
    ]
