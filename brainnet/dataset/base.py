"""What every dataset is: images, one row of responses per image, and the place of each response column.

A new dataset is one subclass that hands these to ``ResponseDataset.__init__`` and opens an image by its index. This
module refuses to train, to score or to change a response: what is NaN or constant is counted, said once, and kept.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from brainnet._checks import warn_once
from brainnet._notebook import mean_bar, table_html
from brainnet._registry import Registry, options_of
from brainnet.dataset.about import About
from brainnet.dataset.rdm_sets import RDMSet
from brainnet.rsa.rdms import RDMs
from brainnet.scores import usable_voxels
from brainnet.space import BrainSpace
from brainnet.stimuli import signature_of
from brainnet.tokens import Preprocessing, Tokens


def _dataset_of(module: ModuleType) -> type[ResponseDataset | RDMSet]:
    """The data set that a file of ``readers/`` defines."""
    return next(v for v in vars(module).values() if isinstance(v, type) and issubclass(v, ResponseDataset | RDMSet)
                and v.__module__ == module.__name__)  # fmt: skip


DATASETS = Registry("dataset", group="brainnet.datasets", folder="brainnet.dataset.readers", pick=_dataset_of)
SPLITS = ("train", "val", "test")
_ALSO_CALLED = {"train": {"training"}, "val": {"valid", "validation"}, "test": {"testing"}}


class ResponseDataset(Dataset):
    """Images with the brain responses to them; item ``i`` is (image (3, H, W), response (n_voxels,)).

    Subclasses call this constructor, and set ``images`` or define :meth:`load_image`. Everything below is then an
    attribute.

    Args:
        image_ids: one unique name per image, in the order of the rows of ``responses``.
        responses: (n_images, n_voxels), stored as float32 on the CPU.
        space: where each column lives.
        splits: "train", "val" and "test" -> image indices; disjoint. Further names hold images that are only ever
            predicted, such as out-of-distribution ones. Rows in none of them are never used. To refit on everything
            that is not test: ``torch.cat([splits["train"], splits["val"]])``.
        noise_ceiling: (n_voxels,) the largest r that a perfect model reaches on the test rows, 0 to 1; None: unknown.
        noise_ceiling_definition: how that ceiling was estimated, and from how many repeats.
        further_ceilings: the same for images of further splits, split -> (n_voxels,), where that is known.
        n_repeats: presentations of each test image that were averaged.
        preprocessing: how images become tensors; None leaves it to the backbone.

    Raises:
        ValueError: counts disagree, an id occurs twice, splits overlap or leave the range.
    """

    is_shuffled = False  # true of the negative control that :meth:`shuffled` makes
    about: ClassVar[About | None] = None  # of a published data set: what it is and where it comes from
    needs_folder: ClassVar[bool] = True  # false of data that are made and not read: DATASET.DATA_DIR is not used
    settings: Mapping[str, Any] | None = None  # how responses were made of recordings, for the run card
    groups: np.ndarray | None = None
    """(n_images,) the run or session in which each image was shown (first), to leave one out; None where unknown."""
    blocks: np.ndarray | None = None
    """(n_images,) the block of each image that a resample draws whole, of a time series; None draws single images."""

    def __init__(
        self,
        image_ids: Sequence[str],
        responses: Tensor | np.ndarray,
        space: BrainSpace,
        splits: Mapping[str, Tensor | Sequence[int]],
        *,
        noise_ceiling: Tensor | np.ndarray | None = None,
        noise_ceiling_definition: str = "",
        further_ceilings: Mapping[str, Tensor | np.ndarray] | None = None,
        n_repeats: int = 1,
        preprocessing: Preprocessing | None = None,
    ):
        self.image_ids = [str(name) for name in image_ids]
        self.responses = torch.as_tensor(responses).to("cpu", torch.float32)
        self.space = space
        self.splits = check_splits(splits, len(self.image_ids))
        self.noise_ceiling = None if noise_ceiling is None else torch.as_tensor(noise_ceiling).to("cpu", torch.float32)
        self.noise_ceiling_definition = noise_ceiling_definition
        self.further_ceilings = {
            split: torch.as_tensor(ceiling).to("cpu", torch.float32)
            for split, ceiling in (further_ceilings or {}).items()
        }
        self.n_repeats = int(n_repeats)
        self.preprocessing = preprocessing
        self._check()

    @classmethod
    def from_settings(cls, data_dir: str, seed: int, **options: Any) -> ResponseDataset:
        """The data set that a config describes; a subclass says by its own signature which options it takes.

        Args:
            data_dir: ``DATASET.DATA_DIR``, the folder of the data.
            seed: ``SEED``, of whatever is drawn.
            options: ``DATASET.OPTIONS``. One called ``backbone`` is filled with the config's network.
        """
        return cls(data_dir, **({"seed": seed} if "seed" in (options_of(cls) or ()) else {}), **options)

    def _check(self) -> None:
        if self.responses.ndim != 2:
            raise ValueError(f"responses must be (n_images, n_voxels), got shape {tuple(self.responses.shape)}.")
        n_images, n_voxels = self.responses.shape
        if len(self.image_ids) != n_images:
            raise ValueError(
                f"{len(self.image_ids)} images but responses to {n_images}: responses need one row per image."
            )
        if len(set(self.image_ids)) < n_images:
            seen: set[str] = set()
            twice = next(name for name in self.image_ids if name in seen or seen.add(name))
            raise ValueError(f"image ids must be unique, {twice!r} occurs more than once.")
        if self.space.n_voxels != n_voxels:
            raise ValueError(f"responses have {n_voxels} columns but the space has {self.space.n_voxels} voxels.")
        unknown = [split for split in self.further_ceilings if split not in self.splits or split in SPLITS]
        if unknown:
            further = ", ".join(split for split in self.splits if split not in SPLITS) or "none"
            raise ValueError(f"further_ceilings names {unknown[0]!r}, which is no further split. Known: {further}.")
        if self.noise_ceiling is not None:
            self._check_ceiling(self.noise_ceiling, "noise_ceiling")
        for split, ceiling in self.further_ceilings.items():
            self._check_ceiling(ceiling, f"the noise ceiling of {split!r}")
        self.usable = usable_voxels(self.responses)
        """(n_voxels,) bool: finite everywhere and not constant."""
        if not self.usable.all():
            finite = self.responses.isfinite().all(0)
            n_nan, n_constant = int((~finite).sum()), int((finite & ~self.usable).sum())
            warn_once(
                f"{type(self).__name__} {n_nan}/{n_constant}/{n_voxels}",
                f"{type(self).__name__}: of {n_voxels} voxels {n_nan} hold NaN or infinity, {n_constant} are constant. "
                "They are kept. Ridge leaves them out; a map trains such a voxel on the responses there are, and it "
                "has no score where a test response is missing. `dataset.usable` is the mask of the others.",
            )

    def _check_ceiling(self, ceiling: Tensor, name: str) -> None:
        if ceiling.shape != (self.n_voxels,):
            raise ValueError(f"{name} must be ({self.n_voxels},), one r per voxel, got {tuple(ceiling.shape)}.")
        if bool(((ceiling < 0) | (ceiling > 1)).any()):
            raise ValueError(
                f"{name} is a Pearson r in [0, 1] (NaN where unknown), got "
                f"{float(ceiling.nan_to_num().min()):.3g} to {float(ceiling.nan_to_num().max()):.3g}. "
                "A ceiling of p percent of the variance is sqrt(p / 100) on this scale."
            )

    def ceiling_of(self, split: str) -> Tensor | None:
        """(n_voxels,) the noise ceiling of a split's images: of "test", or of a further split; None if unknown."""
        return self.noise_ceiling if split == "test" else self.further_ceilings.get(split)

    def blocks_of(self, split: str) -> np.ndarray | None:
        """(n_images of the split,) the block of each of its images; None draws single images.

        A split of less than two blocks leaves nothing to draw, and single images are drawn, with a warning.
        """
        if self.blocks is None or not len(self.splits[split]):
            return None
        blocks = self.blocks[self.splits[split].numpy()]
        if len(np.unique(blocks)) > 1:
            return blocks
        warn_once(
            f"one block {type(self).__name__} {split}",
            f"{type(self).__name__}: the split {split!r} is a single block of {len(blocks)} volumes, so that single "
            "volumes are drawn, and intervals are too narrow. Make shorter blocks, or hold out more.",
        )
        return None

    @property
    def n_voxels(self) -> int:
        """Number of response columns."""
        return self.responses.shape[1]

    def __len__(self) -> int:
        return len(self.image_ids)

    def load_image(self, index: int):
        """Image ``index`` as it is stored: an RGB ``PIL.Image``, decoded now and not kept."""
        images = getattr(self, "images", None)
        if images is not None:
            return images[index]
        raise NotImplementedError(f"{type(self).__name__} must define load_image(index) -> PIL.Image in RGB.")

    def image(self, index: int, preprocessing: Preprocessing | None = None) -> Tensor:
        """Image ``index`` as a tensor (3, H, W).

        Args:
            index: row of ``responses``.
            preprocessing: overrides the dataset's own, which overrides ``Preprocessing()``.
        """
        return (preprocessing or self.preprocessing or Preprocessing())(self.load_image(index))

    def signature(self) -> str:
        """A text that changes with any picture: the digest that ``self.images`` has, else of all decoded pictures.

        A subclass that knows a faster answer gives it; an answer must never miss a change.
        """
        images = getattr(self, "images", None)
        return (
            images.signature() if hasattr(images, "signature") else signature_of(map(self.load_image, range(len(self))))
        )

    def known_tokens(self, fingerprint: Mapping[str, str]) -> Tokens | None:
        """Tokens of all images in order, where the data set has exactly those the fingerprint asks for; else None.

        Args:
            fingerprint: of a token store: name, weights, layers, "preprocessing", "grid", "resize" and "dtype".
        """
        return None

    def rdms_over_time(
        self,
        metric: str = "correlation",
        *,
        rows: str | Sequence[int] | Tensor = "test",
        sensors: Sequence[str] | None = None,
        **options: Any,
    ) -> RDMs:
        """An RDM of the images at each time, of the pattern over sensors; on the axis "time", in seconds.

        Saved as a file of a subject, in a folder with those of the others, it is what ``brainnet rsa time`` reads.

        Args:
            metric: a distance, see ``rsa.DISTANCES``. "decoding" and "crossnobis" are of single trials, see
                :meth:`single_trials`, left out by their runs; where runs are not known, the presentations of each image
                are dealt into five parts.
            rows: the images: a split, or rows.
            sensors: names of those that make the pattern; None takes all.
            **options: of the distance.

        Raises:
            ValueError: columns that are no sensors at times, an unknown split or sensor, a response that is missing, or
                single trials that are asked for and not there.
        """
        from brainnet.dataset.over_time import rdms_over_time

        return rdms_over_time(self, metric, rows, sensors, **options)

    def single_trials(self, rows: Tensor) -> tuple[Tensor, list[str], Sequence[Any] | None]:
        """Every presentation of some images, for distances that need them.

        Args:
            rows: of the images.

        Returns:
            values: (n_trials, n_voxels).
            labels: the image id of each trial.
            runs: the session or run of each, None where these are not known.

        Raises:
            ValueError: single trials were not kept, and cannot be read again.
        """
        trials = getattr(self, "trials", None)
        if getattr(trials, "repeats", None) is None:
            raise ValueError(
                f"{type(self).__name__} keeps no single trials, which decoding and crossnobis need. Of the means over "
                'trials there is "correlation", for instance.'
            )
        values, labels, runs = trials.single_trials()
        wanted = {self.image_ids[row] for row in rows.tolist()}
        place = [i for i, label in enumerate(labels) if label in wanted]
        return values[place], [labels[i] for i in place], None if runs is None else [runs[i] for i in place]

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        index = int(index) % len(self)
        return self.image(index), self.responses[index]

    def shuffled(self, seed: int = 0, per_voxel: bool = True) -> ResponseDataset:
        """The same dataset with responses permuted over images: a negative control, whose true score is 0.

        Rows stay within their split. With one permutation for all voxels the correlations between voxels survive, and
        with them clusters of voxels; ``per_voxel`` (the strict control) permutes every column on its own.

        Args:
            seed: of the permutations.
            per_voxel: one permutation per voxel rather than one for all.
        """
        generator = np.random.default_rng(seed)
        responses = self.responses.numpy().copy()
        rest = torch.ones(len(self), dtype=torch.bool)
        for rows in self.splits.values():
            rest[rows] = False
        for rows in (*self.splits.values(), rest.nonzero().squeeze(1)):
            rows = rows.numpy()
            if per_voxel:
                for column in range(responses.shape[1]):
                    responses[rows, column] = generator.permutation(responses[rows, column])
            else:
                responses[rows] = responses[generator.permutation(rows)]
        control = copy.copy(self)
        control.responses = torch.from_numpy(responses)
        control.is_shuffled = True
        control.noise_ceiling, control.further_ceilings = None, {}
        control.noise_ceiling_definition = "none: responses are shuffled over images"
        return control

    def _repr_html_(self) -> str:
        facts = [("voxels", self.n_voxels), ("place", self.space.place), ("ceiling", mean_bar(self.noise_ceiling))]
        splits = [(name, len(rows)) for name, rows in self.splits.items()]
        return table_html(type(self).__name__, facts, ("split", "images"), splits)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {len(rows)}" for name, rows in self.splits.items())
        return f"{type(self).__name__}({len(self)} images, {self.n_voxels} voxels; {sizes})"


