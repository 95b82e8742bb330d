"""Searchlights from files to files."""

import json

import nibabel
import numpy as np
import pytest
import torch

from brainnet.rsa import RDMs, rdm
from brainnet.run.rsa.searchlight import search, search_group


@pytest.fixture
def volume(tmp_path, rng):
    """A volume of noise with a planted model in its lower half; an empty border; a mask that takes a slice away."""
    shape = torch.randn(12, 5, generator=rng)
    data = torch.zeros(8, 8, 6, 12)
    data[1:7, 1:7] = torch.randn(6, 6, 6, 12, generator=rng)
    data[1:7, 1:7, :3] += torch.einsum("cf,xyzf->xyzc", shape, torch.randn(6, 6, 3, 5, generator=rng))
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    nibabel.save(nibabel.Nifti1Image(data.numpy(), affine), tmp_path / "betas.nii.gz")
    mask = np.ones((8, 8, 6), dtype=np.uint8)
    mask[..., 5] = 0
    nibabel.save(nibabel.Nifti1Image(mask, affine), tmp_path / "mask.nii.gz")
    models = torch.cat([rdm(shape).values, torch.rand(1, 66, generator=rng)])
    RDMs(models, names=("planted", "other")).save(tmp_path / "models.npz")
    return tmp_path


def test_searchlight_of_a_volume_finds_what_was_planted(volume, invoke):
    out = volume / "maps"
    words = ["searchlight", "run", volume / "betas.nii.gz", "-m", volume / "models.npz",
             "--mask", volume / "mask.nii.gz", "--radius", 4, "--permutations", 50, "--out", out]  # fmt: skip
    invoke(*words)
    score = nibabel.load(out / "score.nii.gz").get_fdata()
    known = np.isfinite(score[..., 0])
    assert known.sum() == 6 * 6 * 5  # inside the mask, and not constant
    assert np.nanmean(score[..., 0][..., :2]) > 0.4
    winner = nibabel.load(out / "best_model_p05.nii.gz").get_fdata()
    assert (winner[1:7, 1:7, :2] == 1).mean() > 0.9
    card = json.loads((out / "run.json").read_text())
    assert card["settings"]["n_permutations"] == 50
    assert set(card["highest_score"]) == {"models planted", "models other"}
    assert (out / "maps.png").is_file()
    chunk = (out / "chunks" / "chunk_00000.npz").stat().st_mtime_ns
    invoke(*words)  # nothing is computed again
    assert (out / "chunks" / "chunk_00000.npz").stat().st_mtime_ns == chunk


def test_maps_of_six_subjects_become_a_group_test(tmp_path, rng, invoke):
    shape = torch.randn(12, 5, generator=rng)
    RDMs(torch.cat([rdm(shape).values, torch.rand(1, 66, generator=rng)]), names=("planted", "other")).save(
        tmp_path / "models.npz"
    )
    folders = [tmp_path / f"sub-{i}" for i in range(6)]
    for folder in folders:
        data = torch.randn(5, 5, 6, 12, generator=rng)
        data[..., :3, :] += 0.5 * torch.einsum("cf,xyzf->xyzc", shape, torch.randn(5, 5, 3, 5, generator=rng))
        nibabel.save(nibabel.Nifti1Image(data.numpy(), np.eye(4)), f"{folder}.nii.gz")
        words = ("-m", tmp_path / "models.npz", "--radius", 1.5, "--permutations", 0, "--out", folder)
        invoke("searchlight", "run", f"{folder}.nii.gz", *words)
    out = tmp_path / "group"
    output = invoke("searchlight", "group", *folders, "--out", out)
    assert "6 subjects, 2 models x 142 centers" in output  # corners hold fewer than 10 voxels
    t, p = (nibabel.load(out / f"{name}.nii.gz").get_fdata() for name in ("t", "p_max"))
    np.testing.assert_allclose(
        nibabel.load(out / "score.nii.gz").get_fdata(),
        np.mean([nibabel.load(folder / "score.nii.gz").get_fdata() for folder in folders], axis=0), atol=1e-6,
    )  # fmt: skip
    assert (t[..., :2, 0] > 2).mean() > 0.9
    assert (p[..., :2, 0] <= 0.05).mean() > 0.5
    assert (
        p[..., 4:, 0] <= 0.05
    ).mean() < 0.05  # one study of twenty may hold a false claim; see test_group for how many do
    card = json.loads((out / "run.json").read_text())
    assert card["settings"]["n_sign_flips"] == 63
    assert len({subject["sha256"] for subject in card["subjects"]}) == 6
    assert card["n_significant"]["models other"] == 0
    assert (out / "maps.png").is_file()
    paired = ("--contrast", "models planted", "models other", "--out", tmp_path / "paired")
    assert "6 subjects, 1 models" in invoke("searchlight", "group", *folders, *paired)
    t = nibabel.load(tmp_path / "paired" / "t.nii.gz").get_fdata().squeeze()
    assert (t[..., :2] > 1).mean() > 0.9
    card = json.loads((tmp_path / "paired" / "run.json").read_text())
    assert card["settings"]["contrast"] == ["models planted", "models other"]
    with pytest.raises(ValueError, match="is one of the subjects' folders"):
        search_group(folders, folders[0])
    with pytest.raises(FileNotFoundError, match=r"no searchlight\.json in .*models"):
        search_group([*folders, tmp_path / "models.npz"], out)


