"""Fan-out: many tasks at once; the first to fail stops the others, and each one clears up.

python -m examples.fan_out
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent

from gowork import Job, Task


def square_root(number: float) -> Callable[[Job], Any]:
    """A task that takes as many hundredths of a second as its root; none of a negative number."""

    def factory(job: Job) -> Any:
        def init(task: Task) -> None:
            print(f"  {task.name}: begun")

        def run(task: Task) -> None:
            task.assert_true(number >= 0, ValueError(f"{number} has no square root"))
            task.result = number**0.5
            gevent.sleep(task.result / 100)
            task.done()

        def finalize(task: Task) -> None:
            print(f"  {task.name}: cleared up, {task.state.name}")

        return init, run, finalize

    return factory


def fan_out(numbers: list[float]) -> None:
    """Print the roots of all *numbers*, or which of them made that impossible."""
    job = Job(name="roots")
    for number in numbers:
        job.add_task(square_root(number), name=f"root of {number}")
    job.run().wait()
    task, error = job.interrupted_by
    if task is None:
        print("roots:", [each.result for each in job.tasks])
    else:
        print(f"{job.state.name} by {task.name!r}: {error}")


if __name__ == "__main__":
    print("three that can be done:")
    fan_out([4, 9, 16])
    print("one that cannot:")
    fan_out([400, -1, 900])
