"""THINGS-fMRI read from folders in its layout: planted responses, test images, regions, ceilings, places."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brainnet.config import load_config
from brainnet.dataset.base import DATASETS
from brainnet.dataset.readers.things_fmri import ThingsFMRI
from brainnet.encode import encode
from brainnet.plmodel import build_dataset
from brainnet.store import TokenStore
from brainnet.tokens import Preprocessing
from tests.dataset.readers.things_folder import AFFINE, GRID, write_frame, write_things


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return write_things(tmp_path_factory.mktemp("things"))


def by_hand(made, groups):
    """Picture -> the mean of its trials, z-scored within each of the groups."""
    z = np.empty(made.responses.shape)
    for group in np.unique(groups):
        rows = groups == group
        z[rows] = (made.responses[rows] - made.responses[rows].mean(0)) / made.responses[rows].std(0)
    return {name: z[[one == name for one in made.stimuli]].mean(0) for name in dict.fromkeys(made.stimuli)}


def read(made, **options):
    return ThingsFMRI(made.root, **{"region": "", "progress": False, **options})


def test_responses_are_the_means_of_standardized_trials(planted):
    data = read(planted)
    expected = by_hand(planted, planted.sessions)
    assert data.image_ids == [name.removesuffix(".jpg") for name in expected]
    np.testing.assert_allclose(data.responses, np.stack(list(expected.values())), atol=1e-5)
    plain = read(planted, standardize=False)
    first = [name == planted.stimuli[0] for name in planted.stimuli]
    np.testing.assert_allclose(plain.responses[0], planted.responses[first].mean(0), rtol=1e-5)
    runs = read(planted, within="run")
    expected = by_hand(planted, 10 * planted.sessions + planted.runs)
    np.testing.assert_allclose(runs.responses, np.stack(list(expected.values())), atol=1e-4)


def test_test_images_are_those_of_every_session(planted):
    data = read(planted, val=4)
    assert {data.image_ids[i] for i in data.splits["test"]} == {f"lamp_post_{n:02d}s" for n in range(3)}
    assert [len(rows) for rows in data.splits.values()] == [14, 4, 3]
    assert data.n_repeats == 3
    assert data.trials.counts[data.splits["test"]].unique().tolist() == [3]


def test_groups_are_the_sessions_of_the_training_images(planted):
    data = read(planted)
    session = dict(zip(planted.stimuli, planted.sessions.tolist(), strict=True))
    for row in data.splits["train"].tolist():
        assert data.groups[row] == str(session[f"{data.image_ids[row]}.jpg"])
    assert len(set(read(planted, within="run").groups[data.splits["train"]])) == 6


def test_ceilings_are_roots_of_the_published_percent(planted):
    data = read(planted)
    np.testing.assert_allclose(data.noise_ceiling, np.sqrt(planted.percent / 100), atol=1e-6)
    assert "nc_testset" in data.noise_ceiling_definition
    assert "K = 3" in data.noise_ceiling_definition


def test_voxels_stand_in_their_volume_with_their_regions(planted):
    data = read(planted)
    assert data.space.mask.shape == GRID
    np.testing.assert_allclose(data.space.affine, AFFINE)
    np.testing.assert_allclose(data.space.coords, planted.places @ AFFINE[:3, :3].T + AFFINE[:3, 3], atol=1e-5)
    names = ["V1", "V2", "LO1 (prf)", "FFA", "lFFA", "rFFA", "IT", "glasser-V1", "glasser-p9-46v"]
    assert list(data.space.rois) == names
    both = planted.rois["lFFA"] | planted.rois["rFFA"]
    assert np.array_equal(data.space.rois["FFA"], both)
    assert np.array_equal(data.space.rois["glasser-p9-46v"], planted.rois["glasser-p9-\n46v"])


def test_a_region_is_chosen_before_anything_is_read(planted):
    whole = read(planted)
    part = read(planted, region="V2+FFA")
    inside = torch.from_numpy(planted.rois["V2"] | planted.rois["lFFA"] | planted.rois["rFFA"])
    assert torch.equal(part.responses, whole.responses[:, inside])
    assert torch.equal(part.noise_ceiling, whole.noise_ceiling[inside])
    assert torch.equal(part.space.coords, whole.space.coords[inside])
    assert "V1" not in part.space.rois
    visual = read(planted, region="visual")
    named = np.any([mask for name, mask in planted.rois.items() if not name.startswith("glasser")], 0)
    assert torch.equal(visual.responses, whole.responses[:, torch.from_numpy(named)])
    with pytest.raises(ValueError, match="Unknown region 'hV4'"):
        read(planted, region="V1+hV4")


def test_an_image_is_the_file_its_id_says(planted):
    data = read(planted)
    order = list(dict.fromkeys(planted.stimuli))
    for row in (0, 5):
        assert data.load_image(row).getpixel((0, 0)) == (order.index(f"{data.image_ids[row]}.jpg"), 100, 200)


def test_three_subjects_share_their_pictures(tmp_path):
    one, two = (read(write_things(tmp_path, subject, seed=subject), subject=subject) for subject in (1, 2))
    assert one.image_ids == two.image_ids
    assert one.signature() == two.signature()
    assert not torch.equal(one.responses, two.responses)


@pytest.mark.parametrize("wrapped", [False, True])
def test_volumes_hold_the_same_without_catch_trials(planted, tmp_path, wrapped):
    made = write_things(tmp_path, kind="vol")
    if wrapped:  # as the archive unpacks
        (tmp_path / "betas_vol").rename(tmp_path / "scalematched")
        (tmp_path / "betas_vol").mkdir()
        (tmp_path / "scalematched").rename(tmp_path / "betas_vol/scalematched")
    volumes, tables = read(made, betas="vol"), read(planted)
    assert volumes.image_ids == tables.image_ids
    torch.testing.assert_close(volumes.responses, tables.responses)
    assert torch.equal(volumes.space.mask, tables.space.mask)
    assert all(torch.equal(volumes.splits[name], rows) for name, rows in tables.splits.items())
    assert list(volumes.space.rois) == ["V1", "V2", "FFA", "lFFA", "rFFA"]
    assert torch.equal(volumes.space.rois["FFA"], tables.space.rois["FFA"])
    counts = 3.0
    q = volumes.trials.ncsnr
    torch.testing.assert_close(volumes.noise_ceiling.double(), (q**2 / (q**2 + 1 / counts)).sqrt(), rtol=1e-5, atol=0)


def test_frames_whose_columns_are_texts_are_read_as_well(planted, tmp_path):
    made = write_things(tmp_path)
    path = tmp_path / "betas_csv/sub-01_ResponseData.h5"
    path.unlink()
    write_frame(path, np.arange(len(made.places)), made.responses.T, pickled=False)
    assert torch.equal(read(made).responses, read(planted).responses)


@pytest.mark.filterwarnings("ignore::pandas.errors.PerformanceWarning")
def test_a_frame_written_by_pandas(planted, tmp_path):
    pytest.importorskip("tables", reason="pandas writes HDF5 with it")
    import pandas

    made = write_things(tmp_path)
    path = tmp_path / "betas_csv/sub-01_ResponseData.h5"
    path.unlink()
    frame = pandas.DataFrame(made.responses.T.astype(np.float64))
    frame.insert(0, "voxel_id", np.arange(len(made.places)))
    frame.to_hdf(path, key="anything")
    torch.testing.assert_close(read(made).responses, read(planted).responses)


@pytest.mark.filterwarnings("ignore:no .*brainmask")
def test_without_a_brain_mask_voxels_have_no_place(tmp_path):
    made = write_things(tmp_path)
    (tmp_path / "brainmasks/sub-01_space-T1w_brainmask.nii.gz").unlink()
    assert read(made).space.coords is None
    assert "V1" in read(made).space.rois


def test_it_is_built_from_a_config_by_name(planted):
    words = ["DATASET.DATA_DIR", str(planted.root), "DATASET.OPTIONS", "{'region': 'V1', 'val': 0.2}"]
    data = build_dataset(load_config("things_fmri", words))
    assert type(data) is DATASETS["things_fmri"] is ThingsFMRI
    assert data.n_voxels == 3
    assert len(data.splits["val"]) == round(0.2 * 18)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"subject": 4}, "1, 2, 3"), ({"betas": "cvs"}, "Did you mean 'csv'"), ({"within": "day"}, "session"),
     ({"region": "V11"}, "V1")],
)  # fmt: skip
def test_wrong_options_are_one_line(planted, options, words):
    with pytest.raises(ValueError, match=words) as refused:
        read(planted, **options)
    assert "\n" not in str(refused.value)


def test_more_than_fits_into_memory_is_refused_before_it_is_read(planted, monkeypatch):
    monkeypatch.setattr("brainnet.dataset.readers._checked.free_bytes", lambda device: 1000)
    monkeypatch.setattr("brainnet.dataset.readers._things.Responses.read", None)
    with pytest.raises(MemoryError, match="21 images of 24 voxels"):
        read(planted)


class TwoLayers:
    """Contrasts at two scales, of which the second is no linear map of the first."""

    preprocessing = Preprocessing(size=(16, 16))

    def get_tokens(self, images):
        generator = torch.Generator().manual_seed(0)
        early = torch.nn.functional.conv2d(images, torch.randn(4, 3, 8, 8, generator=generator) / 8, stride=8)
        fine = torch.nn.functional.conv2d(images, torch.randn(8, 3, 4, 4, generator=generator) / 4, stride=4).square()
        late = torch.nn.functional.avg_pool2d(fine, 4)
        return {"early": early, "late": late}, {"early": early.mean((2, 3)), "late": late.mean((2, 3))}


def test_a_planted_layer_map_is_found_again(tmp_path):
    options = {"n_sessions": 4, "n_train": 40, "n_test": 10, "noise": 0.3}
    made = write_things(tmp_path / "things", **options)
    store = TokenStore.build(TwoLayers(), read(made), progress=False)
    generator = torch.Generator().manual_seed(1)
    drive = {}
    for layer in ("early", "late"):
        features = store.features(layer).flatten(1)
        features = (features - features.mean(0)) / features.std(0)
        weights = torch.randn(features.shape[1], len(made.places), generator=generator)
        drive[layer] = (features @ weights / features.shape[1] ** 0.5).numpy()
    is_late = np.arange(len(made.places)) % 3 == 0
    names = list(dict.fromkeys(made.stimuli))
    signal = {name: np.where(is_late, drive["late"][i], drive["early"][i]) for i, name in enumerate(names)}
    made = write_things(tmp_path / "things", signal=signal, **options)
    data = read(made)
    found = encode(store, data, groups=data.groups, n_resamples=10, progress=False)
    best, layers = found.best_layers("model", "subject")
    assert np.array_equal(np.array(layers)[best.numpy()] == "late", is_late)
    assert found.layer_scores("model", "subject")["early"][torch.from_numpy(~is_late)].mean() > 0.7
