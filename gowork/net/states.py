"""The states of a stream, and which of them follows when one of its directions ends."""

from __future__ import annotations

import enum

__all__ = ["READ_END", "WRITE_END", "StreamState"]


class StreamState(enum.Enum):
    """What a stream can still do; CLOSED is the end."""

    OPEN = "open"
    READ_ENDED = "the peer sends no more"
    WRITE_ENDED = "nothing more is sent"
    ENDED = "ended both ways"
    BROKEN = "broken"
    CLOSED = "closed"


#: What follows when the peer has ended; what is missing is refused.
READ_END = {
    StreamState.OPEN: StreamState.READ_ENDED,
    StreamState.READ_ENDED: StreamState.READ_ENDED,
    StreamState.WRITE_ENDED: StreamState.ENDED,
    StreamState.ENDED: StreamState.ENDED,
    StreamState.BROKEN: StreamState.BROKEN,
}
#: What follows when this side has ended; what is missing is refused.
WRITE_END = {
    StreamState.OPEN: StreamState.WRITE_ENDED,
    StreamState.READ_ENDED: StreamState.ENDED,
}
