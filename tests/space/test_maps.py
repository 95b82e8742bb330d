"""Maps to NIfTI and back, and patterns that must lie where their mask lies."""

import nibabel
import numpy as np
import pytest
import torch

from brainnet.space import BrainSpace, load_maps, load_patterns, save_map
from brainnet.space.maps import check_same_grid


@pytest.fixture
def space():
    mask = torch.zeros(4, 4, 3).bool()
    mask[1:3, :, :2] = True
    return BrainSpace(mask=mask, affine=torch.diag(torch.tensor([2.0, 2.0, 2.0, 1.0])).double())


def test_maps_without_a_place_are_counted_by_their_voxels(tmp_path):
    np.savez(tmp_path / "maps.npz", score=np.ones((2, 5)), size=np.ones(5))
    found, where = load_maps(tmp_path, ("score", "size"))
    assert (tuple(found["score"].shape), tuple(found["size"].shape), where.n_voxels) == ((2, 5), (1, 5), 5)


def test_volumes_come_back_with_their_place(space, rng, tmp_path):
    values = torch.rand(2, space.n_voxels, generator=rng)
    for name, rows in (("score", values), ("size", torch.ones(space.n_voxels))):
        save_map(space, rows, tmp_path / name, ("a", "b"))
    found, where = load_maps(tmp_path, ("score", "size", "other"))
    assert torch.equal(found["score"], values)
    assert torch.equal(where.mask, space.mask)
    assert torch.equal(where.affine, space.affine)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["score.nii.gz", "size.nii.gz"]


def test_surfaces_come_back_and_exchanged_hemispheres_are_refused(rng, tmp_path):
    place = BrainSpace(vertices=torch.tensor([3, 70, 10_300]), mesh="fsaverage5")
    values = torch.rand(2, 3, generator=rng)
    for name, rows in (("score", values), ("size", torch.ones(3))):
        save_map(place, rows, tmp_path / name, ("a", "b"))
    found, where = load_maps(tmp_path, ("score", "size"))
    assert torch.equal(found["score"], values)
    assert torch.equal(where.vertices, place.vertices)
    left, right = tmp_path / "score.L.func.gii", tmp_path / "score.R.func.gii"
    left.rename(tmp_path / "kept")
    right.rename(left)
    (tmp_path / "kept").rename(right)
    with pytest.raises(ValueError, match="exchanged"):
        load_maps(tmp_path, ("score", "size"))


def test_patterns_are_voxels_that_vary_inside_the_mask(rng, tmp_path):
    data = torch.rand(3, 3, 3, 5, generator=rng).numpy()
    data[0, 0, 0] = 1.0
    data[0, 0, 1, 2] = np.nan
    inside = np.ones((3, 3, 3, 1), dtype=np.uint8)
    inside[2] = 0
    nibabel.save(nibabel.Nifti1Image(data, np.eye(4)), tmp_path / "betas.nii.gz")
    nibabel.save(nibabel.Nifti1Image(inside, np.eye(4)), tmp_path / "mask.nii.gz")
    patterns, where = load_patterns([tmp_path / "betas.nii.gz"], tmp_path / "mask.nii.gz")
    assert patterns.shape == (5, 16)
    np.testing.assert_array_equal(patterns[:, 0], data[0, 0, 2])
    assert where.n_voxels == 16


def test_grids_in_other_places_are_refused():
    image = nibabel.Nifti1Image(np.zeros((3, 3, 3)), np.eye(4))
    check_same_grid(image, nibabel.Nifti1Image(np.zeros((3, 3, 3, 7)), np.eye(4) + 1e-5), "a", "b")
    with pytest.raises(ValueError, match="a lies elsewhere than b: voxels of .*2.0"):
        check_same_grid(nibabel.Nifti1Image(np.zeros((3, 3, 3)), 2 * np.eye(4)), image, "a", "b")
    with pytest.raises(ValueError, match=r"a is \(3, 3, 4\)"):
        check_same_grid(nibabel.Nifti1Image(np.zeros((3, 3, 4)), np.eye(4)), image, "a", "b")


def test_a_mask_for_a_surface_is_refused(tmp_path, rng):
    np.save(tmp_path / "betas.npy", torch.rand(3, 2 * 10242, generator=rng).numpy())
    nibabel.save(nibabel.Nifti1Image(np.ones((3, 3, 3)), np.eye(4)), tmp_path / "mask.nii.gz")
    with pytest.raises(ValueError, match="a mask is a volume"):
        load_patterns([tmp_path / "betas.npy"], tmp_path / "mask.nii.gz")
