"""Searchlights published as RDMs, such as those of dnn2brain and Net2Brain: ``brainnet searchlight rdms``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from brainnet._checks import check_word
from brainnet._files import file_digest, reading, write_csv
from brainnet._work import progress as progress_bar
from brainnet.rsa import GroupMaps, RDMs, group_searchlight
from brainnet.rsa.files import read_content
from brainnet.rsa.pairs import upper_triangle
from brainnet.rsa.search.given import ceilings_of_centres, searchlight_of_rdms
from brainnet.run.record.card import Clock, opening, put_card
from brainnet.run.record.claiming import claimed
from brainnet.run.rsa.rdm_files import read_models
from brainnet.run.rsa.results import PACKAGES, digest

AXES = ("subjects,centres", "centres,subjects")


class Published(NamedTuple):
    """RDMs of a searchlight in a file, and which of its first two axes is that of the subjects."""

    values: Any
    subject_axis: int

    def of_subject(self, number: int, centres: np.ndarray | slice = slice(None)) -> np.ndarray:
        """(n_centres, n, n) or (n_centres, n_pairs)."""
        part = self.values[number] if self.subject_axis == 0 else self.values[:, number]
        return part[centres]

    def centres(self, numbers: Sequence[int]) -> Iterator[Tensor]:
        """(n_subjects, n_pairs) of some centers."""
        for number in numbers:
            part = torch.as_tensor(np.array(np.take(self.values, number, 1 - self.subject_axis), dtype=np.float32))
            yield upper_triangle(part) if part.ndim == 3 else part

    @property
    def sizes(self) -> tuple[int, int]:
        """How many subjects and centers."""
        return self.values.shape[self.subject_axis], self.values.shape[1 - self.subject_axis]


def read_published(path: str | Path, key: str | None = None, axes: str | None = None) -> Published:
    """A file of RDMs by subject and center, an ``.npy`` of which stays on disk.

    Args:
        path: of (n_subjects, n_centres, n, n), as dnn2brain has it, or (n_centres, n_subjects, n, n), as Net2Brain; or
            of vectors of pairs.
        key: entry of a file that holds several arrays.
        axes: which is which, a word of ``AXES``; None takes the shorter axis for that of the subjects.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another number of axes, or two of the same length without ``axes``.
    """
    path = Path(path)
    if path.suffix == ".npy" and path.is_file():
        with reading(path, "array of RDMs"):
            values = np.load(path, mmap_mode="r", allow_pickle=False)
    else:
        values = read_content(path, key).values
    square = values.ndim == 4 and values.shape[2] == values.shape[3]
    if not square and values.ndim != 3:
        raise ValueError(
            f"{path.name} has shape {values.shape}; a searchlight of several people is (subjects, centers, n, n) or"
            " (centers, subjects, n, n), or vectors of pairs instead of the last two axes."
        )
    if axes is not None:
        check_word("axes", axes, AXES)
        return Published(values, AXES.index(axes))
    if values.shape[0] == values.shape[1]:
        raise ValueError(f"{path.name} has shape {values.shape}: pass axes={AXES[0]!r} or {AXES[1]!r}.")
    return Published(values, int(values.shape[1] < values.shape[0]))


def search_rdms(
    path: str | Path,
    models: Sequence[str | Path],
    out: str | Path,
    *,
    method: str = "spearman",
    axes: str | None = None,
    n_permutations: int = 5000,
    seed: int = 0,
    key: str | None = None,
    progress: bool = True,
) -> GroupMaps:
    """Maps of a test over subjects from the RDMs of a searchlight: ``maps.npz``, ``centres.csv`` and a run card.

    Args:
        path: the RDMs, see :func:`read_published`.
        models: files, or folders of files, of model RDMs in the order of the conditions.
        out: folder of the results.
        method: name of a comparison.
        axes: which axis is which.
        n_permutations, seed: sign flips over subjects, and their seed; 0 takes p from Student's t.
        key: entry of files that hold several arrays.
        progress: show a progress bar.

    Returns:
        Maps over the centers that have a defined RDM in every subject.

    Raises:
        ValueError: one subject, models over other conditions, no center that all subjects have.
    """
    clock = Clock()
    with claimed(out, "searchlight rdms") as out:
        networks = read_models(models, key)
        names = [
            f"{name} {layer}" if len(rdms) > 1 else name for name, rdms in networks.items() for layer in rdms.names
        ]
        stacked = RDMs.stack(networks.values(), names=names)
        published = read_published(path, key, axes)
        n_subjects, n_centres = published.sizes
        clock.lap("reading")
        numbers = progress_bar(range(n_subjects), "Subjects", n_subjects, progress)
        maps = [searchlight_of_rdms(published.of_subject(number), stacked, method) for number in numbers]
        known = torch.stack([one.score for one in maps]).isfinite().all(1).all(0).nonzero()[:, 0].numpy()
        clock.lap("scores")
        generator = torch.Generator().manual_seed(seed)
        found = group_searchlight(maps, n_permutations=n_permutations, generator=generator, progress=progress)
        clock.lap("group test")
        lower, upper = ceilings_of_centres(
            progress_bar(published.centres(known), "Noise ceilings", len(known), progress), method
        )
        clock.lap("noise ceilings")
        found.save(out)
        write_csv(out / "centres.csv", _table(found, known, lower, upper))
        card = {
            **opening("searchlight rdms", PACKAGES),
            "rdms": {"file": str(path), "sha256": file_digest(path), "n_subjects": n_subjects, "n_centres": n_centres,
                     "axes": AXES[published.subject_axis]},
            "models": {name: digest(rdms) for name, rdms in networks.items()},
            "settings": {**found.settings, "seed": seed},
            "highest_mean_score": dict(zip(found.models, found.score.amax(1).tolist(), strict=True)),
        }  # fmt: skip
        put_card(out, card, clock)
    return found


def _table(found: GroupMaps, centres: np.ndarray, lower: Tensor, upper: Tensor) -> Any:
    """A row per center: its number in the file, its best model, the ceiling's bounds, each model's score and p."""
    import pandas as pd

    p = found.test.p_max if found.best_test is not None else found.test.p_fdr
    columns = {"centre": centres, "best_model": [found.models[place] for place in found.best.tolist()],
               "ceiling": lower, "low": lower, "high": upper}  # fmt: skip
    for place, name in enumerate(found.models):
        columns |= {name: found.score[place], f"p_corrected {name}": p[place]}
    return pd.DataFrame({name: np.asarray(column) for name, column in columns.items()})
