"""Relays: two streams joined, so that what comes from either goes to the other.

Each direction ends by itself: the end of one stream's data is passed on as the end of
the other's, and the way back stays open. Anything else that stops a relay, be it an
error, a timeout or a kill, is passed on as a reset on both sides, so that neither peer
takes what was cut short for what was whole. A joined stream carries the data of its
peer alone: it is closed with the relay, and never joined to another.

The pumps wait first and then receive, all of them into one buffer: what came is sent
before anything else can run, and only what the system does not take at once is copied.
That is all that a relay holds for a peer that does not read.
"""

from __future__ import annotations

from typing import Any

from gowork.net.buffers import READ_BUFFER, scratch
from gowork.net.streams import Stream

__all__ = ["relay"]


def relay(
    job: Any, left: Stream, right: Stream, *, idle_timeout: float | None = None
) -> tuple[Any, Any]:
    """Add to *job* the two tasks that join *left* and *right*, and return them.

    When both directions have ended both streams are closed; when the job is stopped
    before, both are reset. Where it is stopped before the tasks begin, the streams are
    left to whoever made them, whose finalizer is to close them in any case.

    :param idle_timeout: seconds without a byte in *either* direction after which the
        job fails with :exc:`IdleTimeout`.
    :raises StateError: if the end of the job has been decided.
    """
    joined = _Relay(left, right)
    for name, source, sink in (("left to right", left, right), ("right to left", right, left)):
        pump = _Pump(joined, source, sink)
        joined.tasks.append(job.add_task(pump, name=name, idle_timeout=idle_timeout))
    return joined.tasks[0], joined.tasks[1]


class _Relay:
    """What the two directions share."""

    def __init__(self, *streams: Stream) -> None:
        self.streams = streams
        self.tasks: list[Any] = []
        self.ended = 0

    def progress(self) -> None:
        for task in self.tasks:
            task.progress()

    def close(self) -> None:
        whole = self.ended == len(self.streams)
        for stream in self.streams:
            if whole:
                stream.close()
            else:
                stream.abort()


class _Pump:
    """One direction."""

    def __init__(self, joined: _Relay, source: Stream, sink: Stream) -> None:
        self._relay = joined
        self._source = source
        self._sink = sink

    def run(self, task: Any) -> None:
        buffer = scratch(READ_BUFFER)
        while size := self._source.recv_into(buffer):
            # A byte that came is activity, and so is one that has been taken, but no
            # waiting for a peer that takes none.
            self._relay.progress()
            sent = self._sink.write_nowait(buffer[:size])
            if sent < size:
                self._sink.write_raw(bytes(buffer[sent:size]))  # others use the buffer meanwhile
                self._relay.progress()
        self._relay.progress()
        self._sink.shutdown_write()
        self._relay.ended += 1
        task.done()

    def finalize(self, task: Any) -> None:
        self._relay.close()
