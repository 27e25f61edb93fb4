"""The stack of a greenlet that has ended is kept for the next one.

CPython has the Python frames of a greenlet in a chunk of 16 KiB, which it maps when the
greenlet starts and unmaps when it ends: that is most of what a short greenlet costs. An
extension puts itself between CPython and its allocator and keeps these chunks, as many as a
limit allows; those that nobody needs it gives back by and by, as other greenlets end.

It does so once this module is imported, which ``import gowork`` does, unless the environment
says ``GOWORK_STACK_CACHE=0``. The functions may be called where there is no extension, too.
"""

import os
import sys
from operator import index
from typing import TYPE_CHECKING, NamedTuple

from greenlet import greenlet

_reason = "it was not installed"  # empty once it is
if TYPE_CHECKING:
    from gowork._speedups import chunks
elif os.environ.get("PURE_PYTHON"):
    chunks = None
    _reason = "PURE_PYTHON is set"
else:
    try:
        from gowork._speedups import chunks
    except ImportError as error:
        chunks = None
        _reason = f"its extension is not there, perhaps for want of a C compiler: {error}"

__all__ = ["CHUNK", "LIMIT", "Statistics", "install", "statistics", "trim", "uninstall"]

#: The bytes of a chunk. A deep stack has more chunks, larger ones among them; these alone are kept.
CHUNK = 16 * 1024
#: How many bytes may be kept where nobody says otherwise: 4,096 chunks.
LIMIT = 64 * 1024 * 1024


class Statistics(NamedTuple):
    """What the cache of this process has done for all its threads, and what it holds."""

    #: Whether it serves new greenlets, as far as :func:`install` could see.
    installed: bool
    #: Why it is not installed; empty if it is.
    reason: str
    #: How many chunks came from the cache.
    hits: int
    #: How many had to be mapped.
    misses: int
    #: How many are kept now.
    held_chunks: int
    #: The same in bytes of address space; most stacks have touched a quarter of theirs.
    held_bytes: int
    #: How many bytes may be kept; 0 if it is not installed.
    limit: int


def install(limit: int = LIMIT) -> bool:
    """Keep the chunks of greenlets that end, up to *limit* bytes; whether that works.

    If it returns False, :func:`statistics` tells the reason. It may be called again, with
    another limit. A greenlet is started, to see whether its chunk comes from the cache.

    :raises ValueError: if *limit* is less than a :data:`CHUNK`, or more than the system can count.
    """
    global _reason
    limit = index(limit)
    if not CHUNK <= limit <= sys.maxsize:
        raise ValueError(f"a limit is from {CHUNK} (one chunk) to {sys.maxsize} bytes, not {limit}")
    if chunks is None:
        return False
    chunks.install(limit // CHUNK)
    if not _serves_new_greenlets():
        chunks.uninstall()
        _reason = (
            "a new greenlet took no chunk from it: this Python has other stacks, "
            "or another arena allocator has been put in its place"
        )
        return False
    _reason = ""
    return True


def _serves_new_greenlets() -> bool:
    hits, misses, *_ = chunks.counts()
    greenlet(lambda: None).switch()
    return chunks.counts()[:2] != (hits, misses)


def uninstall() -> None:
    """Give back all chunks and keep none any more.

    Another arena allocator that was put on top of the cache stays where it is.
    """
    global _reason
    if chunks is not None:
        chunks.uninstall()
        _reason = "it was uninstalled"


def trim(keep: int = 0) -> None:
    """Give back all chunks but *keep* bytes of them.

    :raises ValueError: if *keep* is negative, or more than the system can count.
    """
    keep = index(keep)
    if not 0 <= keep <= sys.maxsize:
        raise ValueError(f"what to keep is from 0 to {sys.maxsize} bytes, not {keep}")
    if chunks is not None:
        chunks.trim(keep // CHUNK)


def statistics() -> Statistics:
    """What the cache has done, and what it holds."""
    hits, misses, held, limit = (0, 0, 0, 0) if chunks is None else chunks.counts()
    return Statistics(not _reason, _reason, hits, misses, held, held * CHUNK, limit * CHUNK)


if os.environ.get("GOWORK_STACK_CACHE", "").lower() in ("0", "off", "no", "false"):
    _reason = _reason if chunks is None else "GOWORK_STACK_CACHE keeps it off"
else:
    install()
