"""Charts: how near each ratio comes to its goal, as a picture that needs no colours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

from benchmarks.contests import Row

__all__ = ["Bar", "bars", "chart"]

LINE = 20  # pixels from one bar to the next
THICK = 13  # of a bar
LETTER = 7.3  # the width of a letter: a little more than monospaced fonts of this size have
WIDTH = 320  # of the longest bar, and at least of one that reaches its goal
GAP = 8
HEAD = LINE + GAP

FRAME = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}"
 role="img" font-family="monospace" font-size="12">
<title>{title}</title>
<defs><pattern id="missed" width="5" height="5" patternUnits="userSpaceOnUse"
 patternTransform="rotate(45)"><rect width="5" height="5" fill="white"/>
<rect width="2.5" height="5" fill="black"/></pattern></defs>
<rect width="100%" height="100%" fill="white"/>
<text x="{goal:.1f}" y="{legend}" text-anchor="middle">goal</text>
{bars}
<path d="M{goal:.1f} {top}V{bottom}" stroke="black" stroke-width="2" stroke-dasharray="5 3"/>
</svg>
"""
BAR = """\
<text x="{left:.1f}" y="{base}" text-anchor="end">{label}</text>
<rect x="{zero:.1f}" y="{top}" width="{width:.1f}" height="{thick}" fill="{fill}" stroke="black"/>
<text x="{right:.1f}" y="{base}">{figures}</text>"""
TITLE = "Ratios of the figures of gowork to those of its peers, each as a share of its goal"


class Bar(NamedTuple):
    """One comparison that has a goal."""

    label: str
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
            yield Bar(f"{race}: {row.name[2:]}", row.ratio, row.goal, row.met)


def chart(rows: Sequence[Row]) -> str:
    """An SVG of those of *rows* that have a goal: bars of missed ones pass its line, hatched."""
    drawn = list(bars(rows))
    left = GAP + LETTER * max((len(bar.label) for bar in drawn), default=0)
    zero = left + GAP
    unit = WIDTH / max([1.0, *(bar.share for bar in drawn)])
    shown = [_bar(bar, HEAD + number * LINE, zero, unit) for number, bar in enumerate(drawn)]
    bottom = HEAD + len(drawn) * LINE
    return FRAME.format(
        width=zero + WIDTH + GAP + LETTER * len(" 00.00 of 0.00 ") + GAP,
        height=bottom + GAP,
        title=escape(TITLE),
        goal=zero + unit,
        legend=HEAD - LINE + THICK,
        bars="\n".join(shown),
        top=HEAD,
        bottom=bottom,
    )


def _bar(bar: Bar, top: int, zero: float, unit: float) -> str:
    width = bar.share * unit
    return BAR.format(
        left=zero - GAP,
        base=top + THICK - 2,
        label=escape(bar.label),
        zero=zero,
        top=top,
        width=width,
        thick=THICK,
        fill="#bbb" if bar.met else "url(#missed)",
        right=zero + max(width, unit) + GAP,
        figures=f"{bar.ratio} of {bar.goal}",
    )