def test_searchlight_of_a_surface_from_gifti_and_npy(tmp_path, rng):
    data = torch.full((10, 2 * 10242), torch.nan)
    data[:, :60] = torch.randn(10, 60, generator=rng)
    data[:, 10242:10282] = torch.randn(10, 40, generator=rng)
    np.save(tmp_path / "betas.npy", data.numpy())
    for side, half in zip("LR", data.chunk(2, dim=1), strict=True):
        arrays = [nibabel.gifti.GiftiDataArray(row.numpy(), datatype="NIFTI_TYPE_FLOAT32") for row in half]
        nibabel.save(nibabel.gifti.GiftiImage(darrays=arrays), tmp_path / f"{side}.func.gii")
    RDMs(torch.rand(1, 45, generator=rng)).save(tmp_path / "model.npz")
    one = search([tmp_path / "betas.npy"], [tmp_path / "model.npz"], tmp_path / "a", k=12, progress=False)
    sides = [tmp_path / "L.func.gii", tmp_path / "R.func.gii"]
    two = search(sides, [tmp_path / "model.npz"], tmp_path / "b", k=12, progress=False)
    torch.testing.assert_close(one.score, two.score)
    assert one.score.shape == (1, 100)
    saved = nibabel.load(tmp_path / "a" / "score.R.func.gii").darrays[0].data
    np.testing.assert_allclose(saved[:40], one.score[0, 60:], atol=1e-6)


def test_wrong_patterns_are_one_clear_line(volume, tmp_path):
    betas, model = volume / "betas.nii.gz", volume / "models.npz"
    np.save(tmp_path / "wrong.npy", np.zeros((4, 7)))
    for call, message in [
        (lambda: search([betas], [], tmp_path / "o"), "at least one file of model RDMs"),
        (lambda: search([betas], [model], tmp_path / "o", k=5), "a volume needs a radius"),
        (lambda: search([tmp_path / "none.nii"], [model], tmp_path / "o"), "no file"),
        (lambda: search([tmp_path / "wrong.npy"], [model], tmp_path / "o"), r"expected \(n_conditions, 20484\)"),
        (lambda: search([betas, betas], [model], tmp_path / "o"), "patterns are one NIfTI"),
        (lambda: search([betas], [model], tmp_path / "o", n_permutations=-5), "n_permutations must be 0 or more"),
    ]:
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            call()
        assert not (tmp_path / "o").exists(), message  # a call that fails leaves no folder


def test_a_mask_that_lies_elsewhere_is_refused(volume):
    mask = nibabel.load(volume / "mask.nii.gz")
    for affine in (np.diag([3.0, 3.0, 3.0, 1.0]), np.diag([2.0, 2.0, 2.0, 1.0]) + np.eye(4, k=3)):
        nibabel.save(nibabel.Nifti1Image(np.asarray(mask.dataobj), affine), volume / "moved.nii.gz")
        with pytest.raises(ValueError, match="the mask lies elsewhere than the patterns"):
            search([volume / "betas.nii.gz"], [volume / "models.npz"], volume / "o", mask=volume / "moved.nii.gz")
    assert not (volume / "o").exists()


def test_maps_of_one_folder_must_lie_in_one_place(volume):
    search([volume / "betas.nii.gz"], [volume / "models.npz"], volume / "maps", radius=4, progress=False)
    size = nibabel.load(volume / "maps" / "score.nii.gz")
    nibabel.save(nibabel.Nifti1Image(size.get_fdata(), np.eye(4)), volume / "maps" / "score.nii.gz")
    with pytest.raises(ValueError, match="the map 'score' .* lies elsewhere"):
        search_group([volume / "maps"] * 2, volume / "group")


def test_hemispheres_in_the_wrong_order_are_refused(tmp_path, rng):
    for side in ("Left", "Right"):
        arrays = [nibabel.gifti.GiftiDataArray(np.zeros(10242, dtype=np.float32)) for _ in range(4)]
        meta = nibabel.gifti.GiftiMetaData({"AnatomicalStructurePrimary": f"Cortex{side}"})
        nibabel.save(nibabel.gifti.GiftiImage(darrays=arrays, meta=meta), tmp_path / f"{side}.func.gii")
    RDMs(torch.rand(1, 6, generator=rng)).save(tmp_path / "model.npz")
    with pytest.raises(ValueError, match="Right.func.gii says that it is CortexRight; give the left"):
        search([tmp_path / "Right.func.gii", tmp_path / "Left.func.gii"], [tmp_path / "model.npz"], tmp_path / "o")
