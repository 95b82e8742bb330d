"""Formulas as pictures inside the page, set by matplotlib: no LaTeX, and no script of another server."""

from __future__ import annotations

import html
import re
from io import StringIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, bool]:
    """Hooks of the extension."""
    app.add_html_math_renderer("mathtext", (_inline, None), (_display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def svg_of(formula: str, size: float = 12) -> str:
    r"""An ``<svg>`` element that stands on the line of the text and has its color.

    Raises:
        ValueError: matplotlib cannot set the formula.
    """
    from matplotlib import rc_context
    from matplotlib.font_manager import FontProperties
    from matplotlib.mathtext import MathTextParser, math_to_image

    font, text = FontProperties(size=size), f"${' '.join(formula.split())}$"
    with rc_context({"svg.fonttype": "path", "svg.hashsalt": "site", "mathtext.fontset": "cm"}):
        depth = MathTextParser("path").parse(text, prop=font).depth
        file = StringIO()
        math_to_image(text, file, prop=font, format="svg", color="#010203")
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :].replace("#010203", "currentColor")
    svg = re.sub(r"<(metadata|style).*?</\1>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="patch_1">.*?</g>', "", svg, flags=re.DOTALL)  # the white ground
    label = html.escape(formula, quote=True)
    return svg.replace(
        "<svg", f'<svg class="formula" role="img" aria-label="{label}" style="vertical-align:-{depth:.2f}pt"', 1
    )


def _inline(translator, node: nodes.math) -> None:
    from docutils.nodes import SkipNode

    translator.body.append(svg_of(node.astext()))
    raise SkipNode


def _display(translator, node: nodes.math_block) -> None:
    from docutils.nodes import SkipNode

    translator.body.append(f'<div class="formula">{svg_of(node.astext(), 14)}</div>\n')
    raise SkipNode
