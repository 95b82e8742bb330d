"""Words and their times from the TextGrid files of Praat, in its long and its short text format."""

from __future__ import annotations

import re
from pathlib import Path

from brainnet._files import reading

# a quoted text, in which a quote is doubled; or a number that stands by itself
_TOKENS = re.compile(r'"((?:[^"]|"")*)"|(?<![\w.\[])(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?![\w\].])')


def read_textgrid(path: Path) -> dict[str, list[tuple[float, float, str]]]:
    """Tier -> (start, end, text) of its intervals, in seconds; tiers of points are left out.

    Raises:
        ValueError: no TextGrid, or one that is cut off; names the file.
    """
    with reading(path, "TextGrid"):
        text = path.read_bytes()
        words = text.decode("utf-16" if text[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
        tokens = [(a.replace('""', '"'), None) if not b else (None, float(b)) for a, b in _TOKENS.findall(words)]
        strings = [a for a, _ in tokens[:2]]
        if strings != ["ooTextFile", "TextGrid"]:
            raise ValueError("it does not begin as one")
        numbers = iter(tokens[2:])

        def number() -> float:
            value = next(numbers)[1]
            if value is None:
                raise ValueError("a text where a number is expected")
            return value

        def word() -> str:
            value = next(numbers)[0]
            if value is None:
                raise ValueError("a number where a text is expected")
            return value

        tiers: dict[str, list[tuple[float, float, str]]] = {}
        try:
            number(), number()
            for _ in range(int(number())):
                kind, name = word(), word()
                number(), number()
                n = int(number())
                if kind == "IntervalTier":
                    tiers[name] = [(number(), number(), word()) for _ in range(n)]
                else:
                    for _ in range(n):
                        number(), word()
        except StopIteration:
            raise ValueError("it is cut off") from None
    return tiers
