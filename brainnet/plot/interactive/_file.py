"""One HTML file that needs nothing else: compressed numbers, styles and scripts within, no connection allowed.

``three.js`` is checked in as it was bundled; THREE_BUILD makes it again, byte for byte.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent / "web"
SCRIPTS = (
    "data.js", "shaders.js", "camera.js", "brain.js", "view.js", "legend.js", "labels.js", "courses.js", "panel.js",
    "reel.js", "search.js", "controls.js", "main.js",
)  # fmt: skip
THREE_VERSION = "0.187.0"
THREE_BUILD = (
    f"npm install three@{THREE_VERSION} esbuild@0.28.2 && npx esbuild three_entry.js --bundle --minify --format=iife "
    "--global-name=THREE --legal-comments=inline --charset=ascii --outfile=three.js"
)
THREE_SHA256 = "c8fb59d905db850dd928bf7d84f63571118c131cd5ea53146ede8cf84f797dab"


NONE = 65535  # no value, in 16 bits


class Planes:
    """Arrays of whole numbers, one after the other, as the page reads them.

    Numbers of several bytes are stored byte by byte, and the columns of a table one after the other: so they compress.

    >>> planes = Planes()
    >>> planes.add(np.array([[1, 2], [3, 4]], dtype=np.uint8)), planes.add(np.zeros(3, dtype=np.uint16))
    (0, 1)
    >>> planes.index[1]
    {'bytes': 2, 'rows': 3, 'columns': 1, 'at': 4}
    """

    def __init__(self) -> None:
        self.index: list[dict[str, int]] = []
        self._bytes: list[bytes] = []
        self._known: dict[bytes, int] = {}
        self._size = 0

    def add(self, array: np.ndarray) -> int:
        """The number of the plane that holds an array (n,) or (n, k) of uint8, 16 or 32; equal ones share it."""
        table = np.ascontiguousarray(array.reshape(len(array), -1).T.astype(array.dtype.newbyteorder("<")))
        size = table.dtype.itemsize
        content = np.ascontiguousarray(table.view(np.uint8).reshape(-1, size).T).tobytes()
        key = hashlib.sha256(f"{size} {table.shape}".encode() + content).digest()
        if key not in self._known:
            self._known[key] = len(self.index)
            self.index.append({"bytes": size, "rows": table.shape[1], "columns": table.shape[0], "at": self._size})
            self._bytes.append(content)
            self._size += len(content)
        return self._known[key]

    def text(self) -> str:
        """All planes, compressed, as base64; the same planes give the same text."""
        return base64.b64encode(gzip.compress(b"".join(self._bytes), compresslevel=9, mtime=0)).decode()


def in_16_bits(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 for the least value to 65534 for the largest; 65535 is none."""
    known = np.isfinite(values)
    span = (high - low) or 1.0
    steps = (np.clip((np.where(known, values, low) - low) / span, 0, 1) * (NONE - 1)).round()
    return np.where(known, steps, NONE).astype(np.uint16)


def assemble(title: str, header: dict[str, Any], planes: Planes) -> str:
    """The page as text.

    Args:
        title: of the browser's tab.
        header: what the scripts read; whatever JSON holds.
        planes: the numbers that it points to.
    """
    style, ours, three = _read("page.css"), _scripts(), _read("three.js")
    policy = (
        f"default-src 'none'; script-src {_allowed(three)} {_allowed(ours)}; style-src {_allowed(style)}; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    parts = {
        "POLICY": policy,
        "TITLE": _as_html(title),
        "STYLE": style,
        "HEADER": json.dumps(
            header | {"planes": planes.index}, sort_keys=True, allow_nan=False, separators=(",", ":")
        ).replace("<", "\\u003c"),
        "PLANES": planes.text(),
        "THREE": three,
        "LICENSE": "three.js " + THREE_VERSION + ", " + " ".join(_read("three.LICENSE").split()),
        "SCRIPT": ours,
    }
    pieces = _read("page.html").split("%%")
    return "".join(piece if i % 2 == 0 else parts[piece] for i, piece in enumerate(pieces))


def _as_html(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def _allowed(content: str) -> str:
    """What a content security policy calls one script or style by."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


@lru_cache
def _read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


@lru_cache
def _scripts() -> str:
    """Our scripts as one, in a scope of their own."""
    return '"use strict";\n(() => {\n' + "\n".join(_read(name) for name in SCRIPTS) + "\n})();\n"
