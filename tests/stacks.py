"""What the tests of the cache of stack chunks start, count, and call directly."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from typing import Any

from greenlet import getcurrent, greenlet

from gowork.stackchunks import statistics


def parked(number: int) -> list[greenlet]:
    """Greenlets that have been started; each ends when it is switched to."""
    here = getcurrent()
    greenlets = [greenlet(lambda: here.switch()) for _ in range(number)]
    end(greenlets)
    return greenlets


def end(greenlets: Iterable[greenlet]) -> None:
    for one in greenlets:
        one.switch()


def counted(fn: Callable[..., Any], *args: Any) -> tuple[int, ...]:
    """By how much hits, misses and held chunks change in a call."""
    before = statistics()
    fn(*args)
    after = statistics()
    names = ("hits", "misses", "held_chunks")
    return tuple(getattr(after, name) - getattr(before, name) for name in names)


ALLOC = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
FREE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


class ArenaAllocator(ctypes.Structure):
    """The ``PyObjectArenaAllocator`` of C; its functions are called without the GIL."""

    _fields_ = (("ctx", ctypes.c_void_p), ("alloc_", ALLOC), ("free_", FREE))

    @classmethod
    def current(cls) -> ArenaAllocator:
        allocator = cls()
        ctypes.pythonapi.PyObject_GetArenaAllocator(ctypes.byref(allocator))
        return allocator

    def put_in_place(self) -> None:
        ctypes.pythonapi.PyObject_SetArenaAllocator(ctypes.byref(self))

    def is_in_place(self) -> bool:
        return bytes(self) == bytes(self.current())

    def alloc(self, size: int) -> int | None:
        address: int | None = self.alloc_(self.ctx, size)
        return address

    def free(self, address: int | None, size: int) -> None:
        self.free_(self.ctx, address, size)

    @staticmethod
    def fill(address: int, size: int) -> None:
        """Write all over a block."""
        ctypes.memset(address, 0xA5, size)


def of_libc() -> ArenaAllocator:
    """An arena allocator of somebody else's: ``calloc(1, size)``, and a ``free`` that does nothing.

    One in Python would not do: it would be called where no Python can run.
    """
    libc = ctypes.CDLL(None)
    return ArenaAllocator(1, ALLOC(("calloc", libc)), FREE(("abs", libc)))
