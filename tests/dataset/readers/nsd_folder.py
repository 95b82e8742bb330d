"""A folder laid out as the bucket of the Natural Scenes Dataset is, small in space, whose content is known."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

TRIALS = 750
GRID = (6, 5, 4)  # x, y, z of a volume
FSAVERAGE = 163_842


class Planted(NamedTuple):
    """What the files hold."""

    root: Path
    order: np.ndarray  # (30000,) places from 0
    rows: np.ndarray  # (8, 10000) rows of the images from 0
    signal: np.ndarray  # (10000, n_voxels) by place
    betas: np.ndarray  # (n_sessions, 750, n_voxels) percent signal change


def write_design(root: Path, seed: int = 0, n_places: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """The design: in the first sessions only some shared and some own images come, so that they repeat."""
    from scipy.io import savemat

    generator = np.random.default_rng(seed)
    rows = np.empty((8, 10_000), np.int64)
    ids = generator.permutation(73_000)
    rows[:, :1000] = np.sort(ids[:1000])
    rows[:, 1000:] = ids[1000:73_000].reshape(8, 9000)
    repeats = max(2, -(-TRIALS // n_places))
    places = np.r_[np.arange(60), np.arange(1000, 1000 + n_places - 60)]
    order = np.concatenate([generator.permutation(np.tile(places, repeats))[:TRIALS] for _ in range(40)])
    folder = root / "nsddata/experiments/nsd"
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {"masterordering": order[None] + 1.0, "subjectim": rows + 1.0, "sharedix": rows[:1, :1000] + 1.0}
    savemat(folder / "nsd_expdesign.mat", arrays)
    return order, rows


def write_images(root: Path, rows: np.ndarray) -> None:
    """``nsd_stimuli.hdf5``, of which a few images are there: the first pixel of each holds its row in two bytes."""
    import h5py

    path = root / "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # a data set may have it open
    with h5py.File(path, "w") as file:
        brick = file.create_dataset("imgBrick", (73_000, 425, 425, 3), np.uint8, chunks=(1, 425, 425, 3))
        for row in rows:
            brick[row, 0, 0] = (row // 256, row % 256, 7)


def write_volume(
    root: Path,
    subject: int = 1,
    n_sessions: int = 2,
    kind: str = ".hdf5",
    version: str = "betas_fithrf",
    seed: int = 0,
    n_places: int = 400,
    signal: np.ndarray | None = None,
) -> Planted:
    """Betas of a volume of 6 x 5 x 4 voxels, their masks and regions; voxel 3 of the mask is lost in session 2.

    ``signal`` is (10000, 24) by place, drawn where there is none.
    """
    import h5py
    import nibabel

    order, rows = write_design(root, seed, n_places)
    generator = np.random.default_rng(seed + 1)
    inside = np.zeros(GRID, bool)
    inside[1:5, 1:4, 1:3] = True
    n_voxels = int(inside.sum())
    signal = generator.normal(size=(10_000, n_voxels)) if signal is None else signal
    betas = np.empty((n_sessions, TRIALS, n_voxels))
    folder = root / f"nsddata_betas/ppdata/subj{subject:02d}/func1pt8mm/{version}"
    folder.mkdir(parents=True, exist_ok=True)
    affine = np.diag([1.8, 1.8, 1.8, 1.0])
    for n in range(n_sessions):
        shown = signal[order[n * TRIALS : (n + 1) * TRIALS]]
        trials = (shown + 0.7 * generator.normal(size=shown.shape)) * (n + 1) + 3 * n
        whole = np.round(300 * trials).astype(np.int16)
        if n == 1:
            whole[:, 3] = 0
        betas[n] = whole / 300
        volume = np.zeros((*GRID, TRIALS), np.int16)
        volume[inside] = whole.T
        volume[0, 0, 0] = 77  # outside the region
        stem = folder / f"betas_session{n + 1:02d}"
        if kind == ".hdf5":
            with h5py.File(stem.with_suffix(kind), "w") as file:
                file["betas"] = volume.transpose(3, 2, 1, 0)
        else:
            nibabel.save(nibabel.Nifti1Image(volume, affine), stem.with_suffix(".nii.gz"))
    roi = root / f"nsddata/ppdata/subj{subject:02d}/func1pt8mm/roi"
    roi.mkdir(parents=True, exist_ok=True)
    areas = np.where(inside, 0, -1)
    areas[1:5, 1, 1], areas[1:5, 2, 1] = 1, 2
    maps = {"nsdgeneral": np.where(inside, 1, -1), "prf-visualrois": areas, "lh.prf-visualrois": areas, "odd": areas}
    for name, labels in maps.items():
        nibabel.save(nibabel.Nifti1Image(labels.astype(np.float32), affine), roi / f"{name}.nii.gz")
    table = root / f"nsddata/freesurfer/subj{subject:02d}/label"
    table.mkdir(parents=True, exist_ok=True)
    (table / "odd.mgz.ctab").write_text("0 Unknown 1 1 1\n1 first 0 0\t\n2 second\n")
    shown = np.unique(rows[subject - 1][order[: n_sessions * TRIALS]])
    write_images(root, shown[:5])
    return Planted(root, order, rows, signal, betas)


def write_patterns(planted: Planted) -> None:
    """A picture of colored squares for every image that was shown, the same one for the same row."""
    import h5py

    shown = np.unique(planted.rows[0][planted.order[: len(planted.betas) * TRIALS]])
    with h5py.File(planted.root / "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5", "r+") as file:
        for row in shown:
            cells = np.random.default_rng(row).integers(0, 256, (17, 17, 3), np.uint8)
            file["imgBrick"][row] = cells.repeat(25, 0).repeat(25, 1)


def write_surface(root: Path, subject: int = 1) -> Planted:
    """One session on fsaverage: files of full size, mostly holes, with twelve vertices of each side in the region."""
    import nibabel

    order, rows = write_design(root)
    generator = np.random.default_rng(3)
    signal = generator.normal(size=(10_000, 24))
    betas = (signal[order[:TRIALS]] + 0.5 * generator.normal(size=(TRIALS, 24))).astype(np.float32)
    betas[:, 5] = np.nan
    folder = root / f"nsddata_betas/ppdata/subj{subject:02d}/fsaverage/betas_fithrf"
    label = root / "nsddata/freesurfer/fsaverage/label"
    for one in (folder, label):
        one.mkdir(parents=True)
    for number, side in enumerate(("lh", "rh")):
        vertices = 1000 * (number + 1) + 7 * np.arange(12)
        header = nibabel.MGHImage(np.zeros((FSAVERAGE, 1, 1, 1), np.float32), np.eye(4)).header
        header.set_data_shape((FSAVERAGE, 1, 1, TRIALS))
        path = folder / f"{side}.betas_session01.mgh"
        with path.open("wb") as file:
            header.writehdr_to(file)
            start = header.get_data_offset()
            file.truncate(start + 4 * FSAVERAGE * TRIALS)
            for trial in range(TRIALS):
                for vertex, value in zip(vertices, betas[trial, 12 * number :], strict=False):
                    file.seek(start + 4 * (trial * FSAVERAGE + vertex))
                    file.write(np.array(value, ">f4").tobytes())
        values = {"nsdgeneral": np.ones(12), "streams": np.repeat([0, 1, 5], 4), "HCP_MMP1": np.arange(12) % 3}
        for name, some in values.items():
            labels = np.zeros((FSAVERAGE, 1, 1), np.int32)
            labels[vertices, 0, 0] = some
            nibabel.save(nibabel.MGHImage(labels, np.eye(4)), label / f"{side}.{name}.mgz")
        ncsnr = np.zeros((FSAVERAGE, 1, 1), np.float32)
        ncsnr[vertices, 0, 0] = 0.5 + number
        nibabel.save(nibabel.MGHImage(ncsnr, np.eye(4)), folder / f"{side}.ncsnr.mgh")
    (label / "HCP_MMP1.mgz.ctab").write_text("0 Unknown\n1 V1 0 0 0\n2 MST 0 0 0\n")
    write_images(root, rows[subject - 1][order[:2]])
    return Planted(root, order, rows, signal, betas[None])


def write_synthetic(root: Path, subject: int = 1, version: str = "betas_fithrf") -> tuple[np.ndarray, np.ndarray]:
    """NSD-synthetic in the volume of :func:`write_volume`: the picture of each trial from 0, and the betas."""
    import h5py
    from scipy.io import savemat

    generator = np.random.default_rng(8)
    order = generator.permutation(np.r_[np.tile(np.arange(284), 2), np.arange(744 - 568)])
    folder = root / "nsddata/experiments/nsdsynthetic"
    folder.mkdir(parents=True, exist_ok=True)
    savemat(folder / "nsdsynthetic_expdesign.mat", {"masterordering": order[None] + 1.0})
    inside = np.zeros(GRID, bool)
    inside[1:5, 1:4, 1:3] = True
    signal = generator.normal(size=(284, int(inside.sum())))
    betas = 2 + signal[order] + 0.7 * generator.normal(size=(744, signal.shape[1]))
    volume = np.zeros((*GRID, 744), np.int16)
    volume[inside] = np.round(300 * betas).T
    folder = root / f"nsddata_betas/ppdata/subj{subject:02d}/func1pt8mm/nsdsynthetic{version}"
    folder.mkdir(parents=True, exist_ok=True)
    with h5py.File(folder / "betas_nsdsynthetic.hdf5", "w") as file:
        file["betas"] = volume.transpose(3, 2, 1, 0)
    folder = root / "nsddata_stimuli/stimuli/nsdsynthetic"
    folder.mkdir(parents=True, exist_ok=True)
    sets = (("nsdsynthetic_stimuli", 220), (f"nsdsynthetic_colorstimuli_subj{subject:02d}", 64))
    for number, (name, count) in enumerate(sets, 1):
        pixels = np.zeros((count, 20, 30, 3), np.uint8)
        pixels[:, 0, 0] = np.stack([np.arange(count), np.full(count, number), np.full(count, 9)], 1)
        with h5py.File(folder / f"{name}.hdf5", "w") as file:
            file["imgBrick"] = pixels
    return order, np.round(300 * betas) / 300


def write_imagery(
    root: Path, subject: int = 1, version: str = "betas_fithrf"
) -> tuple[dict[str, list[str]], np.ndarray]:
    """NSD-imagery in the volume of :func:`write_volume`: run -> the condition of each trial, and all 720 betas."""
    import h5py
    from PIL import Image

    generator = np.random.default_rng(9)
    targets = ("bar_000.0", "bar_045.0", "bar_090.0", "bar_135.0", "crs_000.0", "crs_045.0")
    pictures = [f"{name}deg_450L_43W.png" for name in targets]
    pictures += ["shared0385_nsd28752.png", "shared0413_nsd30857.png", "shared0741_nsd53882.png",
                 "shared0842_nsd61178.png", "shared0907_nsd65873.png", "shared0000_nsd00000.png"]  # fmt: skip
    folder = root / "nsddata/experiments/nsdimagery/rawtargetimages"
    folder.mkdir(parents=True)
    for number, name in enumerate(pictures):
        Image.new("RGB", (12, 12), (number, 50, 60)).save(folder / name)
    folder = root / "nsddata/bdata/nsdimagery"
    folder.mkdir(parents=True)
    shown = {}
    for run in ("visA", "visB", "imgA_1", "imgA_2", "imgB_1", "imgB_2"):
        letters = "HRVLPE" if "A" in run else "WKBCDT"
        shown[run] = generator.permutation(list(letters * 8)).tolist()
        lines = ["SUBJECT\tRUN\tCONDITION", *(f"{subject}\t1\t{cue}" for cue in shown[run])]
        (folder / f"nsdimagery_subj{subject:02d}_{run}.tsv").write_text("\n".join(lines) + "\n")
    inside = np.zeros(GRID, bool)
    inside[1:5, 1:4, 1:3] = True
    whole = np.round(300 * (1 + generator.normal(size=(720, int(inside.sum()))))).astype(np.int16)
    volume = np.zeros((*GRID, 720), np.int16)
    volume[inside] = whole.T
    folder = root / f"nsddata_betas/ppdata/subj{subject:02d}/func1pt8mm/nsdimagery{version}"
    folder.mkdir(parents=True)
    with h5py.File(folder / "betas_nsdimagery.hdf5", "w") as file:
        file["betas"] = volume.transpose(3, 2, 1, 0)
    return shown, whole / 300
