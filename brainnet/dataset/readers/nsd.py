"""The Natural Scenes Dataset: one subject's single-trial betas, averaged over the presentations of each image.

    <root>/nsddata/experiments/nsd/nsd_expdesign.mat                  which trial showed which image
           nsddata_betas/ppdata/subj01/<space>/<version>/             betas_session01, ...; ncsnr maps
           nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5               the 73,000 images
           nsddata/freesurfer/{fsaverage,subj01}/label/               label maps of surfaces, names of labels
           nsddata/freesurfer/subj01/surf/                            optional: the subject's own surfaces
           nsddata/ppdata/subj01/<space>/roi/                         label maps of volumes
           nsddata/ppdata/subj01/behav/responses.tsv                  optional: the trials again, which must agree

Presentations of one image are not quite independent in the betas whose version ends in ``GLMdenoise_RR``: noise
regressors and ridge fractions were chosen by how well repeats agree.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from brainnet._checks import check_word
from brainnet._work import free_bytes, says_progress, size
from brainnet._work import progress as show_progress
from brainnet.dataset.about import About
from brainnet.dataset.base import ResponseDataset, random_splits
from brainnet.dataset.readers import _nsd as files
from brainnet.dataset.readers._checked import told_ceiling
from brainnet.dataset.regions import areas_of, regions_of
from brainnet.dataset.settings import settings_of
from brainnet.dataset.trials import Conditions, conditions
from brainnet.space import BrainSpace, own_mesh, surface_space
from brainnet.space.atlases import read_names
from brainnet.space.own_surfaces import vertex_counts
from brainnet.stimuli import Images

SPACES = (*files.SURFACES, *files.VOLUMES)
SPLITS = ("shared1000", "shared872", "shared515", "algonauts", "random")
IMAGES = "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5"
FIRST_30 = 30 * files.TRIALS  # trials that every subject saw
FIRST_27 = 27 * files.TRIALS  # and those of them that were published from the beginning


ABOUT = About(
    title="Natural Scenes Dataset",
    kind="fMRI",
    what="Eight people saw up to 10,000 photographs of COCO three times each, in 30 to 40 sessions in a 7 T scanner; "
    "1,000 of the photographs were the same for all. Responses are single-trial betas.",
    where="http://naturalscenesdataset.org (a form), then the bucket s3://natural-scenes-dataset, without a key.",
    terms="NSD Terms and Conditions, agreed to in the form; the photographs stay under the terms of COCO.",
    size="39.6 GB of photographs; the 40 sessions of a subject take 39 GB on fsaverage, and 42 GB at 1.8 mm before "
    "they are compressed.",
    layout="""nsddata/experiments/nsd/nsd_expdesign.mat