def random_splits(
    n_images: int, *, test: float | int = 0.2, val: float | int = 0.1, seed: int = 0
) -> dict[str, Tensor]:
    """Random "train", "val" and "test" rows, disjoint and together all of 0..n_images-1.

    One permutation, ``np.random.RandomState(seed).permutation(n_images)``: its end is test, and the end of what remains
    is val. So train followed by val is exactly the training set of the same split without validation, and the test
    rows do not depend on ``val``.

    Args:
        n_images: rows to share out.
        test: share of all rows (a float in [0, 1)) or number of rows (an int).
        val: share of the rows that are not test, or number of rows.
        seed: of the permutation; the global generators are neither read nor moved.

    Raises:
        ValueError: nothing is left to train on.

    >>> {name: len(rows) for name, rows in random_splits(640).items()}
    {'train': 461, 'val': 51, 'test': 128}
    """
    n_test = _count(test, n_images, "test")
    n_val = _count(val, n_images - n_test, "val")
    n_train = n_images - n_test - n_val
    if n_train < 1:
        raise ValueError(f"{n_images} images less {n_test} for test and {n_val} for validation leave none to train on.")
    order = torch.from_numpy(np.random.RandomState(seed).permutation(n_images))
    train, val_rows, test_rows = order.split([n_train, n_val, n_test])
    return {"train": train, "val": val_rows, "test": test_rows}


