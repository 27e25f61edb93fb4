"""CPython's arena allocator, called directly, and put in place, by way of ctypes."""

from __future__ import annotations

import ctypes

ALLOC = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
FREE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


class ArenaAllocator(ctypes.Structure):
    """The ``PyObjectArenaAllocator`` of C; its methods release the GIL."""

    _fields_ = (("ctx", ctypes.c_void_p), ("alloc_", ALLOC), ("free_", FREE))

    @classmethod
    def current(cls) -> ArenaAllocator:
        allocator = cls()
        ctypes.pythonapi.PyObject_GetArenaAllocator(ctypes.byref(allocator))
        return allocator

    def put_in_place(self) -> None:
        ctypes.pythonapi.PyObject_SetArenaAllocator(ctypes.byref(self))

    def alloc(self, size: int) -> int | None:
        address: int | None = self.alloc_(self.ctx, size)
        return address

    def free(self, address: int | None, size: int) -> None:
        self.free_(self.ctx, address, size)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ArenaAllocator) and bytes(self) == bytes(other)


def of_libc() -> ArenaAllocator:
    """Another arena allocator: ``calloc(1, size)``, and for ``free`` something that does nothing.

    An allocator in Python would not do, as it is called when Python can run no code.
    """
    libc = ctypes.CDLL(None)
    return ArenaAllocator(1, ALLOC(("calloc", libc)), FREE(("abs", libc)))
