"""A dataset from what most labs have on disk: a set of pictures and one matrix of responses.

The two are matched by position (natural order of the file names) unless the responses name their images. Which axis of
the matrix is which is stated, never guessed; an error says when only the other way round fits.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet._checks import nearest
from brainnet.dataset.base import DATASETS, ResponseDataset, check_splits, random_splits
from brainnet.dataset.repeats import ceilings_of_repeats, count_of_repeats, mean_of_repeats
from brainnet.dataset.tables import RESPONSE_SUFFIXES, Table, read_rois, read_splits, read_table
from brainnet.dataset.trial_tables import images_of, read_trials
from brainnet.dataset.trials import Conditions, conditions
from brainnet.space import BrainSpace
from brainnet.stimuli import Images, is_picture, names_meant, natural_sort
from brainnet.tokens import Preprocessing

ORIENTATIONS = ("images,voxels", "voxels,images")
_LAYOUT = (
    "images/ (or images.zip) and responses.npy (.npz, .csv, .h5), or trials.csv, or images_<session>.zip and "
    "avg_<session>.npy"
)


@DATASETS.register("array")
class ArrayDataset(ResponseDataset):
    """Pictures and a response matrix, from files or from memory.

    Args:
        images: a folder, a .zip, a list of paths or PIL images, pixels (n, 3, H, W), or whatever else
            :class:`~brainnet.stimuli.images.Images` reads; or such a set, as of chosen rows of an HDF5 file. Files are
            taken in natural order.
        responses: an array, or a .npy, .npz, .csv or HDF5 file. A .csv may name its images (in its first column, or in
            its header where columns are images); rows are then matched by name. None averages ``repeats``.
        orientation: "images,voxels" (one row per image) or "voxels,images".
        ids: a name per image; by default the file names without suffix.
        repeats: single presentations, an array or .npy file with the axes of ``responses`` and a third one over
            repeats; NaN where a repeat is missing. They give the noise ceiling; further splits have their own.
        coords: (n_voxels, 3) mm, array or .npy or .csv; None leaves the space without place.
        rois: name -> (n_voxels,) bool; or a .csv with a header and a row per voxel: a 0/1 column per ROI, or one column
            of ROI names.
        space: a whole :class:`~brainnet.space.BrainSpace` instead of ``coords`` and ``rois``.
        noise_ceiling: (n_voxels,) on the r scale, where it is known already.
        noise_ceiling_definition: how it was computed.
        n_repeats: presentations averaged in ``responses``; counted where ``repeats`` are given.
        splits: "train", "val", "test" and any further name -> image indices; or a .csv with columns "image" and
            "split"; None draws ``random_splits(n, test=test, val=val, seed=seed)``.
        test, val, seed: see :func:`~brainnet.dataset.base.random_splits`.
        preprocessing: how images become tensors; None leaves it to the backbone.

    Raises:
        ValueError: counts or shapes disagree; the message says what fits.
        FileNotFoundError: a file that is not there.

    >>> pixels = np.zeros((10, 3, 16, 16), dtype=np.uint8)
    >>> data = ArrayDataset(pixels, np.arange(50.).reshape(5, 10), orientation="voxels,images")
    >>> data
    ArrayDataset(10 images, 5 voxels; train 7, val 1, test 2)
    >>> data.responses[3].tolist()
    [3.0, 13.0, 23.0, 33.0, 43.0]
    """

    def __init__(
        self,
        images: Any,
        responses: Any = None,
        *,
        orientation: str = "images,voxels",
        ids: Sequence[str] | None = None,
        repeats: Any = None,
        coords: Any = None,
        rois: Mapping[str, Any] | str | os.PathLike | None = None,
        space: BrainSpace | None = None,
        noise_ceiling: Any = None,
        noise_ceiling_definition: str = "given with the data",
        n_repeats: int = 1,
        splits: Mapping[str, Any] | str | os.PathLike | None = None,
        test: float | int = 0.2,
        val: float | int = 0.1,
        seed: int = 0,
        preprocessing: Preprocessing | None = None,
    ):
        if orientation not in ORIENTATIONS:
            raise ValueError(f"orientation is {' or '.join(map(repr, ORIENTATIONS))}, got {orientation!r}.")
        if responses is None and repeats is None:
            raise ValueError("give responses, or the repeats to average.")
        self.images = Images.of(images, ids)
        n_images = len(self.images)
        trials = None if repeats is None else self._oriented(read_table(repeats, "repeats"), orientation, "repeats", 3)
        if responses is None:
            matrix = mean_of_repeats(trials)
        else:
            matrix = self._oriented(read_table(responses, "responses"), orientation, "responses", 2)
        n_voxels = matrix.shape[1]
        if trials is not None and trials.shape[:2] != matrix.shape:
            raise ValueError(f"repeats are of {trials.shape[1]} voxels, responses of {n_voxels}.")
        if splits is None:
            splits = random_splits(n_images, test=test, val=val, seed=seed)
        elif not isinstance(splits, Mapping):
            splits = read_splits(Path(splits), self.images.ids)
        splits = check_splits(splits, n_images)
        further_ceilings: dict[str, Tensor] = {}
        if trials is not None:
            n_repeats = count_of_repeats(trials, splits["test"])
        if noise_ceiling is not None:
            noise_ceiling = read_table(noise_ceiling, "noise_ceiling").values.reshape(-1)
        elif trials is None:
            noise_ceiling_definition = "none: no repeats were given"
        else:
            noise_ceiling, noise_ceiling_definition, further_ceilings = ceilings_of_repeats(trials, splits)
        super().__init__(
            self.images.ids,
            np.array(matrix, dtype=np.float32, order="C"),  # a copy: neither a read-only map nor the caller's array
            space if space is not None else _space(coords, rois, n_voxels),
            splits,
            noise_ceiling=noise_ceiling,
            noise_ceiling_definition=noise_ceiling_definition,
            further_ceilings=further_ceilings,
            n_repeats=n_repeats,
            preprocessing=preprocessing,
        )

    def _oriented(self, table: Table, orientation: str, name: str, ndim: int) -> np.ndarray:
        """The values with images first and voxels second, rows in the order of the images."""
        values, n_images = table.values, len(self.images)
        if values.ndim != ndim:
            axes = orientation + ",repeats" * (ndim - 2)
            raise ValueError(f"{name} must have {ndim} axes ({axes}), got shape {values.shape}.")
        axis = orientation.split(",").index("images")
        if values.shape[axis] != n_images:
            other = ORIENTATIONS[1 - ORIENTATIONS.index(orientation)]
            given = f"{name} of shape {values.shape} are of {values.shape[axis]} images by orientation={orientation!r}"
            if values.shape[1 - axis] == n_images:
                raise ValueError(f"{given}; there are {n_images}. The other axis fits: pass orientation={other!r}.")
            raise ValueError(
                f"{given}, but there are {n_images} in {self.images.described}. Leave out the images that have no "
                "response, or the responses that have no image."
            )
        values = np.moveaxis(values, axis, 0)
        labels = table.labels[axis]
        return values if labels is None else values[self._matched(labels, name)]

    def _matched(self, labels: list[str], name: str) -> np.ndarray:
        """For each image the row whose label names it."""
        numbers = {tuple(map(str, range(start, start + len(labels)))) for start in (0, 1)}
        if tuple(labels) in numbers and set(labels) != set(self.images.ids):
            return np.arange(len(labels))  # a plain row count names no images
        known = set(self.images.ids)
        named = [next((n for n in names_meant(label) if n in known), Path(label).stem) for label in labels]
        rows = {name: row for row, name in enumerate(named)}
        absent = [image for image in self.images.ids if image not in rows]
        if absent or len(rows) < len(labels):
            problem = (
                f"{len(absent)} images are not among them, the first is {absent[0]!r}" if absent else "one occurs twice"
            )
            raise ValueError(f"{name} name their images ({labels[0]!r}, ..., {labels[-1]!r}), but {problem}.")
        return np.array([rows[image] for image in self.images.ids])

    trials: Conditions | None = None  # of a data set made by :meth:`from_trials`

    @classmethod
    def from_trials(
        cls, images: Any, trials: Any, responses: Any = None, *, standardize: bool = True, splits: Any = None,
        test: float | int = 0.2, val: float | int = 0.1, seed: int = 0, **kwargs: Any,
    ) -> ArrayDataset:  # fmt: skip
        """The dataset of a table of single trials: means by image, a noise ceiling from repeats, and runs or sessions.

        Args:
            images: a path, or whatever else the constructor takes; images without a trial are left out of a path.
            trials: a .csv or .tsv file with a line per trial, see :func:`~brainnet.dataset.trial_tables.read_trials`.
            responses: (n_trials, n_voxels), an array or a file; None where the table holds them.
            standardize: z-score each voxel within its session or run, before averaging.
            splits, test, val, seed, kwargs: as of the constructor.

        The attribute ``trials`` keeps what is known of single trials, ``groups`` the session or run of each image.
        """
        table = read_trials(trials, responses)
        every = Images.of(images)
        shown = images_of(table.images, every.ids, str(trials))
        found = conditions(table.blocks(), shown, sessions=table.sessions, runs=table.runs, standardize=standardize)
        if set(found.ids) != set(every.ids):
            if isinstance(images, Images):
                raise ValueError(f"{len(every) - len(found.ids)} of {len(every)} images have no trial: leave them out.")
            row = {name: place for place, name in enumerate(every.ids)}
            every = Images(images, rows=sorted(row[name] for name in found.ids))
        place = {name: row for row, name in enumerate(found.ids)}
        order = [place[name] for name in every.ids]
        if splits is None:
            splits = random_splits(len(every), test=test, val=val, seed=seed)
        elif not isinstance(splits, Mapping):
            splits = read_splits(Path(splits), every.ids)
        tested = check_splits(splits, len(every))["test"].tolist()
        ceiling = found.noise_ceiling([order[i] for i in tested] if tested else order)
        known = bool(found.ncsnr.isfinite().any())
        data = cls(
            every, found.responses[order], splits=splits, n_repeats=ceiling.n_repeats,
            noise_ceiling=ceiling.r if known else None,
            noise_ceiling_definition=f"{ceiling.definition}, about K = {ceiling.n_repeats}",
            **kwargs,
        )  # fmt: skip
        groups = found.first_groups()
        data.trials, data.groups = found, None if groups is None else groups[order]
        return data

    @classmethod
    def from_settings(
        cls, data_dir: str, seed: int, *, session: str = "", test: float | int = 0.2, val: float | int = 0.1,
        standardize: bool = True,
    ) -> ArrayDataset:  # fmt: skip
        """The folder ``data_dir``, see :meth:`from_folder`; where it names no splits, these shares are drawn.

        ``standardize`` is of single trials, see :meth:`from_trials`.
        """
        trials = {} if standardize else {"standardize": False}
        return cls.from_folder(data_dir, session=session or None, seed=seed, test=test, val=val, **trials)

    @classmethod
    def from_folder(cls, root: str | os.PathLike, session: str | int | None = None, **kwargs: Any) -> ArrayDataset:
        """The dataset of a folder laid out in one of three ways.

        * ``images/`` or ``images.zip`` (or the one subfolder or zip that holds pictures) beside ``responses.npy``,
          ``.npz`` or ``.csv``; optional ``repeats.npy``, ``coords.npy`` or ``.csv``, ``rois.csv``, ``splits.csv``.
        * the same with ``trials.csv`` (or ``.tsv``), a line per trial, and the responses to trials in ``responses.*``
          or in its columns, see :meth:`from_trials`.
        * one or several recording sessions: ``images_<session>.zip`` with ``avg_<session>.npy`` (voxels, images), and
          ``raw_<session>.npy`` (voxels, images, repeats) where single trials were kept.

        Args:
            root: the folder.
            session: which session, where there are several.
            **kwargs: passed on to the constructor, over what was found.

        Raises:
            FileNotFoundError: neither layout; the message says what is there.
            ValueError: several sessions and none chosen.
        """
        root = Path(root)
        if not root.is_dir():
            siblings = [entry.name for entry in root.parent.iterdir()] if root.parent.is_dir() else []
            close = nearest(root.name, siblings)
            raise FileNotFoundError(f"no folder {root}." + (f" Did you mean {root.parent / close}?" if close else ""))
        sessions = _sessions(root)
        if sessions or session is not None:
            found = cls.files_of(root, session)
        else:
            found = cls._plain_files(root)
        if "trials" in found:
            return cls.from_trials(**(found | kwargs))
        if "standardize" in kwargs:
            raise ValueError(f"standardize is of single trials, and {root} has no trials.csv.")
        return cls(**(found | kwargs))

    @staticmethod
    def sessions_in(root: Path) -> list[str]:
        """Names of the recording sessions in a folder: those that have pictures and means."""
        return _sessions(root) if root.is_dir() else []

    @staticmethod
    def files_of(root: Path, session: str | int | None = None) -> dict[str, Any]:
        """The files of a session, as arguments of the constructor.

        Raises:
            ValueError: an unknown session, or several and none chosen.
        """
        sessions = _sessions(root)
        if session is None and len(sessions) > 1:
            raise ValueError(
                f"{root} holds {len(sessions)} sessions: {', '.join(sessions)}. Choose one: session={sessions[0]!r}."
            )
        session = sessions[0] if session is None else str(session)
        if session not in sessions:
            known = ", ".join(sessions) or f"none (a session is images_<session>.zip with avg_<session>.npy in {root})"
            held = [entry for entry in root.iterdir() if entry.is_dir() and session in _sessions(entry)]
            hint = f" Did you mean the folder {held[0]}?" if held else ""
            raise ValueError(f"Unknown session {session!r}. Known: {known}.{hint}")
        raw = root / f"raw_{session}.npy"
        return {
            "images": _first_existing(root, f"images_{session}.zip", f"images_{session}"),
            "responses": root / f"avg_{session}.npy",
            "repeats": raw if raw.exists() else None,
            "orientation": "voxels,images",
        }

    @staticmethod
    def _plain_files(root: Path) -> dict[str, Any]:
        responses = [root / f"responses{suffix}" for suffix in RESPONSE_SUFFIXES]
        responses = [path for path in responses if path.exists()]
        trials = _first_existing(root, "trials.csv", "trials.tsv")
        if not responses and trials is None:
            fits = [e.name for e in root.iterdir() if e.is_dir() and (_sessions(e) or any(e.glob("responses.np[yz]")))]
            found = natural_sort(e.name + "/" * e.is_dir() for e in root.iterdir())
            raise FileNotFoundError(
                f"no responses under {root} (found: {', '.join(found[:8]) or 'nothing'}{', ...' * (len(found) > 8)}); "
                f"expected {_LAYOUT}." + (f" Did you mean {root / natural_sort(fits)[0]}?" if fits else "")
            )
        if len(responses) > 1:
            raise ValueError(f"{root} holds {' and '.join(path.name for path in responses)}: keep one.")
        optional = {
            "repeats": _first_existing(root, "repeats.npy"),
            "coords": _first_existing(root, "coords.npy", "coords.csv"),
            "rois": _first_existing(root, "rois.csv"),
            "splits": _first_existing(root, "splits.csv"),
        }
        found = {"images": _find_images(root), "responses": responses[0] if responses else None, **optional}
        if trials is None:
            return found
        if found.pop("repeats") is not None:
            raise ValueError(f"{root} holds trials and repeats.npy: keep one.")
        return {**found, "trials": trials}


def _sessions(root: Path) -> list[str]:
    named = (re.fullmatch(r"images_(.+?)(\.zip)?", entry.name) for entry in root.iterdir())
    return natural_sort({match[1] for match in named if match and (root / f"avg_{match[1]}.npy").exists()})


def _first_existing(root: Path, *names: str) -> Path | None:
    return next((root / name for name in names if (root / name).exists()), None)


def _find_images(root: Path) -> Path:
    named = _first_existing(root, "images", "images.zip")
    if named:
        return named
    if any(is_picture(entry.name) for entry in root.iterdir()):
        return root
    holders = [
        entry
        for entry in root.iterdir()
        if entry.suffix == ".zip" or (entry.is_dir() and any(is_picture(file.name) for file in entry.iterdir()))
    ]
    if len(holders) != 1:
        found = ", ".join(natural_sort(entry.name for entry in holders)) or "none"
        raise FileNotFoundError(f"{root} needs one folder or zip of images; found {found}. Expected {_LAYOUT}.")
    return holders[0]


def _space(coords: Any, rois: Any, n_voxels: int) -> BrainSpace:
    rois = rois if rois is None or isinstance(rois, Mapping) else read_rois(Path(rois))
    if coords is None:
        return BrainSpace.free(n_voxels, rois)
    return BrainSpace(coords=torch.from_numpy(np.array(read_table(coords, "coords").values)), rois=rois or {})
