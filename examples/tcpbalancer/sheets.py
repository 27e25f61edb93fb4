"""The contact sheet: before and after of every picture, on one page to look at."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont, ImageOps

from examples.tcpbalancer.resizing import upright_size

__all__ = ["Card", "contact_sheet"]

COLUMNS = 3
PANE = (228, 190)  # that a picture is fitted into
CARD = (2 * PANE[0] + 36, PANE[1] + 84)
MARGIN, HEAD = 28, 104

PAPER, WHITE, LINE = "#eceae4", "#ffffff", "#d8d4ca"
INK, FAINT, ALARM = "#23272f", "#7b7f87", "#b3261e"


class Card(NamedTuple):
    """What is known of one picture; without an ``after``, ``note`` says why there is none."""

    name: str
    before: Path
    after: Path | None
    note: str = ""


def contact_sheet(cards: Sequence[Card], title: str, summary: str, path: Path) -> None:
    """Draw *cards* into a PNG at *path*."""
    rows = math.ceil(len(cards) / COLUMNS)
    size = (
        MARGIN + COLUMNS * (CARD[0] + MARGIN),
        HEAD + rows * (CARD[1] + MARGIN),
    )
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, 22), title, fill=INK, font=_font(34))
    draw.text((MARGIN, 66), summary, fill=FAINT, font=_font(18))
    for i, card in enumerate(cards):
        corner = (
            MARGIN + i % COLUMNS * (CARD[0] + MARGIN),
            HEAD + i // COLUMNS * (CARD[1] + MARGIN),
        )
        _draw_card(sheet, draw, card, *corner)
    sheet.save(path, "PNG")


def _draw_card(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, card: Card, left: int, top: int
) -> None:
    box = (left, top, left + CARD[0], top + CARD[1])
    draw.rounded_rectangle(box, 10, fill=WHITE, outline=LINE, width=1)
    second = left + 24 + PANE[0]
    before = _draw_pane(sheet, draw, card.before, left + 12, top + 12)
    draw.text((left + 12, top + PANE[1] + 20), card.name, fill=INK, font=_font(17))
    draw.text((left + 12, top + PANE[1] + 46), before, fill=FAINT, font=_font(15))
    if card.after is not None:
        after = _draw_pane(sheet, draw, card.after, second, top + 12)
        draw.text((second, top + PANE[1] + 46), after, fill=FAINT, font=_font(15))
        draw.text((second, top + PANE[1] + 20), card.note, fill=FAINT, font=_font(15))
        return
    _draw_nothing(draw, second, top + 12)
    for i, line in enumerate(textwrap.wrap(card.note, 28)[:3]):
        draw.text((second, top + PANE[1] + 18 + 19 * i), line, fill=ALARM, font=_font(14))


def _draw_pane(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, path: Path, left: int, top: int
) -> str:
    """Fit the picture at *path* into a pane; what it is, in a few words."""
    try:
        with Image.open(path, formats=("JPEG", "PNG")) as picture:
            shape = upright_size(picture)
            picture.draft(None, (2 * PANE[0], 2 * PANE[1]))
            upright = ImageOps.exif_transpose(picture).convert("RGBA")
    except OSError:  # it was damaged before the journey
        _draw_nothing(draw, left, top)
        return f"{_kind_and_size(path)}, damaged"
    small = ImageOps.contain(upright, PANE, Image.Resampling.LANCZOS)
    corner = (left + (PANE[0] - small.width) // 2, top + (PANE[1] - small.height) // 2)
    if upright.getchannel("A").getextrema()[0] != 255:
        sheet.paste(_chequers(small.size), corner)
    sheet.paste(small, corner, small)
    return f"{shape[0]}x{shape[1]}, {_kind_and_size(path)}"


def _chequers(size: tuple[int, int]) -> Image.Image:
    """What shows through where a picture is transparent."""
    board = Image.new("RGB", size, "#ffffff")
    draw = ImageDraw.Draw(board)
    for x in range(0, size[0], 10):
        for y in range(x % 20, size[1], 20):
            draw.rectangle((x, y, x + 9, y + 9), fill="#dddddd")
    return board


def _draw_nothing(draw: ImageDraw.ImageDraw, left: int, top: int) -> None:
    box = (left, top, left + PANE[0], top + PANE[1])
    draw.rounded_rectangle(box, 8, fill="#faf3f2", outline="#e6c9c6", width=1)
    middle, reach = (left + PANE[0] / 2, top + PANE[1] / 2), 22
    for slope in (-1, 1):
        ends = (
            middle[0] - reach,
            middle[1] - slope * reach,
            middle[0] + reach,
            middle[1] + slope * reach,
        )
        draw.line(ends, fill=ALARM, width=5)


def _kind_and_size(path: Path) -> str:
    return f"{path.suffix[1:].upper()} {path.stat().st_size / 1024:,.0f} KiB"


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)
