import numpy as np
import pytest
import torch

from brainnet.space import BrainSpace, load_mesh, to_cortex


@pytest.fixture(scope="module")
def volume():
    mask = torch.ones(46, 56, 46, dtype=torch.bool)
    affine = torch.tensor([[4.0, 0, 0, -90], [0, 4, 0, -126], [0, 0, 4, -72], [0, 0, 0, 1]])
    space = BrainSpace(mask=mask, affine=affine)
    return BrainSpace(mask=mask, affine=affine, rois={"right": space.coords[:, 0] > 0})


def test_coordinates_come_back_as_those_of_the_grey_matter(volume):
    seen = to_cortex(volume)
    assert seen.space.n_voxels == 20_484
    middle = (load_mesh("fsaverage5", "pial").points + load_mesh("fsaverage5", "white").points) / 2
    found = seen.mean(volume.coords).numpy()
    assert np.abs(found - middle).max() < 0.6  # mm: ten samples on a straight way, a linear map between voxels
    assert (seen.space.rois["right"].numpy() == (middle[:, 0] > 0)).mean() > 0.98


def test_unknown_voxels_count_for_nothing(volume):
    seen = to_cortex(volume)
    values = torch.ones(volume.n_voxels)
    values[::3] = torch.nan
    found = seen.mean(values)
    assert torch.allclose(found[found.isfinite()], torch.ones(1))
    assert seen.mean(torch.full_like(values, torch.nan)).isnan().all()


def test_labels_are_never_mixed(volume):
    seen = to_cortex(volume)
    labels = torch.where(volume.coords[:, 0] > 0, 7, -1)
    found = seen.majority(labels)
    assert set(found.tolist()) == {-1, 7}
    assert (found[10_242:] == 7).float().mean() > 0.95


def test_what_the_cortex_misses_is_refused(volume):
    elsewhere = volume.affine.clone()
    elsewhere[:3, 3] += 900
    with pytest.raises(ValueError, match="does not pass through"):
        to_cortex(BrainSpace(mask=volume.mask[:3, :3, :3], affine=elsewhere))
    with pytest.raises(ValueError, match="no volume"):
        to_cortex(BrainSpace.free(3))
