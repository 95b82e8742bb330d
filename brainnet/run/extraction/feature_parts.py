"""Features in files, joined and parted by their pictures: the commands ``brainnet features merge`` and ``split``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from brainnet._checks import check_word
from brainnet._files import write_text
from brainnet.features.formats import Table
from brainnet.features.layouts import LISTS, file_of, rows_in, write_layer, write_separate
from brainnet.run.extraction.extraction import FORMATS, PACKAGES
from brainnet.run.extraction.feature_files import FeatureFiles, read_features
from brainnet.run.record.card import Clock, opening, put_card
from brainnet.run.record.claiming import claimed

KIND = "extract"  # what other commands read as features


def merge_features(
    sources: Sequence[str | Path], out: str | Path, *, format: str = "npy", overwrite: bool = False
) -> dict[str, Path]:
    """Features of several sets of pictures as one, in the order given; a few hundred rows are held at a time.

    Args:
        sources: folders or files of features with the same layers and widths, in any format that is read.
        out: folder of the results.
        format: as of :func:`brainnet.extract`.
        overwrite: replace what ``out`` holds.

    Returns:
        Layer to file.

    Raises:
        ValueError: fewer than two sources, other layers, other widths, rows without names, or a picture in two of them.
        FileExistsError: ``out`` holds results, and no ``overwrite``.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name, value in (("cat", 1.0), ("dog", 2.0)):
    ...     (folder / name).mkdir()
    ...     np.save(folder / name / "fc.npy", np.full((1, 2), value, np.float32))
    ...     _ = (folder / name / "images.txt").write_text(name)
    >>> files = merge_features([folder / "dog", folder / "cat"], folder / "both")
    >>> read_features(folder / "both").ids, np.load(files["fc"]).tolist()
    (['dog', 'cat'], [[2.0, 2.0], [1.0, 1.0]])
    """
    files = [read_features(source) for source in sources]
    if len(files) < 2:
        raise ValueError("merging takes two sources or more.")
    first = files[0]
    for other in files[1:]:
        if list(other.layers) != list(first.layers):
            raise ValueError(
                f"{other.source} has the layers {', '.join(other.layers)}, and {first.source} has "
                f"{', '.join(first.layers)}."
            )
    for file in files:
        _named(file)
    ids = [name for file in files for name in file.ids or ()]
    twice = next((name for name, n in Counter(ids).items() if n > 1), None)
    if twice is not None:
        raise ValueError(f"the picture {twice!r} is in two of the sources.")
    for layer in first.layers:
        widths = {_width(file.layers[layer]) for file in files}
        if len(widths) > 1:
            raise ValueError(f"the layer {layer!r} has {' and '.join(map(str, sorted(widths)))} features.")
    arrays = {layer: [file.layers[layer] for file in files] for layer in first.layers}
    about = {"merged": [str(file.source) for file in files], "backbone": first.label}
    return _written(Path(out), arrays, ids, format, about, overwrite)


def split_features(
    source: str | Path, out: str | Path, n_parts: int, *, format: str = "npy", overwrite: bool = False
) -> list[Path]:
    """Features in as many folders, ``part_01`` and on, whose sizes differ by one picture at most.

    Args:
        source: a folder or a file of features.
        out: folder that receives those of the parts.
        n_parts: from 2 to the number of pictures.
        format, overwrite: as of :func:`merge_features`.

    Returns:
        The folders.

    Raises:
        ValueError: a number of parts that is none, or rows without names.
        FileExistsError: a part exists, and no ``overwrite``.

    >>> import tempfile
    >>> from brainnet.run.extraction.extraction import extract
    >>> folder = Path(tempfile.mkdtemp())
    >>> pictures = np.zeros((5, 64, 64, 3), np.uint8)
    >>> _ = extract("expansion:small", pictures, folder / "all", layers=["1"], pool="mean", progress=False)
    >>> [read_features(part).ids for part in split_features(folder / "all", folder / "parts", 2)]
    [['0', '1'], ['2', '3', '4']]
    """
    files = read_features(source)
    ids = _named(files)
    if not 2 <= n_parts <= len(ids):
        raise ValueError(f"{len(ids)} pictures are parted into 2 to {len(ids)} parts, not into {n_parts}.")
    places = np.linspace(0, len(ids), n_parts + 1).round().astype(int)
    digits, folders = max(2, len(str(n_parts))), []
    for part, (start, stop) in enumerate(pairwise(places.tolist()), 1):
        folder = Path(out) / f"part_{part:0{digits}d}"
        arrays = {layer: [_Some(array, start, stop)] for layer, array in files.layers.items()}
        about = {"part": [part, n_parts], "of": str(source), "backbone": files.label}
        _written(folder, arrays, ids[start:stop], format, about, overwrite)
        folders.append(folder)
    return folders


class _Some:
    """Some rows of an array, read when they are asked for."""

    def __init__(self, array: Any, start: int, stop: int):
        self._array, self._start = array, start
        self.shape, self.dtype = (stop - start, *array.shape[1:]), array.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: slice) -> Any:
        first, last, _ = index.indices(len(self))
        return self._array[self._start + first : self._start + last]


def _named(files: FeatureFiles) -> list[str]:
    if files.ids is None:
        raise ValueError(f"the features in {files.source} have no names: give them, one a line, in images.txt beside.")
    return files.ids


def _width(array: Any) -> int:
    return int(np.prod(array.shape[1:], dtype=int))


def _written(
    out: Path,
    arrays: dict[str, list[Any]],
    ids: Sequence[str],
    file_format: str,
    about: dict[str, Any],
    overwrite: bool,
) -> dict[str, Path]:
    check_word("format", file_format, FORMATS)
    clock = Clock()
    with claimed(out, KIND, ("run.json",), overwrite=overwrite):

        def table(layer: str) -> Table:
            def rows() -> Iterator[np.ndarray]:
                for array in arrays[layer]:
                    yield from rows_in(array)

            return Table(rows(), (len(ids), _width(arrays[layer][0])), ids)

        names = {layer: file_of(layer, file_format) for layer in arrays}
        if file_format == "net2brain-separate":
            write_separate(out / names[next(iter(names))], {layer: table(layer) for layer in arrays})
        else:
            for layer, name in names.items():
                write_layer(out / name, table(layer), file_format)
        for name in LISTS if file_format == "thingsvision" else LISTS[:1]:
            write_text(out / name, "".join(f"{one}\n" for one in ids))
        clock.lap("files")
        card = {
            **opening(KIND, PACKAGES),
            "source": about,
            "settings": {"layers": list(names), "format": file_format},
            "features": names,
            "n_images": len(ids),
        }
        put_card(out, card, clock, [*dict.fromkeys(names.values()), LISTS[0]])
    return {layer: out / name for layer, name in names.items()}
