"""Single trials and series read a run at a time; see test_bids for whole folders."""

from __future__ import annotations

import h5py
import nibabel
import numpy as np
import pytest

from brainnet.dataset.readers._bids import Run
from brainnet.dataset.readers._bids_series import places_of, read_series, read_singles, runs_of_trials

BETAS = np.arange(2 * 3 * 1 * 5, dtype=np.float32).reshape(2, 3, 1, 5) + 1


@pytest.mark.parametrize("suffix", [".hdf5", ".mat", ".npy"])
def test_a_run_of_trials_is_read_alone(tmp_path, suffix):
    betas = BETAS.copy()
    betas[0, 1, 0, :] = np.nan
    path = tmp_path / f"TYPED{suffix}"
    if suffix == ".npy":
        np.save(path, {"betasmd": betas}, allow_pickle=True)
    else:
        with h5py.File(path, "w") as file:
            file["betasmd" if suffix == ".hdf5" else "modelmd"] = betas if suffix == ".hdf5" else betas.T
    found = read_singles(path)
    assert found.n_trials == 5
    assert found.inside.shape == (2, 3, 1)
    assert found.inside.sum() == 5
    np.testing.assert_array_equal(found.read(2, 4), betas[found.inside][:, 2:4].T)


def test_units_without_a_grid_are_a_volume_of_one_column(tmp_path):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["betasmd"] = BETAS.reshape(6, 1, 1, 5)
    assert read_singles(tmp_path / "a.hdf5").read(0, 5).shape == (5, 6)
    with h5py.File(tmp_path / "b.hdf5", "w") as file:
        file["betasmd"] = BETAS.reshape(6, 5)
    with pytest.raises(ValueError, match=r"shape \(6, 5\); expected \(X, Y, Z, trials\)"):
        read_singles(tmp_path / "b.hdf5")


def test_a_surface_of_another_size_than_the_first_run_is_refused(tmp_path):
    generator, runs = np.random.default_rng(0), []
    for number, n in enumerate((642, 642, 2562)):
        paths = []
        for side in "LR":
            path = tmp_path / f"sub-1_run-{number}_hemi-{side}_bold.func.gii"
            arrays = [nibabel.gifti.GiftiDataArray(generator.normal(size=n).astype(np.float32)) for _ in range(4)]
            nibabel.save(nibabel.gifti.GiftiImage(darrays=arrays), path)
            paths.append(path)
        runs.append(Run({"sub": "1", "run": str(number)}, "fsaverage", "surface", tuple(paths)))
    places = places_of(runs)
    assert read_series(runs[1], places).shape == (4, 2 * 642)
    with pytest.raises(ValueError, match="run-2_hemi-L.* other vertices"):
        read_series(runs[2], places)


def test_runs_follow_one_another():
    assert [(part.start, part.stop) for part in runs_of_trials([3, 1, 2])] == [(0, 3), (3, 4), (4, 6)]
