"""Landscapes worth resizing, drawn with nothing but Pillow.

Everything is drawn in proportion to the size asked for, so that a scene of 12 megapixels
shows what one of a tenth of a megapixel shows, only sharper.
"""

from __future__ import annotations

import math
import random

from PIL import Image, ImageDraw

from examples.tcpbalancer.brushes import Size, disc, glow, grain, land, mixed, ridge, sky, stars

__all__ = ["balloons", "city", "dunes", "forest", "mountains", "sea"]


def mountains(size: Size, seed: int = 1) -> Image.Image:
    """Ridge behind ridge at dawn, each paler than the one before it."""
    dice = random.Random(seed)
    picture = sky(size, "#27406f", "#e0839a", "#ffd9a0")
    glow(picture, 0.68, 0.5, 0.75, "#fff2c4")
    disc(ImageDraw.Draw(picture), size[0] * 0.68, size[1] * 0.5, size[1] * 0.055, "#fffbe8")
    for i in range(6):
        colour = mixed((226, 140, 150), (20, 26, 56), i / 5)
        land(picture, ridge(dice, 8, 0.52), 0.52 + i * 0.085, 0.16 + i * 0.012, colour)
    return grain(picture)


def sea(size: Size, seed: int = 2) -> Image.Image:
    """A sail against the evening sun, and its light on the water."""
    dice = random.Random(seed)
    wide, high = size
    picture = sky(size, "#1d2b64", "#f08a5d", "#ffd36e")
    glow(picture, 0.4, 0.56, 0.8, "#ffe9a8")
    disc(ImageDraw.Draw(picture), wide * 0.4, high * 0.53, high * 0.1, "#fff4d6")
    water = sky((wide, high - int(high * 0.6)), "#e58a5c", "#7a4a6a", "#1b2550")
    picture.paste(water, (0, int(high * 0.6)))
    draw = ImageDraw.Draw(picture)
    for _ in range(420):
        depth = dice.random() ** 1.6
        y = high * (0.605 + 0.39 * depth)
        near = abs(dice.gauss(0, 0.05 + 0.13 * depth))
        x = wide * (0.4 + dice.choice((-1, 1)) * near)
        reach = wide * (0.008 + 0.05 * depth) * dice.random()
        colour = mixed((255, 240, 190), (210, 110, 90), min(1, near * 4))
        draw.line((x - reach, y, x + reach, y), colour, max(1, int(high * 0.004 * (0.3 + depth))))
    _sail_boat(picture, 0.66 * wide, 0.66 * high)
    return grain(picture)


def _sail_boat(picture: Image.Image, x: float, y: float) -> None:
    """A boat whose mast stands at *x*, and which swims at *y*, in pixels."""
    draw, unit = ImageDraw.Draw(picture), picture.height / 100
    for colour, corners in (
        ("#fdf3e7", ((0, -30), (0, -2), (-11, -2))),
        ("#f3c9a5", ((1, -25), (1, -2), (7, -2))),
        ("#2b1d34", ((-12, -1), (9, -1), (6, 3), (-8, 3))),
    ):
        draw.polygon([(x + unit * across, y + unit * down) for across, down in corners], colour)


def city(size: Size, seed: int = 3) -> Image.Image:
    """A skyline at night; somebody is always up."""
    dice = random.Random(seed)
    wide, high = size
    picture = sky(size, "#050b24", "#1c2c60", "#6a4a86")
    stars(picture, dice, 160, 0.6)
    glow(picture, 0.2, 0.22, 0.35, "#cfd8ff")
    draw = ImageDraw.Draw(picture)
    disc(draw, wide * 0.2, high * 0.22, high * 0.07, "#f4f1de")
    disc(draw, wide * 0.2 + high * 0.03, high * 0.205, high * 0.062, "#3a4a86")
    for depth, colour, lit in (
        (0.0, "#27346b", 0.12),
        (0.5, "#161f47", 0.3),
        (1.0, "#0a1028", 0.45),
    ):
        x = 0.0
        while x < wide:
            width = wide * dice.uniform(0.04, 0.085)
            top = high * dice.uniform(0.42, 0.72) + high * 0.12 * depth
            draw.rectangle((x, top, x + width, high), fill=colour)
            pane, gap = width / 9, width / 5
            rows = int((high - top) / (gap * 1.15))
            for row in range(rows):
                for column in range(4):
                    if dice.random() < lit:
                        left, upper = x + gap * (column + 0.6), top + gap * (1.15 * row + 0.6)
                        warm = dice.choice(("#ffd27a", "#ffe6b0", "#f8b45c", "#bcd7ff"))
                        draw.rectangle((left, upper, left + pane, upper + pane * 1.4), fill=warm)
            x += width * dice.uniform(1.0, 1.25)
    return grain(picture, 8)