def _count(size: float | int, n: int, name: str) -> int:
    if isinstance(size, float):
        if not 0 <= size < 1:
            raise ValueError(f"{name} as a float is a share in [0, 1), got {size}; give an int for a number of images.")
        return round(size * n)
    if size < 0:
        raise ValueError(f"{name} must not be negative, got {size}.")
    return int(size)


def check_splits(splits: Mapping[str, Tensor | Sequence[int]], n_images: int) -> dict[str, Tensor]:
    """The splits as long tensors, once they are disjoint and within range: "train", "val", "test", then all others.

    Of the three an absent one is empty. Any other name is a split of its own, to be predicted and scored under that
    name; a name that looks like a slip for one of the three is refused.

    Raises:
        ValueError: such a name, an index out of range, or an image in two splits (or twice in one).

    >>> list(check_splits({"sketches": [3], "train": [0, 1], "test": [2]}, 4))
    ['train', 'val', 'test', 'sketches']
    """
    checked = {}
    for name in (*SPLITS, *(other for other in splits if other not in SPLITS)):
        _check_split_name(name)
        rows = torch.as_tensor(splits.get(name, ()))
        if rows.dtype == torch.bool:
            raise ValueError(f"split {name!r} must be image indices, got a mask; use mask.nonzero().squeeze(1).")
        checked[name] = rows = rows.long().cpu().flatten()
        outside = rows[(rows < 0) | (rows >= n_images)]
        if len(outside):
            raise ValueError(f"split {name!r} names image {int(outside[0])}; there are {n_images}, counted from 0.")
    if not len(checked["train"]):
        raise ValueError("split 'train' is empty: there is nothing to train on.")
    rows, counts = torch.cat(list(checked.values())).unique(return_counts=True)
    if bool((counts > 1).any()):
        shared = rows[counts > 1]
        where = [name for name, part in checked.items() if bool((part == shared[0]).any())]
        raise ValueError(
            f"{len(shared)} images are in more than one split (or twice in one), the first is {int(shared[0])} "
            f"in {' and '.join(where)}; splits must be disjoint."
        )
    return checked


def _check_split_name(name: object) -> None:
    """Refuses what is meant to be "train", "val" or "test": as a further split it would silently not be used so."""
    text = str(name).lower()
    for meant in SPLITS:
        if name != meant and (text in _ALSO_CALLED[meant] or sorted(text) == sorted(meant)):
            raise ValueError(f"split {name!r} looks like {meant!r}: name it so. Other names are splits of their own.")
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"splits are named by texts, got {name!r}.")
