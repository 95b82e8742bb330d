"""THINGS-EEG on folders in its published layouts: responses, sensors, times, splits, ceilings, wrong files."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
import torch

from brainnet.config import load_config
from brainnet.dataset import DATASETS
from brainnet.dataset.readers.things_eeg import ThingsEEG
from brainnet.encode import encode
from brainnet.plmodel import build_dataset
from brainnet.rsa import RDMs, rdm
from brainnet.run.rsa.rsa import compare_over_time
from brainnet.scores import ceiling_from_ncsnr, ncsnr
from brainnet.store import TokenStore
from brainnet.tokens import Preprocessing
from tests.dataset.readers.things_eeg_folder import SENSORS, TIMES, write_things_eeg2


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return write_things_eeg2(tmp_path_factory.mktemp("things") / "eeg")


@pytest.fixture
def copied(tmp_path):
    return write_things_eeg2(tmp_path / "eeg")


def columns(trials):
    """(n_images, n_columns) means over repeats."""
    return trials.mean(1).reshape(len(trials), -1)


def test_responses_are_the_means_of_each_images_presentations(planted):
    data = ThingsEEG(planted.root)
    expected = np.concatenate([columns(planted.trials[part]) for part in ("training", "test")])
    np.testing.assert_allclose(data.responses, expected, atol=1e-6)
    assert data.image_ids == [name[:-4] for part in ("training", "test") for name in planted.files[part]]
    assert data.space.sensor_names == SENSORS
    np.testing.assert_allclose(data.space.time_points, TIMES)
    courses = data.space.to_sensors(data.responses)
    np.testing.assert_allclose(courses[3, 2, 5], planted.trials["training"][3, :, 2, 5].mean(), rtol=1e-5)
    assert set(data.space.rois) == {"P", "O"}


def test_the_ceiling_is_of_the_mean_over_the_presentations_of_test_images(planted):
    data = ThingsEEG(planted.root)
    trials = planted.trials["test"]
    expected = ceiling_from_ncsnr(ncsnr(trials.reshape(*trials.shape[:2], -1)), trials.shape[1]).r
    np.testing.assert_allclose(data.noise_ceiling, expected, atol=1e-4)
    assert data.n_repeats == 6
    assert "K = 6" in data.noise_ceiling_definition


def test_validation_images_are_of_objects_that_are_not_trained_on(planted):
    data = ThingsEEG(planted.root, val=0.25)
    of = {split: set(data.groups[rows]) for split, rows in data.splits.items()}
    assert len(of["val"]) == 2
    assert not of["val"] & of["train"]
    assert of["test"] == {f"lamp_post{n}" for n in range(5)}
    assert len(data.splits["val"]) == 4


def test_an_image_is_the_file_of_its_row(planted):
    from PIL import Image

    data = ThingsEEG(planted.root)
    row = data.image_ids.index("dog3_02b")
    with Image.open(planted.root / "image_set/training_images/00004_dog3/dog3_02b.jpg") as picture:
        assert np.array_equal(data.load_image(row), picture.convert("RGB"))


def test_sensors_and_times_can_be_chosen_and_neighbors_averaged(planted):
    data = ThingsEEG(planted.root, sensors=["Oz", "P3"], window=(0.0, 0.05), average=2)
    assert data.space.sensor_names == ("Oz", "P3")
    np.testing.assert_allclose(data.space.time_points, [0.005, 0.025, 0.045])
    mean = planted.trials["test"].mean(1)[:, [2, 1], 2:8].reshape(5, 2, 3, 2).mean(-1)
    np.testing.assert_allclose(data.responses[data.splits["test"]], mean.reshape(5, 6), atol=1e-6)
    np.testing.assert_allclose(data.test_trials().mean(1), mean, atol=1e-6)


def test_what_was_dumped_as_a_pickle_is_the_same(planted, tmp_path):
    other = write_things_eeg2(tmp_path / "eeg", pickled=True)
    assert torch.equal(ThingsEEG(other.root).responses, ThingsEEG(planted.root).responses)
    (other.root / "Preprocessed_data_250Hz").mkdir()
    (other.root / "sub-01").rename(other.root / "Preprocessed_data_250Hz/sub-01")
    assert torch.equal(ThingsEEG(other.root).responses, ThingsEEG(planted.root).responses)


class Malicious:
    def __reduce__(self):
        return os.system, ("touch stolen",)


def change(path, **entries):
    """Rewrites a dict with other entries; None takes one away."""
    content = np.load(path, allow_pickle=True).item() | entries
    np.save(path, {key: value for key, value in content.items() if value is not None})


def spoil_file(kind, path):
    if kind == "missing":
        path.unlink()
    elif kind == "truncated":
        path.write_bytes(path.read_bytes()[:-200])
    elif kind == "emptied":
        path.write_bytes(b"")
    elif kind == "malicious":
        path.write_bytes(pickle.dumps({"preprocessed_eeg_data": Malicious()}))
    elif kind == "a list":
        np.save(path, np.array([[1], [2, 3]], dtype=object))


@pytest.mark.parametrize("kind", ["missing", "truncated", "emptied", "malicious", "a list"])
@pytest.mark.parametrize(
    "name", ["sub-01/preprocessed_eeg_training.npy", "sub-01/preprocessed_eeg_test.npy", "image_set/image_metadata.npy"]
)
def test_a_wrong_file_is_one_line_that_names_it(copied, kind, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spoil_file(kind, copied.root / name)
    with pytest.raises((ValueError, FileNotFoundError)) as refused:
        ThingsEEG(copied.root)
    assert name in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "stolen").exists()


@pytest.mark.parametrize(
    ("name", "entries", "words"),
    [
        ("sub-01/preprocessed_eeg_training.npy", {"preprocessed_eeg_data": None}, "'preprocessed_eeg_data'.*ch_names"),
        ("sub-01/preprocessed_eeg_training.npy", {"ch_names": ["Pz"]}, r"\(16, 4, 4, 8\).*\(16, any, 1, 8\)"),
        ("sub-01/preprocessed_eeg_test.npy", {"preprocessed_eeg_data": np.zeros((4, 6, 4, 8))}, r"\(5, any, 4, 8\)"),
        ("sub-01/preprocessed_eeg_test.npy", {"preprocessed_eeg_data": np.zeros((5, 6, 4, 8), int)}, "int64.*real"),
        ("sub-01/preprocessed_eeg_test.npy", {"preprocessed_eeg_data": np.full((5, 6, 4, 8), np.nan)}, "960 values"),
        ("sub-01/preprocessed_eeg_test.npy", {"times": TIMES + 0.1}, "other sensors or times"),
        ("sub-01/preprocessed_eeg_test.npy", {"ch_names": ["Pz", "P3", "Oz", "O2"]}, "other sensors or times"),
        ("image_set/image_metadata.npy", {"test_img_files": None}, "'test_img_files'"),
        ("image_set/image_metadata.npy", {"train_img_files": ["dog1_01b.jpg"]}, "1 training pictures of 16 concepts"),
    ],
)
def test_a_wrong_entry_is_one_line(copied, name, entries, words):
    change(copied.root / name, **entries)
    with pytest.raises(ValueError, match=words) as refused:
        ThingsEEG(copied.root)
    assert name in str(refused.value)


def test_a_picture_that_is_missing_or_listed_twice_is_named(copied):
    path = copied.root / "image_set/training_images/00003_dog2/dog2_01b.jpg"
    path.rename(path.with_suffix(".gone"))
    with pytest.raises(FileNotFoundError, match=r"dog2_01b\.jpg"):
        ThingsEEG(copied.root)
    names = [*copied.files["training"][:4], *["dog0_01b.jpg"] * 12]
    concepts = [*["00001_dog0"] * 2, *["00002_dog1"] * 2, *["00001_dog0"] * 12]
    change(copied.root / "image_set/image_metadata.npy", train_img_files=names, train_img_concepts=concepts)
    with pytest.raises(ValueError, match="'dog0_01b'"):
        ThingsEEG(copied.root)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"subject": 11}, "1, 2, 3"), ({"version": 3}, "1, 2"), ({"sensors": ["Qz"]}, "'Qz'.*Pz"),
     ({"window": (1.0, 2.0)}, "0 of 8 samples"), ({"average": 9}, "got 9"), ({"average": 0.5}, "got 0.5")],
)  # fmt: skip
def test_wrong_options_are_one_line(planted, options, words):
    with pytest.raises(ValueError, match=words):
        ThingsEEG(planted.root, **options)


def test_it_is_built_from_its_config(planted):
    words = ["DATASET.DATA_DIR", str(planted.root), "DATASET.OPTIONS", "{'sensors': ['Oz'], 'val': 0.25}"]
    data = build_dataset(load_config("things_eeg", words))
    assert type(data) is DATASETS["things_eeg"] is ThingsEEG
    assert data.n_voxels == 8


class TwoLayers:
    """A coarse layer, and a fine one that is no linear map of it."""

    preprocessing = Preprocessing(size=(16, 16))

    def get_tokens(self, images):
        generator = torch.Generator().manual_seed(0)
        early = torch.nn.functional.conv2d(images, torch.randn(4, 3, 8, 8, generator=generator) / 8, stride=8)
        fine = torch.nn.functional.conv2d(images, torch.randn(8, 3, 4, 4, generator=generator) / 4, stride=4).square()
        late = torch.nn.functional.avg_pool2d(fine, 4)
        return {"early": early, "late": late}, {"early": early.mean((2, 3)), "late": late.mean((2, 3))}


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A person whose sensors follow one layer until 0.02 s and the other one from then on; and the tokens."""
    folder = tmp_path_factory.mktemp("course")
    options = {"n_concepts": 60, "n_images": 2, "n_test": 20, "noise": 0.3, "repeats": (1, 4)}
    made = write_things_eeg2(folder / "eeg", **options)
    store = TokenStore.build(TwoLayers(), ThingsEEG(made.root), progress=False)
    generator = torch.Generator().manual_seed(1)
    drive = {}
    for layer in ("early", "late"):
        features = store.features(layer).flatten(1)
        features = (features - features.mean(0)) / features.std(0)
        weights = torch.randn(features.shape[1], len(SENSORS), generator=generator)
        drive[layer] = (features @ weights / features.shape[1] ** 0.5).numpy()
    names = [name for part in made.files.values() for name in part]
    signal = {
        name: np.where(TIMES < 0.02, drive["early"][i][:, None], drive["late"][i][:, None])
        for i, name in enumerate(names)
    }
    made = write_things_eeg2(folder / "eeg", signal=signal, **options)
    return ThingsEEG(made.root), store


