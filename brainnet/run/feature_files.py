"""Features in files, matched to a data set's images: what ``brainnet extract`` writes, or any array file with ids.

Read are ``.npy``, ``.npz``, ``.csv``, ``.h5``, ``.mat`` and ``.pt``: a folder with a file for each layer, or one file.
The names of the rows stand in the file (a column, or an entry such as "images"), or in ``images.txt`` beside it. Rows
are matched to images by these names; by their order only where there are no names, and then a line says so. Nothing is
unpickled, and a ``.npy`` file is read piece by piece, so it may be larger than memory.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from brainnet._checks import nearest
from brainnet._files import read_json, reading
from brainnet._work import says_progress
from brainnet.rsa.files import read_entries, texts
from brainnet.run.pictures import TARGETS
from brainnet.stimuli import is_picture, natural_sort

FORMATS = (".npy", ".npz", ".csv", ".h5", ".hdf5", ".mat", ".pt")
IDS = ("images", "image", "image_ids", "image_id", "ids", "id", "stimuli", "stimulus", "conditions", "stimuli_name")
LISTS = ("images.txt", "file_names.txt")  # names of the rows beside a file, of brainnet and of THINGSvision


class Matched:
    """Rows of an array in the order of some images, (n_images, n_features); they are read when they are asked for."""

    def __init__(self, array: Any, rows: np.ndarray):
        self._array, self._rows = array, rows
        self.dtype = np.dtype("float64") if array.dtype == np.float64 else np.dtype("float32")
        self.shape = (len(rows), int(np.prod(array.shape[1:], dtype=int)))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> np.ndarray:
        return np.asarray(self._array[self._rows[index]], dtype=self.dtype).reshape(-1, self.shape[1])


@dataclass(frozen=True, eq=False)
class FeatureFiles:
    """The features of one network, as files hold them.

    Args:
        label: the name of the network in the tables.
        source: folder or file they were read from.
        layers: layer -> (n_rows, ...).
        ids: the names of the rows; None where the files give none.
    """

    label: str
    source: Path
    layers: Mapping[str, Any]
    ids: list[str] | None = None
    said: set[str] = field(default_factory=set)

    def of(self, image_ids: Sequence[str], subject: str = "the data set") -> dict[str, Any]:
        """Layer -> rows in the order of ``image_ids``, and the "image_ids" themselves.

        Raises:
            ValueError: an image without features, or no names and another number of rows; names what is missing.
        """
        rows = self._rows(image_ids, subject)
        return {layer: Matched(array, rows) for layer, array in self.layers.items()} | {"image_ids": list(image_ids)}

    def _rows(self, image_ids: Sequence[str], subject: str) -> np.ndarray:
        if self.ids is None:
            n_rows = len(next(iter(self.layers.values())))
            if n_rows != len(image_ids):
                raise ValueError(
                    f"the features in {self.source} have no names, and {n_rows} rows for the {len(image_ids)} images of"
                    f" {subject}: give the names, one a line, in a file images.txt beside them."
                )
            self._say(f"the features in {self.source} have no names: their rows are taken in the order of the images.")
            return np.arange(n_rows)
        places = _places(self.ids)
        found = [places.get(name) for name in image_ids]
        if None in found and len(set(map(_bare, image_ids))) == len(image_ids):
            bare = _places(list(map(_bare, self.ids)))
            again = [bare.get(_bare(name)) for name in image_ids]
            if None not in again:
                self._say(f"the names in {self.source} are compared without folders and without .jpg, .png and so on.")
                found = again
        if None not in found:
            return np.array(found)
        missing = [name for name, place in zip(image_ids, found, strict=True) if place is None]
        if missing[0] in self.ids:
            raise ValueError(f"several rows of the features in {self.source} are called {missing[0]!r}.")
        close = nearest(missing[0], self.ids)
        raise ValueError(
            f"the features in {self.source} lack {len(missing)} of the {len(image_ids)} images of {subject}, the first "
            f"is {missing[0]!r}." + (f" Did you mean {close!r}?" if close else f" Their first row is {self.ids[0]!r}.")
        )

    def _say(self, line: str) -> None:
        if line not in self.said:
            self.said.add(line)
            says_progress.info("%s", line)


def read_features(path: str | Path, known_ids: Collection[str] = ()) -> FeatureFiles:
    """The features that a folder or a file holds.

    Args:
        path: a folder that ``brainnet extract`` filled, a folder with one array file for each layer, or one file.
        known_ids: names of images; an ``.npz`` with one entry for each of them is one layer.

    Raises:
        FileNotFoundError: nothing readable there.
        ValueError: a damaged file, no numbers, or layers whose rows differ in number or in names.
    """
    path = Path(path)
    files = _files_in(path) if path.is_dir() else [path]
    if not path.exists() or not files:
        raise FileNotFoundError(f"no features at {path}; readable are {', '.join(FORMATS)}, one file for each layer.")
    if not path.is_dir() and path.suffix not in FORMATS:
        raise ValueError(f"cannot read features from {path.name!r}; readable are {', '.join(FORMATS)}.")
    label, layer_of = _extraction(path) if path.is_dir() else (path.stem, {})
    layers: dict[str, Any] = {}
    named: dict[str, list[str]] = {}
    for file in files:
        arrays, ids = _read(file, set(known_ids))
        stem = layer_of.get(file.name, file.stem)
        found = {stem if len(arrays) == 1 else (f"{stem}/{key}" if path.is_dir() else key): a for key, a in arrays}
        twice = next((layer for layer in found if layer in layers), None)
        if twice is not None:
            raise ValueError(f"two files in {path} hold the layer {twice!r}: take {file.name} away.")
        layers |= found
        named |= dict.fromkeys(found, ids) if ids is not None else {}
    ids = _names_of_rows(path, layers, named)
    return FeatureFiles(label, path, layers, ids)


def _names_of_rows(path: Path, layers: Mapping[str, Any], named: Mapping[str, list[str]]) -> list[str] | None:
    """The names that all layers share, checked against the number of rows of each."""
    beside = [(path if path.is_dir() else path.parent) / name for name in LISTS]
    listed = next((file.read_text(encoding="utf-8").splitlines() for file in beside if file.is_file()), None)
    lengths = {layer: len(array) for layer, array in layers.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the layers in {path} have different numbers of rows: {lengths}.")
    n_rows = next(iter(lengths.values()))
    first = next(iter(named.values()), None)
    other = next((layer for layer, ids in named.items() if ids != first), None)
    if other is not None:
        raise ValueError(f"the layer {other!r} in {path} names other images than {next(iter(named))!r}.")
    ids = listed if first is None and listed is not None and (path.is_dir() or len(listed) == n_rows) else first
    if ids is not None and len(ids) != n_rows:
        raise ValueError(f"there are {len(ids)} names for the {n_rows} rows of the features in {path}.")
    return ids


def _files_in(folder: Path) -> list[Path]:
    names = natural_sort(entry.name for entry in folder.iterdir() if entry.is_file() and entry.name[0] != ".")
    return [folder / name for name in names if Path(name).suffix in FORMATS and name not in TARGETS]


def _extraction(folder: Path) -> tuple[str, dict[str, str]]:
    """The network of an extraction and the layers of its files, as its card says; the folder's name where it does not.

    The card may come from a stranger: it names what is there, and is not asked which files to read.
    """
    label = folder.resolve().name
    try:
        card = read_json(folder / "run.json")
    except (OSError, ValueError):
        return label, {}
    source, settings, files = (card.get(key) for key in ("source", "settings", "files"))
    layers = settings.get("layers") if isinstance(settings, dict) else None
    if card.get("kind") != "extract" or not isinstance(files, list) or not isinstance(layers, list):
        return label, {}
    backbone = source.get("backbone") if isinstance(source, dict) else None
    named = zip(map(str, files), map(str, layers), strict=False)
    return (backbone if isinstance(backbone, str) and backbone else label), dict(named)


def _read(file: Path, known_ids: set[str]) -> tuple[list[tuple[str, Any]], list[str] | None]:
    """The arrays of a file by name, and the names of their rows where it holds them."""
    if file.suffix == ".csv":
        return _table(file)
    if file.suffix == ".npy":
        with reading(file, "array of numbers"):
            return [(file.stem, _numbers(np.load(file, mmap_mode="r", allow_pickle=False), file))], None
    entries, _ = read_entries(file)
    named = next((key for key in IDS if key in entries and _holds_names(entries[key])), None)
    ids = None if named is None else list(texts(entries[named]))
    arrays = {key: _array(value) for key, value in entries.items() if key != named}
    arrays = {key: value for key, value in arrays.items() if value.dtype.kind in "fiub" and value.size > 1}
    if ids is None and len(arrays) > 1 and len(set(arrays) & known_ids) == len(arrays):  # an entry for each image
        if len({value.shape for value in arrays.values()}) > 1:
            raise ValueError(f"{file} holds an array for each image, and they differ in shape.")
        return [(file.stem, np.stack([np.ravel(value) for value in arrays.values()]))], list(arrays)
    if ids is not None:  # what else lies there, such as labels of another length, is no layer
        arrays = {key: value for key, value in arrays.items() if len(value) == len(ids)} or arrays
    if not arrays:
        raise ValueError(f"{file} holds no array of numbers (entries: {', '.join(entries) or 'none readable'}).")
    return [(key, _numbers(value, file)) for key, value in arrays.items()], ids


def _holds_names(value: Any) -> bool:
    """Whether an entry is texts, or a list of whole numbers."""
    array = np.asarray(value)
    return array.dtype.kind in "OSU" or (array.dtype.kind in "iu" and array.size == max(array.shape, default=0) > 1)


def _array(value: Any) -> np.ndarray:
    return value.float().numpy() if hasattr(value, "detach") and value.is_floating_point() else np.asarray(value)


def _numbers(array: Any, file: Path) -> Any:
    if array.dtype.kind not in "fiub" or array.ndim < 1:
        raise ValueError(f"{file} holds {array.dtype} of shape {array.shape}, expected numbers (n_images, n_features).")
    return array


def _table(file: Path) -> tuple[list[tuple[str, Any]], list[str] | None]:
    """The numbers of a CSV file, and the texts of its first column where that holds names."""
    import pandas as pd

    with reading(file, "table of numbers"):
        first = pd.read_csv(file, header=None, nrows=1, dtype=str, keep_default_na=False).iloc[0].tolist()
        counted = [str(i) for i in range(len(first))]
        headed = not all(map(_is_number, first[1:] or first)) or first == counted or first[1:] == counted[:-1] != []
        header = 0 if headed else None
        names = pd.read_csv(file, header=header, usecols=[0], dtype=str, keep_default_na=False).iloc[:, 0].tolist()
        numbers = pd.read_csv(file, header=header, usecols=range(1, len(first))).to_numpy(dtype=np.float32)
        if not all(map(_is_number, names)) or (headed and first[0].lower() in IDS):
            return [(file.stem, numbers)], names
        if headed and not first[0]:  # row numbers, as pandas writes them
            return [(file.stem, numbers)], None if names == [str(i) for i in range(len(names))] else names
        return [(file.stem, np.column_stack([np.array(names, dtype=np.float32), numbers]))], None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _bare(name: str) -> str:
    name = name.replace("\\", "/").rpartition("/")[2]
    return Path(name).stem if is_picture(name) else name


def _places(ids: Sequence[str]) -> dict[str, int | None]:
    """Name -> row; None where several rows have it."""
    places: dict[str, int | None] = {}
    for place, name in enumerate(ids):
        places[name] = None if name in places else place
    return places
