"""One picture made smaller or larger, from bytes to bytes; nothing here knows of gevent.

The bytes come from a stranger. So the header is read first and alone: only JPEG and PNG
are tried, and the size it claims is checked before a single pixel is unpacked. A JPEG is
then decoded at no less than twice the wanted size (``draft``), or little more, which costs a
fraction of the time and memory of the whole picture and cannot be told from it.
"""

from __future__ import annotations

import io
import time
import warnings
from typing import NamedTuple

from PIL import Image, ImageOps, UnidentifiedImageError

__all__ = [
    "MAX_PIXELS",
    "MAX_SIDE",
    "Refused",
    "Resized",
    "Wanted",
    "cost",
    "fitted",
    "have_pillow_refuse_bombs",
    "resize",
    "upright_size",
]

MAX_PIXELS = 40_000_000  # of either picture
MAX_SIDE = 8192  # of the picture that goes
#: Each scan of a JPEG costs a pass over all its pixels, however few bytes it has itself.
MAX_SCANS = 100

# What takes memory, in bytes: a pixel; its coefficients, as long as a JPEG comes in scans;
# and whatever the libraries need for themselves.
PIXEL, COEFFICIENT, OVERHEAD = 4, 6, 2**20
# Decode a JPEG to so many times the wanted size, or more, and reduce any picture to so many
# times, before it is resampled properly.
DRAFT, GAP = 2, 3
START_OF_SCAN = b"\xff\xda"
ORIENTATION = 0x0112
SIDEWAYS = frozenset({5, 6, 7, 8})


class Refused(Exception):
    """This picture cannot be resized; ``code`` says why in one word, ``message`` in a sentence.

    If it is ``retryable``, that was not the picture's fault.
    """

    def __init__(self, code: str, message: str, retryable: bool = False) -> None:
        self.code = code
        self.message = message
        self.retryable = retryable
        super().__init__(code, message, retryable)

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class Resized(NamedTuple):
    """The new picture, what it really is, and how long it took in seconds."""

    data: bytes
    format: str
    width: int
    height: int
    seconds: float


class Wanted(NamedTuple):
    """What a picture is to become; of width and height one may be 0: keep the proportions.

    With both, ``mode`` says what becomes of the proportions: ``stretch`` gives them up,
    ``fit`` keeps all of the picture and lets it be smaller on one side, ``cover`` cuts off
    what is too much. ``format`` is JPEG or PNG; "" keeps the picture's own.
    """

    width: int
    height: int
    mode: str = "stretch"
    format: str = ""
    quality: int = 85


def fitted(
    width: int, height: int, size: tuple[int, int], mode: str = "stretch"
) -> tuple[int, int]:
    """The size that *width* x *height* means for a picture of *size*; 0 keeps the proportions.

    :raises Refused: if both are 0, or the result is out of bounds.
    """
    if width < 0 or height < 0 or not (width or height):
        raise Refused("BAD_REQUEST", f"{width}x{height} is no size")
    if mode == "fit" and width and height:
        if width * size[1] < height * size[0]:
            height = 0
        else:
            width = 0
    width = width or max(1, round(size[0] * height / size[1]))
    height = height or max(1, round(size[1] * width / size[0]))
    if max(width, height) > MAX_SIDE:
        raise Refused("BAD_REQUEST", f"{width}x{height}: {MAX_SIDE} is the longest side")
    if width * height > MAX_PIXELS:
        raise Refused("BAD_REQUEST", f"{width}x{height} has more than {MAX_PIXELS} pixels")
    return width, height


def cost(data: bytes | memoryview, wanted: Wanted) -> int:
    """How many bytes :func:`resize` would hold at a time, at most; only the header is read.

    :raises Refused: as far as the header tells, as :func:`resize` does.
    """
    with _opened(data) as picture:
        coefficients = picture.width * picture.height if picture.info.get("progressive") else 0
        across, down = _set_up(picture, wanted)
        wide, high = picture.size  # as it will be decoded
        reduced = min(wide, 2 * GAP * across), min(high, 2 * GAP * down)
        pixels = _copies(picture) * wide * high
        if reduced != (wide, high):
            pixels += reduced[0] * reduced[1]
        pixels += across * reduced[1]  # Lanczos goes across first, and then down
        pixels += 2 * across * down  # the result, also as a file
        return PIXEL * pixels + COEFFICIENT * coefficients + OVERHEAD


def _copies(picture: Image.Image) -> int:
    """How often all of *picture* is held at a time, in one mode or another."""
    transparent = picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
    return 1 + (picture.mode not in ("L", "RGB", "RGBA")) + transparent


