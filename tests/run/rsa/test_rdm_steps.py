"""RDMs over time from stimuli to files: frames, moments of sounds, and windows of several films."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from brainnet.backbone import build_backbone
from brainnet.rsa import RDMs, rdm
from brainnet.run.rsa.rdm_steps import windows_of, write_step_rdms
from brainnet.run.rsa.rdms import write_rdms
from brainnet.stimuli import Clips, Sounds

NETWORK = "video:expansion:small"


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 255, (5, 3, 64, 64, 3)).astype(np.uint8)


def test_the_rdms_of_frames_are_those_of_the_pictures(pixels, tmp_path):
    found = write_step_rdms(
        Clips(pixels), tmp_path / "out", backbone=NETWORK, layers=["1"], n_frames=3, pool="mean", progress=False
    )
    assert list(found) == ["1"]
    pictures = build_backbone("expansion:small", layers=["1"])
    for step, name in enumerate(found["1"].names):
        frames = torch.stack([pictures.preprocessing(Image.fromarray(clip[step])) for clip in pixels])
        expected = rdm(pictures.get_tokens(frames).features("1", "mean"))
        torch.testing.assert_close(found["1"].values[step], expected.values[0], rtol=1e-4, atol=1e-5)
        assert name == str(step)
    saved = RDMs.load(tmp_path / "out" / "steps" / "1.npz")
    assert torch.equal(saved.values, found["1"].values)
    assert (tmp_path / "out" / "steps_1.png").is_file()
    assert json.loads((tmp_path / "out" / "run.json").read_text())["steps"] == {"1": ["0", "1", "2"]}


def test_the_rdms_of_moments_are_those_of_the_moments_alone(tmp_path):
    waves = np.random.default_rng(0).normal(0, 0.1, (4, 16000)).astype(np.float32)
    sounds, options = Sounds(waves, rate=16000), {"weights": "random", "steps": 4}
    found = write_step_rdms(
        sounds, tmp_path / "out", backbone="silero:vad=random", steps=4, layers=["4"], progress=False
    )
    tokens = build_backbone("silero:vad", **options).get_tokens(list(sounds)).local["4"]
    for step in range(4):
        torch.testing.assert_close(found["4"].values[step], rdm(tokens[..., 0, step]).values[0], rtol=1e-4, atol=1e-5)


def test_windows_of_several_films_are_steps_of_the_films(pixels, tmp_path):
    cut = Clips(pixels, fps=1.0, window=1.0)
    found = write_step_rdms(
        cut, tmp_path / "out", backbone=NETWORK, layers=["1"], n_frames=1, pool="mean", progress=False
    )
    whole = write_step_rdms(
        Clips(pixels), tmp_path / "b", backbone=NETWORK, layers=["1"], n_frames=3, pool="mean", progress=False
    )
    assert found["1"].names == ("0", "1", "2")
    assert found["1"].conditions == ("0", "1", "2", "3", "4")
    torch.testing.assert_close(found["1"].values, whole["1"].values, rtol=1e-4, atol=1e-5)


def test_windows_of_one_film_are_conditions(pixels, tmp_path):
    cut = Clips(pixels[:1].repeat(2, 1), fps=1.0, window=2.0)
    found = write_step_rdms(cut, tmp_path / "a", backbone=NETWORK, layers=["1"], n_frames=2, progress=False)
    assert found["1"].conditions == ("0@0", "0@2", "0@4")
    assert found["1"].names == ("0", "1")
    alone = write_rdms(cut, tmp_path / "b", backbone=NETWORK, layers=["1"], n_frames=2, progress=False)
    assert alone.conditions == found["1"].conditions


def test_films_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match="'b' has 1 windows and 'a' has 2"):
        windows_of(["a@0", "a@2", "b@0"])


def test_what_has_no_time_is_refused(pixels, tmp_path):
    with pytest.raises(ValueError, match="reads images"):
        write_step_rdms(tmp_path, tmp_path / "o", backbone="expansion:small", progress=False)
    with pytest.raises(ValueError, match="one step in time"):
        write_step_rdms(
            Clips(pixels), tmp_path / "o", backbone=NETWORK, layers=["1"], n_frames=3, agg_frames="mean", progress=False
        )
    with pytest.raises(ValueError, match="'global'"):
        write_step_rdms(Clips(pixels), tmp_path / "o", backbone=NETWORK, pool="global", progress=False)


def test_the_files_are_models_of_rsa_steps(tmp_path, invoke):
    av = pytest.importorskip("av", reason="videos are decoded by av")
    (tmp_path / "clips").mkdir()
    rng = np.random.default_rng(0)
    for name in range(8):
        with av.open(str(tmp_path / "clips" / f"{name}.mkv"), "w") as container:
            stream = container.add_stream("ffv1", rate=5)
            stream.width = stream.height = 32
            for _ in range(6):
                frame = av.VideoFrame.from_ndarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    printed = invoke("rdm", tmp_path / "clips", "-b", NETWORK, "-l", "1", "--option", "n_frames=3", "--over-time",
                     "--out", tmp_path / "rdms")  # fmt: skip
    assert "3 steps of 8 conditions" in printed
    steps = RDMs.load(tmp_path / "rdms" / "steps" / "1.npz")
    brain = steps.values[None] + 0.02 * torch.rand(4, 3, 28, generator=torch.Generator().manual_seed(0))
    np.save(tmp_path / "meg.npy", brain.numpy())
    invoke("rsa", "steps", tmp_path / "meg.npy", "-m", tmp_path / "rdms" / "steps" / "1.npz", "--span", 0.0, 0.4,
           "--step", 0.2, "--permutations", 0, "-o", tmp_path / "rsa")  # fmt: skip
    lags = np.genfromtxt(tmp_path / "rsa" / "lags.csv", delimiter=",", names=True)
    assert lags["lag"][lags["similarity"].argmax()] == 0
    assert (tmp_path / "rsa" / "lags.png").is_file()
    assert (tmp_path / "rsa" / "lagged_1.png").is_file()
    assert (tmp_path / "rsa" / "best_steps.png").is_file()
