"""Nine people who listened to stories: LeBel et al. 2023 (OpenNeuro ds003020), as published preprocessed.

    <root>/derivative/preprocessed_data/UTS01/<story>.hf5   "data" (volumes, voxels); of the test story also
                                                            "individual_repeats" (repeats, volumes, voxels)
           derivative/respdict.json                         story -> volumes of the scanner
           derivative/TextGrids/<story>.TextGrid            words and their times

The published responses lack 20 volumes of each story. The clock of the published features is ``respdict`` less 5
volumes long, the sound starts 10 s into it, and its first 10 and last 5 volumes are left out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from brainnet._checks import warn_once
from brainnet._files import reading
from brainnet.dataset.about import About, Download
from brainnet.dataset.readers._checked import check_memory, check_subject, expect_shape, expect_type, there
from brainnet.dataset.readers._textgrid import read_textgrid
from brainnet.dataset.readers.time_series import names_of
from brainnet.dataset.settings import settings_of
from brainnet.dataset.shown import in_context
from brainnet.dataset.time_series import Cleaning, LazyRun, TimeSeries, Window

TR, TRIM, SOUND_STARTS = 2.0, (10, 5), 10.0  # seconds, volumes, seconds
CUT = 20  # volumes that responses lack
TEST_STORY = "wheretheressmoke"
REPEATS = {1: 10, 2: 10, 3: 10}  # of the test story, by the size of the published files; 5 of the other persons
NO_WORDS = frozenset({"", "sentence_start", "sentence_end", "br", "lg", "ls", "ns", "sp"})

BUCKET, RESPONSES = "https://s3.amazonaws.com/openneuro.org/ds003020", "derivative/preprocessed_data"

ABOUT = About(
    title="Natural language fMRI (LeBel et al. 2023)",
    kind="fMRI",
    what="Nine people listened to 26 to 84 spoken stories of The Moth in a 3 T scanner, a volume every 2 s. One story "
    "was heard six or eleven times.",
    where="https://openneuro.org/datasets/ds003020, without a form.",
    terms="CC0.",
    size="The preprocessed responses of a person take 8 to 24 GB.",
    layout="""derivative/preprocessed_data/UTS01/<story>.hf5
