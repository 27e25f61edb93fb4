"""How many bytes of pictures a backend holds at a time, whoever sends them and however many.

Pictures on their way in and pictures being unpacked have a limit each. With one for
both, pictures that have come could fill it all, and then none of them could be unpacked.
"""

from __future__ import annotations

from collections import deque

from gevent.event import Event

__all__ = ["Budget", "Intake"]


class Budget:
    """*limit* bytes, lent to whoever asks, in the order they ask."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self._waiting: deque[tuple[int, Event]] = deque()

    def take(self, size: int) -> None:
        """Borrow *size* bytes; blocks until they are there and nobody stands in front.

        :raises ValueError: if there can never be so many.
        """
        if size > self.limit:
            raise ValueError(f"{size} bytes of {self.limit}")
        if not self._waiting and self.held + size <= self.limit:
            self.held += size
            return
        place = (size, Event())
        self._waiting.append(place)
        try:
            place[1].wait()
        except BaseException:
            if place[1].is_set():  # it has been lent already
                self.give(size)
            else:
                self._waiting.remove(place)
                self._lend()  # to those who stood behind
            raise

    def give(self, size: int) -> None:
        """Give *size* bytes back. Never blocks."""
        self.held -= size
        self._lend()

    def _lend(self) -> None:
        while self._waiting and self.held + self._waiting[0][0] <= self.limit:
            size, lent = self._waiting.popleft()
            self.held += size
            lent.set()


class Intake:
    """What has come in of pictures, all connections together.

    What counts is what has arrived, not what somebody claims to send: a claim costs
    nothing. At the limit nobody reads on, but for one case: if all that is held are
    beginnings of pictures, none would ever be whole. Then the oldest may go on, so that
    there are at most *limit* bytes, one picture, and for each connection one read.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._whole = 0
        self._begun: dict[object, int] = {}  # in the order they began
        self._beginnings = 0
        self._changed = Event()

    @property
    def held(self) -> int:
        """The bytes of all pictures, whole ones and beginnings."""
        return self._whole + self._beginnings

    def wait(self, reader: object) -> None:
        """Return when *reader* may read on; blocks until then."""
        while not self._may_read(reader):
            self._changed.clear()
            self._changed.wait()

    def begun(self, reader: object, size: int) -> None:
        """What *reader* has of a picture that is not whole is *size* bytes now."""
        before = self._begun.get(reader, 0)
        self._beginnings += size - before
        if size:
            self._begun[reader] = size
        elif before:
            del self._begun[reader]
        self._changed.set()

    def came(self, size: int) -> None:
        """A whole picture of *size* bytes is held."""
        self._whole += size

    def left(self, size: int) -> None:
        """And now it is not any more."""
        self._whole -= size
        self._changed.set()

    def _may_read(self, reader: object) -> bool:
        if self.held < self.limit:
            return True
        return not self._whole and next(iter(self._begun), None) is reader