def forest(size: Size, seed: int = 4) -> Image.Image:
    """Firs in the morning mist."""
    dice = random.Random(seed)
    wide, high = size
    picture = sky(size, "#9fc3bf", "#dfe9dc", "#f6f0dc")
    glow(picture, 0.3, 0.3, 0.6, "#fffbe6")
    for layer in range(5):
        part = layer / 4
        colour = mixed((172, 199, 190), (16, 44, 42), part)
        draw = ImageDraw.Draw(picture)
        tall = high * (0.16 + 0.24 * part)
        base = high * (0.58 + 0.115 * layer)
        x = -tall * 0.2
        while x < wide + tall * 0.2:
            size_here = tall * dice.uniform(0.6, 1.1)
            foot = base + high * dice.uniform(-0.02, 0.03)
            for tier in range(4):
                top = foot - size_here * (1 - tier * 0.2)
                half = size_here * (0.1 + 0.055 * tier)
                draw.polygon(
                    [
                        (x, top),
                        (x - half, top + size_here * 0.36),
                        (x + half, top + size_here * 0.36),
                    ],
                    colour,
                )
            x += tall * dice.uniform(0.16, 0.36)
        draw.rectangle((0, min(base, high), wide, high), fill=colour)
    return grain(picture)


def dunes(size: Size, seed: int = 5) -> Image.Image:
    """Sand under a high sun."""
    dice = random.Random(seed)
    picture = sky(size, "#2f8fc4", "#a9d8e6", "#fbeecb")
    disc(ImageDraw.Draw(picture), size[0] * 0.78, size[1] * 0.2, size[1] * 0.06, "#fffdf0")
    for i in range(5):
        phase, pace = dice.uniform(0, 6), dice.uniform(2.5, 4.5)
        heights = [
            math.sin(phase + pace * t / 200) + 0.35 * math.sin(phase * 2 + 2.3 * pace * t / 200)
            for t in range(201)
        ]
        light = mixed((246, 205, 140), (168, 92, 48), i / 4)
        land(picture, heights, 0.5 + 0.1 * i, 0.045 + 0.012 * i, light)
        shade = [
            h - 0.25 - max(0.0, math.cos(phase + pace * t / 200)) * 1.6
            for t, h in enumerate(heights)
        ]
        land(
            picture,
            shade,
            0.5 + 0.1 * i,
            0.045 + 0.012 * i,
            mixed((228, 174, 108), (140, 70, 38), i / 4),
        )
    return grain(picture, 14)


def balloons(size: Size, seed: int = 6) -> Image.Image:
    """Hot air over green hills."""
    dice = random.Random(seed)
    wide, high = size
    picture = sky(size, "#3a86d8", "#9fd3f5", "#f2fbff")
    for i, colour in enumerate(("#8fbf8a", "#5e9c5f", "#3a7a46")):
        land(picture, ridge(dice, 5, 0.4), 0.78 + i * 0.07, 0.07, colour)
    draw = ImageDraw.Draw(picture)
    pairs = (
        ("#e63946", "#f1faee"),
        ("#ffb703", "#fb8500"),
        ("#8338ec", "#ffd6ff"),
        ("#06a77d", "#f6f7d7"),
    )
    places = ((0.2, 0.34, 0.17), (0.5, 0.22, 0.1), (0.74, 0.4, 0.2), (0.42, 0.58, 0.075))
    for (x, y, radius), colours in zip(places, pairs, strict=True):
        cx, cy, r = x * wide, y * high, radius * high
        draw.polygon(
            [
                (cx - r * 0.8, cy + r * 0.55),
                (cx + r * 0.8, cy + r * 0.55),
                (cx + r * 0.15, cy + r * 1.4),
                (cx - r * 0.15, cy + r * 1.4),
            ],
            colours[0],
        )
        for stripe in range(6, -1, -1):
            part = r * stripe / 6
            draw.ellipse((cx - part, cy - r, cx + part, cy + r), fill=colours[stripe % 2])
        draw.rectangle((cx - r * 0.16, cy + r * 1.5, cx + r * 0.16, cy + r * 1.72), fill="#6b4226")
    return grain(picture, 6)
