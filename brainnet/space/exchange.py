"""Maps as files for other programs, by one writer and one reader: GIfTI, NIfTI, CIFTI-2, CSV and npz for pycortex.

Every file but the CSV says which voxels there are, which regions they form and what whole numbers mean, so that a map
that is read again is drawn as it was. Numbers are kept in float32, which all of these programs read.

The one idea: whole numbers are categories. In files 0 is none and i + 1 is category i, with its name and color.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet._checks import check_word
from brainnet._files import reading, slug, write_csv, write_npz, writing
from brainnet.space.brain_maps import hemisphere_files
from brainnet.space.brain_space import VERTICES_PER_HEMISPHERE, BrainSpace
from brainnet.space.map_files import (
    cifti_image,
    gifti_image,
    label_colors,
    read_cifti_rows,
    read_gifti_rows,
    read_nifti_rows,
    with_description,
)
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


@dataclass(frozen=True, eq=False)
class MapSet:
    """Maps of one space by their names.

    Args:
        space: where the voxels are.
        values: name -> (n_voxels,) numbers, or whole numbers from 0 on, -1 for none.
        categories: name -> names of its whole numbers 0, 1, ...; by default these numbers.
        colors: name -> (n_categories, 3) RGB in 0..1.

    >>> maps = MapSet(BrainSpace.free(2), {"r": torch.tensor([0.1, 0.2]), "layer": torch.tensor([1, 0])})
    >>> maps.is_categorical("layer"), maps.names_of("layer")
    (True, ['0', '1'])
    """

    space: BrainSpace
    values: Mapping[str, Tensor]
    categories: Mapping[str, Sequence[str]] = field(default_factory=dict)
    colors: Mapping[str, Any] = field(default_factory=dict)

    def is_categorical(self, name: str) -> bool:
        """Whether a map is of whole numbers."""
        return not torch.as_tensor(self.values[name]).is_floating_point()

    def names_of(self, name: str) -> list[str]:
        """Names of a map's categories."""
        most = int(torch.as_tensor(self.values[name]).max()) if len(self.values[name]) else -1
        given = [str(one) for one in self.categories.get(name, ())]
        return given + [str(number) for number in range(len(given), most + 1)]


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


# ---------------------------------------------------------------------- what files say of their voxels


def ranges_of(index: Tensor) -> str:
    """Whole numbers as a short text, in rising order.

    >>> ranges_of(torch.tensor([3, 0, 1, 2, 9]))
    '0-3,9'
    """
    index = np.unique(torch.as_tensor(index).numpy())
    if not len(index):
        return ""
    parts = np.split(index, np.flatnonzero(np.diff(index) > 1) + 1)
    return ",".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)


def index_of(text: str) -> Tensor:
    """The numbers of :func:`ranges_of`.

    >>> index_of("0-3,9").tolist()
    [0, 1, 2, 3, 9]
    """
    ends = [part.partition("-") for part in text.split(",") if part]
    parts = [torch.arange(int(low), int(high or low) + 1) for low, _, high in ends]
    return torch.cat(parts) if parts else torch.empty(0, dtype=torch.long)


def _description(maps: MapSet) -> str:
    """Voxels and regions by their places on the mesh or in the volume, as JSON."""
    space = maps.space
    place = space.vertices if space.mesh else space.volume_index
    said = {"mesh": space.mesh, "voxels": ranges_of(place)}
    said["rois"] = {name: ranges_of(place[mask]) for name, mask in space.rois.items()}
    return json.dumps(said)


def _space_and_values(
    full: Mapping[str, np.ndarray], said: Mapping[str, Any], mesh: str | None, mask_of: Any
) -> tuple[BrainSpace, dict[str, Tensor]]:
    """The space that a file tells of, or that finite values make, and the maps on it.

    Args:
        full: name -> values everywhere on the mesh or in the flattened volume; NaN, and of labels 0, is nothing.
        said: of :func:`_description`; empty where another program wrote the file.
        mesh: its name, None for a volume.
        mask_of: (n,) places -> space, rois.
    """
    if "voxels" in said:
        place = index_of(said["voxels"])
    else:
        known = np.any([np.isfinite(one) if one.dtype.kind == "f" else one > 0 for one in full.values()], axis=0)
        place = torch.from_numpy(np.flatnonzero(known))
    rois = {name: torch.isin(place, index_of(text)) for name, text in said.get("rois", {}).items()}
    values = {}
    for name, one in full.items():
        part = torch.from_numpy(np.ascontiguousarray(one[place.numpy()]))
        values[name] = part if one.dtype.kind == "f" else part.long() - 1
    return mask_of(place, rois), values


