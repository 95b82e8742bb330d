"""LAION-fMRI read from folders in its layout: planted betas, splits of three kinds, regions, encoded photographs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brainnet.dataset.readers.laion_fmri import LaionFMRI
from tests.dataset.readers.laion_folder import AFFINE, GRID, write_laion


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return write_laion(tmp_path_factory.mktemp("laion"))


def read(made, **options):
    return LaionFMRI(made.root, **{"region": "", "progress": False, **options})


def names_of(data, split):
    return {data.image_ids[row] for row in data.splits[split].tolist()}


@pytest.mark.parametrize("standardize", [True, False])
def test_responses_are_the_means_of_standardized_trials(planted, standardize):
    data = read(planted, standardize=standardize)
    values = planted.values.copy()
    for session in (1, 2) if standardize else ():
        rows = planted.sessions == session
        values[rows] = (values[rows] - values[rows].mean(0)) / values[rows].std(0)
    expected = {n: values[[one == n for one in planted.labels]].mean(0) for n in dict.fromkeys(planted.labels)}
    assert data.image_ids == [name.rsplit(".", 1)[0] for name in expected]
    np.testing.assert_allclose(data.responses, np.stack(list(expected.values())), atol=1e-5)
    assert data.trials.counts[:, 0].unique().tolist() == [2, 4]


def test_repeated_photographs_are_held_out_and_far_ones_are_a_split_of_their_own(planted):
    data = read(planted, val=2)
    assert names_of(data, "test") == {f"shared_12rep_LAION_cluster_{n}_i0" for n in range(4)}
    assert names_of(data, "ood") == {f"shared_4rep_OOD_sketch_{n}" for n in range(3)}
    assert [len(rows) for rows in data.splits.values()] == [12, 2, 4, 3]
    assert data.further_ceilings["ood"].shape == (12,)
    q = data.trials.ncsnr
    for ceiling in (data.noise_ceiling, data.further_ceilings["ood"]):
        torch.testing.assert_close(ceiling.double(), (q**2 / (q**2 + 1 / 4)).sqrt(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "train", "test", "ood"),
    [
        ({"split": "tau"}, 5, {"shared_4rep_NSD_1", "shared_4rep_NSD_2", "shared_4rep_NSD_3"}, 3),
        ({"split": "ood"}, 8, {f"shared_4rep_OOD_sketch_{n}" for n in range(3)}, 0),
        ({"split": "cluster_k5"}, 6, {"shared_12rep_LAION_cluster_0_i0", "shared_12rep_LAION_cluster_1_i0"}, 3),
        ({"split": "cluster_k5", "fold": 3}, 6, {"shared_4rep_NSD_2", "shared_4rep_NSD_3"}, 3),
        ({"split": "tau", "pool": "subject"}, 16, {"unique_LAION_cluster_00_i0", "unique_LAION_cluster_01_i0"}, 3),
    ],
)
def test_published_splits_hold_the_photographs_they_name(planted, options, train, test, ood):
    data = read(planted, val=2, **options)
    assert len(data.splits["train"]) == train - 2
    assert len(data.splits["val"]) == 2
    assert names_of(data, "test") == test
    assert len(data.splits.get("ood", ())) == ood


@pytest.mark.parametrize("older", [True, False])
def test_voxels_stand_in_their_volume_with_their_regions(tmp_path, older):
    made = write_laion(tmp_path, older=older)
    whole, some = read(made), read(made, region="rois")
    assert whole.space.mask.shape == GRID
    np.testing.assert_allclose(whole.space.affine, AFFINE)
    for name, mask in made.rois.items():
        np.testing.assert_array_equal(whole.space.rois[name], mask)
    inside = torch.from_numpy(made.rois["V1"] | made.rois["FFA"])
    torch.testing.assert_close(some.responses, whole.responses[:, inside])
    assert torch.equal(some.space.coords, whole.space.coords[inside])
    assert read(made, region="FFA").n_voxels == 2


def test_photographs_are_decoded_from_their_bytes(planted):
    data = read(planted)
    for name, row in (("shared_4rep_NSD_1", 5), ("shared_4rep_OOD_sketch_0", 8)):
        image = data.load_image(data.image_ids.index(name))
        assert image.mode == "RGB"
        assert image.size == (10, 8)
        assert image.getpixel((0, 0)) == (5 * row, 100, 200)


def test_sessions_are_chosen_and_grouped(planted):
    data = read(planted, sessions=1)
    assert data.trials.n_trials == 32
    assert set(read(planted).groups) == {1, 2}
    with pytest.raises(ValueError, match="sessions is 1 to 2"):
        read(planted, sessions=3)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [({"subject": 2}, ValueError, "1, 3, 5, 6, 7"), ({"split": "cluster"}, ValueError, "cluster_k5"),
     ({"fold": 5}, ValueError, "0 to 4"), ({"region": "PPA"}, ValueError, "Known: rois, FFA, V1"),
     ({"split": "random", "fold": 1}, FileNotFoundError, "random_1.json"),
     ({"subject": 3}, FileNotFoundError, "ses-01")],
)  # fmt: skip
def test_wrong_options_are_one_line(planted, options, error, words):
    with pytest.raises(error, match=words) as refused:
        read(planted, **options)
    assert "\n" not in str(refused.value)