def test_a_planted_map_of_layers_over_time_is_found_again(course):
    data, store = course
    found = encode(store, data, groups=data.groups, n_resamples=5, progress=False)
    best, layers = found.best_layers("model", "subject")
    is_late = data.space.to_sensors(torch.tensor([layers[i] == "late" for i in best]), fill=0).bool()
    agrees = is_late == torch.from_numpy(TIMES >= 0.02)
    assert agrees.float().mean() >= 0.9  # 20 test images: a sensor may be unsure


def test_geometry_by_crossnobis_is_of_the_presentations_read_again(course):
    data, _ = course
    found = data.rdms_over_time("crossnobis")
    trials = torch.from_numpy(data.test_trials())  # (n_images, n_repeats, n_sensors, n_times)
    n = min(5, trials.shape[1])
    parts = torch.stack([trials[:, k::n].mean(1) for k in range(n)])  # (n, n_images, n_sensors, n_times)
    expected = torch.zeros(len(trials), len(trials), trials.shape[3])
    for a in range(n):
        for b in range(n):
            if a != b:
                one, other = (x[:, None] - x[None] for x in (parts[a], parts[b]))
                expected += (one * other).mean(2) / (n * (n - 1))
    got = found.to_square().movedim(0, 2)
    scale = (got.flatten() @ expected.flatten()) / expected.square().sum()  # whatever the convention of the mean
    torch.testing.assert_close(got, scale * expected, rtol=1e-3, atol=1e-4)
    with pytest.raises(ValueError, match="test images"):
        data.rdms_over_time("crossnobis", rows="train")


def test_geometry_over_time_follows_the_planted_layers(course, tmp_path):
    data, store = course
    data.rdms_over_time().save(tmp_path / "sub-01.npz")
    rows = data.splits["test"]
    models = [rdm(store.features(name, index=rows).flatten(1), names=[name],
                  conditions=[data.image_ids[row] for row in rows]) for name in ("early", "late")]  # fmt: skip
    RDMs.stack(models).save(tmp_path / "net.npz")
    found = compare_over_time([tmp_path / "sub-01.npz"], tmp_path / "out", models=[tmp_path / "net.npz"],
                              generalise="conditions", progress=False)  # fmt: skip
    scores = found["scores"].pivot(index="time", columns="layer", values="score")
    assert scores.index.tolist() == pytest.approx(TIMES)
    assert (scores["early"] > scores["late"]).tolist() == (TIMES < 0.02).tolist()
    assert (tmp_path / "out/time.png").is_file()
