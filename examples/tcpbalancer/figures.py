"""Pictures that show nothing on earth: planets, fractals, test cards, an emblem."""

from __future__ import annotations

import math
import random

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

from examples.tcpbalancer.brushes import Size, disc, glow, grain, sky, stars

__all__ = ["aurora", "bauhaus", "emblem", "fractal", "planet", "tuning_card"]


def planet(size: Size, seed: int = 7) -> Image.Image:
    """A ringed giant, lit from the left."""
    dice = random.Random(seed)
    wide, high = size
    picture = sky(size, "#04040f", "#0b0b24", "#140a2c")
    stars(picture, dice, 320)
    glow(picture, 0.85, 0.15, 0.5, "#472a78")
    centre, radius = (wide * 0.5, high * 0.52), high * 0.27
    rings = Image.new("RGBA", size)
    draw = ImageDraw.Draw(rings)
    for i in range(18):
        reach = radius * (2.1 - i * 0.042)
        box = (
            centre[0] - reach,
            centre[1] - reach * 0.27,
            centre[0] + reach,
            centre[1] + reach * 0.27,
        )
        tone = dice.randint(150, 235)
        draw.ellipse(
            box, outline=(tone, tone - 25, tone - 60, 255), width=max(1, int(high * 0.009))
        )
    rings = rings.rotate(14, Image.Resampling.BILINEAR, center=centre)
    ball = Image.new("RGB", size)
    stripes = ImageDraw.Draw(ball)
    y = centre[1] - radius
    while y < centre[1] + radius:
        thick = radius * dice.uniform(0.04, 0.16)
        colour = dice.choice(("#e9c38f", "#d69c62", "#f3ddb4", "#b97a4b", "#dcae7a"))
        stripes.rectangle((0, y, wide, y + thick), fill=colour)
        y += thick
    ball = ball.filter(ImageFilter.BoxBlur(high * 0.006))
    side = int(radius * 3.4)
    shade = ImageOps.invert(Image.radial_gradient("L")).resize((side, side))
    light = Image.new("L", size)
    light.paste(
        shade,
        (int(centre[0] - radius * 0.55) - side // 2, int(centre[1] - radius * 0.4) - side // 2),
    )
    ball = ImageChops.multiply(ball, Image.merge("RGB", (light,) * 3))
    mask = Image.new("L", size)
    disc(ImageDraw.Draw(mask), *centre, radius, 255)
    picture.paste(rings, (0, 0), rings)
    picture.paste(ball, (0, 0), mask)
    front = rings.crop((0, int(centre[1]), wide, high))
    picture.paste(front, (0, int(centre[1])), front)
    return grain(picture, 6)


def aurora(size: Size, seed: int = 8) -> Image.Image:
    """Northern lights over a frozen lake."""
    dice = random.Random(seed)
    wide, high = size
    picture = sky(size, "#020617", "#0a1c3a", "#1c4a58")
    stars(picture, dice, 200, 0.7)
    small = (240, 180)
    lights = Image.new("RGB", small)
    for hue in ("#35f0a0", "#2bd4d4", "#a060ff"):
        curtain = Image.new("L", small)
        draw = ImageDraw.Draw(curtain)
        phase, pace = dice.uniform(0, 6), dice.uniform(1.5, 3.5)
        for x in range(small[0]):
            foot = (
                78 + 20 * math.sin(phase + pace * x / 60) + 8 * math.sin(phase * 3 + pace * x / 19)
            )
            for y in range(70):
                draw.point((x, foot - y), int(150 * (1 - y / 70) ** 2 * dice.uniform(0.75, 1)))
        colour = ImageOps.colorize(curtain.filter(ImageFilter.GaussianBlur(2)), "black", hue)
        lights = ImageChops.add(lights, colour)
    picture = ImageChops.screen(picture, lights.resize(size, Image.Resampling.BICUBIC))
    shore = int(high * 0.68)
    mirror = ImageOps.flip(picture.crop((0, shore - (high - shore), wide, shore)))
    picture.paste(
        mirror.filter(ImageFilter.BoxBlur(high * 0.008)).point(lambda v: v * 0.7), (0, shore)
    )
    draw = ImageDraw.Draw(picture)
    along = 0.0
    while along < wide:
        tall = high * dice.uniform(0.03, 0.1)
        draw.polygon(
            [(along, shore - tall), (along - tall * 0.2, shore), (along + tall * 0.2, shore)],
            "#03080f",
        )
        along += tall * dice.uniform(0.1, 0.4)
    draw.rectangle((0, shore - high * 0.006, wide, shore + high * 0.004), fill="#03080f")
    return grain(picture, 8)


def fractal(size: Size, seed: int = 9) -> Image.Image:
    """The valley of sea horses, on the rim of the Mandelbrot set."""
    wide, high = size
    reach = 0.011
    left, top = -0.7463 - reach, 0.1102 - reach * high / wide
    box = (left, top, left + 2 * reach, top + 2 * reach * high / wide)
    # effect_mandelbrot is not quick: beyond two megapixels sharpness is made up.
    part = min(1.0, math.sqrt(2e6 / (wide * high)))
    depths = Image.effect_mandelbrot((round(wide * part), round(high * part)), box, 100)
    bands = [
        [0] + [128 + int(127 * math.sin(depth / pace + shift)) for depth in range(1, 256)]
        for pace, shift in ((11, 0.2), (14, 1.1), (19, 2.2))
    ]
    return Image.merge("RGB", [depths.point(band) for band in bands]).resize(size)


def bauhaus(size: Size, seed: int = 10) -> Image.Image:
    """Quarter circles, half circles and squares, as if thrown on a grid."""
    dice = random.Random(seed)
    wide, high = size
    cell = high / 6
    palette = ("#f4efe1", "#e4572e", "#17bebb", "#ffc914", "#2e282a", "#76b041")
    picture = Image.new("RGB", size, palette[0])
    draw = ImageDraw.Draw(picture)
    for row in range(6):
        for column in range(math.ceil(wide / cell)):
            x, y = column * cell, row * cell
            ground, figure = dice.sample(palette, 2)
            draw.rectangle((x, y, x + cell, y + cell), fill=ground)
            kind = dice.randrange(4)
            if kind == 0:
                corner_x, corner_y = dice.choice((0, 1)), dice.choice((0, 1))
                box = (x - cell * corner_x, y - cell * corner_y)
                turn = {(1, 1): 0, (0, 1): 90, (0, 0): 180, (1, 0): 270}[corner_x, corner_y]
                draw.pieslice(
                    (*box, box[0] + 2 * cell, box[1] + 2 * cell), turn, turn + 90, fill=figure
                )
            elif kind == 1:
                disc(draw, x + cell / 2, y + cell / 2, cell * 0.36, figure)
            elif kind == 2:
                turn = dice.choice((0, 90, 180, 270))
                draw.pieslice((x, y, x + cell, y + cell), turn, turn + 180, fill=figure)
            else:
                draw.polygon([(x, y), (x + cell, y), (x, y + cell)], figure)
    return picture


def tuning_card(size: Size, seed: int = 11) -> Image.Image:
    """Bars, a ring and fine lines: what goes wrong in resizing shows here first."""
    wide, high = size
    picture = Image.new("RGB", size, "#7a7a7a")
    draw = ImageDraw.Draw(picture)
    cell = high / 12
    for i in range(math.ceil(wide / cell)):
        draw.line((i * cell, 0, i * cell, high), "white", max(1, high // 400))
    for i in range(13):
        draw.line((0, i * cell, wide, i * cell), "white", max(1, high // 400))
    middle, radius = (wide / 2, high / 2), high * 0.44
    mask = Image.new("L", size)
    disc(ImageDraw.Draw(mask), *middle, radius, 255)
    inner = Image.new("RGB", size, "black")
    pen = ImageDraw.Draw(inner)
    bars = ("#c8c800", "#00c8c8", "#00c800", "#c800c8", "#c80000", "#0000c8")
    left, step = middle[0] - radius, 2 * radius / len(bars)
    for i, bar in enumerate(bars):
        pen.rectangle((left + i * step, high * 0.22, left + (i + 1) * step, high * 0.55), fill=bar)
    ramp = Image.linear_gradient("L").rotate(90).resize((int(2 * radius), int(high * 0.1)))
    inner.paste(Image.merge("RGB", (ramp,) * 3), (int(left), int(high * 0.56)))
    pitch = radius / 60
    for i in range(120):
        x = left + i * pitch * (1.3 - i / 400)
        pen.line(
            (x, high * 0.67, x, high * 0.76), "white" if i % 2 else "black", max(1, int(pitch / 2))
        )
    picture.paste(inner, (0, 0), mask)
    draw.ellipse(
        (middle[0] - radius, middle[1] - radius, middle[0] + radius, middle[1] + radius),
        outline="white", width=max(1, high // 150),
    )  # fmt: skip
    return picture


def emblem(size: Size, seed: int = 12) -> Image.Image:
    """Overlapping petals on nothing at all: the picture with transparency."""
    picture = Image.new("RGBA", size)
    colours = ((0, 168, 120), (17, 138, 178), (123, 44, 191), (239, 71, 111), (255, 209, 102))
    middle, reach = (size[0] / 2, size[1] / 2), min(size) * 0.47
    for i in range(15):
        petal = Image.new("RGBA", size)
        ImageDraw.Draw(petal).polygon(
            _ellipse(middle, reach, i * math.tau / 15), (*colours[i % 5], 150)
        )
        picture.alpha_composite(petal)
    return picture


def _ellipse(middle: tuple[float, float], reach: float, turn: float) -> list[tuple[float, float]]:
    """A petal that begins near the middle, in that direction."""
    points = []
    for i in range(120):
        along = reach * (0.56 + 0.44 * math.cos(i * math.tau / 120))
        across = reach * 0.19 * math.sin(i * math.tau / 120)
        points.append((
            middle[0] + along * math.cos(turn) - across * math.sin(turn),
            middle[1] + along * math.sin(turn) + across * math.cos(turn),
        ))  # fmt: skip
    return points
