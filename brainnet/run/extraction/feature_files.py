"""Features in files, matched to a data set's images: what ``brainnet extract`` writes, or any array file with ids.

Read are all formats that ``brainnet extract`` writes: a folder with a file for each layer, or one file; and the folders
of Net2Brain and THINGSvision. The names of the rows stand in the file (a column, or an entry such as "images"), or in
``images.txt`` beside it. Rows are matched to images by these names; by their order only where there are no names, and
then a line says so. Nothing is unpickled. ``.npy``, ``.safetensors``, ``.zarr``, ``.h5``, ``.hdf5``, ``.mat`` of
version 7.3, ``.pt`` and the files of Net2Brain are read piece by piece, so they may be larger than memory; ``.npz``,
``.csv``, ``.txt`` and ``.mat`` of earlier versions (up to 2 GB) are read whole. Files beside a run card are those it
was written with, or refused.
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
from brainnet.features.layouts import LAYOUTS, LISTS, PART, Parts, joined, read_net2brain, thingsvision_files
from brainnet.features.reading import READERS, Slices, mapped_tensors, slices_of
from brainnet.features.steps import SUFFIX
from brainnet.rsa.files import read_entries, texts
from brainnet.run.record.card import check_files
from brainnet.run.stimuli import TARGETS
from brainnet.stimuli import is_picture, natural_sort

FORMATS = (".npy", ".npz", ".csv", ".txt", ".h5", ".hdf5", ".mat", ".pt", ".safetensors", ".zarr")
IDS = ("images", "image", "image_ids", "image_id", "ids", "id", "stimuli", "stimulus", "conditions", "stimuli_name")


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

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> np.save(folder / "fc.npy", np.eye(3, 4))
    >>> _ = (folder / "images.txt").write_text(chr(10).join(["cat", "dog", "sun"]))    # a name a line
    >>> found = read_features(folder)
    >>> found.ids, found.of(["sun", "cat"])["fc"][:].tolist()    # in the order asked for
    (['cat', 'dog', 'sun'], [[0.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    """
    path = Path(path)
    is_folder = path.is_dir() and path.suffix != ".zarr"
    files = _files_in(path) if is_folder else [path]
    if not path.exists() or not (files or (is_folder and list(path.glob("*/*")))):
        raise FileNotFoundError(f"no features at {path}; readable are {', '.join(FORMATS)}, one file for each layer.")
    if not is_folder and path.suffix not in FORMATS:
        raise ValueError(f"cannot read features from {path.name!r}; readable are {', '.join(FORMATS)}.")
    label, layer_of = _extraction(path) if is_folder else (path.stem, {})
    listed = _listed(path)
    if is_folder and (foreign := _of_other_tools(path, layer_of, listed)) is not None:
        return FeatureFiles(label, path, *foreign)
    layers: dict[str, Any] = {}
    named: dict[str, list[str]] = {}
    for file in files:
        check_files(file.parent, file.name)
        arrays, ids = _read(file, {*known_ids, *_also_called(listed)})
        stem = layer_of.get(file.name, file.stem)
        found = {stem if len(arrays) == 1 else (f"{stem}/{key}" if is_folder else key): a for key, a in arrays}
        twice = next((layer for layer in found if layer in layers), None)
        if twice is not None:
            raise ValueError(f"two files in {path} hold the layer {twice!r}: take {file.name} away.")
        layers |= found
        named |= dict.fromkeys(found, ids) if ids is not None else {}
    if not layers:
        raise FileNotFoundError(f"no features in {path}: none of its folders is of Net2Brain or THINGSvision.")
    ids = _names_of_rows(path, layers, named, listed)
    return FeatureFiles(label, path, layers, ids)


def _of_other_tools(
    folder: Path, layer_of: Mapping[str, str], listed: list[str] | None
) -> tuple[dict[str, Any], list[str] | None] | None:
    """The layers and names of a folder that Net2Brain or THINGSvision filled; None where it is none."""
    inside = folder / LAYOUTS["net2brain-separate"]
    for place in (folder, inside) if inside.is_dir() else (folder,):
        found = (
            None
            if (place / "run.json").is_file() and not list(place.glob("consolidated_*"))
            else read_net2brain(place, 1 if place == inside else 2)
        )
        if found is not None:
            check_files(folder, *(name for name in layer_of if (folder / name).exists()))
            return {layer_of.get(f"consolidated_{layer}.npz", layer): rows for layer, rows in found[0].items()}, found[
                1
            ]
    layers: dict[str, Any] = {}
    names: dict[str, list[str]] = {}
    for module, files in thingsvision_files(folder).items():
        layer, parts, ids = layer_of.get(f"{module}/features.npy", module), [], []
        for file in files:
            check_files(folder, str(file.relative_to(folder)))
            arrays, said = _read(file, _also_called(listed))
            parts += [array for _, array in arrays]
            ids += said or []
        layers[layer] = joined(parts)
        names |= {layer: ids} if ids else {}
    if not layers:
        return None
    return layers, _names_of_rows(folder, layers, names, listed)


