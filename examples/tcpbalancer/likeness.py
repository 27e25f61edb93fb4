"""Whether two pictures show the same thing."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageChops, ImageOps, ImageStat

__all__ = ["alike"]

SIDE = 16
#: How far apart two colours may be on average, of 255.
TOLERANCE = 3.0


def alike(original: Path, other: Image.Image) -> bool:
    """Whether *other* is the picture at *original* in another size.

    :raises OSError: if *original* cannot be opened.
    """
    with Image.open(original) as picture:
        picture.draft(None, (8 * SIDE, 8 * SIDE))
        thumbs = _thumb(ImageOps.exif_transpose(picture)), _thumb(other)
    return max(ImageStat.Stat(ImageChops.difference(*thumbs)).mean) <= TOLERANCE


def _thumb(picture: Image.Image) -> Image.Image:
    flat = Image.new("RGBA", picture.size, "white")
    flat.alpha_composite(picture.convert("RGBA"))
    return flat.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
