"""The sample pictures: of every kind that people have, and one that is broken on purpose."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from examples.tcpbalancer import figures, scenes

__all__ = ["SAMPLES", "Sample", "written"]


class Sample(NamedTuple):
    """One picture to be drawn: where it goes, how large it is, what is odd about it."""

    path: str
    draw: Callable[[tuple[int, int]], Image.Image]
    size: tuple[int, int]
    oddity: str = ""


# Names that are unique only together with their directory, or with their extension, are
# here on purpose: results must not overwrite each other.
SAMPLES = (
    Sample("landscapes/mountains.jpg", scenes.mountains, (4000, 3000)),
    Sample("landscapes/forest.jpg", scenes.forest, (3000, 2000)),
    Sample("landscapes/balloons.jpg", scenes.balloons, (1920, 1280)),
    Sample("landscapes/dunes.png", scenes.dunes, (1600, 1200)),
    Sample("sea/evening.jpg", scenes.sea, (4000, 2250)),
    Sample("sea/evening.png", scenes.sea, (960, 720)),
    Sample("night/city.jpg", scenes.city, (2400, 3200)),
    Sample("night/aurora.jpg", figures.aurora, (3600, 1500)),
    Sample("night/planet.png", figures.planet, (2000, 1500)),
    Sample("figures/bauhaus.png", figures.bauhaus, (4000, 3000)),
    Sample("figures/fractal.jpg", figures.fractal, (2400, 2400)),
    Sample("figures/test-card.png", figures.tuning_card, (1024, 768)),
    Sample("figures/emblem.png", figures.emblem, (1200, 1200), "transparent"),
    Sample("figures/tiles.png", figures.bauhaus, (900, 600), "palette"),
    Sample("phone/mountains.jpg", scenes.mountains, (3000, 4000), "sideways"),
    Sample("phone/balloons.jpg", scenes.balloons, (1600, 1200), "grey"),
    Sample("phone/evening.jpg", scenes.sea, (160, 120)),
    Sample("phone/broken.jpg", scenes.dunes, (1280, 960), "broken"),
)


def written(directory: Path, samples: Sequence[Sample] = SAMPLES) -> Iterator[Path]:
    """Draw *samples* into *directory*, and the path of each when it is there."""
    for number, sample in enumerate(samples, 1):
        path = directory / sample.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_drawn(sample, number))
        yield path


def _drawn(sample: Sample, number: int) -> bytes:
    picture = sample.draw(sample.size)
    _number(picture, number)
    options: dict[str, object] = {"quality": 88}
    if sample.path.endswith(".png"):
        options = {"compress_level": 1}  # a quick one: these are made to be thrown away
    if sample.oddity == "palette":
        picture = picture.quantize(32)
    elif sample.oddity == "grey":
        picture = picture.convert("L")
    elif sample.oddity == "sideways":  # as a phone does that was held upright
        picture = picture.transpose(Image.Transpose.ROTATE_90)
        exif = Image.Exif()
        exif[0x0112] = 6
        options["exif"] = exif
    out = io.BytesIO()
    picture.save(out, "PNG" if sample.path.endswith(".png") else "JPEG", **options)
    data = out.getvalue()
    return data[: len(data) // 2] if sample.oddity == "broken" else data


def _number(picture: Image.Image, number: int) -> None:
    """Write the number of the picture into its corner."""
    unit = max(1, picture.height // 20)
    draw = ImageDraw.Draw(picture, "RGBA")
    box = (unit, picture.height - 4 * unit, 5 * unit, picture.height - unit)
    draw.rounded_rectangle(box, unit, fill=(0, 0, 0, 150))
    font = ImageFont.load_default(size=2 * unit)
    middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    draw.text(middle, str(number), fill=(255, 255, 255, 255), font=font, anchor="mm")