def _also_called(names: Sequence[str] | None) -> set[str]:
    """Names of pictures, and the same without .jpg and so on, with and without their folders."""
    without = [name.removesuffix(Path(name).suffix) if is_picture(name) else name for name in names or ()]
    return {*(names or ()), *without, *map(_bare, names or ())}


def _listed(path: Path) -> list[str] | None:
    """The names of the rows in a list beside a file, in a folder, or above a folder of one module; None without."""
    folders = (
        (path, path.parent)
        if path.is_dir() and list(path.glob("features*"))
        else (path if path.is_dir() else path.parent,)
    )
    beside = [folder / name for folder in folders for name in LISTS]
    found = next((file for file in beside if file.is_file()), None)
    if found is None:
        return None
    check_files(found.parent, found.name)
    with reading(found, "list of names"):
        return found.read_text(encoding="utf-8").splitlines()


def _names_of_rows(
    path: Path, layers: Mapping[str, Any], named: Mapping[str, list[str]], listed: list[str] | None
) -> list[str] | None:
    """The names that all layers share, checked against the number of rows of each."""
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
    """Array files, and the folders that zarr has for them."""
    names = natural_sort(entry.name for entry in folder.iterdir() if entry.is_dir() == (entry.suffix == ".zarr"))
    kept = [name for name in names if name[0] != "." and name not in (*LISTS, *TARGETS) and not name.endswith(SUFFIX)]
    readable = [folder / name for name in kept if Path(name).suffix in FORMATS]
    return [path for path in readable if path.suffix != ".txt"] or readable  # else it is a text about the others


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
    named = card.get("features")
    if not isinstance(named, dict):  # of a card from before it said so
        layers = settings.get("layers") if isinstance(settings, dict) else None
        named = dict(zip(layers, files, strict=False)) if isinstance(layers, list) and isinstance(files, list) else {}
    if card.get("kind") != "extract" or not named:
        return label, {}
    backbone = source.get("backbone") if isinstance(source, dict) else None
    return (backbone if isinstance(backbone, str) and backbone else label), {str(f): str(n) for n, f in named.items()}


def _read(file: Path, known_ids: set[str]) -> tuple[list[tuple[str, Any]], list[str] | None]:
    """The arrays of a file by name, and the names of their rows where it holds them."""
    if file.suffix == ".csv":
        return _table(file)
    if file.suffix == ".npy":
        with reading(file, "array of numbers"):
            return [(file.stem, _numbers(np.load(file, mmap_mode="r", allow_pickle=False), file))], None
    if file.suffix in READERS:
        with reading(file, f"file of features {file.suffix}"):
            return READERS[file.suffix](file)
    entries = _entries(file)
    named = next((key for key in IDS if key in entries and _holds_names(entries[key])), None)
    ids = None if named is None else list(texts(entries[named]))
    arrays = {key: _array(value) for key, value in entries.items() if key != named}
    arrays = {key: value for key, value in arrays.items() if value.dtype.kind in "fiub" and value.size > 1}
    if ids is None and len(arrays) > 1 and len(set(arrays) & known_ids) == len(arrays):  # an entry for each image
        if len({value.shape for value in arrays.values()}) > 1:
            raise ValueError(f"{file} holds an array for each image, and they differ in shape.")
        return [(file.stem, np.stack([np.ravel(value) for value in arrays.values()]))], list(arrays)
    if len(arrays) > 1 and all(map(PART.fullmatch, arrays)):  # splits of THINGSvision
        return [(file.stem, Parts([arrays[key] for key in natural_sort(arrays)]))], ids
    if ids is not None:  # what else lies there, such as labels of another length, is no layer
        arrays = {key: value for key, value in arrays.items() if len(value) == len(ids)} or arrays
    if not arrays:
        raise ValueError(f"{file} holds no array of numbers (entries: {', '.join(entries) or 'none readable'}).")
    return [(key, _numbers(value, file)) for key, value in arrays.items()], ids


def _entries(file: Path) -> dict[str, Any]:
    """What a file holds by name; arrays stay in it where its format allows that."""
    if file.suffix == ".pt":
        with reading(file, "file of tensors"):
            mapped = mapped_tensors(file)
        if mapped is not None:
            return mapped
    slices = {}
    if file.suffix in (".h5", ".hdf5", ".mat"):
        with reading(file, "HDF5 file"):
            slices = slices_of(file, IDS)
    entries = read_entries(file, slices)[0]
    return dict(sorted({**entries, **slices}.items())) if slices else entries


def _holds_names(value: Any) -> bool:
    """Whether an entry is texts, or a list of whole numbers."""
    array = np.asarray(value)
    return array.dtype.kind in "OSU" or (array.dtype.kind in "iu" and array.size == max(array.shape, default=0) > 1)


def _array(value: Any) -> Any:
    if isinstance(value, Slices):
        return value
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
