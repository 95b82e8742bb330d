"""A listener whose truth is known: each voxel reads one layer of a network, some seconds after it was heard.

The stimuli (a story of sentences, or your own texts, sounds or clips) are shown one after another. A voxel's response
is a weighted sum of the leading components of its layer, delayed, with noise that is alike in neighboring volumes, as
that of fMRI is. A model of layers and delays can be compared with what was put in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from brainnet.backbone import BACKBONES
from brainnet.dataset.base import DATASETS
from brainnet.dataset.simulation.recovery import gain_corrected
from brainnet.dataset.simulation.sentences import sentences
from brainnet.dataset.time_series import Cleaning, TimeSeries, Window
from brainnet.selection import Selectors
from brainnet.series import delayed, downsample_windows
from brainnet.space import HEMISPHERES, VERTICES_PER_HEMISPHERE, BrainSpace, load_mesh, surface_space
from brainnet.stimuli import StimulusSet, Texts
from brainnet.store import TokenStore
from brainnet.tokens import Backbone

N_COMPONENTS = 8  # of a layer; with more, few hundred stimuli do not tell them from noise
AUTOCORRELATION = 0.4  # of the noise, from one volume to the next
RADIUS = 28.0  # of the patch of cortex, degrees on the sphere
_STORY, _WEIGHTS, _NOISE = range(3)  # streams of random numbers that follow from the seed


class PlantedReading(NamedTuple):
    """What was put in, for each voxel: ``layer`` (n,) its number, ``delay`` (n,) in volumes, and ``signal``.

    ``signal`` (n_volumes, n_voxels) are the responses without noise.
    """

    layer: Tensor
    delay: Tensor
    signal: Tensor

    def selectors(self, n_layers: int, delays: Sequence[int]) -> dict[str, Tensor]:
        """What a read-out that found all of it would say: ``layer`` (n, n_layers) and ``delay`` (n, n_delays)."""
        asked = torch.as_tensor(delays)
        delay = (self.delay[:, None] == asked).float()
        return {"layer": one_hot(self.layer, n_layers).float(), "delay": delay, "delays": asked}


@DATASETS.register("simulated_series")
class SimulatedSeries(TimeSeries):
    """A simulated listener on two patches of fsaverage5, planted in a network's answers to a story.

    The patches are on the lateral cortex, where its inflated surface is farthest out.

    The layer that a voxel reads rises from the back to the front of the patch, and its delay from the bottom to the
    top. The last run is the test run; it was repeated, so that there is a noise ceiling. The one before it is for
    validation.

    Args:
        backbone: "family:variant", or any object with ``get_tokens``; of texts where no stimuli are given.
        stimuli: texts, sounds or clips, in the order in which they are shown; None draws ``n_sentences`` sentences.
        seed: of the sentences, the weights of voxels and the noise.
        n_sentences: of the story.
        n_runs: runs, three or more; each shows an equal part of the stimuli.
        seconds: for which each stimulus is shown; a stimulus with a duration of its own is shown for that.
        tr: seconds from one volume to the next.
        delays: those that are planted, in volumes.
        n_voxels: number of vertices of the patch, evenly spaced; 0 takes all.
        snr: SD of a voxel's signal over that of the noise of one presentation.
        n_repeats: of the test run.

    Attributes:
        planted: a :class:`PlantedReading`.
        layers: names of the layers of the network, in order.

    >>> class Letters:
    ...     reads, layers = "text", ("0", "1")
    ...     preprocessing = staticmethod(lambda text: text)
    ...     collate = staticmethod(lambda texts: torch.tensor([[ord(c) for c in t[:9]] for t in texts]).float())
    ...     def get_tokens(self, x):
    ...         layers = {"0": x, "1": x.sin()}
    ...         return {k: v[..., None, None] for k, v in layers.items()}, layers
    >>> SimulatedSeries(Letters(), n_sentences=90, n_voxels=20)
    SimulatedSeries(6 runs of 25 volumes, TR 2 s, 20 voxels; train 100, val 25, test 25)
    """

    needs_folder = False

    @classmethod
    def from_settings(
        cls, data_dir: str, seed: int, *,
        backbone: str | Backbone = "transformers:sentence-transformers/all-MiniLM-L6-v2", n_sentences: int = 600,
        n_runs: int = 6, seconds: float = 3.0, tr: float = 2.0, delays: Sequence[int] = (1, 2, 3), n_voxels: int = 200,
        snr: float = 1.0, n_repeats: int = 4,
    ) -> SimulatedSeries:  # fmt: skip
        """The listener of that seed to a story; ``data_dir`` is not used."""
        return cls(backbone, seed=seed, n_sentences=n_sentences, n_runs=n_runs, seconds=seconds, tr=tr, delays=delays,
                   n_voxels=n_voxels, snr=snr, n_repeats=n_repeats)  # fmt: skip

    def __init__(
        self, backbone: str | Backbone, stimuli: StimulusSet | None = None, *, seed: int = 0, n_sentences: int = 600,
        n_runs: int = 6, seconds: float = 3.0, tr: float = 2.0, delays: Sequence[int] = (1, 2, 3), n_voxels: int = 200,
        snr: float = 1.0, n_repeats: int = 4,
    ):  # fmt: skip
        if n_runs < 3:
            raise ValueError(f"n_runs are those to train, to choose and to test, three or more; got {n_runs}.")
        self.seed = int(seed)
        backbone = BACKBONES.build(backbone) if isinstance(backbone, str) else backbone
        shown = Texts(_story(n_sentences, self.seed)) if stimuli is None else stimuli
        windows = _one_after_another(shown, n_runs, seconds)
        if min(map(len, windows.values())) < 2:
            raise ValueError(f"{len(shown)} stimuli are too few for {n_runs} runs.")
        volumes = {run: int((w[-1].onset + w[-1].duration) / tr) + max(*delays, 0) for run, w in windows.items()}
        space, layer, delay = _patch(n_voxels, delays)
        store = TokenStore.build(backbone, shown, grid=(1, 1), dtype=torch.float32, progress=False)
        self.layers = store.layers
        layer = (layer * (len(self.layers) - 1e-6)).astype(int)
        place = {name: index for index, name in enumerate(store.image_ids)}
        runs = np.repeat(list(volumes), list(volumes.values()))
        trained = [place[w.stimulus] for run in list(windows)[: n_runs - 2] for w in windows[run]]
        signal = np.zeros((len(runs), space.n_voxels))
        draw = np.random.default_rng([self.seed, _WEIGHTS])
        for number in np.unique(layer):
            parts = _components(store.features(self.layers[number], "global").double().numpy(), trained, draw)
            told = np.concatenate([_told(parts, windows[run], place, n, tr) for run, n in volumes.items()])
            for one in np.unique(delay[layer == number]):
                columns = np.flatnonzero((layer == number) & (delay == one))
                weights = draw.standard_normal((told.shape[1], len(columns)))
                signal[:, columns] = delayed(told, [int(one)], runs) @ weights
        signal /= signal[np.isin(runs, list(volumes)[: n_runs - 2])].std(0)
        self.planted = PlantedReading(*map(torch.from_numpy, (layer, delay, signal)))
        super().__init__(
            _noisy(signal, runs, n_repeats, snr, np.random.default_rng([self.seed, _NOISE])), tr,
            val=list(volumes)[-2], test=list(volumes)[-1], space=space, stimuli=windows, cleaning=Cleaning(0),
        )  # fmt: skip
        self.shown = shown

    def recovery(
        self, selectors: Selectors, layer_gain: Tensor | None = None, scale_gain: Tensor | None = None
    ) -> dict[str, float]:
        """How much of what was planted some selectors found: shares of voxels, 0 to 1.

        Args:
            selectors: of all voxels, with delays where the read-out has them.
            layer_gain: (n, L) what a layer contributes over its weight in ``selectors``, or None.
            scale_gain: not used.

        Returns:
            "layer": of how many the planted layer counts most; "layer_within_one": or a neighbor of it; with delays
            "delay": of how many the planted delay counts most.
        """
        off = (gain_corrected(selectors, layer_gain, None).layer.argmax(1) - self.planted.layer).abs()
        found = {"layer": _share(off == 0), "layer_within_one": _share(off <= 1)}
        if hasattr(selectors, "delays"):
            chosen = torch.tensor(selectors.delays)[selectors.delay.argmax(1).cpu()]
            found["delay"] = _share(chosen == self.planted.delay)
        return found


def _share(found: Tensor) -> float:
    return float(found.float().mean())


def _story(n: int, seed: int) -> dict[str, str]:
    drawn = sentences(n, np.random.default_rng([seed, _STORY]))
    return {f"sentence{number:04d}": text for number, text in enumerate(drawn)}


def _one_after_another(shown: StimulusSet, n_runs: int, seconds: float) -> dict[str, list[Window]]:
    """Run -> windows of its part of the stimuli, without a pause between them."""
    lengths = np.full(len(shown), float(seconds)) if shown.durations is None else shown.durations
    found = {}
    for number, part in enumerate(np.array_split(np.arange(len(shown)), n_runs)):
        ends = np.cumsum(lengths[part])
        found[f"run{number + 1}"] = [
            Window(float(end - lengths[i]), float(lengths[i]), shown.ids[i]) for i, end in zip(part, ends, strict=True)
        ]
    return found


def _told(values: np.ndarray, windows: list[Window], place: dict[str, int], n: int, tr: float) -> np.ndarray:
    """(n volumes, n_components) of one run."""
    onsets, durations = (np.array([w[k] for w in windows]) for k in (0, 1))
    return downsample_windows(values[[place[w.stimulus] for w in windows]], onsets, durations, np.arange(n) * tr)


def _components(features: np.ndarray, trained: Sequence[int], draw: np.random.Generator) -> np.ndarray:
    """The leading principal components of a layer, of mean 0 and variance 1 over the stimuli of training runs."""
    centered = features - features[trained].mean(0)
    _, scales, axes = np.linalg.svd(centered[trained], full_matrices=False)
    k = min(N_COMPONENTS, int((scales > 1e-6 * scales[0]).sum()))
    return centered @ (axes[:k].T / (scales[:k] / len(trained) ** 0.5))


def _noisy(
    signal: np.ndarray, runs: np.ndarray, n_repeats: int, snr: float, draw: np.random.Generator
) -> dict[str, np.ndarray]:
    """Run -> responses; (n_repeats, n_volumes, n_voxels) of the last one."""
    from scipy.signal import lfilter

    names = list(dict.fromkeys(runs))
    found = {}
    for run in names:
        part = signal[runs == run]
        shape = (n_repeats, *part.shape) if run == names[-1] and n_repeats > 1 else part.shape
        white = draw.standard_normal(shape) * (1 - AUTOCORRELATION**2) ** 0.5 / snr
        found[run] = (part + lfilter([1.0], [1.0, -AUTOCORRELATION], white, axis=-2)).astype(np.float32)
    return found


def _patch(n_voxels: int, delays: Sequence[int]) -> tuple[BrainSpace, np.ndarray, np.ndarray]:
    """Vertices of a patch of each hemisphere, how far to the front each is (0 to 1), and its delay.

    The patch is around the vertex that is farthest from the middle of the inflated hemisphere, on either side of it.
    """
    vertices, front, up = [], [], []
    for side, name in enumerate(HEMISPHERES):
        inflated = load_mesh("fsaverage5", "inflated", name).points
        lateral = (inflated[:, 0] if name == "right" else -inflated[:, 0]).argmax()  # x runs from left to right
        sphere = load_mesh("fsaverage5", "sphere", name).points.astype(np.float64)
        sphere /= np.linalg.norm(sphere, axis=1, keepdims=True)
        near = np.flatnonzero(sphere @ sphere[lateral] >= np.cos(np.radians(RADIUS)))
        vertices.append(near + side * VERTICES_PER_HEMISPHERE["fsaverage5"])
        front.append(inflated[near, 1])
        up.append(inflated[near, 2])
    chosen = np.concatenate(vertices)
    if n_voxels > len(chosen) or n_voxels < 0:
        raise ValueError(f"the patch has {len(chosen)} vertices, got n_voxels={n_voxels}.")
    rows = np.linspace(0, len(chosen) - 1, n_voxels or len(chosen)).round().astype(int)
    y, z = (_ranks(np.concatenate(part)[rows]) for part in (front, up))
    order = np.array(sorted(int(delay) for delay in delays))
    return surface_space(torch.from_numpy(chosen[rows])), y, order[(z * len(order)).astype(int)]


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0 to below 1."""
    return values.argsort(kind="stable").argsort(kind="stable") / len(values)
