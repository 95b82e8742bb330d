"""People who read sentences of 24 topics: experiments 2 and 3 of Pereira et al. 2018.

    <root>/P01/examples_384sentences.mat     experiment 2
           P01/examples_243sentences.mat     experiment 3, where the person took part in it

A file holds a response (the mean over three readings) of every voxel to every sentence.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainnet._checks import check_word
from brainnet._files import reading
from brainnet.dataset.about import About
from brainnet.dataset.base import ResponseDataset
from brainnet.dataset.readers._checked import expect_shape, expect_type, there
from brainnet.dataset.settings import settings_of
from brainnet.space import BrainSpace
from brainnet.stimuli import Texts

EXPERIMENTS = {2: 384, 3: 243}  # experiment -> sentences

ABOUT = About(
    title="Sentences (Pereira et al. 2018)",
    kind="fMRI",
    what="Ten people read 384 sentences or 243 sentences of 24 topics, four of them a passage, three times each, in a "
    "3 T scanner.",
    where="https://evlab.mit.edu/sites/default/files/documents/index2.html (no form; an archive for each person).",
    terms="Not stated.",
    size="Not published.",
    layout="""P01/examples_384sentences.mat
P01/examples_243sentences.mat""",
    steps=("Download the archive of each person you need, and unpack it in one folder.",),
    needs=("{subject}/examples_*sentences.mat",),
    cite="""@article{pereira2018toward,
  title={Toward a universal decoder of linguistic meaning from brain activation},
  author={Pereira, Francisco and Lou, Bin and Pritchett, Brianna and Ritter, Samuel and Gershman, Samuel J. and
          Kanwisher, Nancy and Botvinick, Matthew and Fedorenko, Evelina},
  journal={Nature Communications}, volume={9}, pages={963}, year={2018}
}""",
    verified="Run on files in the published layout that the tests write; nobody has run it on the real files yet. "
    "Where the voxels are is not read.",
)


class Pereira2018(ResponseDataset):
    """One reader of the sentences; ids are "384sentences.0" and so on, as Brain-Score calls them.

    Topics are held out whole, so that no test sentence is of a passage or a topic that was trained on.

    Args:
        root: folder in which the folders of the people lie.
        subject: name of the folder, such as "P01" or "M02".
        experiment: 2 (384 sentences) or 3 (243 sentences).
        test, val: numbers of the 24 topics that are drawn for test and for validation.
        seed: of that draw.

    Attributes:
        sentences: the texts, in the order of the rows.
        passages, topics: (n_sentences,) the name of each sentence's passage and topic; ``groups`` are the passages.

    Raises:
        FileNotFoundError: no such person, or not in that experiment.
        ValueError: a file of other content; names it, what it holds and what was expected.
    """

    about = ABOUT
    kind = "text"  # of what was heard or read

    def __init__(
        self, root: str | os.PathLike, subject: str = "P01", *, experiment: int = 2, test: int = 4, val: int = 2,
        seed: int = 0,
    ):  # fmt: skip
        check_word("experiment", str(experiment), [str(number) for number in EXPERIMENTS])
        self.root, self.subject, n = Path(root), str(subject), EXPERIMENTS[int(experiment)]
        found = _read(self.root / self.subject / f"examples_{n}sentences.mat")
        self.sentences, self.passages, self.topics = found["sentences"], found["passages"], found["topics"]
        ids = [f"{n}sentences.{row}" for row in range(len(self.sentences))]
        self.images = Texts(dict(zip(ids, self.sentences, strict=True)))
        super().__init__(
            ids,
            found["responses"],
            BrainSpace.free(found["responses"].shape[1]),
            _by_topic(self.topics, test, val, seed),
            noise_ceiling_definition="none: the files hold the mean over readings",
            n_repeats=3,
        )
        self.groups = self.passages

    from_settings = settings_of(__init__)


def _read(path: Path) -> dict[str, Any]:
    """Responses, sentences, and the passage and the topic of each sentence."""
    from scipy.io import loadmat

    needed = ("examples", "keySentences", "labelsPassageForEachSentence", "keyPassages", "labelsPassageCategory",
              "keyPassageCategory")  # fmt: skip
    there(path, "the responses of a person")
    with reading(path, ".mat file"):
        file = loadmat(path, variable_names=needed)
    missing = next((name for name in needed if name not in file), None)
    if missing is not None:
        raise ValueError(f"{path} has no variable {missing}; it has {', '.join(k for k in file if k[0] != '_')}.")
    examples = file["examples"]
    expect_shape(path, examples.shape, (None, None), "examples: sentences, voxels")
    expect_type(path, examples.dtype, "f", "examples are real numbers")
    sentences, passages, topics = (
        _texts(path, name, file[name]) for name in ("keySentences", "keyPassages", "keyPassageCategory")
    )
    if len(sentences) != len(examples):
        raise ValueError(f"{path} holds {len(examples)} responses and {len(sentences)} sentences.")
    of_sentence = _places(path, "labelsPassageForEachSentence", file, len(sentences), len(passages))
    of_passage = _places(path, "labelsPassageCategory", file, len(passages), len(topics))
    return {
        "responses": np.asarray(examples, np.float32),
        "sentences": sentences,
        "passages": np.array(passages)[of_sentence],
        "topics": np.array(topics)[of_passage[of_sentence]],
    }


def _texts(path: Path, name: str, values: np.ndarray) -> list[str]:
    """The texts of a cell array, which may lie in arrays of one each."""
    found = []
    for cell in values.ravel():
        while isinstance(cell, np.ndarray) and cell.size == 1:
            cell = cell.ravel()[0]
        if not isinstance(cell, str) or not cell.strip():
            raise ValueError(f"{path}: {name} holds {cell!r} at place {len(found) + 1}; expected a text.")
        found.append(cell.strip())
    return found


def _places(path: Path, name: str, file: dict[str, Any], n: int, n_named: int) -> np.ndarray:
    """Places from 0 of what a label from 1 names."""
    labels = np.ravel(file[name])
    expect_type(path, labels.dtype, "iuf", f"{name} are numbers")
    if len(labels) != n or labels.min(initial=1) < 1 or labels.max(initial=1) > n_named:
        raise ValueError(f"{path}: {name} must be {n} numbers from 1 to {n_named}, got {len(labels)} from "
                         f"{labels.min(initial=1):g} to {labels.max(initial=1):g}.")  # fmt: skip
    return labels.astype(int) - 1


def _by_topic(topics: np.ndarray, test: int, val: int, seed: int) -> dict[str, torch.Tensor]:
    """The splits, of whole topics."""
    names = np.unique(topics)
    if min(test, val) < 0 or test + val >= len(names):
        raise ValueError(f"test and val are numbers of the {len(names)} topics that leave some to train on; got {test} "
                         f"and {val}.")  # fmt: skip
    drawn = np.random.default_rng(seed).permutation(names)
    parts = {"test": drawn[:test], "val": drawn[test : test + val], "train": drawn[test + val :]}
    return {split: torch.from_numpy(np.flatnonzero(np.isin(topics, part))) for split, part in parts.items()}
