"""Charts: how near each ratio comes to its goal, as a picture that needs no colours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple
from xml.sax.saxutils import escape

from benchmarks.contests import Row

__all__ = ["Bar", "bars", "chart"]

LINE = 18  # pixels from one bar to the next
THICK = 13  # of a bar
LETTER = 7.3  # the width of a letter: a little more than monospaced fonts of this size have
WIDTH = 320  # of the longest bar, and at least of one that reaches its goal
GAP = 8
LEGEND = (("met", "#bbb"), ("missed", "url(#missed)"), ("stack-chunk cache on", "#eee"))
TITLE = "Ratios of the figures of gowork to those of its peers, each as a share of its goal"

FRAME = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}"
 role="img" font-family="monospace" font-size="12">
<title>{title}</title>
<defs><pattern id="missed" width="5" height="5" patternUnits="userSpaceOnUse"
 patternTransform="rotate(45)"><rect width="5" height="5" fill="white"/>
<rect width="2.5" height="5" fill="black"/></pattern></defs>
<rect width="100%" height="100%" fill="white"/>
{legend}
<text x="{goal:.1f}" y="{base}" text-anchor="middle">goal</text>
{races}
<path d="M{goal:.1f} {top}V{bottom}" stroke="black" stroke-width="2" stroke-dasharray="5 3"/>
</svg>
"""
SAMPLE = """\
<rect x="{x:.1f}" y="{top}" width="{thick}" height="{thick}" fill="{fill}" stroke="black"/>
<text x="{after:.1f}" y="{base}">{word}</text>"""
SHADE = """<rect x="0" y="{top}" width="100%" height="{height}" fill="#eee"/>"""
NAME = """<text x="{x}" y="{base}" font-weight="bold">{name}</text>"""
BAR = """\
<text x="{left:.1f}" y="{base}" text-anchor="end">{peer}</text>
<rect x="{zero:.1f}" y="{top}" width="{width:.1f}" height="{thick}" fill="{fill}" stroke="black"/>
<text x="{right:.1f}" y="{base}">{figures}</text>"""


class Bar(NamedTuple):
    """One comparison that has a goal."""

    race: str
    peer: str
    ratio: str
    goal: str
    met: bool

    @property
    def share(self) -> float:
        return float(self.ratio) / float(self.goal)


def bars(rows: Sequence[Row]) -> Iterator[Bar]:
    """The comparisons that the *rows* of the table hold."""
    race = ""
    for row in rows:
        if not row.name.startswith("- "):
            race = row.name.partition(":")[0]
        elif row.met is not None:
            yield Bar(race, row.name[2:], row.ratio, row.goal, row.met)


def chart(rows: Sequence[Row]) -> str:
    """An SVG of those of *rows* that have a goal: bars of missed ones pass its line, hatched."""
    drawn = list(bars(rows))
    left = 3 * GAP + LETTER * sum(
        max((len(text) for text in column), default=0)
        for column in ([bar.race for bar in drawn], [bar.peer for bar in drawn])
    )
    zero = left + GAP
    unit = WIDTH / max([1.0, *(bar.share for bar in drawn)])
    legend, shown, top = list(_legend()), [], 2 * LINE + 2 * GAP
    for name, group in groupby(drawn, lambda bar: bar.race):
        race = list(group)
        shown += _race(name, race, top, zero, unit)
        top += len(race) * LINE + GAP
    return FRAME.format(
        width=zero + WIDTH + GAP + LETTER * len(" 00.00 of 0.00 ") + GAP,
        height=top,
        title=escape(TITLE),
        legend="\n".join(legend),
        goal=zero + unit,
        base=LINE + GAP + THICK - 2,
        races="\n".join(shown),
        top=2 * LINE + GAP,
        bottom=top - GAP,
    )


def _legend() -> Iterator[str]:
    x = float(GAP)
    for word, fill in LEGEND:
        after = x + THICK + GAP
        yield SAMPLE.format(
            x=x, top=GAP, thick=THICK, fill=fill, after=after, base=GAP + THICK - 2, word=word
        )
        x = after + LETTER * len(word) + 2 * GAP


def _race(name: str, race: Sequence[Bar], top: int, zero: float, unit: float) -> Iterator[str]:
    if name.endswith("-cached"):
        yield SHADE.format(top=top - GAP // 2, height=len(race) * LINE + GAP)
    yield NAME.format(x=GAP, base=top + THICK - 2, name=escape(name))
    for number, bar in enumerate(race):
        yield _bar(bar, top + number * LINE, zero, unit)


def _bar(bar: Bar, top: int, zero: float, unit: float) -> str:
    width = bar.share * unit
    return BAR.format(
        left=zero - GAP,
        base=top + THICK - 2,
        peer=escape(bar.peer),
        zero=zero,
        top=top,
        width=width,
        thick=THICK,
        fill="#bbb" if bar.met else "url(#missed)",
        right=zero + max(width, unit) + GAP,
        figures=f"{bar.ratio} of {bar.goal}",
    )
