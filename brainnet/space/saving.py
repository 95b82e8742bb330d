"""Maps as files for other programs, by one writer and one reader: GIfTI, NIfTI, CIFTI-2, CSV and npz for pycortex.

Every file but the CSV says which voxels there are, which regions they form and what whole numbers mean, so that a map
that is read again is drawn as it was. Numbers are kept in float32, which all of these programs read.

The one idea: whole numbers are categories. In files 0 is none and i + 1 is category i, with its name and color.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet._checks import check_word
from brainnet._files import reading, slug, write_csv, write_npz, writing
from brainnet.space.brain_maps import hemisphere_files
from brainnet.space.brain_space import BrainSpace
from brainnet.space.map_files import (
    LabelTable,
    cifti_image,
    gifti_image,
    label_colors,
    read_cifti_rows,
    read_gifti_rows,
    read_nifti_rows,
    with_description,
)
from brainnet.space.map_sets import MapSet, description, mesh_of, on_mesh, space_and_values
from brainnet.space.own_surfaces import filled, is_own, vertex_counts
from brainnet.space.surface import load_mesh

FORMATS = {
    "gifti": "a file for each hemisphere, for Workbench, FreeView and nilearn; categories have files of their own",
    "nifti": "a volume, numbers as a series; categories have files of their own",
    "cifti": ".dscalar.nii and .dlabel.nii, both hemispheres in a file, for Workbench",
    "csv": "a row for each voxel",
    "pycortex": "an npz whose arrays cortex.Vertex and cortex.Volume take",
}
ON_SURFACES, IN_VOLUMES = ("gifti", "cifti", "csv", "pycortex"), ("nifti", "csv", "pycortex")
_SURFACE_SUFFIXES = (".func.gii", ".label.gii", ".shape.gii")


def save_maps(maps: MapSet, stem: str | Path, formats: Sequence[str] | None = None) -> list[Path]:
    """Writes maps in some formats, each file whole or absent; returns the files.

    Args:
        maps: at least one.
        stem: path without suffix, in a folder that exists.
        formats: of :data:`FORMATS`; None takes GIfTI for a surface, NIfTI for a volume, CSV for other spaces.

    Raises:
        ValueError: no map, one of another length, an unknown format, or one that the space cannot be written in.

    >>> import tempfile
    >>> from brainnet.space.surface import surface_space
    >>> maps = MapSet(surface_space(torch.arange(3)), {"r": torch.tensor([0.1, 0.2, 0.3])})
    >>> [path.name for path in save_maps(maps, Path(tempfile.mkdtemp()) / "run", ["cifti", "csv"])]
    ['run.dscalar.nii', 'run.csv']
    """
    stem, space = Path(stem), maps.space
    usual = ("gifti",) if space.mesh else ("nifti",) if space.mask is not None else ("csv",)
    if not maps.values:
        raise ValueError("there is no map to save.")
    for name, values in maps.values.items():
        if torch.as_tensor(values).shape != (space.n_voxels,):
            raise ValueError(f"the map {name!r} has shape {tuple(values.shape)}, expected ({space.n_voxels},).")
    paths = []
    for kind in formats or usual:
        check_word("format of maps", kind, FORMATS)
        fitting = ON_SURFACES if space.mesh else IN_VOLUMES if space.mask is not None else ("csv", "pycortex")
        if kind not in fitting:
            raise ValueError(f"{kind} does not fit {space!r}: its maps are written as {', '.join(fitting)}.")
        paths += _WRITERS[kind](maps, stem)
    return paths


def read_maps(path: str | Path, space: BrainSpace | None = None) -> MapSet:
    """The maps of a file that :func:`save_maps` wrote, or that another program wrote in these formats.

    Columns are in rising order of vertices, or of places in the volume. A file of another program has the voxels that
    are finite in some map, and names no regions.

    Args:
        path: of GIfTI, either hemisphere.
        space: where the voxels are, for a CSV file of a volume.

    Raises:
        FileNotFoundError: no such file, or not that of the other hemisphere.
        ValueError: another format, or a number of vertices that no known mesh has.

    >>> import tempfile
    >>> from brainnet.space.surface import surface_space
    >>> maps = MapSet(surface_space(torch.tensor([3, 10242])), {"r": torch.tensor([0.25, 0.5])})
    >>> file = save_maps(maps, Path(tempfile.mkdtemp()) / "run", ["cifti"])[0]
    >>> found = read_maps(file)
    >>> found.values["r"].tolist(), found.space.vertices.tolist()
    ([0.25, 0.5], [3, 10242])
    """
    path = Path(path)
    if path.name.endswith(_SURFACE_SUFFIXES):
        return _read_gifti(path)
    if path.name.endswith((".dscalar.nii", ".dlabel.nii")):
        return _read_cifti(path)
    if path.name.endswith((".nii", ".nii.gz")):
        return _read_nifti(path)
    if path.suffix == ".npz":
        return _read_npz(path)
    if path.suffix == ".csv":
        return _read_csv(path, space)
    raise ValueError(
        "maps are read from .func.gii, .label.gii, .dscalar.nii, .dlabel.nii, .nii.gz, .npz and .csv files, got "
        f"{path.name}."
    )


# ---------------------------------------------------------------------- writers and readers


def _parts(maps: MapSet) -> tuple[list[str], list[str]]:
    """Names of the maps of numbers, and of categories."""
    categorical = [name for name in maps.values if maps.is_categorical(name)]
    return [name for name in maps.values if name not in categorical], categorical


def _stored(maps: MapSet, name: str) -> Tensor:
    """Numbers in float32; categories from 1 on."""
    values = torch.as_tensor(maps.values[name]).detach().cpu()
    return values.long() + 1 if maps.is_categorical(name) else values.float()


def write_surface(
    space: BrainSpace, rows: Tensor, stem: Path, names: Sequence[str], table: LabelTable | None = None, said: str = ""
) -> list[Path]:
    """Writes ``stem.L`` and ``stem.R`` as ``.func.gii`` or, with a table of labels, ``.label.gii``; returns the files.

    Args:
        space: a surface.
        rows: (n_maps, n_voxels) numbers, or labels from 1 on with 0 for none.
        stem: path without suffix.
        names: of the maps.
        table: names of the labels, and their colors or None.
        said: JSON that the files are to say of themselves.
    """
    both, paths = space.to_surface(rows, fill=np.nan if table is None else 0), []
    for number, (side, half) in enumerate(zip("LR", both.reshape(len(rows), 2, -1).unbind(1), strict=True)):
        half = half[:, : vertex_counts(space.mesh)[number]] if is_own(space.mesh) else half
        path = stem.with_name(f"{stem.name}.{side}.{'func' if table is None else 'label'}.gii")
        _save(gifti_image(half.numpy(), side, names, table, said), path)
        paths.append(path)
    return paths


def write_volume(space: BrainSpace, rows: Tensor, stem: Path, labels: bool = False, said: str = "") -> list[Path]:
    """Writes ``stem.nii.gz``, one volume for a map and a series for several; arguments as of :func:`write_surface`."""
    image = space.to_volume(rows if len(rows) > 1 else rows[0], fill=0 if labels else np.nan)
    path = stem.with_name(f"{stem.name}.nii.gz")
    _save(with_description(image, said) if said else image, path)
    return [path]


def _save_gifti(maps: MapSet, stem: Path) -> list[Path]:
    numbers, categorical = _parts(maps)
    said, paths = description(maps), []
    if numbers:
        paths += write_surface(
            maps.space, torch.stack([_stored(maps, one) for one in numbers]), stem, numbers, said=said
        )
    for name in categorical:
        table = (maps.names_of(name), maps.colors.get(name))
        own = stem.with_name(f"{stem.name}_{slug(name)}")
        paths += write_surface(maps.space, _stored(maps, name)[None], own, [name], table, said)
    return paths


def _save_nifti(maps: MapSet, stem: Path) -> list[Path]:
    numbers, categorical = _parts(maps)
    said, paths = json.loads(description(maps)), []
    if numbers:
        rows = torch.stack([_stored(maps, one) for one in numbers])
        paths += write_volume(maps.space, rows, stem, said=json.dumps(said | {"names": numbers}))
    for name in categorical:
        own = said | {"names": [name], "categories": maps.names_of(name), "colors": _colors(maps, name)}
        place = stem.with_name(f"{stem.name}_{slug(name)}")
        paths += write_volume(maps.space, _stored(maps, name)[None], place, True, json.dumps(own))
    return paths


def _save_cifti(maps: MapSet, stem: Path) -> list[Path]:
    numbers, categorical = _parts(maps)
    paths = []
    for kind, names in (("dscalar", numbers), ("dlabel", categorical)):
        if not names:
            continue
        tables = None if kind == "dscalar" else [(maps.names_of(name), _colors(maps, name)) for name in names]
        rows = torch.stack([_stored(maps, name) for name in names]).numpy()
        path = stem.with_name(f"{stem.name}.{kind}.nii")
        _save(cifti_image(rows, maps.space, names, tables, description(maps)), path)
        paths.append(path)
    return paths


def _colors(maps: MapSet, name: str) -> list[list[float]]:
    return label_colors(len(maps.names_of(name)), maps.colors.get(name)).tolist()


def _save_csv(maps: MapSet, stem: Path) -> list[Path]:
    import pandas as pd

    space = maps.space
    columns: dict[str, Any] = space.labels()
    if space.mesh:
        columns["mesh"] = space.mesh
        columns["hemisphere"] = np.where(space.hemisphere.numpy() == 0, "left", "right")
    if space.coords is not None and not space.mesh:
        columns |= {name: space.coords[:, axis].numpy() for axis, name in enumerate("xyz") if name not in maps.values}
    rois = np.full(space.n_voxels, "", dtype=object)
    for name, mask in space.rois.items():
        rois[mask.numpy()] = [f"{old};{name}" if old else name for old in rois[mask.numpy()]]
    columns["roi"] = rois
    for name in maps.values:
        values = torch.as_tensor(maps.values[name]).detach().cpu()
        if maps.is_categorical(name):
            named = np.array([*maps.names_of(name), ""], dtype=object)
            columns[name] = named[values.numpy()]
        else:
            columns[name] = values.float().numpy()
    path = stem.with_name(f"{stem.name}.csv")
    write_csv(path, pd.DataFrame(columns))
    return [path]


def _save_npz(maps: MapSet, stem: Path) -> list[Path]:
    """As :func:`save_maps` says; arrays "cortex:NAME" are what pycortex takes."""
    arrays: dict[str, np.ndarray] = {f"at:{key}": value for key, value in maps.space.to_arrays().items()}
    for name in maps.values:
        stored = _stored(maps, name)
        arrays[f"map:{name}"] = stored.numpy()
        if maps.is_categorical(name):
            arrays[f"categories:{name}"] = np.array(maps.names_of(name))
            arrays[f"colors:{name}"] = np.array(_colors(maps, name))
        arrays[f"cortex:{name}"] = _for_pycortex(maps.space, stored.float())
    path = stem.with_name(f"{stem.name}.npz")
    write_npz(path, arrays, compressed=True)
    return [path]


def _for_pycortex(space: BrainSpace, values: Tensor) -> np.ndarray:
    """Values at every vertex of fsaverage, which is the surface that pycortex brings; of a volume (z, y, x).

    Of a coarser mesh each vertex has the value of the nearest one. Spaces without a place keep their columns.
    """
    if space.mask is not None:
        return np.asarray(space.to_volume(values).dataobj, dtype=np.float32).transpose(2, 1, 0)
    if space.mesh is None:
        return values.numpy()
    both = space.to_surface(values).numpy()
    if not space.mesh.startswith("fsaverage") or space.mesh == "fsaverage":
        return both
    from scipy.spatial import cKDTree

    own, fine = (load_mesh(mesh, "sphere", "left").points for mesh in (space.mesh, "fsaverage"))
    nearest = cKDTree(own).query(fine)[1]
    return np.concatenate([half[nearest] for half in np.split(both, 2)])


def _save(image: Any, path: Path) -> None:
    import nibabel

    with writing(path) as unfinished:
        nibabel.save(image, unfinished)


_WRITERS = {"gifti": _save_gifti, "nifti": _save_nifti, "cifti": _save_cifti, "csv": _save_csv, "pycortex": _save_npz}


def _read_gifti(path: Path) -> MapSet:
    pair = hemisphere_files(path)
    halves = [read_gifti_rows(one, side) for one, side in zip(pair, "LR", strict=True)]
    left, right = halves
    if left.names != right.names:
        raise ValueError(f"{pair[0].name} holds the maps {left.names}, {pair[1].name} {right.names}: they differ.")
    told = left.said.get("mesh", "")
    full = {
        name: np.concatenate([filled(told, one.rows[place], number) for number, one in enumerate(halves)])
        for place, name in enumerate(left.names)
    }
    mesh = mesh_of(len(next(iter(full.values()))), left.said, path)
    space, values = space_and_values(full, left.said, mesh, on_mesh(mesh))
    categories = dict.fromkeys(left.names, left.categories) if left.categories else {}
    colors = dict.fromkeys(left.names, left.colors) if left.categories else {}
    return MapSet(space, values, categories, colors)


def _read_cifti(path: Path) -> MapSet:
    found = read_cifti_rows(path)
    full = dict(zip(found.names, found.rows, strict=True))
    mesh = mesh_of(found.rows[0].shape[0], found.said, path)
    space, values = space_and_values(full, found.said, mesh, on_mesh(mesh))
    return MapSet(space, values, found.categories or {}, found.colors or {})


def _read_nifti(path: Path) -> MapSet:
    found = read_nifti_rows(path)

    def place(index: Tensor, rois: Mapping[str, Tensor]) -> BrainSpace:
        mask = torch.zeros(int(np.prod(found.shape)), dtype=torch.bool)
        mask[index] = True
        return BrainSpace(mask=mask.reshape(found.shape), affine=torch.from_numpy(found.affine), rois=rois)

    full = dict(zip(found.names, found.rows, strict=True))
    space, values = space_and_values(full, found.said, None, place)
    categories = {found.names[0]: found.said["categories"]} if "categories" in found.said else {}
    colors = {found.names[0]: np.array(found.said["colors"])} if "colors" in found.said else {}
    return MapSet(space, values, categories, colors)


def _read_npz(path: Path) -> MapSet:
    with reading(path, "archive of maps"), np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    names = [key[4:] for key in arrays if key.startswith("map:")]
    if not names:
        raise ValueError(f"{path.name} holds no array map:NAME: it is no file of maps.")
    space = BrainSpace.from_arrays({key[3:]: value for key, value in arrays.items() if key.startswith("at:")})
    values = {}
    for name in names:
        part = torch.from_numpy(arrays[f"map:{name}"])
        values[name] = part if part.is_floating_point() else part - 1
    categories = {name: arrays[f"categories:{name}"].tolist() for name in names if f"categories:{name}" in arrays}
    return MapSet(space, values, categories, {name: arrays[f"colors:{name}"] for name in categories})


def _read_csv(path: Path, space: BrainSpace | None) -> MapSet:
    import pandas as pd

    with reading(path, "table of maps"):
        table = pd.read_csv(path, keep_default_na=False, na_values={}, dtype=str)
    if "voxel" not in table:
        raise ValueError(f"{path.name} has no column 'voxel': it is no file of maps.")
    if space is None:
        rois = [set(cell.split(";")) - {""} for cell in table["roi"]] if "roi" in table else []
        names = list(dict.fromkeys(name for cell in rois for name in sorted(cell)))
        masks = {name: torch.tensor([name in cell for cell in rois]) for name in names}
        if "mesh" in table and len(table):
            space = on_mesh(table["mesh"][0])(torch.tensor(table["voxel"].astype(int).to_numpy()), masks)
        else:
            space = BrainSpace.free(len(table), masks)
    if len(table) != space.n_voxels:
        raise ValueError(f"{path.name} has {len(table)} rows, the space {space.n_voxels} voxels.")
    values, categories = {}, {}
    for name in table.columns.difference(["voxel", "mesh", "hemisphere", "roi", "sensor", "time"], sort=False):
        numbers = pd.to_numeric(table[name].replace("", "nan"), errors="coerce")
        if numbers.notna().any() or (table[name] == "").all():
            values[name] = torch.tensor(numbers.to_numpy(np.float32))
        else:
            known = list(dict.fromkeys(cell for cell in table[name] if cell))
            categories[name] = known
            values[name] = torch.tensor([known.index(cell) if cell else -1 for cell in table[name]])
    return MapSet(space, values, categories)
