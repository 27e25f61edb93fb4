"""Native threads, also in a monkey-patched process, where ``threading`` means greenlets."""

from gevent.monkey import get_original

__all__ = ["allocate_lock", "get_ident"]

allocate_lock = get_original("_thread", "allocate_lock")
get_ident = get_original("_thread", "get_ident")
