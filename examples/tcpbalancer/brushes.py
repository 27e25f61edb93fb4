"""What all the sample pictures are drawn with: gradients, glows, ridges, grain."""

from __future__ import annotations

import itertools
import random

from PIL import Image, ImageChops, ImageDraw, ImageOps

__all__ = ["Size", "disc", "glow", "grain", "land", "mixed", "ridge", "sky", "stars"]

Colour = str | int | tuple[int, int, int]
Size = tuple[int, int]


def sky(size: Size, top: str, middle: str, bottom: str) -> Image.Image:
    """A vertical gradient over three colours."""
    return ImageOps.colorize(Image.linear_gradient("L").resize(size), top, bottom, middle)


def glow(picture: Image.Image, x: float, y: float, radius: float, colour: Colour) -> None:
    """Light that fades with the distance from a centre, all in parts of the height."""
    side = max(2, int(radius * 2 * picture.height))
    # Pillow's gradient is 0 in the middle and 180 where the circle touches the square.
    light = Image.radial_gradient("L").point([max(0, 180 - v) ** 2 // 150 for v in range(256)])
    corner = (int(x * picture.width) - side // 2, int(y * picture.height) - side // 2)
    picture.paste(Image.new("RGB", (side, side), colour), corner, light.resize((side, side)))


def disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: Colour) -> None:
    """A full circle, in pixels."""
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def mixed(one: tuple[int, int, int], other: tuple[int, int, int], part: float) -> Colour:
    """The colour that lies *part* of the way from *one* to *other*."""
    red, green, blue = (round(a + (b - a) * part) for a, b in zip(one, other, strict=True))
    return red, green, blue


def ridge(dice: random.Random, steps: int, roughness: float) -> list[float]:
    """Heights around 0 along a line, by halving it again and again."""
    heights = [dice.uniform(-0.5, 0.5), dice.uniform(-0.5, 0.5)]
    spread = 1.0
    for _ in range(steps):
        middles = [
            (a + b) / 2 + dice.uniform(-spread, spread) / 2 for a, b in itertools.pairwise(heights)
        ]
        heights = [h for pair in zip(heights, middles, strict=False) for h in pair] + heights[-1:]
        spread *= roughness
    return heights


def land(
    picture: Image.Image, heights: list[float], base: float, reach: float, colour: Colour
) -> None:
    """Fill everything below a ridge line; *base* and *reach* in parts of the height."""
    wide, high = picture.size
    step = wide / (len(heights) - 1)
    line = [(i * step, (base - reach * h) * high) for i, h in enumerate(heights)]
    ImageDraw.Draw(picture).polygon([*line, (wide, high), (0, high)], fill=colour)


def stars(picture: Image.Image, dice: random.Random, count: int, below: float = 1.0) -> None:
    """Scatter stars over the upper part of a picture."""
    draw = ImageDraw.Draw(picture)
    for _ in range(count):
        x, y = dice.random() * picture.width, dice.random() * picture.height * below
        shine = dice.randint(120, 255)
        disc(draw, x, y, picture.height * dice.choice((1, 1, 1, 2)) / 1000, (shine,) * 3)


def grain(picture: Image.Image, strength: float = 10) -> Image.Image:
    """The fine noise that photographs have, and that keeps gradients from showing steps."""
    tile = Image.effect_noise((512, 512), strength * min(1, picture.height / 1000))
    noise = Image.new("L", picture.size)
    for x in range(0, picture.width, 512):
        for y in range(0, picture.height, 512):
            noise.paste(tile, (x, y))
    return ImageChops.overlay(picture, Image.merge("RGB", (noise,) * 3))
