"""The Algonauts 2023 layout, read from a generated folder whose content is known."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from brainnet.dataset import BrainDataset
from brainnet.dataset.regions import ROI_GROUPS, ROI_LABELS
from brainnet.space import sphere_coords
from brainnet.tokens import Preprocessing
from tests.dataset.readers.algonauts_folder import write_algonauts_folder
from tests.dataset.readers.test_pickles import Calls


def test_columns_are_left_then_right_with_the_images_in_order(tmp_path):
    folder = write_algonauts_folder(tmp_path, n_images=12, dtype=np.float64)
    data = BrainDataset(tmp_path)
    assert data.responses.dtype == torch.float32
    assert np.allclose(data.responses, folder.responses)
    assert [data.load_image(i).getpixel((0, 0))[0] for i in range(12)] == list(range(12))
    assert data.image_ids[0].startswith("train-0001_nsd-")
    assert len(data.test_images()) == 2


def test_images_are_resized_with_imagenet_statistics_as_published(tmp_path):
    write_algonauts_folder(tmp_path)
    assert BrainDataset(tmp_path).preprocessing == Preprocessing((224, 224))
    assert BrainDataset(tmp_path, resolution=(64, 48)).image(0).shape == (3, 64, 48)
    assert BrainDataset(tmp_path, resolution=None).preprocessing is None


@pytest.mark.parametrize("mesh", ["fsaverage5", "fsaverage"])
def test_every_column_is_the_vertex_the_mask_says(tmp_path, mesh):
    folder = write_algonauts_folder(tmp_path, mesh=mesh)
    space = BrainDataset(tmp_path).space
    assert space.mesh == mesh
    assert space.vertices.tolist() == folder.vertices.tolist()
    assert space.hemisphere.tolist() == [0] * 30 + [1] * 25
    assert torch.equal(space.coords, sphere_coords(space.vertices, mesh))


def test_regions_follow_the_published_labels(tmp_path):
    labels = write_algonauts_folder(tmp_path, n_left=60, n_right=50).labels
    rois = BrainDataset(tmp_path).space.rois
    assert list(rois)[:12] == list(ROI_GROUPS)
    assert np.array_equal(rois["V1"], np.isin(labels["prf-visualrois"], (1, 2)))
    assert np.array_equal(rois["V3d"], labels["prf-visualrois"] == 6)
    assert np.array_equal(rois["V4"], labels["prf-visualrois"] == 7)
    assert np.array_equal(rois["FFA"], np.isin(labels["floc-faces"], (2, 3)))
    assert np.array_equal(rois["VWFA"], np.isin(labels["floc-words"], (2, 3)))
    assert np.array_equal(rois["RSC"], labels["floc-places"] == 3)
    assert np.array_equal(rois["parietal"], labels["streams"] == 7)
    left = np.arange(110) < 60
    assert np.array_equal(rois["lh.EBA"], (labels["floc-bodies"] == 1) & left)
    assert np.array_equal(rois["rh.EBA"], (labels["floc-bodies"] == 1) & ~left)


def test_label_tables_are_those_of_the_challenge():
    """Sizes and ends of the published tables; every group is made of labelled areas, each in one table only."""
    assert {family: len(names) for family, names in ROI_LABELS.items()} == {
        "prf-visualrois": 7, "floc-bodies": 4, "floc-faces": 5, "floc-places": 3, "floc-words": 5, "streams": 7,
    }  # fmt: skip
    assert all(list(names) == list(range(1, len(names) + 1)) for names in ROI_LABELS.values())
    names = [name for table in ROI_LABELS.values() for name in table.values()]
    assert len(names) == len(set(names))
    assert {part for parts in ROI_GROUPS.values() for part in parts} <= set(names)


def test_without_masks_columns_have_no_place_and_one_warning_says_why(tmp_path):
    write_algonauts_folder(tmp_path, mesh=None)
    with pytest.warns(UserWarning, match=r"no .*roi_masks: .* selectors are free per voxel"):
        space = BrainDataset(tmp_path).space
    assert (space.coords, space.mesh, space.n_voxels, space.roi_names) == (None, None, 55, ())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        BrainDataset(tmp_path)


def test_regions_survive_without_vertex_masks(tmp_path):
    write_algonauts_folder(tmp_path)
    (tmp_path / "roi_masks/rh.all-vertices_fsaverage_space.npy").unlink()
    with pytest.warns(UserWarning, match=r"no .*rh\.all-vertices_fsaverage_space\.npy"):
        space = BrainDataset(tmp_path).space
    assert space.coords is None
    assert "V1" in space.rois


def test_a_missing_class_of_regions_is_left_out(tmp_path):
    write_algonauts_folder(tmp_path)
    for side in ("lh", "rh"):
        (tmp_path / f"roi_masks/{side}.floc-faces_challenge_space.npy").unlink()
    rois = BrainDataset(tmp_path).space.rois
    assert "FFA" not in rois
    assert "EBA" in rois


@pytest.mark.parametrize(("given", "meant"), [("", "subj01"), ("subj01/training_split", "subj01")])
def test_a_wrong_folder_is_told_the_right_one(tmp_path, given, meant):
    write_algonauts_folder(tmp_path / "subj01")
    with pytest.raises(FileNotFoundError, match=r"no training_split/training_fmri/lh_training_fmri\.npy") as error:
        BrainDataset(tmp_path / given)
    assert str(error.value).endswith(f"Did you mean {tmp_path / meant}?")
    with pytest.raises(FileNotFoundError, match="no folder"):
        BrainDataset(tmp_path / "subj02")


def test_counts_that_disagree_are_refused(tmp_path):
    write_algonauts_folder(tmp_path)
    next((tmp_path / "training_split/training_images").iterdir()).unlink()
    with pytest.raises(ValueError, match=r"11 images in .* but responses to 12"):
        BrainDataset(tmp_path)


def test_masks_that_do_not_fit_the_responses_are_refused(tmp_path):
    write_algonauts_folder(tmp_path)
    path = tmp_path / "roi_masks/lh.all-vertices_fsaverage_space.npy"
    mask = np.load(path)
    np.save(path, mask * 0)
    with pytest.raises(ValueError, match="marks 0 vertices but the fMRI of that side has 30 columns"):
        BrainDataset(tmp_path)
    np.save(path, mask[:100])
    with pytest.raises(ValueError, match=r"shape \(100,\); a vertex mask has"):
        BrainDataset(tmp_path)
    np.save(path, mask)
    path = tmp_path / "roi_masks/rh.streams_challenge_space.npy"
    np.save(path, np.full(25, 9))
    with pytest.raises(ValueError, match=r"holds labels \[9\]; streams has 1 to 7"):
        BrainDataset(tmp_path)


def test_the_split_has_the_published_proportions_and_a_seed(tmp_path):
    write_algonauts_folder(tmp_path, n_images=120, size=4)
    sizes = {name: len(rows) for name, rows in BrainDataset(tmp_path).splits.items()}
    assert sizes == {"train": 99, "val": 11, "test": 10}  # 841 / 9841 of 120, and a tenth of the rest
    first, again, other = (BrainDataset(tmp_path, seed=seed).splits["test"] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_truncated_response_file_is_named(tmp_path):
    write_algonauts_folder(tmp_path)
    path = tmp_path / "training_split/training_fmri/rh_training_fmri.npy"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"cannot read .*rh_training_fmri\.npy"):
        BrainDataset(tmp_path)


def test_whole_numbers_are_no_responses(tmp_path):
    write_algonauts_folder(tmp_path)
    path = tmp_path / "training_split/training_fmri/lh_training_fmri.npy"
    np.save(path, np.load(path).astype(np.int16))
    with pytest.raises(ValueError, match=r"lh_training_fmri\.npy holds int16"):
        BrainDataset(tmp_path)


def _challenge(root, made, n=2, seed=1):
    """Responses to the test photographs and their ceilings, as the script of the challenge writes them."""
    generator = np.random.default_rng(seed)
    values, shares = generator.standard_normal((n, 55)).astype(np.float32), generator.random(55)
    for name, array in (("test_fmri", values), ("noise_ceiling", shares)):
        folder = root / "test_split" / name
        folder.mkdir()
        for side, columns in (("lh", slice(30)), ("rh", slice(30, None))):
            np.save(folder / f"{side}_{name}.npy", array[..., columns])
    return values, shares


def test_withheld_responses_are_a_split_that_is_only_predicted(tmp_path):
    made = write_algonauts_folder(tmp_path)
    without = BrainDataset(tmp_path)
    values, shares = _challenge(tmp_path, made)
    data = BrainDataset(tmp_path)
    assert len(data) == 14
    assert np.allclose(data.responses[:12], made.responses)
    assert np.allclose(data.responses[data.splits["challenge"]], values)
    assert all(torch.equal(data.splits[name], rows) for name, rows in without.splits.items())
    assert data.image_ids[12].startswith("test-0001_nsd-")
    assert data.load_image(13).getpixel((0, 0))[0] == 1
    assert np.allclose(data.ceiling_of("challenge"), np.sqrt(shares), atol=1e-6)
    assert data.noise_ceiling is None


def test_withheld_responses_of_other_sizes_are_refused(tmp_path):
    made = write_algonauts_folder(tmp_path)
    _challenge(tmp_path, made, n=3)
    with pytest.raises(ValueError, match="responses to 3 images in 30 and 25 columns; expected 2 images"):
        BrainDataset(tmp_path)


def test_names_of_labels_come_from_the_published_tables_which_are_read_as_data(tmp_path):
    made = write_algonauts_folder(tmp_path)
    path = tmp_path / "roi_masks/mapping_streams.npy"
    names = {n: ("Unknown", "one", "two", "three", "four", "five", "six", "seven")[n] for n in range(8)}
    np.save(path, names, allow_pickle=True)
    rois = BrainDataset(tmp_path).space.rois
    assert np.array_equal(rois["two"], made.labels["streams"] == 2)
    assert "ventral" not in rois
    np.save(path, np.array([Calls(open, str(tmp_path / "called"), "w")], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"mapping_streams\.npy.*it names .*open"):
        BrainDataset(tmp_path)
    np.save(path, [1, 2])
    with pytest.raises(ValueError, match="expected label -> name"):
        BrainDataset(tmp_path)
    assert not (tmp_path / "called").exists()
