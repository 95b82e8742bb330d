"""The time of an encoding by its first fits, which are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from brainnet.backbone import BACKBONES
from brainnet.ridge import RidgeCV
from brainnet.run.encoding import pilot as encoding_pilot
from tests.run.encodings import Blur, run_grid, save_subject


def test_the_first_fits_are_timed_and_not_made_again(tmp_path, monkeypatch):
    fits, plain, found = [], RidgeCV.fit, []

    def counted(self, X, Y, groups=None):
        fits.append(X.shape[1])
        return plain(self, X, Y, groups)

    def recorded(self, run, n_jobs):
        found.append(seconds(self, run, n_jobs))
        assert sorted(fits) == [6 * 16, 6 * 64]  # the narrowest layer and the widest
        return found[-1]

    seconds = encoding_pilot.Plan.seconds
    monkeypatch.setattr(RidgeCV, "fit", counted)
    monkeypatch.setattr(encoding_pilot.Plan, "seconds", recorded)
    monkeypatch.setattr(encoding_pilot, "FEWEST_FITS", 2)
    folder = save_subject(tmp_path / "subj01", 1)
    features = write_features(tmp_path / "features", folder)
    with BACKBONES.temporarily("toy", Blur):
        encoding = run_grid(folder, tmp_path / "out", features=[features], controls=["shuffled"])
    assert len(fits) == sum(key.layer != "best" for key in encoding.fits) == 6
    assert found[0] > 0
    with BACKBONES.temporarily("toy", Blur):
        monkeypatch.setattr(encoding_pilot.Plan, "seconds", seconds)
        few = run_grid(folder, tmp_path / "few", features=[features], methods=["banded"])
    assert len(few.fits) == 1  # one fit alone is not made to time it


def write_features(folder: Path, subject: Path) -> Path:
    import numpy as np

    folder.mkdir()
    names = sorted(path.stem for path in (subject / "images").iterdir())
    (folder / "images.txt").write_text("\n".join(names))
    for layer, width in (("a", 16), ("b", 64), ("c", 32)):
        np.save(folder / f"{layer}.npy", np.random.default_rng(width).normal(size=(len(names), 6 * width)))
    return folder


@pytest.mark.parametrize(
    ("networks", "methods", "controls", "pairs"), [(2, 2, (), 4), (1, 2, ("random", "shuffled"), 4)]
)
def test_pairs_that_differ_in_one_thing_are_counted(networks, methods, controls, pairs):
    plan = encoding_pilot.Plan(
        dict.fromkeys(map(str, range(networks))), {"s": None}, dict.fromkeys(map(str, range(methods))), {}, "mean",
        controls, 20, ("train",),
    )  # fmt: skip
    assert plan._n_pairs() == pairs
