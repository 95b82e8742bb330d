"""What is done to rows of features before they are kept: projection, components, centering, length, alignment.

A chain of steps is one word, as in ``"srp:2000+pca:100"``. A step that learns something (a mean, components) learns it
from the training pictures alone where they are named, reads the rows in pieces, and is kept with the features, so that
new pictures go through the same numbers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from brainnet._checks import check_word
from brainnet._files import open_sealed, reading, write_sealed
from brainnet._files.download import fetch

log = logging.getLogger("brainnet.progress")

SUFFIX = ".steps.npz"  # of the file that keeps the steps of a layer, beside its features
BLOCK = 32 << 20  # bytes of rows from which principal components are learned at a time; exact where all rows fit
COMPONENTS = 100  # of pca without a number
DISTORTION = 0.1  # by which a random projection may change a distance, which decides its width (Johnson-Lindenstrauss)
GLOCAL = "https://raw.githubusercontent.com/LukasMut/gLocal/main/transforms/{}/transform.npz"
Rows = Callable[[], Iterable[np.ndarray]]  # parts of the rows (some, width), as often as they are asked for


class Step:
    """One step: rows (n, width) in, rows (n, other width) out; a row's result depends on that row alone.

    Args:
        setting: what stands behind the colon of its word, or "".
        seed: of what is random.
    """

    name = ""
    learns = False  # whether it must see rows before it can be applied

    def __init__(self, setting: str = "", seed: int = 0):
        self.setting, self.seed = setting, seed
        self.arrays: dict[str, np.ndarray] = {}

    def width_of(self, width: int, n_images: int) -> int:
        """The width of what comes out, as far as it is known before the step is prepared."""
        return width

    def begin(self, width: int, n_images: int) -> int:
        """Prepares for rows of some width and number; returns the width of what comes out."""
        return self.width_of(width, n_images)

    def learn(self, rows: Rows) -> None:
        """Learns from the training rows, for a step that does."""

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """What becomes of some rows, single precision."""
        raise NotImplementedError

    @property
    def word(self) -> str:
        """The step as it is written in a chain."""
        return f"{self.name}:{self.setting}" if self.setting else self.name

    def _number(self, default: int) -> int:
        if not self.setting:
            return default
        if not self.setting.isdigit() or int(self.setting) < 1:
            raise ValueError(
                f"{self.name} takes a number of features from 1, as in {self.name}:100; got {self.word!r}."
            )
        return int(self.setting)


class SparseProjection(Step):
    """Random sparse projection (Achlioptas 2003; Li, Hastie & Church 2006), by scikit-learn's matrix.

    Distances between pictures stay within a tenth at the default width, which grows with the logarithm of their number.
    A layer that is no wider than that stays as it is.
    """

    name = "srp"

    def width_of(self, width: int, n_images: int) -> int:
        """The number given, or that of Johnson and Lindenstrauss."""
        from sklearn.random_projection import johnson_lindenstrauss_min_dim

        return min(width, self._number(0) or int(johnson_lindenstrauss_min_dim(max(n_images, 2), eps=DISTORTION)))

    def begin(self, width: int, n_images: int) -> int:
        """Draws the matrix."""
        from sklearn.random_projection import SparseRandomProjection

        wanted = self.width_of(width, n_images)
        if wanted == width:
            log.info("%s leaves a layer of %d features as it is.", self.word, width)
            return width
        drawn = SparseRandomProjection(wanted, random_state=self.seed).fit(np.zeros((1, width))).components_.tocsr()
        self.arrays = {"data": drawn.data, "indices": drawn.indices, "indptr": drawn.indptr, "shape": drawn.shape}
        return wanted

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """The projection, row by row: it does not depend on what else is projected."""
        if not self.arrays:
            return rows
        from scipy.sparse import csr_matrix

        matrix = csr_matrix(
            (self.arrays["data"], self.arrays["indices"], self.arrays["indptr"]), tuple(self.arrays["shape"])
        )
        return np.ascontiguousarray((matrix @ rows.T.astype(np.float64)).T, dtype=np.float32)


class PrincipalComponents(Step):
    """Principal components of the training rows, by scikit-learn's IncrementalPCA; not whitened.

    Exact where the rows fit into one piece of 32 MB, and close to it beyond (Ross et al. 2008).
    """

    name, learns = "pca", True

    def width_of(self, width: int, n_images: int) -> int:
        """The number of components, no more than there are features or pictures."""
        return min(self._number(COMPONENTS), width, n_images)

    def begin(self, width: int, n_images: int) -> int:
        """Decides how many rows it learns from at a time."""
        self._n = self.width_of(width, n_images)
        self._at_a_time = max(self._n, BLOCK // (4 * max(width, 1)))
        return self._n

    def learn(self, rows: Rows) -> None:
        """Piece by piece."""
        from sklearn.decomposition import IncrementalPCA

        model = IncrementalPCA(self._n)
        for block in _pieces(rows(), self._at_a_time, at_least=self._n):
            if len(block) < self._n:
                raise ValueError(
                    f"{self.word}: {self._n} components need as many training pictures, there are {len(block)}."
                )
            model.partial_fit(block.astype(np.float64))
        self.arrays = {"mean": model.mean_, "components": model.components_, "variance": model.explained_variance_,
                       "share": model.explained_variance_ratio_}  # fmt: skip

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """Scores on the components."""
        scores = (rows - self.arrays["mean"]) @ self.arrays["components"].T
        return scores.astype(np.float32)


class Center(Step):
    """Each feature minus its mean over the training rows."""

    name, learns = "center", True

    def learn(self, rows: Rows) -> None:
        """The mean, summed in double precision."""
        total, n = 0.0, 0
        for block in rows():
            total, n = total + block.sum(0, dtype=np.float64), n + len(block)
        self.arrays = {"mean": np.asarray(total / n)}

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """Minus the mean."""
        return (rows - self.arrays["mean"]).astype(np.float32)


class Normalize(Step):
    """Each row divided by its length (L2); a row of zeros stays."""

    name = "normalize"

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """Rows of length 1."""
        length = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
        return (rows / np.where(length > 0, length, 1)).astype(np.float32)


class Align(Step):
    """gLocal alignment with human similarity (Muttenthaler et al. 2023): ((x - mean) / std) @ weights (+ bias).

    The word is followed by the file of a transform (``transform.npz``), or by the network and module it was published
    for, as in ``glocal:clip_ViT-L-14/visual``, which is fetched once and kept in brainnet's cache.
    """

    name = "glocal"

    def begin(self, width: int, n_images: int) -> int:
        """Reads the transform, and refuses one of another width."""
        if not self.setting:
            raise ValueError("glocal needs a transform: glocal:transform.npz, or glocal:NETWORK/MODULE.")
        path = Path(self.setting)
        if path.suffix != ".npz":
            path = fetch(GLOCAL.format(self.setting), filename=f"glocal/{self.setting}/transform.npz")
        with reading(path, "gLocal transform"), np.load(path, allow_pickle=False) as content:
            arrays = {
                key: content[key].astype(np.float64) for key in content.files if key != "bias" or content[key].size
            }
        missing = [key for key in ("mean", "std", "weights") if key not in arrays]
        if missing:
            raise ValueError(f"{path} is no gLocal transform: it has no {', '.join(missing)}.")
        weights = arrays["weights"]
        if weights.ndim != 2 or weights.shape[0] != width:
            raise ValueError(
                f"the transform in {path} is for features of width {weights.shape[0]}, and this layer has {width}. "
                "Take the module it was published for, pooled as there."
            )
        self.arrays = arrays
        return weights.shape[1]

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """The aligned features."""
        moved = (rows - self.arrays["mean"]) / self.arrays["std"] @ self.arrays["weights"]
        return (moved + self.arrays.get("bias", 0)).astype(np.float32)


STEPS: dict[str, type[Step]] = {
    step.name: step for step in (SparseProjection, PrincipalComponents, Center, Normalize, Align)
}


def parse_steps(words: str | None, seed: int = 0) -> list[Step]:
    """The steps of a chain.

    Raises:
        ValueError: a step that does not exist.

    >>> [step.word for step in parse_steps("srp:50+normalize")], parse_steps(None)
    (['srp:50', 'normalize'], [])
    """
    steps = []
    for word in (words or "").split("+") if words else ():
        name, _, setting = word.strip().partition(":")
        check_word("reduction", name, STEPS)
        steps.append(STEPS[name](setting, seed))
        if name in ("srp", "pca"):
            steps[-1]._number(1)
    return steps


class Chain:
    """The steps of one layer, one after the other; each layer has its own.

    The steps before the first one that learns are done while the rows are made (:meth:`early`), so that a random
    projection keeps wide layers off the disk; the others when all rows are there (:meth:`late`).
    """

    def __init__(self, steps: Sequence[Step]):
        self.steps = list(steps)
        place = next((i for i, step in enumerate(self.steps) if step.learns), len(self.steps))
        self._early, self._late = self.steps[:place], self.steps[place:]
        self._is_prepared = False

    def early(self, rows: np.ndarray, n_images: int) -> np.ndarray:
        """Some rows after the first steps, which prepare themselves for the first rows they see."""
        self.prepare(rows.shape[1], n_images)
        return _applied(self._early, rows)

    def prepare(self, width: int, n_images: int) -> None:
        """Prepares the first steps for rows of some width and number, unless they are."""
        if not self._is_prepared:
            for step in self._early:
                width = step.begin(width, n_images)
            self._is_prepared = True

    def learn(self, rows: Rows, width: int, n_training: int) -> int:
        """Lets the other steps learn from training rows that went through the first; the width of what they give."""
        for place, step in enumerate(self._late):
            width = step.begin(width, n_training)
            if step.learns:
                step.learn(lambda before=self._late[:place]: (_applied(before, block) for block in rows()))
        return width

    def late(self, rows: np.ndarray) -> np.ndarray:
        """Some rows after the other steps."""
        return _applied(self._late, rows)

    def width_of(self, width: int, n_images: int) -> int:
        """The width of what comes out, as far as it is known before."""
        for step in self.steps:
            width = step.width_of(width, n_images)
        return width

    def save(self, path: Path, layer: str) -> None:
        """Keeps the steps of a layer in a file, for :func:`load_chain`."""
        arrays = {
            f"{i}.{key}": np.asarray(value) for i, step in enumerate(self.steps) for key, value in step.arrays.items()
        }
        write_sealed(path, {"layer": layer, "steps": [step.word for step in self.steps]}, arrays)


def _applied(steps: Iterable[Step], rows: np.ndarray) -> np.ndarray:
    for step in steps:
        rows = step.apply(rows)
    return rows


def load_chain(path: str | Path) -> tuple[str, Chain]:
    """The layer and the steps that :meth:`Chain.save` kept, ready for new rows.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged, or keeps no steps.

    >>> import tempfile
    >>> chain, file = Chain(parse_steps("normalize")), Path(tempfile.mkdtemp()) / "fc"
    >>> chain.save(file, "fc")
    >>> layer, kept = load_chain(file)
    >>> layer, kept.early(np.array([[3.0, 4.0]], np.float32), n_images=1).astype(float).round(3).tolist()
    ('fc', [[0.6, 0.8]])
    """
    arrays, described = open_sealed(path)
    if not isinstance(described.get("steps"), list):
        raise ValueError(f"{path} keeps no steps of features.")
    steps = []
    for place, word in enumerate(described["steps"]):
        name, _, setting = str(word).partition(":")
        check_word("reduction", name, STEPS)
        own = {key.partition(".")[2]: value for key, value in arrays.items() if key.startswith(f"{place}.")}
        steps.append(_Kept(STEPS[name](setting), own))
    return str(described.get("layer", "")), Chain(steps)


class _Kept(Step):
    """A step that has learned already, with what it has learned."""

    def __init__(self, step: Step, arrays: dict[str, np.ndarray]):
        super().__init__(step.setting)
        self.name, self._step = step.name, step
        self.arrays = step.arrays = arrays

    def begin(self, width: int, n_images: int) -> int:
        """The width of what comes out; rows of another width than the step was made for are refused."""
        made_for = next((self.arrays[key] for key in ("shape", "components", "mean") if key in self.arrays), None)
        if made_for is not None:
            taken = int(made_for[-1] if made_for.dtype.kind == "i" else made_for.shape[-1])
            if taken != width:
                raise ValueError(f"the kept step {self.word} is for {taken} features, and there are {width}.")
        return self._step.apply(np.zeros((1, width), np.float32)).shape[1]

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """As it did on the rows it was made with."""
        return self._step.apply(rows)


def _pieces(blocks: Iterable[np.ndarray], rows: int, at_least: int) -> Iterator[np.ndarray]:
    """Rows so many at a time; a last piece of fewer than ``at_least`` goes with the one before it."""
    waiting: list[np.ndarray] = []
    held: np.ndarray | None = None
    for block in blocks:
        waiting.append(block)
        if sum(map(len, waiting)) >= rows:
            if held is not None:
                yield held
            held, waiting = np.concatenate(waiting), []
    rest = np.concatenate(waiting) if waiting else None
    if rest is not None and held is not None and len(rest) < at_least:
        held, rest = np.concatenate([held, rest]), None
    yield from (piece for piece in (held, rest) if piece is not None)