nsddata_betas/ppdata/subj01/<space>/<version>/[lh.|rh.]betas_session01...
nsddata_betas/ppdata/subj01/<space>/<version>/[lh.|rh.]ncsnr...            (optional: the published noise ceiling)
nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5
nsddata/freesurfer/{fsaverage,subj01}/label/
nsddata/ppdata/subj01/<space>/roi/
nsddata/ppdata/subj01/behav/responses.tsv                                  (optional: must agree with the design)
nsddata/freesurfer/subj01/surf/                                            (optional: places of nativesurface)""",
    steps=(
        "Fill in the form at http://naturalscenesdataset.org.",
        "`aws s3 sync --no-sign-request s3://natural-scenes-dataset/nsddata FOLDER/nsddata`, and in the same way "
        "nsddata_stimuli/stimuli/nsd and nsddata_betas/ppdata/subj01/SPACE/VERSION.",
    ),
    needs=("nsddata/experiments/nsd/nsd_expdesign.mat", IMAGES,
           "nsddata_betas/ppdata/subj{subject:02d}/{space}/{version}/*betas_session01.*"),
    cite="""@article{allen2022massive,
  title={A massive 7T fMRI dataset to bridge cognitive neuroscience and artificial intelligence},
  author={Allen, Emily J. and St-Yves, Ghislain and Wu, Yihan and Breedlove, Jesse L. and Prince, Jacob S. and others},
  journal={Nature Neuroscience}, volume={25}, pages={116--126}, year={2022}, doi={10.1038/s41593-021-00962-x}
}""",
    verified="Run on folders in the published layout that the tests write; nobody has run it on the real files yet.",
)  # fmt: skip


class NSD(ResponseDataset):
    """One subject of the Natural Scenes Dataset.

    Image ids are "nsd-00013", the row of the image in ``imgBrick`` from 0, so subjects who saw the same image share its
    tokens. There are five splits:

    * ``shared1000``: "test" are the shared images that the subject saw; "val" is drawn from the others.
    * ``shared872``: "test" are the 872 shared images in the challenge of 2023 for all subjects, those that came in the
      first 27 sessions; "val" are the other shared images.
    * ``shared515``: "test" are the 515 images that all subjects saw three times; "val" are the other shared images.
    * ``algonauts``: "test" are the images shown in the last three sessions only; "val" is drawn from the others.
    * ``random``: "test" and "val" are drawn.

    Betas are z-scored within their session, as their authors advise; ``standardize`` false leaves them. In versions
    whose name ends in GLMdenoise_RR, presentations of one image are not quite independent: noise regressors and ridge
    fractions were chosen by how well they agree, so that noise ceilings come out a little too high.

    Args:
        root: folder with the bucket's ``nsddata``, ``nsddata_betas`` and ``nsddata_stimuli``.
        subject: 1 to 8.
        space: "fsaverage", "nativesurface", "func1pt8mm" or "func1mm".
        version: of the betas, such as "betas_fithrf_GLMdenoise_RR".
        region: label map whose labels above 0 are read, such as "nsdgeneral"; "" takes every place.
        sessions: how many, from the first; None takes all that are there.
        standardize: z-score each voxel within its session, before averaging.
        split: "shared1000", "shared872", "shared515", "algonauts" or "random".
        test: share or count of the split "random".
        val: share or count of the images that are drawn as validation images.
        seed: of what is drawn.
        progress: show a progress bar.

    Attributes:
        trials: the :class:`~brainnet.dataset.trials.Conditions` the responses are from, without these.
        groups: the session in which each image was first shown, from 1.

    Raises:
        FileNotFoundError: a file is missing; names it.
        ValueError: a file of another shape, type, subject or order; names it, what it holds and what was expected.
        MemoryError: the responses do not fit into memory.
    """

    about = ABOUT

    def __init__(
        self,
        root: str | os.PathLike,
        subject: int = 1,
        *,
        space: str = "fsaverage",
        version: str = "betas_fithrf_GLMdenoise_RR",
        region: str = "nsdgeneral",
        sessions: int | None = None,
        standardize: bool = True,
        split: str = "shared1000",
        test: float | int = 0.1,
        val: float | int = 0.1,
        seed: int = 0,
        progress: bool = True,
    ):
        check_word("space", space, SPACES)
        check_word("split", split, SPLITS)
        if subject not in range(1, 9):
            raise ValueError(f"subject is 1 to 8, got {subject!r}.")
        self.root, self.subject = _checked_root(Path(root)), int(subject)
        design = files.read_design(self.root)
        folder = self.root / f"nsddata_betas/ppdata/subj{subject:02d}/{space}/{version}"
        recorded = files.session_files(folder, space)
        if sessions is not None and not 0 < sessions <= len(recorded):
            raise ValueError(f"sessions is 1 to {len(recorded)}, those in {folder}; got {sessions}.")
        recorded = recorded[:sessions]
        order = design.order[: len(recorded) * files.TRIALS]
        rows = design.rows[self.subject - 1]
        self._check_trials(rows[order])
        columns, affine = self._columns(space, region, recorded[0])
        found = self._conditions(recorded, space, columns, rows[order], standardize, progress)
        order_of = {int(row): place for place, row in enumerate(rows)}  # place of each image among the subject's own
        self._rows = np.array([int(name) for name in found.ids])
        places = np.array([order_of[row] for row in self._rows])
        splits = _splits(split, places, order, test, val, seed)
        published = self._ncsnr(folder, space, columns)
        ceiling = found.noise_ceiling(splits["test"], published)
        raw = "" if standardize or published is not None else ", betas not standardized"
        self.images = Images(self._image_file(), rows=self._rows.tolist(), key="imgBrick")
        super().__init__(
            [f"nsd-{row:05d}" for row in self._rows],
            found.responses,
            self._space(space, columns, affine),
            splits,
            **told_ceiling(ceiling, raw),
        )
        self.trials, self.groups = found, found.first_groups()

    from_settings = settings_of(__init__)

    def _image_file(self) -> Path:
        path = self.root / IMAGES
        if not path.is_file():
            raise FileNotFoundError(f"no {path}: it holds the 73,000 images, 39.6 GB.")
        return path

    def _check_trials(self, rows: np.ndarray) -> None:
        told = files.read_trial_rows(self.root, self.subject)
        if told is None:
            return
        if len(told) < len(rows):
            raise ValueError(
                f"responses.tsv of subject {self.subject} has {len(told)} trials; expected {len(rows)}, those of the "
                f"{len(rows) // files.TRIALS} sessions of betas."
            )
        wrong = np.flatnonzero(told[: len(rows)] != rows)
        if len(wrong):
            trial = int(wrong[0])
            raise ValueError(
                f"trial {trial + 1} of subject {self.subject} showed image {told[trial]} by responses.tsv and "
                f"{rows[trial]} by nsd_expdesign.mat (counted from 0): one of the two files is of another subject."
            )

    def _columns(self, space: str, region: str, first: list[Path]) -> tuple[list[np.ndarray], np.ndarray | None]:
        """Which places of each file are read, and the affine of a volume."""
        affine = None
        if space in files.SURFACES:
            paths = [self._labels(space) / f"{side}.{region or 'streams'}.mgz" for side in files.HEMISPHERES]
        else:
            paths = [self._labels(space) / f"{region or 'nsdgeneral'}.nii.gz"]
            affine = files.affine_of(paths[0]) if paths[0].is_file() else None
        labels = [files.read_labels(path) for path in paths]
        columns = [label > 0 if region else np.ones(label.shape, bool) for label in labels]
        if space == "fsaverage":
            for path, inside in zip(paths, columns, strict=True):
                if len(inside) != files.FSAVERAGE:
                    raise ValueError(f"{path} has {len(inside)} vertices; expected {files.FSAVERAGE}, of fsaverage.")
        n_columns = sum(int(inside.sum()) for inside in columns)
        if not n_columns:
            raise ValueError(f"no label above 0 in {', '.join(map(str, paths))}: no voxel is left of {region}.")
        return columns, affine

    def _labels(self, space: str) -> Path:
        """Folder of label maps."""
        if space in files.VOLUMES:
            return self.root / f"nsddata/ppdata/subj{self.subject:02d}/{space}/roi"
        return self.root / "nsddata/freesurfer" / self._brain(space) / "label"

    def _brain(self, space: str) -> str:
        return "fsaverage" if space == "fsaverage" else f"subj{self.subject:02d}"

    def _conditions(
        self,
        recorded: list[list[Path]],
        space: str,
        columns: list[np.ndarray],
        rows: np.ndarray,
        standardize: bool,
        progress: bool,
    ) -> Conditions:
        n_columns = sum(int(inside.sum()) for inside in columns)
        needed = 5 * len(np.unique(rows)) * n_columns + 12 * files.TRIALS * n_columns
        free = free_bytes(torch.device("cpu"))
        if free is not None and needed > free:
            raise MemoryError(
                f"responses to {len(np.unique(rows)):,} images of {n_columns:,} voxels take {size(needed)} and "
                f"{size(free)} are free: choose a smaller region, or fewer sessions."
            )

        def blocks() -> Iterator[np.ndarray]:
            for paths in show_progress(recorded, "NSD sessions", len(recorded), progress):
                yield files.read_session(paths, space, columns)

        sessions = np.arange(len(rows)) // files.TRIALS + 1
        found = conditions(blocks(), rows.tolist(), sessions=sessions, standardize=standardize)
        missing = found.n_missing / (found.n_trials * n_columns)
        if missing or found.outliers:
            says_progress.info(
                "subject %d: %.2f %% of the betas are missing, and %d of %d trials are far larger than others.",
                self.subject, 100 * missing, len(found.outliers), found.n_trials,
            )  # fmt: skip
        return found

    def _ncsnr(self, folder: Path, space: str, columns: list[np.ndarray]) -> Tensor | None:
        """The published map, where it lies beside the betas."""
        if space == "nativesurface":
            return None
        names = [f"{s}.ncsnr.mgh" for s in files.HEMISPHERES] if space == "fsaverage" else ["ncsnr.nii.gz"]
        if not all((folder / name).is_file() for name in names):
            return None
        maps = [files.read_labels(folder / name, has_holes=True) for name in names]
        for name, values, inside in zip(names, maps, columns, strict=True):
            if values.shape != inside.shape:
                raise ValueError(f"{folder / name} has shape {values.shape}; expected {inside.shape}, as the betas.")
        return torch.from_numpy(np.concatenate([v[i] for v, i in zip(maps, columns, strict=True)]).astype(np.float64))

    def _space(self, space: str, columns: list[np.ndarray], affine: np.ndarray | None) -> BrainSpace:
        left, areas = None, self._areas(space, columns)
        if space in files.SURFACES:
            n_left = int(columns[0].sum())
            left = torch.arange(n_left + int(columns[1].sum())) < n_left
        rois = regions_of(areas, left)
        if space == "fsaverage":
            vertices = [np.flatnonzero(inside) + side * files.FSAVERAGE for side, inside in enumerate(columns)]
            return surface_space(torch.from_numpy(np.concatenate(vertices)), "fsaverage", rois)
        if space == "nativesurface":
            return self._native(columns, rois)
        return BrainSpace(mask=torch.from_numpy(columns[0]), affine=torch.from_numpy(affine), rois=rois)

    def _native(self, columns: list[np.ndarray], rois: dict[str, Tensor]) -> BrainSpace:
        """Vertices of the subject's own surfaces; columns without a place where these are not there."""
        folder = self.root / f"nsddata/freesurfer/{self._brain('nativesurface')}"
        if not (folder / "surf/lh.sphere").is_file():
            return BrainSpace.free(sum(int(inside.sum()) for inside in columns), rois)
        mesh = own_mesh(folder)
        counts = tuple(len(inside) for inside in columns)
        if vertex_counts(mesh) != counts:
            raise ValueError(f"{folder}/surf has {vertex_counts(mesh)} vertices; expected {counts}, as the label maps.")
        vertices = [np.flatnonzero(inside) + side * max(counts) for side, inside in enumerate(columns)]
        return surface_space(torch.from_numpy(np.concatenate(vertices)), mesh, rois)

    def _areas(self, space: str, columns: list[np.ndarray]) -> dict[str, Tensor]:
        """Every region that a label map names."""
        areas: dict[str, Tensor] = {}
        folder = self._labels(space)
        surface = space in files.SURFACES
        pattern, suffix = ("lh.*.mgz", ".mgz") if surface else ("*.nii.gz", ".nii.gz")
        names = sorted(path.name.removesuffix(suffix).removeprefix("lh.") for path in folder.glob(pattern))
        for family in names:
            if not surface and family.startswith(("lh.", "rh.")):
                continue  # the half of a map that is there whole
            halves = [f"{side}.{family}.mgz" for side in files.HEMISPHERES] if surface else [f"{family}.nii.gz"]
            table = self.root / "nsddata/freesurfer" / f"subj{self.subject:02d}/label/{family}.mgz.ctab"
            table = table if table.is_file() else folder / f"{family}.mgz.ctab"
            known = read_names(table) if table.is_file() else None
            parts = []
            for name, inside in zip(halves, columns, strict=True):
                labels = files.read_labels(folder / name)
                if labels.shape != inside.shape:
                    raise ValueError(
                        f"{folder / name} has shape {labels.shape}; expected {inside.shape}, as the betas."
                    )
                parts.append(areas_of(family, labels[inside], folder / name, known, own=family in OWN))
            areas |= {name: torch.cat([part[name] for part in parts if name in part]) for name in parts[0]}
        return {name: mask for name, mask in areas.items() if mask.any()}