def _mesh_of(n_vertices: int, said: Mapping[str, Any], path: Path) -> str:
    """The mesh of a file of both hemispheres."""
    if said.get("mesh") in VERTICES_PER_HEMISPHERE:
        return said["mesh"]
    for mesh, per_side in VERTICES_PER_HEMISPHERE.items():
        if 2 * per_side == n_vertices:
            return mesh
    known = ", ".join(f"{mesh} {2 * n}" for mesh, n in VERTICES_PER_HEMISPHERE.items())
    raise ValueError(f"{path.name} has {n_vertices} vertices in both hemispheres; known meshes have {known}.")


def _on_mesh(mesh: str) -> Any:
    from brainnet.space.surface import surface_space

    def place(vertices: Tensor, rois: Mapping[str, Tensor]) -> BrainSpace:
        if mesh.startswith("fsLR"):  # its spheres are not brainnet's
            return BrainSpace(vertices=vertices, mesh=mesh, rois=rois)
        return surface_space(vertices, mesh, rois)

    return place


# ---------------------------------------------------------------------- writers and readers


def _parts(maps: MapSet) -> tuple[list[str], list[str]]:
    """Names of the maps of numbers, and of categories."""
    categorical = [name for name in maps.values if maps.is_categorical(name)]
    return [name for name in maps.values if name not in categorical], categorical


def _stored(maps: MapSet, name: str) -> Tensor:
    """Numbers in float32; categories from 1 on."""
    values = torch.as_tensor(maps.values[name]).detach().cpu()
    return values.long() + 1 if maps.is_categorical(name) else values.float()


def _save_gifti(maps: MapSet, stem: Path) -> list[Path]:
    numbers, categorical = _parts(maps)
    said, paths = _description(maps), []
    groups = [(stem.name, "func", numbers)] if numbers else []
    groups += [(f"{stem.name}_{slug(name)}", "label", [name]) for name in categorical]
    for title, kind, names in groups:
        rows = torch.stack([_stored(maps, name) for name in names])
        both = maps.space.to_surface(rows, fill=np.nan if kind == "func" else 0)
        table = None if kind == "func" else (maps.names_of(names[0]), maps.colors.get(names[0]))
        for side, half in zip("LR", both.reshape(len(rows), 2, -1).unbind(1), strict=True):
            path = stem.with_name(f"{title}.{side}.{kind}.gii")
            image = gifti_image(half.numpy(), side, names, table, said)
            _save(image, path)
            paths.append(path)
    return paths


def _save_nifti(maps: MapSet, stem: Path) -> list[Path]:
    numbers, categorical = _parts(maps)
    paths = []
    groups = [(stem.name, numbers)] if numbers else []
    groups += [(f"{stem.name}_{slug(name)}", [name]) for name in categorical]
    for title, names in groups:
        of_labels = names[0] in categorical
        rows = torch.stack([_stored(maps, name) for name in names])
        image = maps.space.to_volume(rows if len(rows) > 1 else rows[0], fill=0 if of_labels else np.nan)
        said = json.loads(_description(maps)) | {"names": names}
        if of_labels:
            said |= {"categories": maps.names_of(names[0]), "colors": _colors(maps, names[0])}
        path = stem.with_name(f"{title}.nii.gz")
        _save(with_description(image, json.dumps(said)), path)
        paths.append(path)
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
        _save(cifti_image(rows, maps.space, names, tables, _description(maps)), path)
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
    full = {name: np.concatenate([left.rows[place], right.rows[place]]) for place, name in enumerate(left.names)}
    mesh = _mesh_of(len(next(iter(full.values()))), left.said, path)
    space, values = _space_and_values(full, left.said, mesh, _on_mesh(mesh))
    categories = dict.fromkeys(left.names, left.categories) if left.categories else {}
    colors = dict.fromkeys(left.names, left.colors) if left.categories else {}
    return MapSet(space, values, categories, colors)


def _read_cifti(path: Path) -> MapSet:
    found = read_cifti_rows(path)
    full = dict(zip(found.names, found.rows, strict=True))
    mesh = _mesh_of(found.rows[0].shape[0], found.said, path)
    space, values = _space_and_values(full, found.said, mesh, _on_mesh(mesh))
    return MapSet(space, values, found.categories or {}, found.colors or {})


def _read_nifti(path: Path) -> MapSet:
    found = read_nifti_rows(path)

    def place(index: Tensor, rois: Mapping[str, Tensor]) -> BrainSpace:
        mask = torch.zeros(int(np.prod(found.shape)), dtype=torch.bool)
        mask[index] = True
        return BrainSpace(mask=mask.reshape(found.shape), affine=torch.from_numpy(found.affine), rois=rois)

    full = dict(zip(found.names, found.rows, strict=True))
    space, values = _space_and_values(full, found.said, None, place)
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
            space = _on_mesh(table["mesh"][0])(torch.tensor(table["voxel"].astype(int).to_numpy()), masks)
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