derivative/respdict.json
derivative/TextGrids/<story>.TextGrid""",
    downloads=(
        Download(f"{RESPONSES}/UTS{{subject:02d}}", f"{BUCKET}/{RESPONSES}/UTS{{subject:02d}}/", files="*.hf5"),
        Download("derivative/respdict.json", f"{BUCKET}/derivative/respdict.json"),
        Download("derivative/TextGrids", f"{BUCKET}/derivative/TextGrids/", files="*.TextGrid"),
    ),
    needs=(f"{RESPONSES}/UTS{{subject:02d}}/*.hf5", "derivative/respdict.json"),
    cite="""@article{lebel2023natural,
  title={A natural language f{MRI} dataset for voxelwise encoding models},
  author={LeBel, Amanda and Wagner, Lauren and Jain, Shailee and Adhikari-Desai, Aneesh and Gupta, Bhavin and
          Morgenthal, Allyson and Tang, Jerry and Xu, Lixiang and Huth, Alexander G.},
  journal={Scientific Data}, volume={10}, pages={555}, year={2023}, doi={10.1038/s41597-023-02437-z}
}""",
    verified="Run on folders in the published layout that the tests write; nobody has run it on the real files yet. "
    "Nothing was fetched from the bucket yet.",
)


class LeBel(TimeSeries):
    """One person of the stories.

    Args:
        root: folder of the data set, in which ``derivative`` lies.
        subject: 1 to 9.
        stories: those to read, names or patterns such as "a*", with commas or in a list; "" takes all there are.
        test, val: stories that are held out, likewise. The default test story is the one that was repeated.
        degree: of the polynomial of slow drifts that is taken off each run; None takes off none. The
            published responses have no drifts, and are z-scored already.
        scale: "run" z-scores each run by its own mean and SD, "training" divides by the SD of the training runs,
            and "none" leaves the scale.
        cutoff: seconds; slower cosines are taken off each run. None takes off none.
        block: seconds of the blocks that tests and intervals draw whole.
        context: how many words of the story before a word a network of text reads with it.

    Attributes:
        words: story -> its words; ``stimuli`` has their windows by the names "story/number", by the clock of the sound.

    Raises:
        FileNotFoundError: a file or folder is missing; names it.
        ValueError: a file of another shape or type; names it, what it holds and what was expected.
    """

    about = ABOUT
    kind = "text"  # of what was heard or read

    def __init__(
        self, root: str | os.PathLike, subject: int = 1, *, stories: Any = "", test: Any = TEST_STORY, val: Any = "",
        degree: int | None = 0, scale: str = "run", cutoff: float | None = None, block: float = 40.0,
        context: int = 20,
    ):  # fmt: skip
        check_subject(subject, range(1, 10))
        self.root, self.subject = Path(root), int(subject)
        folder = self.root / "derivative" / "preprocessed_data" / f"UTS{self.subject:02d}"
        known = sorted(path.stem for path in folder.glob("*.hf5"))
        if not known:
            raise FileNotFoundError(f"no {folder}/*.hf5: the preprocessed stories of person {subject}.")
        held_out = {split: chosen(names, known, split) for split, names in (("test", test), ("val", val))}
        wanted = chosen(stories, known, "stories") if names_of(stories) else known
        wanted = [name for name in known if name in {*wanted, *held_out["test"], *held_out["val"]}]
        volumes = self._volumes(wanted)
        runs = _read(folder, volumes, REPEATS.get(self.subject, 5))
        grids = {story: self.root / "derivative" / "TextGrids" / f"{story}.TextGrid" for story in wanted}
        found = {story: _words(path) for story, path in grids.items() if path.is_file()}
        if found and set(found) != set(wanted):
            missing = next(story for story in wanted if story not in found)
            warn_once(
                f"no words {grids[missing]}",
                f"no {grids[missing]}, and {len(wanted) - len(found)} of {len(wanted)} stories have no words: "
                "networks of text cannot read them. Add the file, or choose stories= that have one.",
            )
        self.words = {story: [text for *_, text in words] for story, words in found.items()}
        windows = {
            story: [Window(start, end - start, f"{story}/{i:05d}") for i, (start, end, _) in enumerate(words)]
            for story, words in found.items()
        }
        super().__init__(
            runs, TR, **held_out, stimuli=windows, trim=TRIM, trimmed=True, start=-SOUND_STARTS,
            cleaning=Cleaning(degree, scale, cutoff), block=block,
        )  # fmt: skip

        words = {name: text for story, said in self.words.items() for name, text in
                 zip((w.stimulus for w in windows[story]), said, strict=True)}  # fmt: skip
        self.shown = in_context(self.stimuli, words, context) if set(found) == set(wanted) else None

    from_settings = settings_of(__init__)

    def _volumes(self, stories: Sequence[str]) -> dict[str, int]:
        """Story -> volumes of its responses."""
        path = there(self.root / "derivative" / "respdict.json", "the number of volumes of each story")
        with reading(path, "JSON file"):
            known = json.loads(path.read_text(encoding="utf-8"))
        lost = [story for story in stories if not isinstance(known, Mapping) or story not in known]
        if lost:
            raise ValueError(f"{path} does not name the story {lost[0]!r}.")
        return {story: int(known[story]) - CUT for story in stories}


def chosen(names: Any, known: Sequence[str], what: str) -> list[str]:
    """The names among ``known`` that are named or match a pattern, each pattern at least one.

    Raises:
        ValueError: a name that none matches.

    >>> chosen("s0?, b", ["b", "s01", "s02", "x"], "test")
    ['b', 's01', 's02']
    """
    patterns = names_of(names)
    for pattern in patterns:
        if not any(fnmatch(name, pattern) for name in known):
            few = ", ".join(known[:8]) + (", ..." if len(known) > 8 else "")
            raise ValueError(f"{what} names {pattern!r}, and there is none such. There are {few}.")
    return [name for name in known if any(fnmatch(name, pattern) for pattern in patterns)]


def _read(folder: Path, volumes: Mapping[str, int], n_repeats: int) -> dict[str, LazyRun]:
    """Story -> (volumes, voxels), or (repeats, volumes, voxels) where single repeats are there; all shapes checked."""
    import h5py

    runs: dict[str, LazyRun] = {}
    n_voxels = None
    for story, n_volumes in volumes.items():
        path = folder / f"{story}.hf5"
        with reading(path, "HDF5 file"), h5py.File(path, "r") as file:
            if "data" not in file:
                raise ValueError(f"it has no data set data; it has {', '.join(file) or 'nothing'}")
            data = file[data_name(file)]
            shape, dtype = data.shape, data.dtype
        expected = (None,) * (len(shape) - 2) + (n_volumes, n_voxels)
        expect_shape(path, shape, expected, f"volumes as respdict.json less {CUT}, voxels as the other stories")
        expect_type(path, dtype, "f", "responses are real numbers")
        if len(shape) == 3 and shape[0] != n_repeats:
            warn_once(
                f"repeats {path.absolute()}",
                f"{path} holds {shape[0]} repeats of the story; expected {n_repeats}, as published: it may be cut.",
            )
        if n_voxels is None:
            n_voxels = shape[-1]
            check_memory(sum(volumes.values()), n_voxels, 0)
        runs[story] = LazyRun(shape, partial(_responses, path))
    return runs


def _responses(path: Path) -> np.ndarray:
    import h5py

    with reading(path, "HDF5 file"), h5py.File(path, "r") as file:
        return np.asarray(file[data_name(file)], dtype=np.float32)


def data_name(file: Any) -> str:
    """The data set with the responses: single repeats where they are there, else the (mean) responses."""
    return "individual_repeats" if "individual_repeats" in file else "data"


def _words(path: Path) -> list[tuple[float, float, str]]:
    """(start, end, word) of a story, by the clock of the sound, without silences and noises."""
    tiers = read_textgrid(path)
    if len(tiers) < 2:
        raise ValueError(f"{path} has {len(tiers)} tiers of intervals; expected two, phones and words.")
    words = list(tiers.values())[1]
    return [(start, end, text.strip()) for start, end, text in words
            if text.strip().strip("{}").lower() not in NO_WORDS]  # fmt: skip
