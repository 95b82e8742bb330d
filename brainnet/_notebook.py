"""What a notebook shows of an object: a small table, escaped, in the colors of the page, be it dark or light.

It refuses to load anything: what is shown is what the object knows already.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

MOST = 12  # rows of a list in a table
LONGEST = 120  # characters of a cell
_LINE = "border-bottom:1px solid rgba(128,128,128,.35)"
_CELL = f"text-align:left;padding:2px 12px 2px 0;vertical-align:top;background:none;{_LINE}"


class Bar(float):
    """A share, 0 to 1, that a table shows as a bar with its number."""


def mean_bar(values: Any) -> Bar | None:
    """The mean of the known values of a tensor, as a bar; None of None."""
    return None if values is None else Bar(float(values.nanmean()))


def in_notebook() -> bool:
    """Whether this code runs in a notebook, which shows HTML, and no terminal."""
    shell = sys.modules.get("IPython")
    running = None if shell is None else shell.get_ipython()
    return any(kind.__name__ == "ZMQInteractiveShell" for kind in type(running).__mro__)


def table_html(
    title: str, rows: Iterable[tuple[str, Any]] = (), heads: Sequence[str] = (), cells: Sequence[Sequence[Any]] = ()
) -> str:
    """HTML of a title, of facts by name, and of a table below them; every text is escaped.

    Args:
        title: what the object is.
        rows: name and value of each fact; those that are None are left out.
        heads: names of the columns of the table below.
        cells: its rows, of which the first 12 are shown; a :class:`Bar` is drawn.

    >>> "&lt;b&gt;" in table_html("RDMs", [("metric", "<b>")])
    True
    """
    facts = "".join(_row([name, value]) for name, value in rows if value is not None)
    parts = [f'<div style="font-weight:600;margin-bottom:2px">{_text(title)}</div>', _table(facts)]
    if cells:
        head = "".join(f'<th style="{_CELL};font-weight:600">{_text(name)}</th>' for name in heads)
        more = len(cells) - MOST
        body = f"<tr>{head}</tr>" + "".join(map(_row, cells[:MOST]))
        parts.append(_table(body))
        parts += [f'<div style="opacity:.7">and {more:,} more</div>'] if more > 0 else []
    return f'<div style="color:inherit;font-size:90%;line-height:1.35;max-width:60em">{"".join(parts)}</div>'


def _table(rows: str) -> str:
    style = "border-collapse:collapse;margin:0 0 6px 0;color:inherit;background:none"
    return f'<table style="{style}">{rows}</table>' if rows else ""


def _row(cells: Sequence[Any]) -> str:
    return f'<tr style="background:none">{"".join(f"""<td style="{_CELL}">{_cell(one)}</td>""" for one in cells)}</tr>'


def _cell(value: Any) -> str:
    if isinstance(value, Bar):
        width = max(0.0, min(1.0, value if value == value else 0.0))
        bar = f'<span style="display:inline-block;height:.7em;width:{6 * width:.2f}em;background:#4a90c2"></span>'
        return f'<span style="white-space:nowrap">{bar} {_number(float(value))}</span>'
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return _text(value)


def _number(value: float) -> str:
    return "–" if value != value else f"{value:.3f}"


def _text(value: Any) -> str:
    text = " ".join(str(value).split())
    return escape(text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…")
