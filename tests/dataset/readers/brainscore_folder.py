"""A folder of Brain-Score's kind, small, whose content is known: an assembly, its table of stimuli, their pictures."""

from __future__ import annotations

import csv
import hashlib
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.dataset.readers.things_eeg_folder import write_pictures


class Planted(NamedTuple):
    """What the files hold."""

    root: Path
    ids: list[str]  # of the stimuli
    shown: np.ndarray  # (n_presentations,) places among them
    counts: np.ndarray  # (n_neuroids, n_presentations, n_bins)
    region: np.ndarray
    animal: np.ndarray
    files: list[str]


def write_assembly(path: Path, values: np.ndarray, dims: tuple[str, ...], coords: dict, name: str = "data") -> None:
    """netCDF-4 as xarray leaves it: a flattened index, texts of any length, dimensions without coordinates.

    Args:
        path: of the file.
        values: the array.
        dims: names of its dimensions.
        coords: name -> (dimension, values).
        name: of the array.
    """
    import netCDF4

    with netCDF4.Dataset(path, "w") as file:
        for dim, size in zip(dims, values.shape, strict=True):
            file.createDimension(dim, size)
        for key, (dim, of) in coords.items():
            of = np.asarray(of)
            if of.dtype.kind == "S":  # letters
                file.createDimension(f"string{of.dtype.itemsize}", of.dtype.itemsize)
                variable = file.createVariable(key, "S1", (dim, f"string{of.dtype.itemsize}"))
                variable[:] = np.ascontiguousarray(of).view("S1").reshape(len(of), -1)
            else:
                variable = file.createVariable(key, str if of.dtype.kind == "U" else of.dtype, (dim,))
                variable[:] = of.astype(object) if of.dtype.kind == "U" else of
        variable = file.createVariable(name, values.dtype, dims, fill_value=np.nan)
        variable[:] = values
        variable.setncattr("identifier", "toy")


def write_brainscore(
    root: Path,
    signal: dict[str, np.ndarray] | None = None,
    *,
    name: str = "assy_dicarlo_MajajHong2015_public.nc",
    dims: tuple[str, ...] = ("neuroid", "presentation", "time_bin"),
    n_stimuli: int = 20,
    n_neuroids: int = 6,
    n_bins: int = 1,
    repeats: int = 4,
    id_name: str = "image_id",
    zipped: bool = True,
    noise: float = 0.5,
    seed: int = 0,
) -> Planted:
    """Writes an assembly, the csv of its stimuli and their pictures.

    Args:
        root: the folder.
        signal: file name of a picture -> (n_neuroids, n_bins); None draws it.
        name: of the assembly.
        dims: order of its dimensions.
        n_stimuli, n_neuroids, n_bins, repeats: its sizes; the last stimulus has a presentation less.
        id_name: "image_id" or "stimulus_id".
        zipped: pack the pictures.
        noise: SD of what a presentation adds.
        seed: of everything random.
    """
    root.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    files = [f"face{n:04d}_rx-20.{n}31_tx+00.240_{n}_256x256.png" for n in range(n_stimuli)]
    ids = [hashlib.sha1(str(n).encode()).hexdigest() for n in range(n_stimuli)]
    shown = generator.permutation(np.repeat(np.arange(n_stimuli), repeats)[:-1])
    drawn = generator.normal(size=(n_neuroids, n_stimuli, n_bins))
    clean = drawn if signal is None else np.stack([signal[file] for file in files], 1)
    counts = clean[:, shown] + noise * generator.normal(size=(n_neuroids, len(shown), n_bins))
    counts = counts.astype(np.float32)
    region = np.array(["V4" if n % 3 == 0 else "IT" for n in range(n_neuroids)])
    animal = np.array(["Chabo" if n < n_neuroids // 2 else "Tito" for n in range(n_neuroids)])
    starts = 70 + 10 * np.arange(n_bins)
    coords = {
        "neuroid_id": ("neuroid", np.array([f"{a}_L_M_{n}" for n, a in enumerate(animal)])),
        "region": ("neuroid", region.astype("S")),
        "animal": ("neuroid", animal),
        id_name: ("presentation", np.array([ids[place] for place in shown])),
        "repetition": ("presentation", np.arange(len(shown))),
        "time_bin_start": ("time_bin", starts),
        "time_bin_end": ("time_bin", starts + (100 if n_bins == 1 else 10)),
    }
    order = [("neuroid", "presentation", "time_bin").index(dim) for dim in dims]
    write_assembly(root / name, counts.transpose(order), dims, coords, name="dicarlo.MajajHong2015.public")
    write_stimuli(root, ids, files, id_name, zipped)
    return Planted(root, ids, shown, counts, region, animal, files)


def write_stimuli(root: Path, ids: list[str], files: list[str], id_name: str = "image_id", zipped: bool = True) -> None:
    """The table of stimuli, in another order than they were shown, with a stimulus that never was; their pictures."""
    stem = root / "image_dicarlo_hvm-public"
    rows = [*zip(ids, files, [f"object{n % 3}" for n in range(len(ids))], strict=True), ("unseen", "unseen.png", "car")]
    with stem.with_suffix(".csv").open("w", newline="") as file:
        csv.writer(file).writerows([[id_name, "filename", "object_name"], *rows[::-1]])
    write_pictures(stem, [*files, "unseen.png"])
    if zipped:
        shutil.make_archive(str(stem), "zip", stem)
        shutil.rmtree(stem)
