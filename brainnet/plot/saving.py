"""Figures as files: whole or absent, and the same bytes each time the same figure is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from brainnet._checks import check_word
from brainnet._files import writing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SALT = "brainnet"  # of the names that SVG gives its parts; matplotlib's own are random
FORMATS: ContextVar[tuple[str, ...]] = ContextVar("formats of figures", default=("png", "svg"))
UNDATED = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}


@contextmanager
def saved_as(*formats: str) -> Iterator[None]:
    """Figures are saved in these formats while the block lasts, where a call of :func:`save` does not say its own.

    Raises:
        ValueError: an unknown format, or none.

    >>> with saved_as("pdf"):
    ...     FORMATS.get()
    ('pdf',)
    """
    for kind in formats or ("",):
        check_word("format of a figure", kind, UNDATED)
    token = FORMATS.set(tuple(dict.fromkeys(formats)))
    try:
        yield
    finally:
        FORMATS.reset(token)


def save(figure: Figure, path: str | Path, formats: Sequence[str] | None = None, dpi: float = 150) -> list[Path]:
    """Writes a figure as ``path.png`` and ``path.svg``, or in the format that ends ``path``; returns the files.

    A file is whole or absent, and holds neither a date nor a random name: the same figure gives the same bytes under
    the same version of matplotlib.

    Args:
        figure: what a function of ``brainnet.plot`` returns, or any matplotlib figure.
        path: file in a folder that exists, without its suffix; any other dot is part of the name.
        formats: any of "png", "svg" and "pdf"; None takes the one that ends ``path``, such as "a.pdf", else those of
            :func:`saved_as`, by default "png" and "svg".
        dpi: pixels an inch, of PNG and of the pictures within SVG and PDF.

    Raises:
        ValueError: an unknown format.
        OSError: the file cannot be written; names its path.

    >>> import tempfile
    >>> from brainnet import plot
    >>> figure = plot.time_by_time([[0.1, 0.2], [0.3, 0.4]])
    >>> [file.name for file in save(figure, Path(tempfile.mkdtemp()) / "layer4.1")]
    ['layer4.1.png', 'layer4.1.svg']
    """
    from matplotlib import rc_context

    path = Path(path)
    if formats is None and path.suffix[1:] in UNDATED:
        path, formats = path.with_suffix(""), (path.suffix[1:],)
    formats = FORMATS.get() if formats is None else formats
    for kind in formats:
        check_word("format of a figure", kind, UNDATED)
    files = [path.with_name(f"{path.name}.{kind}") for kind in formats]
    with rc_context({"svg.hashsalt": SALT}):
        for kind, file in zip(formats, files, strict=True):
            with writing(file) as unfinished:
                figure.savefig(unfinished, format=kind, dpi=dpi, metadata=UNDATED[kind])
    return files
