"""A subject whose truth is known: real cortex, real backbone tokens, planted maps, noise of known size.

Use it to see a whole analysis run offline, and to ask of any method what it recovers, at which noise, and what it can
never recover. Its images, maps and noise follow from one seed; nothing here is fitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet._files import sha256
from brainnet._work import at_work
from brainnet._work import progress as progress_bar
from brainnet.backbone import BACKBONES
from brainnet.dataset.base import DATASETS, ResponseDataset
from brainnet.dataset.simulation.planting import (
    ROI_BANDS,
    Patch,
    PlantedTruth,
    patch_coordinates,
    planted_selectors,
    planted_signal,
    planted_weights,
    whitened_components,
)
from brainnet.dataset.simulation.recovery import recovery
from brainnet.dataset.simulation.scenes import scene
from brainnet.selection import Selectors
from brainnet.space import occipital_vertices, surface_space
from brainnet.stimuli import signature_of
from brainnet.store import fingerprint_of
from brainnet.tokens import Backbone, Preprocessing, Tokens, check_tokens

GRID = (8, 8)
IMAGE_SIZE = 128
# streams of random numbers that follow from the subject's seed
_IMAGES, _WEIGHTS, _ROTATIONS, _NOISE, _SNR = range(5)


@DATASETS.register("simulated")
class SimulatedSubject(ResponseDataset):
    """A subject simulated on the occipital cortex of fsaverage5.

    Every voxel reads whitened principal components of the backbone's tokens through FactorTopy's contraction, with
    planted, smooth maps of layer, place, scale and channel cluster (``truth``). Each has its own noise: SNR log-normal
    with median ``snr`` and sigma 0.5. Training and validation images are seen once, test images ``n_repeats`` times;
    responses to these are averaged, and single ones kept in ``test_repeats``. Every voxel's signal has mean 0 and
    variance 1 over the training images; its noise has SD 1 / SNR.

    Pictures are 70 % dead leaves and 30 % crops of two photographs; test crops share no pixel with the others. They are
    drawn on demand, a millisecond each, and not kept.

    Building it runs the backbone over all images (0.02 to 0.05 s each for "expansion:small" on one core), behind a
    progress bar; those tokens are kept and handed to a token store by :meth:`known_tokens`.

    Args:
        seed: of images, channel weights, SNR and noise. The maps of layer, place and scale are the same for all seeds.
        n_train, n_val, n_test: numbers of images, in this order in ``image_ids``.
        backbone: a name such as "expansion:small", or any object with ``get_tokens``.
        snr: median over voxels of SD of the signal over SD of the noise of one presentation.
        n_repeats: presentations of each test image.
        radius: of the cortical patch, degrees on the sphere from the most posterior vertex; 40 gives 2,364 vertices.
        n_voxels: keep this many vertices, evenly spaced over the patch; None keeps all.
        progress: show the progress bar.

    Attributes:
        truth: what was planted, a :class:`~brainnet.dataset.simulation.planting.PlantedTruth`.
        noise_ceiling: exact: SD(signal) / sqrt(var(signal) + var(noise) / n_repeats) over the test images.
        test_repeats: (n_test, n_repeats, n_voxels) single presentations, to estimate a ceiling from.
        space: sphere coordinates and five bands of cortex named "V1", "V2", "V3", "V4" and "IT".

    >>> class Pixels:
    ...     def get_tokens(self, images):
    ...         local = {"pixels": images, "edges": images.diff(dim=3)}
    ...         return local, {layer: maps.mean((2, 3)) for layer, maps in local.items()}
    >>> subject = SimulatedSubject(n_train=20, n_val=2, n_test=2, backbone=Pixels(), n_voxels=50, progress=False)
    >>> subject.responses.shape, list(subject.space.rois), subject.truth.selectors.layer.shape
    (torch.Size([24, 50]), ['V1', 'V2', 'V3', 'V4', 'IT'], torch.Size([50, 2]))
    """

    needs_folder = False

    @classmethod
    def from_settings(
        cls,
        data_dir: str,
        seed: int,
        *,
        backbone: str | Backbone = "expansion:small",
        n_train: int = 1056,
        n_val: int = 50,
        n_test: int = 100,
        n_voxels: int = 0,
        snr: float = 0.6,
        n_repeats: int = 3,
    ) -> SimulatedSubject:
        """The subject of that seed; ``data_dir`` is not used, and 0 for ``n_voxels`` keeps all of them."""
        counts = {"n_train": n_train, "n_val": n_val, "n_test": n_test, "n_voxels": n_voxels or None}
        return cls(seed, **counts, backbone=backbone, snr=snr, n_repeats=n_repeats)

    def __init__(
        self,
        seed: int = 0,
        n_train: int = 1056,
        n_val: int = 50,
        n_test: int = 100,
        backbone: str | Backbone = "expansion:small",
        *,
        snr: float = 0.6,
        n_repeats: int = 3,
        radius: float = 40.0,
        n_voxels: int | None = None,
        progress: bool = True,
    ):
        self.seed = int(seed)
        counts = {"train": n_train, "val": n_val, "test": n_test}
        starts = np.cumsum([0, *counts.values()])
        splits = {name: torch.arange(*starts[place : place + 2]) for place, name in enumerate(counts)}
        vertices = _vertices(radius, n_voxels)
        patch = patch_coordinates(vertices, radius)
        rois = {
            name: torch.from_numpy((patch.distance >= low) & (patch.distance < high))
            for name, (low, high) in ROI_BANDS.items()
        }

        backbone = BACKBONES.build(backbone) if isinstance(backbone, str) else backbone
        # ids tell the split, and with it which part of a photograph a crop may come from
        image_ids = [f"{name}{i:04d}" for name, count in counts.items() for i in range(count)]
        self._tokens, self._token_source = self._see(backbone, image_ids, progress)

        signal = self._plant(patch, splits["train"], snr)
        noise_sd, test = 1 / self.truth.snr, splits["test"]
        responses = signal + self._noise(noise_sd, signal.shape)
        self.test_repeats = signal[test, None] + self._noise(noise_sd, (n_test, n_repeats, len(vertices)), 1)
        responses[test] = self.test_repeats.mean(1)
        reliable = signal[test].var(0, correction=0)
        super().__init__(
            image_ids,
            responses,
            surface_space(vertices, "fsaverage5", rois),
            splits,
            noise_ceiling=(reliable / (reliable + noise_sd.square() / n_repeats)).sqrt(),
            noise_ceiling_definition=(
                f"exact, from planted signal and noise over the test images; for the mean of K = {n_repeats} repeats"
            ),
            n_repeats=n_repeats,
        )

    def _plant(self, patch: Patch, train: Tensor, snr: float) -> Tensor:
        """Puts down the truth, and gives the signal (n_images, n_voxels): mean 0 and SD 1 over the training images."""
        local, global_ = whitened_components(self._tokens, train, self._stream(_ROTATIONS))
        selectors = planted_selectors(patch, len(self._tokens.layers))
        weights, clusters = planted_weights(patch, local.shape[2], self._stream(_WEIGHTS))
        signal = planted_signal(local, global_, selectors, weights)
        signal = (signal - signal[train].mean(0)) / signal[train].std(0)
        draws = self._stream(_SNR).standard_normal(signal.shape[1])
        ratio = torch.from_numpy(snr * np.exp(0.5 * draws)).float()
        self.truth = PlantedTruth(selectors, weights, clusters, ratio, signal)
        return signal

    def _noise(self, sd: Tensor, shape: tuple[int, ...], *stream: int) -> Tensor:
        return torch.from_numpy(self._stream(_NOISE, *stream).standard_normal(shape, dtype=np.float32)) * sd

    def _stream(self, *numbers: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, *numbers])

    def _see(self, backbone: Backbone, image_ids: list[str], progress: bool) -> tuple[Tokens, dict[str, str]]:
        """Tokens of every image on the planting grid, float16, and what they came from."""
        self.image_ids = image_ids
        preprocessing = getattr(backbone, "preprocessing", None) or Preprocessing((IMAGE_SIZE, IMAGE_SIZE))
        batches = torch.arange(len(image_ids)).split(8)  # from 16 on, arrays come out of fresh memory every time

        def draw(rows: Tensor) -> Tensor:
            return torch.stack([preprocessing(self.load_image(int(i))) for i in rows])

        kept: Tokens | None = None
        with at_work(backbone), torch.no_grad():
            drawn = progress_bar(
                map(draw, batches), f"Tokens of {len(image_ids):,} simulated images", len(batches), progress
            )
            for rows, images in zip(batches, drawn, strict=True):
                layers = kept.layers if kept else None
                batch = check_tokens(backbone.get_tokens(images), len(rows), layers).resize(GRID).map(_as_float16)
                if kept is None:
                    kept = batch.map(lambda part: part.new_empty(len(image_ids), *part.shape[1:]))
                for old, new in zip(kept, batch, strict=True):
                    for layer, value in new.items():
                        old[layer][rows] = value
        source = fingerprint_of(backbone) if callable(getattr(backbone, "fingerprint", None)) else {}
        return kept, source | {"preprocessing": str(preprocessing), "grid": f"{GRID[0]}x{GRID[1]}", "resize": "mean"}

    def load_image(self, index: int):
        """Image ``index``, 128 x 128, drawn anew: an RGB ``PIL.Image``."""
        from PIL import Image

        part = "test" if self.image_ids[index].startswith("test") else "train"
        generator = self._stream(_IMAGES, index % len(self.image_ids))
        return Image.fromarray(scene(generator, IMAGE_SIZE, part))

    def signature(self) -> str:
        """Digest of what every picture follows from: seed, names, and the drawing itself, by two pictures."""
        drawn = [self.load_image(0), self.load_image(len(self.image_ids) - 1)]
        return sha256(f"{self.seed} {IMAGE_SIZE} {self.image_ids}", signature_of(drawn))

    def known_tokens(self, fingerprint: Mapping[str, str]) -> Tokens | None:
        """The float16 tokens that made this subject, where they are what ``fingerprint`` asks for; else None.

        Args:
            fingerprint: of a token store: the fields of the backbone's own ``fingerprint()``, and "preprocessing",
                "grid", "resize" and "dtype". A backbone without ``fingerprint()`` never matches.
        """
        wanted = {key: str(value) for key, value in fingerprint.items()}
        if "weights" not in self._token_source or wanted.get("dtype", "float16") != "float16":
            return None
        same = all(wanted.get(key) == value for key, value in self._token_source.items())
        return self._tokens if same else None

    def recovery(
        self, selectors: Selectors, layer_gain: Tensor | None = None, scale_gain: Tensor | None = None
    ) -> dict[str, Any]:
        """How much of the planted maps ``selectors`` found, see ``brainnet.dataset.simulation.recovery``."""
        return recovery(self.truth.selectors, selectors, self.space.hemisphere, layer_gain, scale_gain)

    def shuffled(self, seed: int = 0, per_voxel: bool = True) -> SimulatedSubject:
        """The negative control of :meth:`ResponseDataset.shuffled`; ``truth`` stays, single presentations go."""
        control = super().shuffled(seed, per_voxel)
        control.test_repeats = None
        return control


def _vertices(radius: float, n_voxels: int | None) -> Tensor:
    """The vertices of the patch, or so many of them, evenly spaced."""
    vertices = occipital_vertices(radius)
    if n_voxels is None:
        return vertices
    if not 0 < n_voxels <= len(vertices):
        raise ValueError(f"a patch of radius {radius} has {len(vertices)} vertices, got n_voxels={n_voxels}.")
    return vertices[torch.linspace(0, len(vertices) - 1, n_voxels).round().long()]


def _as_float16(value: Tensor) -> Tensor:
    half = value.detach().to("cpu", torch.float16)
    if not torch.isfinite(half).all():
        raise ValueError(
            f"tokens reach {float(value.abs().max()):.3g}: not finite, or beyond 65,504, the largest float16, in which "
            "a simulated subject keeps them. Choose other layers, or scale the tokens."
        )
    return half
