"""From a folder as it was published to a map, in one line each: the layer planted in every column is found again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from brainnet.cli.app import app
from brainnet.config import load_config
from brainnet.dataset import ResponseDataset
from brainnet.plmodel import build_dataset
from brainnet.store import TokenStore
from tests.dataset.readers.brainscore_folder import write_brainscore
from tests.dataset.readers.moments_folder import write_moments
from tests.dataset.readers.nsd_folder import write_design, write_patterns, write_volume
from tests.dataset.readers.things_eeg_folder import SENSORS, TIMES, write_things_eeg2
from tests.dataset.readers.things_folder import write_things
from tests.toy_layers import LAYERS, ThreeLayers

NETWORK = f"{Path(__file__).parents[1] / 'toy_layers.py'}:ThreeLayers"


def nsd(root: Path, ids: list[str], signal: np.ndarray | None) -> None:
    if signal is not None:
        place = {f"nsd-{row:05d}": n for n, row in enumerate(write_design(root, n_places=300)[1][0])}
        drawn, signal = signal, np.zeros((10_000, signal.shape[1]))
        signal[[place[name] for name in ids]] = drawn
    write_patterns(write_volume(root, n_places=300, signal=signal))


def things_fmri(root: Path, ids: list[str], signal: np.ndarray | None) -> None:
    named = None if signal is None else {f"{one}.jpg": row for one, row in zip(ids, signal, strict=True)}
    write_things(root, signal=named, n_sessions=6, n_train=50, n_test=20, noise=0.5)


def boldmoments(root: Path, ids: list[str], signal: np.ndarray | None) -> None:
    write_moments(root, signal=signal, n_train=200, n_test=30, patterned=True)


def majajhong(root: Path, ids: list[str], signal: np.ndarray | None) -> None:
    options = {"n_stimuli": 250, "n_neuroids": 24, "repeats": 3}
    made = write_brainscore(root, **options)
    if signal is not None:
        row = {one: n for n, one in enumerate(ids)}
        named = {file: signal[row[one]][:, None] for one, file in zip(made.ids, made.files, strict=True)}
        write_brainscore(root, named, **options)


def things_eeg(root: Path, ids: list[str], signal: np.ndarray | None) -> None:
    options = {"n_concepts": 120, "n_images": 2, "n_test": 30, "noise": 1.0}
    made = write_things_eeg2(root, **options)
    if signal is not None:
        names = [name for part in made.files.values() for name in part]
        by_time = signal.reshape(len(names), len(SENSORS), len(TIMES))
        write_things_eeg2(root, signal=dict(zip(names, by_time, strict=True)), **options)


class Published(NamedTuple):
    """What writes a folder, the options of its line, what the layers of its columns follow, and further settings."""

    write: Callable[[Path, list[str], np.ndarray | None], object]
    options: str
    along: Callable[[ResponseDataset], np.ndarray]
    settings: tuple[str, ...] = ("OPTIMIZER.LR", "0.008")  # some hundred images make few steps: larger ones are taken


def depth(data: ResponseDataset) -> np.ndarray:
    return data.space.coords[:, 1].numpy()


FOLDERS = {
    "nsd": Published(nsd, "{subject: 1, space: func1pt8mm, version: betas_fithrf}", depth),
    "things_fmri": Published(things_fmri, "{subject: 1, region: ''}", depth),
    "boldmoments": Published(boldmoments, "{subject: 1, region: ''}", depth),
    "majajhong": Published(majajhong, "{}", lambda data: np.arange(data.n_voxels), ()),
    "things_eeg": Published(
        things_eeg,
        "{subject: 1}",
        lambda data: data.space.times.numpy(),
        ("OPTIMIZER.LR", "0.008", "TRAINER.MAX_EPOCHS", "40"),
    ),
}


def line(name: str, folder: Path) -> list[str]:
    """The line of the page of a data set, with a network that needs no download."""
    return ["--config", name, "DATASET.DATA_DIR", str(folder), "DATASET.OPTIONS", FOLDERS[name].options,
            "BACKBONE.NAME", NETWORK, *FOLDERS[name].settings]  # fmt: skip


@pytest.fixture(scope="module", params=FOLDERS)
def planted(request, tmp_path_factory):
    """A folder whose columns read three layers, and which: each follows random weights of one layer's global token."""
    name, folder = request.param, tmp_path_factory.mktemp(request.param) / "data"
    if name == "majajhong":
        pytest.importorskip("netCDF4")
    if name == "boldmoments":
        pytest.importorskip("av")
    words = line(name, folder)
    FOLDERS[name].write(folder, [], None)
    data = build_dataset(load_config(name, words[2:]))
    store = TokenStore.build(ThreeLayers(), data, progress=False)
    rank = FOLDERS[name].along(data).argsort(kind="stable").argsort(kind="stable")
    layer = rank * len(LAYERS) // data.n_voxels
    generator = torch.Generator().manual_seed(1)
    signal = np.empty((len(data), data.n_voxels))
    for number, one in enumerate(LAYERS):
        features = store.features(one, "mean")
        features = (features - features.mean(0)) / features.std(0)
        drive = features @ torch.randn(features.shape[1], data.n_voxels, generator=generator)
        columns = layer == number
        signal[:, columns] = (drive / drive.std(0)).numpy()[:, columns]
    FOLDERS[name].write(folder, data.image_ids, signal)
    return name, folder, layer


def fitted(name: str, folder: Path, out: Path, *further: str) -> tuple[np.ndarray, dict]:
    """The layer that each column reads most from, and the metrics."""
    words = [*line(name, folder), "TOKENS.STORE", str(out.parent / "tokens.bin"), *further]
    done = CliRunner().invoke(app, ["fit", *words, "--out", str(out), "--quiet"])
    assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
    with np.load(out / "selectors.npz") as arrays:
        found = arrays["layer_share"].argmax(1)
    return found, json.loads((out / "metrics.json").read_text())


@pytest.mark.slow
def test_the_planted_layer_is_found_again(planted, tmp_path):
    name, folder, layer = planted
    found, metrics = fitted(name, folder, tmp_path / "run")
    shuffled, control = fitted(name, folder, tmp_path / "control", "DATASET.SHUFFLED", "true")
    share, by_chance = (found == layer).mean(), (shuffled == layer).mean()
    r, r_by_chance = (one["test"]["all"]["r"]["mean"] for one in (metrics, control))
    said = (
        f"{name}: {share:.2f} of {len(layer)} columns have their layer; a constant guess has 0.33, shuffled responses "
        f"{by_chance:.2f}; test r {r:.3f} and {r_by_chance:.3f}"
    )
    print(said)
    assert np.bincount(layer).max() <= len(layer) / 3 + 1
    assert share >= 0.9, said
    assert by_chance < 0.7, said  # 12 columns: more than 8 of 12 by chance once in 5,000
    assert r > 0.6 > 0.2 > r_by_chance, said