OWN = ("HCP_MMP1", "corticalsulc", "visualsulc")  # atlases whose names other maps have too


def _checked_root(root: Path) -> Path:
    wanted = "nsddata/experiments/nsd/nsd_expdesign.mat"
    if (root / wanted).is_file():
        return root
    fits = next((folder for folder in [*root.parents[:4], *root.glob("*")] if (folder / wanted).is_file()), None)
    raise FileNotFoundError(
        f"no {wanted} under {root}: expected the folder that holds nsddata, nsddata_betas and nsddata_stimuli."
        + (f" Did you mean {fits}?" if fits else "")
    )


def _splits(
    split: str, places: np.ndarray, order: np.ndarray, test: float | int, val: float | int, seed: int
) -> dict[str, Tensor]:
    """The rows of each split.

    Args:
        split: a name of ``SPLITS``.
        places: (n_images,) each image's place among the subject's own 10,000.
        order: (n_trials,) the places that were shown.
        test, val: shares or counts of what is drawn.
        seed: of the draw.
    """
    if split == "random":
        return random_splits(len(places), test=test, val=val, seed=seed)
    shared = places < files.SHARED
    if split == "algonauts":
        early = np.unique(order[: -3 * files.TRIALS])
        held = ~np.isin(places, early)
    elif split == "shared872":
        held = shared & np.isin(places, order[:FIRST_27])
    elif split == "shared515":
        thrice = np.flatnonzero(np.bincount(order[:FIRST_30], minlength=files.SHARED)[: files.SHARED] >= 3)
        held = np.isin(places, thrice)
    else:
        held = shared
    if not held.any() or held.all():
        raise ValueError(
            f"the split {split!r} holds {int(held.sum())} of {len(places)} images back, in these sessions."
        )
    rest = np.flatnonzero(~held)
    if split in ("shared515", "shared872"):
        validation = np.flatnonzero(shared & ~held)
        return {"train": torch.from_numpy(np.flatnonzero(~shared)), "val": torch.from_numpy(validation),
                "test": torch.from_numpy(np.flatnonzero(held))}  # fmt: skip
    drawn = random_splits(len(rest), test=0, val=val, seed=seed)
    rest = torch.from_numpy(rest)
    return {"train": rest[drawn["train"]], "val": rest[drawn["val"]], "test": torch.from_numpy(np.flatnonzero(held))}
