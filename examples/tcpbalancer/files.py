"""The client's side of the disk: which pictures there are, and where results go."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["Outputs", "pictures_below", "write_whole"]

SUFFIXES = {"JPEG": ".jpg", "PNG": ".png"}
MAGICS = {"JPEG": b"\xff\xd8\xff", "PNG": b"\x89PNG\r\n\x1a\n"}


def pictures_below(directory: Path, without: Path | None = None) -> list[Path]:
    """What is a JPEG or PNG by its name or by its first bytes, in order; links are not followed.

    :param without: a directory below it to leave out.
    :raises OSError: if *directory* cannot be read.
    """
    if not directory.is_dir():
        raise NotADirectoryError(f"{directory} is no directory")
    left_out = None if without is None else without.resolve()
    found = []
    for place, directories, names in os.walk(directory, onerror=_raise):
        directories[:] = [name for name in directories if Path(place, name).resolve() != left_out]
        found += [Path(place, name) for name in names]
    return sorted(path for path in found if not path.is_symlink() and _is_picture(path))


def _raise(error: OSError) -> None:
    raise error


def _is_picture(path: Path) -> bool:
    if not path.is_file():  # a named pipe would wait for somebody to write
        return False
    if path.suffix.lower() in (".jpg", ".jpeg", ".png"):
        return True
    try:
        with path.open("rb") as file:
            return file.read(8).startswith(tuple(MAGICS.values()))
    except OSError:
        return True  # nobody can tell; that it is unreadable will be its outcome


def write_whole(path: Path, data: bytes) -> None:
    """Write *data* to *path*, all of it or nothing.

    :raises OSError: if it cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


class Outputs:
    """Writes results as ``NAME-WxH.ext`` below *directory*, in the originals' sub-directories.

    Two originals never share one result: where they would, because only their extensions
    differ, the later one gets a number.

    :raises OSError: if *directory* cannot be made.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._root = directory.resolve()
        self._owners: dict[Path, Path] = {}

    def write(self, original: Path, width: int, height: int, kind: str, data: bytes) -> Path:
        """Write *data*, all of it or nothing, and the path it has got.

        :param original: where the picture came from, relative to the input directory.
        :raises ValueError: if *kind* is neither ``JPEG`` nor ``PNG``, *data* does not begin
            like one, a side is 0, or the result would lie outside of the directory.
        :raises OSError: if it cannot be written.
        """
        if kind not in SUFFIXES:
            raise ValueError(f"{kind!r} is neither JPEG nor PNG")
        if not data.startswith(MAGICS[kind]) or min(width, height) < 1:
            raise ValueError(f"what came is no {kind} of {width}x{height}")
        path = self._free(original, f"{original.stem}-{width}x{height}", SUFFIXES[kind])
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data)
        return path

    def _free(self, original: Path, stem: str, suffix: str) -> Path:
        """The first of NAME, NAME-2, ... that belongs to *original* or to nobody."""
        parent = (self._root / original.parent).resolve()
        if not parent.is_relative_to(self._root):
            raise ValueError(f"{original} would be written outside of {self._root}")
        path, number = parent / f"{stem}{suffix}", 1
        while self._owners.setdefault(path, original) != original:
            number += 1
            path = parent / f"{stem}-{number}{suffix}"
        return path
