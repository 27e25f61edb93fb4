"""Text for people: nothing that a terminal would obey, and sizes as they are spoken of."""

from __future__ import annotations

__all__ = ["brief", "printable", "size_text"]

#: How many characters of a stranger's words a line of a log holds.
MAX_BRIEF = 200


def printable(text: str) -> str:
    """*text* with a ``?`` for whatever is not to be shown: names of files and of servers
    are strangers' words, and may hold what moves cursors or cannot be encoded."""
    return "".join(one if one.isprintable() else "?" for one in text)


def brief(error: object) -> str:
    """What *error* says, printable and not longer than a log should hold."""
    return printable(str(error)[:MAX_BRIEF])


def size_text(size: float) -> str:
    """*size* bytes as people write it."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
