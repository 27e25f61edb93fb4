"""Hello, job: a task that greets three times, and says goodbye whatever happens."""

from gowork import Job, Task


def run(task: Task) -> None:
    task.job.value += 1
    print("hello", task.job.value)
    task.tick() if task.job.value < 3 else task.done()


job = Job(0)
job.add_task(lambda job: (None, run, lambda task: print("goodbye")))
job.run().wait()
