"""The Algonauts 2023 challenge as a dataset: NSD photographs, both hemispheres' fMRI, and the published ROI masks.

    <root>/training_split/training_images/*.png
           training_split/training_fmri/{lh,rh}_training_fmri.npy     (n_images, n_vertices of the hemisphere)
           roi_masks/{lh,rh}.all-vertices_fsaverage_space.npy         optional: where those vertices are
           roi_masks/{lh,rh}.<class>_challenge_space.npy              optional: ROI labels of those vertices
           roi_masks/mapping_<class>.npy                              optional: names of these labels
           test_split/test_images/*.png                               optional: photographs without responses
           test_split/{test_fmri,noise_ceiling}/                      optional: these, where one has made them

The challenge's label tables are pickles, which are read as data only.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor

from brainnet.dataset.about import About
from brainnet.dataset.base import ResponseDataset, random_splits
from brainnet.dataset.readers import _algonauts as files
from brainnet.stimuli import Images
from brainnet.tokens import Preprocessing

CHALLENGE = "challenge"  # the split of the test photographs, where their responses are there
_FMRI = "training_split/training_fmri"
_IMAGES = "training_split/training_images"


ABOUT = About(
    title="Algonauts 2023 challenge",
    kind="fMRI",
    what="The Natural Scenes Dataset, prepared for a challenge: eight people saw up to 10,000 photographs, three times "
    "each, in a 7 T scanner. Responses are z-scored within sessions and averaged over the presentations of an image.",
    where="A form of the challenge, which leads to a cloud drive; https://github.com/gifale95/algonauts_2023 prepares "
    "the same files from the Natural Scenes Dataset.",
    terms="NSD Terms and Conditions; the photographs stay under the terms of COCO.",
    size="9,841 training photographs of subject 1, with 1.6 GB of responses of 39,548 vertices.",
    layout="""subj01/training_split/training_images/train-NNNN_nsd-NNNNN.png
