"""The report: a page with every picture before and after, and what there is to know of it all."""

from __future__ import annotations

import html
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

from examples.tcpbalancer.asking import Outcome
from examples.tcpbalancer.files import write_whole
from examples.tcpbalancer.statistics import Statistics
from examples.tcpbalancer.texts import printable

__all__ = ["write_report"]

#: Pictures on one page; a browser would choke on many more.
MOST = 500
BARS = 40  # of the histogram

# Nothing but pictures beside the page may be loaded: names in it are strangers' words.
PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src 'self' file:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --paper: #eceae4; --card: #fff; --ink: #23272f;
  --faint: #6d7179; --line: #d8d4ca; --bar: #3a7ca5; --alarm: #b3261e }}
@media (prefers-color-scheme: dark) {{ :root {{ --paper: #191b1f; --card: #23262c;
  --ink: #e6e4de; --faint: #9a9ea6; --line: #383c44; --bar: #6fb1d8; --alarm: #f2918b }} }}
body {{ margin: 0 auto; max-width: 1240px; padding: 24px; background: var(--paper);
  color: var(--ink); font: 15px/1.45 system-ui, sans-serif }}
h1 {{ margin: 0 0 4px; font-size: 26px }}
p, figcaption, th, .note {{ color: var(--faint) }}
section {{ display: flex; flex-wrap: wrap; gap: 20px; margin: 20px 0 }}
section > div {{ flex: 1 1 360px; background: var(--card); border: 1px solid var(--line);
  border-radius: 10px; padding: 14px 18px }}
h2 {{ margin: 0 0 8px; font-size: 16px }}
table {{ border-collapse: collapse; width: 100% }}
th {{ font-weight: normal; text-align: left; padding: 2px 12px 2px 0; vertical-align: top }}
svg {{ width: 100%; height: 120px; fill: var(--bar) }}
main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(360px, 1fr)); gap: 16px }}
article {{ background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 12px; overflow-wrap: anywhere }}
article > div {{ display: flex; gap: 12px }}
figure {{ flex: 1; margin: 0; min-width: 0 }}
img {{ width: 100%; height: 170px; object-fit: contain; border-radius: 4px;
  background: repeating-conic-gradient(#ddd 0 25%, #fff 0 50%) 0 0 / 20px 20px }}
.failed {{ color: var(--alarm); align-content: center; text-align: center }}
</style>
<h1>{title}</h1>
<p>{summary}</p>
<section>
<div><h2>In figures</h2><table>{rows}</table></div>
<div><h2>Latency</h2>{histogram}</div>
</section>
<main>
{cards}
</main>
<p>{more}</p>
</html>
"""

CARD = """<article><div>
<figure><img loading="lazy" alt="before" src="{before}"><figcaption>before</figcaption></figure>
{after}
</div><b>{name}</b><div class="note">{note}</div></article>"""

AFTER = """<figure><a href="{after}"><img loading="lazy" alt="after" src="{after}"></a>
<figcaption>{size}</figcaption></figure>"""

FAILED = """<figure class="failed"><b>{failure}</b><br>{message}</figure>"""


def write_report(
    path: Path, title: str, statistics: Statistics, outcomes: Sequence[Outcome]
) -> None:
    """Write the page to *path*, all of it or nothing; what has failed comes first.

    Of several outcomes of one picture the last counts.

    :raises OSError: if it cannot be written.
    """
    last = {outcome.request.name: outcome for outcome in outcomes}
    shown = sorted(last.values(), key=lambda outcome: outcome.failure is None)
    page = PAGE.format(
        title=_text(title),
        summary=f"{statistics.ok} resized, {statistics.failed} not, in {statistics.seconds:.1f} s",
        rows="\n".join(
            f"<tr><th>{_text(name)}<td>{_text(value)}" for name, value in statistics.rows()
        ),
        histogram=_histogram(statistics.latencies),
        cards="\n".join(_card(outcome, path.parent) for outcome in shown[:MOST]),
        more=f"and {len(shown) - MOST} more" if len(shown) > MOST else "",
    )
    write_whole(path, page.encode())


def _card(outcome: Outcome, place: Path) -> str:
    request = outcome.request
    if outcome.failure is not None:
        note, message = outcome.backend, _text(outcome.message)
        after = FAILED.format(failure=_text(outcome.failure), message=message)
    else:
        size = "{}x{}".format(*outcome.size)
        note = f"{1000 * outcome.seconds:.0f} ms, {outcome.backend}"
        after = ""
        if outcome.result is not None:
            after = AFTER.format(after=_link(outcome.result, place), size=size)
    before = _link(request.root / request.name, place)
    return CARD.format(before=before, after=after, name=_text(str(request.name)), note=_text(note))


def _histogram(latencies: Sequence[float]) -> str:
    """How many answers took how long, as a picture of bars."""
    if not latencies:
        return '<p class="note">There is nothing to show.</p>'
    longest = max(*latencies, 1e-9)
    counts = [0] * BARS
    for latency in latencies:
        counts[min(BARS - 1, int(BARS * latency / longest))] += 1
    bars = "".join(_bars(counts))
    return (
        f'<svg viewBox="0 0 {10 * BARS} 100" preserveAspectRatio="none" role="img"'
        f' aria-label="histogram">{bars}</svg>'
        f'<p class="note">from 0 to {1000 * longest:.0f} ms</p>'
    )


def _bars(counts: Sequence[int]) -> Iterable[str]:
    highest = max(counts)
    for i, count in enumerate(counts):
        height = 100 * count / highest
        yield f'<rect x="{10 * i}" y="{100 - height:.1f}" width="8" height="{height:.1f}"/>'


def _link(target: Path, place: Path) -> str:
    """The address of *target* for a page that lies in *place*."""
    return html.escape(quote(os.fsencode(os.path.relpath(target, place))))


def _text(words: str) -> str:
    return html.escape(printable(words))
