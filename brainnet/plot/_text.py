"""Names are data: how a name of an ROI, a model, a subject or a layer becomes a text on paper.

Every figure sends every text that it was given through :func:`label` or :func:`labels`. There nothing is parsed as a
formula, a line stays one line, and a long name loses its middle; :func:`width_of` measures what is left, so that a
figure makes the room which its names need.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from functools import lru_cache

LONGEST = 30  # letters of a name; what is longer loses its middle
LONGEST_TITLE = 200
HINTED = 1.06  # letters of few pixels are wider than they are on paper
LINE = 1.25 / 72  # inches between lines, for each point of font size


def label(text: object, longest: int = LONGEST) -> str:
    r"""One line that matplotlib draws as it stands: without control characters, shortened, and never as a formula.

    >>> label("V1 $a$"), label("a\nb"), label("a" * 20 + "b" * 20, 11)
    ('V1 \\$a\\$', 'a b', 'aaaa…bbbbbb')
    """
    line = " ".join(str(text).split())
    line = "".join(letter for letter in line if letter.isprintable())
    if len(line) > longest:
        tail = (longest - 1) * 3 // 5  # the end of a layer's name says more than its beginning
        line = f"{line[: longest - 1 - tail]}…{line[-tail:]}"
    return line.replace("$", r"\$")


def labels(names: Iterable[object], longest: int = LONGEST) -> list[str]:
    """A text for each name; names that are alike when shortened are counted.

    >>> labels(["a" * 20 + "1" + "b" * 20, "a" * 20 + "2" + "b" * 20], 11)
    ['aaaa…bbbbbb (1)', 'aaaa…bbbbbb (2)']
    """
    names = [str(name) for name in names]
    texts = [label(name, longest) for name in names]
    meant: dict[str, list[str]] = {}
    for name, text in zip(names, texts, strict=True):
        if name not in meant.setdefault(text, []):
            meant[text].append(name)
    return [
        f"{text} ({meant[text].index(name) + 1})" if len(meant[text]) > 1 else text
        for name, text in zip(names, texts, strict=True)
    ]


def named(names: Iterable[object], kind: str) -> list[str]:
    """Names with what they name in front where they are bare numbers, as "layer 3".

    >>> named(["3", "conv1"], "layer")
    ['layer 3', 'conv1']
    """
    return [f"{kind} {name}" if kind and re.fullmatch(r"\d+", str(name)) else str(name) for name in names]


@lru_cache(maxsize=4096)
def width_of(text: str, size: float) -> float:
    """Inches of the longest line of a text that is drawn at a font size in points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    font, measure = FontProperties(size=size), TextToPath()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a letter that the font lacks, which becomes a box
        lines = [line for line in text.replace(r"\$", "$").split("\n") if line]
        points = max((measure.get_text_width_height_descent(line, font, False)[0] for line in lines), default=0.0)
    return HINTED * points / 72


def widest(texts: Iterable[str], size: float) -> float:
    """Inches of the widest text."""
    return max((width_of(text, size) for text in texts), default=0.0)


def labels_within(names: Iterable[object], size: float, inches: float, longest: int = LONGEST) -> list[str]:
    """:func:`labels` of as many letters as are no wider than some inches, and of eight at least."""
    names = list(names)
    while longest > 8 and widest(labels(names, longest), size) > inches:
        longest = max(8, longest * 4 // 5)
    return labels(names, longest)


def wrapped(text: str, size: float, inches: float) -> list[str]:
    """Lines no wider than some inches, broken between words, within a word only where it is wider than a line.

    >>> wrapped("one two", 72, 2.6)
    ['one', 'two']
    """
    lines = [""]
    for word in filter(None, text.split(" ")):  # words joined by a no-break space stay together
        if lines[-1] and width_of(f"{lines[-1]} {word}", size) <= inches:
            lines[-1] += f" {word}"
            continue
        lines += [word] if lines[-1] else []
        lines[-1] = word
        while width_of(lines[-1], size) > inches and len(lines[-1]) > 4:
            whole = lines[-1]
            fits = max(4, int(len(whole) * inches / width_of(whole, size)) - 1)
            fits -= whole[fits - 1] == "\\"  # a dollar sign keeps the sign that makes it one
            lines[-1:] = [whole[:fits], whole[fits:]]
    return lines
