"""THINGS behavior: which of three objects is the odd one out, as an RDM over 1,854 objects.

<root>/data/spose_embedding_66d_sorted.txt                  1,854 x 66, an object a row
       data/embedding49/spose_embedding_49d_sorted.txt      the older one
       variables/unique_id.txt                              the objects, in the order of the rows
       triplet_dataset/{trainset,validationset,...}.txt     three objects a line, from 0; the third is the odd one
       object_images/<object>/<object>_01b.jpg              optional: a photograph of each
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from brainnet._checks import check_word
from brainnet._files import reading
from brainnet._work import progress as show_progress
from brainnet.dataset.about import About
from brainnet.dataset.rdm_sets import RDMSet
from brainnet.dataset.readers._checked import there
from brainnet.dataset.settings import settings_of
from brainnet.dataset.tables import check_end
from brainnet.rsa import RDMs
from brainnet.stimuli import Images

FILES = {"embedding66": "spose_embedding_66d_sorted.txt", "embedding49": "spose_embedding_49d_sorted.txt"}
DIMENSIONS = {"embedding66": 66, "embedding49": 49}
SOURCES = (*FILES, "triplets")
NAMES = "unique_id.txt"
SUFFIXES = (".txt", ".csv", ".tsv")
SEPARATORS = ("\t", ",", ";")  # the published table has tabs, although it is called .csv
CHOICE = ("image1", "image2", "image3", "choice")

ABOUT = About(
    title="THINGS behavior",
    kind="behavior",
    what="People on the internet saw three of 1,854 objects and chose the odd one out, 4.7 million times. Given are "
    "these choices, and an embedding of the objects that predicts them (SPoSE, 66 or 49 dimensions).",
    where="https://osf.io/f5rn6; photographs: https://osf.io/jum2f.",
    terms="Not verified. The photographs are for research.",
    size="4,120,663 training and 453,642 validation choices, and an embedding of 1,854 x 66 numbers.",
    layout="""data/spose_embedding_66d_sorted.txt
