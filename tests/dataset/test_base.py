"""What every dataset promises, checked on the smallest subclass."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from brainnet import _checks
from brainnet.dataset import conditions
from brainnet.dataset.base import ResponseDataset, random_splits
from brainnet.rsa import rdm
from brainnet.space import BrainSpace, sensor_space
from brainnet.tokens import Preprocessing


class Grey(ResponseDataset):
    """Image ``i`` is a flat grey of level ``i``."""

    def __init__(self, responses, **kwargs):
        n_images, n_voxels = responses.shape
        defaults = {
            "image_ids": [f"grey{i}" for i in range(n_images)],
            "space": BrainSpace.free(n_voxels),
            "splits": {"train": range(n_images)},
        }
        super().__init__(responses=responses, **(defaults | kwargs))

    def load_image(self, index):
        return Image.new("RGB", (10, 6), (index, index, index))


def responses(n_images=12, n_voxels=5, seed=0):
    return torch.randn(n_images, n_voxels, generator=torch.Generator().manual_seed(seed))


def test_item_is_the_preprocessed_image_and_its_response():
    data = Grey(responses(), preprocessing=Preprocessing(size=(4, 8), mean=(0, 0, 0), std=(1, 1, 1)))
    image, response = data[3]
    assert image.shape == (3, 4, 8)
    assert torch.allclose(image, torch.tensor(3 / 255))
    assert torch.equal(response, data.responses[3])
    assert torch.equal(data[-1][1], data.responses[11])


def test_preprocessing_given_at_the_call_wins_over_the_datasets():
    data = Grey(responses(), preprocessing=Preprocessing(size=(4, 8)))
    assert data.image(0, Preprocessing(size=(2, 2))).shape == (3, 2, 2)
    assert Grey(responses()).image(0).shape == (3, 224, 224)


def test_iteration_ends():
    assert len(list(Grey(responses(), preprocessing=Preprocessing(size=(2, 2))))) == 12


def test_split_is_the_documented_permutation():
    """The rows behind the published V4 numbers: RandomState(0), first 80 % train of which the last 10 % is val."""
    order = np.random.RandomState(0).permutation(1200)
    splits = random_splits(1200)
    assert splits["train"].tolist() == order[:864].tolist()
    assert splits["val"].tolist() == order[864:960].tolist()
    assert splits["test"].tolist() == order[960:].tolist()


def test_train_and_val_are_the_training_rows_of_the_split_without_validation():
    with_val, without = random_splits(100, val=7), random_splits(100, val=0)
    assert torch.equal(torch.cat([with_val["train"], with_val["val"]]), without["train"])
    assert torch.equal(with_val["test"], without["test"])
    assert len(with_val["val"]) == 7


def test_splits_leave_the_global_generators_alone():
    state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    random_splits(50, seed=3)
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002
    assert torch.equal(torch_state, torch.get_rng_state())


def test_the_published_split_of_subject_1_is_9000_and_841():
    splits = random_splits(9841, test=841 / 9841)
    assert (len(splits["train"]) + len(splits["val"]), len(splits["test"])) == (9000, 841)


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"train": [0, 1], "test": [1, 2]}, "1 images are in more than one split .* 1 in train and test"),
        ({"train": [0, 12]}, "names image 12; there are 12, counted from 0"),
        ({"train": [0], "test": [-1]}, "names image -1"),
        ({"train": []}, "'train' is empty"),
        ({"train": [0], "valid": [1]}, "'valid' looks like 'val'"),
        ({"train": [0], "tets": [1]}, "'tets' looks like 'test'"),
        ({"train": [0], "Test": [1]}, "'Test' looks like 'test'"),
        ({"train": [0], "": [1]}, "named by texts"),
        ({"train": [0, 1], "sketches": [1]}, "1 in train and sketches"),
        ({"train": torch.ones(12).bool()}, "must be image indices, got a mask"),
    ],
)
def test_bad_splits_are_refused(splits, message):
    with pytest.raises(ValueError, match=message):
        Grey(responses(), splits=splits)


def test_further_splits_keep_their_names_and_come_last():
    data = Grey(responses(), splits={"sketches": [7, 8, 9], "train": [0, 1, 2, 3], "test_2": [10]})
    assert {name: rows.tolist() for name, rows in data.splits.items()} == {
        "train": [0, 1, 2, 3], "val": [], "test": [], "sketches": [7, 8, 9], "test_2": [10],
    }  # fmt: skip
    shuffled = data.shuffled(1).responses  # a control permutes within each split, these too
    assert torch.equal(shuffled[7:10].sort(0).values, data.responses[7:10].sort(0).values)
    assert "sketches 3" in repr(data)


@pytest.mark.parametrize(("sizes", "message"), [({"test": 1.5}, "share in"), ({"test": 8, "val": 4}, "leave none")])
def test_impossible_sizes_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        random_splits(12, **sizes)


def test_counts_that_disagree_are_refused():
    with pytest.raises(ValueError, match="11 images but responses to 12"):
        Grey(responses(), image_ids=[str(i) for i in range(11)], splits={"train": [0]})
    with pytest.raises(ValueError, match="'b' occurs more than once"):
        Grey(responses(3), image_ids=["a", "b", "b"])
    with pytest.raises(ValueError, match="5 columns but the space has 4"):
        Grey(responses(), space=BrainSpace.free(4))
    with pytest.raises(ValueError, match=r"got 12\.3 to 64"):
        Grey(responses(), noise_ceiling=torch.tensor([12.3, 64, 20, 30, 50]))


def test_nan_and_constant_voxels_are_counted_said_once_and_kept(monkeypatch):
    monkeypatch.setattr(_checks, "_already_warned", set())
    broken = responses()
    broken[4, 1] = torch.nan
    broken[2, 3] = torch.inf
    broken[:, 4] = 7.0
    with pytest.warns(UserWarning, match="of 5 voxels 2 hold NaN or infinity, 1 are constant"):
        data = Grey(broken.clone())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Grey(broken)
    assert data.usable.tolist() == [True, False, True, False, False]
    assert torch.isnan(data.responses[4, 1])
    assert torch.equal(data.responses[:, 4], broken[:, 4])


@pytest.mark.parametrize("per_voxel", [True, False])
def test_shuffling_permutes_within_splits_and_spares_the_original(per_voxel):
    data = Grey(responses(40, 6), splits={"train": range(20), "val": range(20, 25), "test": range(25, 35)})
    before = data.responses.clone()
    control = data.shuffled(seed=1, per_voxel=per_voxel)
    assert torch.equal(data.responses, before)
    for rows in (*data.splits.values(), torch.arange(35, 40)):
        assert torch.equal(control.responses[rows].sort(0).values, before[rows].sort(0).values)
    moved = [before[:20, v].tolist() != control.responses[:20, v].tolist() for v in range(6)]
    assert all(moved)
    # one permutation for all keeps whole rows, and with them the correlation between voxels
    whole_rows = {tuple(row) for row in before.tolist()} == {tuple(row) for row in control.responses.tolist()}
    assert whole_rows is not per_voxel
    assert torch.equal(control.responses, data.shuffled(seed=1, per_voxel=per_voxel).responses)
    assert not torch.equal(control.responses, data.shuffled(seed=2, per_voxel=per_voxel).responses)
    assert control.noise_ceiling is None


def test_rdms_over_time_are_of_the_pattern_over_sensors():
    names, times = ["Oz", "Pz", "Cz", "P3"], [-0.1, 0.0, 0.25]
    generator = np.random.default_rng(0)
    responses = generator.normal(size=(8, 4, 3))
    data = ResponseDataset([f"i{k}" for k in range(8)], responses.reshape(8, 12), sensor_space(names, times),
                           {"train": range(4), "test": [5, 4, 7, 6]})  # fmt: skip
    found = data.rdms_over_time()
    assert found.axes == {"time": ("-0.1", "0", "0.25")}
    assert found.conditions == ("i5", "i4", "i7", "i6")
    for time in range(3):
        expected = 1 - np.corrcoef(responses[[5, 4, 7, 6], :, time])
        np.testing.assert_allclose(found.to_square()[time], expected, atol=1e-5)
    some = data.rdms_over_time("sqeuclidean", rows=[0, 3], sensors=["Cz", "Oz"])
    expected = ((responses[0, [2, 0]] - responses[3, [2, 0]]) ** 2).sum(0)
    np.testing.assert_allclose(some.values[:, 0], expected, rtol=1e-5)
    with pytest.raises(ValueError, match="'tset'.*'test'"):
        data.rdms_over_time(rows="tset")
    with pytest.raises(ValueError, match="'Qz'.*Known: Oz"):
        data.rdms_over_time(sensors=["Qz"])


def test_rdms_over_time_by_decoding_and_crossnobis_are_of_single_trials(rng):
    n_trials, times = 60, [0.0, 0.1]
    ids, runs = [f"i{k % 4}" for k in range(n_trials)], [k // 12 for k in range(n_trials)]
    trials = torch.randn(n_trials, 3, 2, generator=rng)
    trials[torch.arange(n_trials) % 4 == 1, :, 1] += 6  # image i1 differs at the second time only
    found = conditions(trials.reshape(n_trials, 6), ids, runs=runs, standardize=False, keep=True)
    data = ResponseDataset(found.ids, found.responses, sensor_space(["Oz", "Pz", "Cz"], times), {"train": range(4)})
    with pytest.raises(ValueError, match="single trials"):
        data.rdms_over_time("decoding", rows="train")
    data.trials = found
    for metric in ("decoding", "crossnobis"):
        course = data.rdms_over_time(metric, rows=[3, 1, 0])
        assert (course.conditions, course.axes) == (("i3", "i1", "i0"), {"time": ("0", "0.1")})
        of_images = [k for k in range(n_trials) if k % 4 in (0, 1, 3)]
        labels, of_runs = [ids[k] for k in of_images], [runs[k] for k in of_images]
        expected = rdm(trials[of_images].movedim(2, 0), metric, labels=labels, runs=of_runs)  # i0, i1, i3
        square = expected.to_square()[:, [2, 1, 0]][:, :, [2, 1, 0]]
        torch.testing.assert_close(course.to_square(), square)
    accuracy = data.rdms_over_time("decoding", rows="train").to_square()
    assert accuracy[1, 1, 0] > 0.95
    assert accuracy[0, 1, 0] < 0.75