subj01/training_split/training_fmri/{lh,rh}_training_fmri.npy
subj01/test_split/test_images/test-NNNN_nsd-NNNNN.png
subj01/test_split/{test_fmri/{lh,rh}_test_fmri.npy,noise_ceiling/{lh,rh}_noise_ceiling.npy}
subj01/roi_masks/{lh,rh}.all-vertices_fsaverage_space.npy
subj01/roi_masks/{lh,rh}.<class>_challenge_space.npy""",
    steps=(
        "Fill in the form of the challenge, and take the folder of each subject from the cloud drive.",
        "Unpack it; the folder of one subject, such as FOLDER/subj01, is the one to name.",
    ),
    needs=(f"{_IMAGES}/*", f"{_FMRI}/lh_training_fmri.npy", f"{_FMRI}/rh_training_fmri.npy"),
    cite="""@article{gifford2023algonauts,
  title={The Algonauts Project 2023 Challenge: How the Human Brain Makes Sense of Natural Scenes},
  author={Gifford, Alessandro T. and Lahner, Benjamin and Saba-Sadiya, Sari and Vilas, Martina G. and others},
  journal={arXiv preprint arXiv:2301.03198}, year={2023}, doi={10.48550/arXiv.2301.03198}
}
@article{allen2022massive,
  title={A massive 7T fMRI dataset to bridge cognitive neuroscience and artificial intelligence},
  author={Allen, Emily J. and St-Yves, Ghislain and Wu, Yihan and Breedlove, Jesse L. and Prince, Jacob S. and others},
  journal={Nature Neuroscience}, volume={25}, pages={116--126}, year={2022}, doi={10.1038/s41593-021-00962-x}
}""",
    verified="Run on folders in the published layout that the tests write; nobody has run it on the real files yet.",
)  # fmt: skip


class BrainDataset(ResponseDataset):
    """One subject of the Algonauts 2023 challenge.

    Responses are the left hemisphere's columns and then the right one's. With ``roi_masks/`` every column is a vertex
    of fsaverage (or fsaverage5, told by the masks' length) with its sphere coordinates; without, ``space`` has no
    place, and selectors become free parameters per voxel.

    ``space.rois`` holds, in this order and where the masks name them: the twelve groups of ``ROI_GROUPS`` ("V1",
    "FFA", ...), the single areas ("V1v", "FFA-1", "RSC", "ventral", ...), and the groups of one hemisphere ("lh.V1").

    The published training used 9,000 of subject 1's 9,841 photographs and scored on the other 841, drawn without a
    seed. Here a seeded draw of the same proportions makes those 841 the test rows; validation rows come out of the
    9,000, so that nothing is chosen on the images that are scored.

    The challenge's own test photographs are :meth:`test_images`. ``brainnet predict RUN FOLDER`` predicts them, and
    :func:`brainnet.dataset.submission.write_submission` makes the file of the challenge from that. Their responses were
    withheld; where a folder has them, they are the further split "challenge", with the published noise ceiling.

    Args:
        root: the subject's folder, such as ``/data/alg23/subj01``.
        resolution: height and width images are resized to, with ImageNet's mean and SD as in the published training.
            None leaves images to the backbone's own preprocessing.
        test, val: shares or counts, see :func:`~brainnet.dataset.base.random_splits`.
        seed: of the split.

    Raises:
        FileNotFoundError: not such a folder; the message names the nearest one that is.
        ValueError: files whose sizes disagree.

    >>> import tempfile
    >>> import numpy as np
    >>> from PIL import Image
    >>> split = Path(tempfile.mkdtemp()) / "subj01" / "training_split"
    >>> for name in ("training_images", "training_fmri"):
    ...     (split / name).mkdir(parents=True)
    >>> for k in range(10):
    ...     Image.new("RGB", (8, 8)).save(split / f"training_images/train-{k + 1:04d}_nsd-{k:05d}.png")
    >>> for side, n_vertices in (("lh", 4), ("rh", 3)):
    ...     np.save(split / f"training_fmri/{side}_training_fmri.npy", np.eye(10, n_vertices, dtype=np.float32))
    >>> data = BrainDataset(split.parent, test=2, val=1)
    >>> data.responses.shape, {split: len(rows) for split, rows in data.splits.items()}
    (torch.Size([10, 7]), {'train': 7, 'val': 1, 'test': 2})
    """

    about = ABOUT

    @classmethod
    def from_settings(
        cls, data_dir: str, seed: int, *, resolution: tuple[int, int] | None = (224, 224)
    ) -> BrainDataset:
        """The subject in ``data_dir``; ``resolution`` is the height and width of its images in pixels."""
        return cls(data_dir, None if resolution is None else tuple(resolution), seed=seed)

    def __init__(
        self,
        root: str | os.PathLike,
        resolution: tuple[int, int] | None = (224, 224),
        *,
        test: float | int = 841 / 9841,
        val: float | int = 0.1,
        seed: int = 0,
    ):
        self.root = _checked_root(Path(root))
        self.images = Images(self.root / _IMAGES)
        responses, n_columns = files.read_fmri(_halves(self.root / _FMRI, "training_fmri"))
        if len(self.images) != len(responses):
            raise ValueError(
                f"{len(self.images)} images in {self.root / _IMAGES} but responses to {len(responses)} in "
                f"{self.root / _FMRI}: the challenge has one row per image, in the order of the file names."
            )
        splits, ceilings = random_splits(len(responses), test=test, val=val, seed=seed), {}
        published = "the challenge publishes responses averaged over repeats only"
        if (self.root / "test_split/test_fmri").is_dir():
            further, ceilings = self._read_challenge(n_columns)
            splits[CHALLENGE] = torch.arange(len(responses), len(responses) + len(further))
            responses = torch.cat([responses, further])
            published += f"; of {CHALLENGE}: the published share of the variance" if ceilings else ""
        super().__init__(
            self.images.ids,
            responses,
            files.read_space(self.root / "roi_masks", n_columns),
            splits,
            noise_ceiling_definition=f"none: {published}",
            further_ceilings=ceilings,
            n_repeats=3,
            preprocessing=None if resolution is None else Preprocessing(size=tuple(resolution)),
        )

    def _read_challenge(self, n_columns: tuple[int, int]) -> tuple[Tensor, dict[str, Tensor]]:
        """Responses to the test photographs, which become the last images, and their ceiling where it is there."""
        folder = self.root / "test_split"
        further, found = files.read_fmri(_halves(folder / "test_fmri", "test_fmri"))
        tests = files.pictures_in(folder / "test_images")
        if found != n_columns or len(tests) != len(further):
            raise ValueError(
                f"{folder / 'test_fmri'} has responses to {len(further)} images in {found[0]} and {found[1]} columns; "
                f"expected {len(tests)} images, and {n_columns[0]} and {n_columns[1]} columns as in training."
            )
        self.images = Images([*files.pictures_in(self.root / _IMAGES), *tests])
        paths = _halves(folder / "noise_ceiling", "noise_ceiling")
        if not all(path.is_file() for path in paths):
            return further, {}
        shares = [torch.from_numpy(files.load(path).astype("float32")).flatten() for path in paths]
        if tuple(map(len, shares)) != n_columns:
            raise ValueError(f"{paths[0].parent} has ceilings of {len(shares[0])} and {len(shares[1])} columns; "
                             f"expected {n_columns[0]} and {n_columns[1]}.")  # fmt: skip
        return further, {CHALLENGE: torch.cat(shares).sqrt()}

    def test_images(self) -> Images:
        """The challenge's own test photographs, whose responses are not public.

        Raises:
            FileNotFoundError: the folder has no ``test_split/test_images``.
        """
        return Images(self.root / "test_split/test_images")


def _checked_root(root: Path) -> Path:
    wanted = f"{_FMRI}/lh_training_fmri.npy"
    if (root / wanted).exists():
        return root
    if not root.is_dir():
        raise FileNotFoundError(f"no folder {root}. It should be a subject's, holding {wanted}.")
    entries = sorted(entry.name + "/" * entry.is_dir() for entry in root.iterdir())
    # a parent of the subject's folder was given, or a part of it
    below = sorted(path.parents[2] for pattern in ("*", "*/*") for path in root.glob(f"{pattern}/{wanted}"))
    above = [folder for folder in root.parents[:2] if (folder / wanted).exists()]
    fits = next(iter(below + above), None)
    raise FileNotFoundError(
        f"no {wanted} under {root} (found: {', '.join(entries[:8]) or 'nothing'}{', ...' * (len(entries) > 8)})."
        + (f" Did you mean {fits}?" if fits else "")
    )


def _halves(folder: Path, name: str) -> list[Path]:
    return [folder / f"{side}_{name}.npy" for side in files.HEMISPHERES]