variables/unique_id.txt
triplet_dataset/trainset.txt
object_images/aardvark/aardvark_01b.jpg""",
    steps=("Download data, variables and, for the choices themselves, triplet_dataset of https://osf.io/f5rn6 into one "
           "folder.",),
    needs=("**/unique_id.txt",),
    cite="""@article{hebart2020revealing,
  title={Revealing the multidimensional mental representations of natural objects underlying human similarity
         judgements},
  author={Hebart, Martin N. and Zheng, Charles Y. and Pereira, Francisco and Baker, Chris I.},
  journal={Nature Human Behaviour}, volume={4}, pages={1173--1185}, year={2020}, doi={10.1038/s41562-020-00951-3}
}
@article{hebart2023things,
  title={{THINGS}-data, a multimodal collection of large-scale datasets for investigating object representations in
         human brain and behavior},
  author={Hebart, Martin N. and Contier, Oliver and Teichmann, Lina and Rockter, Adam H. and Zheng, Charles Y. and
          others},
  journal={eLife}, volume={12}, pages={e82580}, year={2023}, doi={10.7554/eLife.82580}
}""",
    verified="Run on files in the published layout that the tests write; nobody has run it on the real files yet.",
)  # fmt: skip


class ThingsBehavior(RDMSet):
    """How alike people judge 1,854 objects: one RDM, "behavior", from an embedding or from choices.

    The similarity of two objects is the probability that people choose a third one as the odd one out, whatever the
    third one is; the RDM is 1 minus that. Image ids are the objects' names, "aardvark".

    Args:
        root: folder with ``data`` and ``variables``.
        source: "embedding66", "embedding49", or "triplets": the share of the choices themselves, NaN for two objects
            that were never shown together.
        triplets: which file of choices in ``triplet_dataset``, of the source "triplets": "trainset" and the like, or
            "triplets_large_final_correctednc_correctedorder.csv", all choices as they were collected, those repeated
            for the noise ceiling among them.
        images: the folder of photographs, below ``root`` or anywhere; without it there are no pictures.
        progress: show a progress bar.

    Attributes:
        embedding: (n_objects, n_dimensions) of an embedding, else None.
        counts: (n_objects, n_objects) how often two objects were shown together, of the source "triplets", else None.

    Raises:
        FileNotFoundError: a file is missing; names it.
        ValueError: a damaged file, or one of another number of objects; names it.
    """

    about = ABOUT

    def __init__(
        self,
        root: str | os.PathLike,
        *,
        source: str = "embedding66",
        triplets: str = "trainset",
        images: str = "object_images",
        progress: bool = True,
    ):
        check_word("source", source, SOURCES)
        self.root = Path(root)
        objects = _read_names(_find(self.root, NAMES))
        self.embedding: Tensor | None = None
        self.counts: Tensor | None = None
        if source == "triplets":
            path = _find(self.root, f"triplet_dataset/{triplets}{'' if triplets.endswith(SUFFIXES) else '.txt'}")
            read = _read_triplets if path.suffix == ".txt" else _read_choices
            similarity, self.counts = kept_together(read(path, len(objects)), len(objects))
        else:
            self.embedding = _read_embedding(_find(self.root, FILES[source]), len(objects), DIMENSIONS[source])
            similarity = choice_probability(self.embedding, progress)
        rdms = RDMs.from_square(1 - similarity, f"1 - choice probability, {source}", ("people",), objects)
        super().__init__(objects, {"behavior": rdms}, _pictures(self.root / images, objects))

    from_settings = settings_of(__init__)


def choice_probability(embedding: Tensor, progress: bool = False) -> Tensor:
    """(n, n) probability that two objects stay together, whatever the third one is; 1 on the diagonal.

    Of a triplet, two objects stay together with a probability proportional to exp(their dot product).

    Args:
        embedding: (n, n_dimensions).
        progress: show a progress bar.

    Reference: Hebart et al. (2020), Nature Human Behaviour 4, 1173-1185.

    >>> choice_probability(torch.zeros(4, 2))[0].round(decimals=4)
    tensor([1.0000, 0.3333, 0.3333, 0.3333], dtype=torch.float64)
    """
    x = embedding.double()
    weight = x @ x.T
    weight = (weight - weight.max()).exp()
    n = len(weight)
    found = torch.ones(n, n, dtype=torch.float64)
    for i in show_progress(range(n - 1), "Choices", n - 1, progress):
        of_i = weight[i]
        pair = of_i[i + 1 :, None]  # (n_j, 1): with each later object
        share = pair / (pair + of_i + weight[i + 1 :])  # (n_j, n): beside each third object
        own = share[:, i] + share[torch.arange(n - i - 1), torch.arange(i + 1, n)]  # the two themselves are no third
        found[i, i + 1 :] = found[i + 1 :, i] = (share.sum(1) - own) / (n - 2)
    return found


def kept_together(triplets: np.ndarray, n: int) -> tuple[Tensor, Tensor]:
    """How often two objects stayed together when they were shown together, (n, n) with NaN where never; and how often.

    Args:
        triplets: (n_triplets, 3) objects from 0; the third is the odd one out.
        n: objects.
    """
    a, b, odd = triplets.T

    def pairs(*couples: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        counts = sum(np.bincount(one * n + other, minlength=n * n) for one, other in couples).reshape(n, n)
        return counts + counts.T

    shown, kept = pairs((a, b), (a, odd), (b, odd)), pairs((a, b))
    share = np.where(shown > 0, kept / np.maximum(shown, 1), np.nan)
    np.fill_diagonal(share, 1.0)
    return torch.from_numpy(share), torch.from_numpy(shown)


def _find(root: Path, name: str) -> Path:
    """A file of the set, in one of its folders."""
    below = ("", "data", "variables", "data/variables", "data/embedding49", "embedding49")
    places = [*(root / folder / name for folder in below), *sorted(root.glob(f"*/{name}"))]
    return next((path for path in places if path.is_file()), None) or there(root / name)


def _read_names(path: Path) -> list[str]:
    with reading(path, "list of objects"):
        names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    check_end(path)
    if not names or len(set(names)) < len(names):
        raise ValueError(
            f"{path} lists {len(names)} objects, {len(set(names))} of them different; expected one a line."
        )
    return names


def _numbers(path: Path, columns: int | None) -> np.ndarray:
    """The numbers of a text file, a row a line."""
    with reading(path, "table of numbers"):
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        width = len(lines[0].split()) if lines else 0
        values = np.array(" ".join(lines).split(), dtype=np.float64)
    check_end(path)
    if not width or len(values) % width or columns not in (None, width):
        raise ValueError(f"{path} has {len(values)} numbers in {len(lines)} lines; expected {columns or width} a line.")
    return values.reshape(-1, width)


def _read_embedding(path: Path, n: int, n_dimensions: int) -> Tensor:
    values = _numbers(path, None)
    if values.shape != (n, n_dimensions) or not np.isfinite(values).all():
        raise ValueError(
            f"{path} has {values.shape[0]} x {values.shape[1]} numbers; expected {n} x {n_dimensions} finite ones, an "
            "object a row."
        )
    return torch.from_numpy(values)


def _read_triplets(path: Path, n: int) -> np.ndarray:
    values = _numbers(path, 3)
    whole = values.astype(np.int64)
    wrong = (whole != values).any(1) | (whole < 0).any(1) | (whole >= n).any(1)
    wrong |= (whole[:, 0] == whole[:, 1]) | (whole[:, 0] == whole[:, 2]) | (whole[:, 1] == whole[:, 2])
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"{path}, line {row + 1}: {values[row].tolist()}; expected three different objects, 0 to {n - 1}."
        )
    return whole


def _read_choices(path: Path, n: int) -> np.ndarray:
    """Triplets from the table of all choices, whose objects count from 1; the choice is one of the three objects.

    The columns are separated by tabs, as published, by commas or by semicolons.
    """
    import pandas

    with reading(path, "table of choices"):
        with path.open(encoding="utf-8-sig") as file:
            header = file.readline().rstrip("\r\n")
        sep = next((one for one in SEPARATORS if one in header), None)
        columns = [name.strip().strip('"') for name in header.split(sep)] if sep else [header]
    check_end(path)
    missing = [name for name in CHOICE if columns.count(name) != 1]
    if missing:
        raise ValueError(
            f"{path} has no column {missing[0]!r} between tabs, commas or semicolons; it begins with {header[:80]!r}."
        )
    with reading(path, "table of choices"):
        table = pandas.read_csv(path, sep=sep, usecols=[columns.index(name) for name in CHOICE], encoding="utf-8-sig")
        table.columns = [name.strip() for name in table.columns]
        values = table[list(CHOICE)].to_numpy(dtype=np.float64)
    shown, choice = values[:, :3], values[:, 3:]
    odd = shown == choice
    wrong = (shown != np.floor(shown)).any(1) | ~((shown >= 1) & (shown <= n)).all(1) | (odd.sum(1) != 1)
    wrong |= (shown[:, 0] == shown[:, 1]) | (shown[:, 0] == shown[:, 2]) | (shown[:, 1] == shown[:, 2])
    if not len(values) or wrong.any():
        row = int(np.flatnonzero(wrong)[0]) if len(values) else 0
        found = [f"{value:g}" for value in values[row]] if len(values) else "no choices"
        raise ValueError(
            f"{path}, line {row + 2}: {', '.join(CHOICE)} are {found}; expected three different objects, 1 to {n}, and "
            "one of them as the choice."
        )
    whole = shown.astype(np.int64) - 1
    return np.column_stack([whole[~odd].reshape(-1, 2), whole[odd]])


def _pictures(folder: Path, objects: list[str]) -> Images | None:
    """The reference photograph of each object; None without the folder."""
    if not folder.is_dir():
        return None
    return Images([folder / name / f"{name}_01b.jpg" for name in objects], objects)