def resize(data: bytes | memoryview, wanted: Wanted) -> Resized:
    """*data* as the picture that is *wanted*, upright, bare of metadata.

    Uses the processor for a while and gives the GIL back meanwhile: call it in a thread.

    :raises Refused: if *data* is no picture, a damaged or too large one, or the size is wrong.
    """
    started = time.monotonic()
    with _opened(data) as picture:
        size = _set_up(picture, wanted)
        turned = _orientation(picture) is not None
        try:
            picture.load()
            box = _middle(picture.size, size) if wanted.mode == "cover" else None
            result = _resampleable(picture).resize(
                size, Image.Resampling.LANCZOS, box, reducing_gap=float(GAP)
            )
            if turned:  # what is only known from behind the pixels comes too late
                ImageOps.exif_transpose(result, in_place=True)
        except Exception as error:  # of malformed data Pillow raises whatever it stumbles over
            raise _damaged(error) from error
        result.info.clear()
        own = "PNG" if picture.format == "PNG" else "JPEG"  # a JPEG of several pictures is "MPO"
        kind = wanted.format or own
        if kind == "JPEG" and result.mode == "RGBA":
            result = Image.alpha_composite(Image.new("RGBA", result.size, "white"), result)
            result = result.convert("RGB")
        out = io.BytesIO()
        result.save(out, kind, quality=wanted.quality)
    return Resized(out.getvalue(), kind, *result.size, time.monotonic() - started)


def _set_up(picture: Image.Image, wanted: Wanted) -> tuple[int, int]:
    """Have *picture* decoded no larger than it has to be; the size to resample it to.

    :raises Refused: if the size asked for is wrong, or the metadata are damaged.
    """
    try:
        upright = upright_size(picture)
    except Exception as error:
        raise _damaged(error) from error
    size = fitted(wanted.width, wanted.height, upright, wanted.mode)
    if upright != picture.size:
        size = size[::-1]  # it is turned when it is small
    picture.draft(None, (size[0] * DRAFT, size[1] * DRAFT))
    return size


def _middle(size: tuple[int, int], wanted: tuple[int, int]) -> tuple[float, float, float, float]:
    """The largest box in the middle of *size* that has the proportions *wanted*."""
    scale = min(size[0] / wanted[0], size[1] / wanted[1])
    left, top = (size[0] - scale * wanted[0]) / 2, (size[1] - scale * wanted[1]) / 2
    return max(0.0, left), max(0.0, top), min(size[0], size[0] - left), min(size[1], size[1] - top)


def _damaged(error: Exception) -> Refused:
    return Refused("DAMAGED", f"{error or type(error).__name__}")


def have_pillow_refuse_bombs() -> None:
    """Have Pillow itself refuse what claims too many pixels, too, and not just warn."""
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    warnings.simplefilter("error", Image.DecompressionBombWarning)


def upright_size(picture: Image.Image) -> tuple[int, int]:
    """The size of *picture* once it has been turned as its metadata ask for."""
    wide, high = picture.size
    return (high, wide) if _orientation(picture) in SIDEWAYS else (wide, high)


def _orientation(picture: Image.Image) -> int | None:
    # A PNG's own method would unpack all of it, to see what stands behind the pixels.
    orientation: int | None = Image.Image.getexif(picture).get(ORIENTATION)
    return orientation


def _opened(data: bytes | memoryview) -> Image.Image:
    """The picture with only its header read.

    :raises Refused: if there is none, or it would be too large.
    """
    try:
        picture = Image.open(io.BytesIO(data), formats=("JPEG", "PNG"))
    except UnidentifiedImageError:
        raise Refused("NOT_A_PICTURE", "neither a JPEG nor a PNG") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Refused("TOO_LARGE", str(error)) from None
    except Exception as error:
        raise _damaged(error) from error
    wide, high = picture.size
    if wide * high > MAX_PIXELS:
        picture.close()
        raise Refused("TOO_LARGE", f"{wide}x{high} has more than {MAX_PIXELS} pixels")
    if picture.format != "PNG" and bytes(data).count(START_OF_SCAN) > MAX_SCANS:
        picture.close()
        raise Refused("TOO_LARGE", f"it has more than {MAX_SCANS} scans")
    return picture


def _resampleable(picture: Image.Image) -> Image.Image:
    """*picture* in a mode that can be resampled and saved: palettes have no colours between."""
    if picture.mode in ("L", "RGB", "RGBA") and "transparency" not in picture.info:
        return picture
    if picture.mode in ("I", "I;16"):
        picture = _in_8_bits(picture)
    if picture.has_transparency_data:
        return picture.convert("RGBA")
    return picture.convert("L" if picture.mode in ("1", "L") else "RGB")


def _in_8_bits(picture: Image.Image) -> Image.Image:
    """*picture*, grey of 16 bits, in 8: Pillow itself would take all but the darkest for white."""
    transparent = picture.info.pop("transparency", None)
    grey = picture.point(lambda value: value * (1 / 257) + 0.5).convert("L")
    if transparent is not None:  # what is as good as that grey is transparent, too
        grey.info["transparency"] = (transparent + 128) // 257
    return grey
