"""A scratch buffer for what has been received and is used before anything else runs.

Every stream of a thread reads into the same memory, because a buffer of its own would
make a thousand idle connections cost megabytes. That is safe where nothing can switch
between the read, which fills it as its last act, and the use.
"""

from __future__ import annotations

from gevent.monkey import get_original

__all__ = ["READ_BUFFER", "scratch"]

#: How much one read takes at most unless somebody says otherwise, in bytes.
READ_BUFFER = 64 * 1024

# The one of threads: one of greenlets would be a buffer for each of them.
_threads = get_original("threading", "local")()


def scratch(size: int) -> memoryview:
    """The first *size* bytes of this thread's buffer."""
    view: memoryview | None = getattr(_threads, "view", None)
    if view is None or len(view) < size:
        view = _threads.view = memoryview(bytearray(max(size, READ_BUFFER)))
    return view[:size]
