"""One HTML document for a reader: sections, tables and pictures, with no script of its own and no connection allowed.

Every text from data goes through :func:`cell` or :func:`escape`; what is HTML already is an :class:`Html`.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from html import escape
from math import isfinite
from pathlib import Path
from typing import Any

NONE = "–"
LONG = 60  # characters from which on a text may be broken within a word
MIME = {".png": "image/png", ".svg": "image/svg+xml"}
STYLE = """
:root { color-scheme: light }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 64rem; color: #1c1c1c; background: #fff;
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere }
h2 { font-size: 1.35rem; margin: 2.6rem 0 .6rem; padding-top: .5rem; border-top: 2px solid #1c1c1c }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; overflow-wrap: anywhere }
p, li { max-width: 46rem }
p.lead { font-size: 1.1rem; color: #444; margin-top: 0 }
p.formula { font-family: "Cambria Math", Georgia, serif; font-size: 1.05rem; padding: .5rem .9rem; background: #f5f5f2 }
nav { font-size: .93rem } nav a { margin-right: 1.1rem } a { color: #14508c }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; margin: .4rem 0 }
caption { caption-side: bottom; text-align: left; color: #555; padding-top: .4rem; font-size: .85rem; max-width: 46rem }
th, td { padding: .28rem .8rem .28rem 0; text-align: left; vertical-align: middle; border-bottom: 1px solid #e3e3df }
th { font-weight: 600; vertical-align: bottom; border-bottom: 1.5px solid #888 }
td.number, th.number { text-align: right; white-space: nowrap }
td.long { overflow-wrap: anywhere; max-width: 40rem }
td svg { display: block }
.small { display: flex; flex-wrap: wrap; column-gap: 2rem; align-items: end }
.small img { max-height: 21rem; width: auto } .small figcaption { max-width: 28rem }
figure { margin: 1rem 0 1.8rem; max-width: 100% } figcaption { color: #555; font-size: .88rem; max-width: 46rem }
img { max-width: 100%; height: auto }
iframe { width: 100%; height: 46rem; border: 1px solid #c9c9c4; border-radius: 6px }
pre { font-size: .8rem; background: #f5f5f2; padding: .8rem; white-space: pre-wrap;
  overflow-wrap: anywhere }
.only-print { display: none }
@media print {
  body { max-width: none; padding: 0; font-size: 10.5pt } nav, iframe, .only-screen { display: none }
  .only-print { display: block } figure, tr { break-inside: avoid } h2, h3 { break-after: avoid }
  .wide { overflow: visible } table { font-size: 7.5pt } td, th { padding-right: .45rem } td svg { width: 6rem }
  th.number { white-space: normal }
}
"""


class Html(str):
    """A text that is HTML already."""

    __slots__ = ()


def cell(value: Any) -> str:
    """A value as HTML: text escaped, numbers with three decimals, what is not known as a dash.

    >>> cell("<b>"), cell(0.12345), cell(1234), cell(None), cell(float("nan")), cell(Html("<b>"))
    ('&lt;b&gt;', '0.123', '1,234', '–', '–', '<b>')
    """
    if isinstance(value, Html):
        return value
    if value is None or value == "" or (isinstance(value, float) and not isfinite(value)):
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return escape(f"{value:.3f}" if isinstance(value, float) else str(value))


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "") -> Html:
    """A table; a column whose cells are all numbers stands to the right.

    >>> '<td class="number">0.500</td>' in table(["r"], [[0.5]])
    True
    """
    rows = [list(row) for row in rows]
    kinds = [_kind([row[k] for row in rows]) for k in range(len(heads))]

    def line(values: Iterable[str], tag: str) -> str:
        cells = (f'<{tag} class="{kind}">{value}</{tag}>' for kind, value in zip(kinds, values, strict=True))
        return f"<tr>{''.join(cells)}</tr>"

    head = line(map(escape, heads), "th")
    body = "\n".join(line(map(cell, row), "td") for row in rows)
    said = f"<caption>{escape(caption)}</caption>" if caption else ""
    return Html(f'<div class="wide"><table>{said}<thead>{head}</thead>\n<tbody>{body}</tbody></table></div>')


def _kind(column: Sequence[Any]) -> str:
    """How a column is set: numbers to the right, long texts broken anywhere."""
    if all((isinstance(one, int | float) and not isinstance(one, bool)) or one is None for one in column):
        return "number"
    return "long" if any(len(str(one)) > LONG for one in column if not isinstance(one, Html)) else "text"


def span(mean: float | None, low: float | None, high: float | None) -> Any:
    """A mean with its interval; the mean alone, or None, where that is all that is known.

    >>> span(0.5, 0.4, 0.6).split(), span(0.5, None, 0.6), span(None, None, None)
    (['0.500', '[0.400,', '0.600]'], 0.5, None)
    """
    known = [one is not None and isfinite(one) for one in (mean, low, high)]
    return f"{mean:.3f}\u00a0[{low:.3f},\u00a0{high:.3f}]" if all(known) else mean if known[0] else None


def score_bar(mean: float | None, low: float | None, high: float | None, ceiling: float | None) -> Html:
    """A small picture from 0 to 1: a bar for the score, a line for its interval, a red tick for the ceiling."""
    if mean is None or not isfinite(mean):
        return Html(NONE)

    def at(value: float) -> str:
        return f"{1 + 160 * min(max(value, 0.0), 1.0):.1f}"

    parts = ['<rect x="1" y="3" width="160" height="10" fill="#efefec"/>',
             f'<rect x="1" y="3" width="{float(at(mean)) - 1:.1f}" height="10" fill="#4c7aa8"/>']  # fmt: skip
    if low is not None and high is not None and isfinite(low) and isfinite(high):
        parts.append(f'<line x1="{at(low)}" y1="8" x2="{at(high)}" y2="8" stroke="#111" stroke-width="1.5"/>')
    if ceiling is not None and isfinite(ceiling):
        parts.append(f'<line x1="{at(ceiling)}" y1="0" x2="{at(ceiling)}" y2="16" stroke="#c0392b" stroke-width="2"/>')
    words = escape(f"score {mean:.3f}" + (f", noise ceiling {ceiling:.3f}" if ceiling is not None else ""))
    return Html(
        f'<svg width="162" height="16" viewBox="0 0 162 16" role="img" aria-label="{words}">{"".join(parts)}</svg>'
    )


def paragraphs(texts: Iterable[str]) -> Html:
    """Each text as a paragraph; what is :class:`Html` stays as it is."""
    return Html("\n".join(text if isinstance(text, Html) else f"<p>{escape(text)}</p>" for text in texts))


def bullets(texts: Iterable[str]) -> Html:
    """A list."""
    return Html("<ul>" + "\n".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>")


def picture(content: bytes, ending: str, caption: str) -> Html:
    """A figure within the document.

    Args:
        content: of a file of pictures.
        ending: ".png" or ".svg".
        caption: what it shows.
    """
    data = base64.b64encode(content).decode()
    words = escape(caption)
    return Html(
        f'<figure><img alt="{words}" src="data:{MIME[ending]};base64,{data}"><figcaption>{words}</figcaption></figure>'
    )


def picture_of(path: Path, caption: str) -> Html:
    """A figure of a file."""
    return picture(path.read_bytes(), path.suffix, caption)


def framed(page: str, title: str) -> Html:
    """A whole page within the document; :func:`document` must be given it too, to allow what it runs."""
    return Html(f'<iframe title="{escape(title)}" srcdoc="{escape(page)}"></iframe>')


def document(title: str, body: str, pages: Sequence[str] = ()) -> str:
    """The document as text: it may show pictures of its own and run what ``pages`` run, and nothing else.

    Args:
        title: of the browser's tab.
        body: HTML.
        pages: texts of the pages that stand in frames. A frame obeys the policy of the document as well as its own.
    """
    allowed = {"script-src": set(), "style-src": {_digest(STYLE)}}
    for page in pages:
        policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
        for kind, words in re.findall(r"(script-src|style-src) ([^;]*)", policy[1] if policy else ""):
            allowed[kind] |= set(words.split())
    said = "; ".join(
        f"{kind} {' '.join(sorted(words)) or chr(39) + 'none' + chr(39)}" for kind, words in allowed.items()
    )
    policy = f"default-src 'none'; {said}; img-src data: blob:; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{escape(title)}</title>\n<link rel="icon" href="data:,">\n<style>{STYLE}</style>\n</head>\n'
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _digest(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
