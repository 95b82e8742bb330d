"""CT-RSA from files: planted steps are found at their times, with their lag."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from brainnet.rsa import RDMs, by_lag, by_time, ct_rsa
from brainnet.run.rsa.steps import compare_steps


@pytest.fixture
def clip(tmp_path, rng):
    """A clip of five frames, each 0.1 s; the brain has the geometry of a frame 0.2 s later."""
    frames = torch.rand(5, 120, generator=rng)
    noise = torch.rand(4, 8, 120, generator=rng)
    noise[:, 2:7] += 1.5 * frames
    RDMs(frames).save(tmp_path / "clip.npz")
    RDMs(torch.rand(1, 120, generator=rng)).save(tmp_path / "still.npz")
    np.save(tmp_path / "meg.npy", noise.numpy())
    return tmp_path


def test_it_is_ct_rsa_of_the_files(clip):
    out = clip / "out"
    tables = compare_steps([clip / "meg.npy"], out, models=[clip / "clip.npz", clip / "still.npz"], span=(0.0, 0.7),
                           step=0.1, n_permutations=50, seed=2, progress=False)  # fmt: skip
    course = by_time(torch.from_numpy(np.load(clip / "meg.npy")))
    models = {name: RDMs.load(clip / f"{name}.npz") for name in ("clip", "still")}
    expected = ct_rsa(models, course, n_permutations=50, generator=torch.Generator().manual_seed(2), progress=False)
    np.testing.assert_allclose(tables["scores"]["score"], expected.score.mean(1))
    assert tables["scores"]["step"].tolist()[2:7] == [0, 1, 2, 3, 4]
    assert (tables["scores"]["p_max"][2:7] < 0.05).all()
    lags = pd.read_csv(out / "lags.csv")
    of_clip = lags[lags.layer == "clip"]
    assert of_clip.lag[of_clip.similarity.idxmax()] == pytest.approx(0.2)
    assert len(pd.read_csv(out / "similarity.csv")) == 6 * 8
    assert (out / "steps_clip.png").is_file()
    assert all((out / f"{name}.png").is_file() for name in ("best_steps", "lags", "lagged_clip"))
    assert not (out / "steps_still.png").exists()


def test_the_command_fills_a_folder(clip, invoke):
    printed = invoke("rsa", "steps", clip / "meg.npy", "-m", clip / "clip.npz", "--permutations", 20, "-o", clip / "o")
    assert "highest scores" in printed
    assert not (clip / "o" / "lags.csv").exists()
    assert not (clip / "o" / "lags.png").exists()
    assert (clip / "o" / "scores.csv").is_file()


def test_what_cannot_be_is_refused(clip):
    with pytest.raises(ValueError, match="span"):
        compare_steps([clip / "meg.npy"], clip / "o", models=[clip / "clip.npz"], step=0.1, progress=False)
    with pytest.raises(ValueError, match="more than 0"):
        by_lag(torch.zeros(2, 3), 0.0, [0, 1, 2])
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        by_lag(torch.zeros(2, 3), 0.1, [0, 1])
