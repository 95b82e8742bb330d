"""Features read in blocks: any source, any block size, the same numbers; what is far from zero loses nothing."""

import h5py
import numpy as np
import pytest
import torch

from brainnet.ridge.features import Features, dtype_of, kernel_between, measure


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(30, 17)) + 5


@pytest.mark.parametrize("source", ["array", "memmap", "h5py", "tensor", "list"])
@pytest.mark.parametrize("memory", [1, 500, 1 << 20])
def test_blocks_make_up_the_whole(x, tmp_path, source, memory):
    np.save(tmp_path / "x.npy", x)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = x
        given = {"array": x, "memmap": np.load(tmp_path / "x.npy", mmap_mode="r"), "h5py": file["x"],
                 "tensor": torch.tensor(x), "list": x.tolist()}[source]  # fmt: skip
        features = Features(given, torch.float64, torch.device("cpu"))
        assert (len(features), features.width) == x.shape
        np.testing.assert_array_equal(torch.cat([block for _, block in features.columns(memory)], 1), x)
        index = torch.tensor([4, 5, 6, 20, 29])
        np.testing.assert_array_equal(torch.cat([block for _, block in features.rows(memory, index=index)]), x[index])
        scaling = measure(features, centre=True, scale=True, memory=memory)
        np.testing.assert_allclose(scaling.mean, x.mean(0))
        np.testing.assert_allclose(scaling.sd, x.std(0))
        z = (x - x.mean(0)) / x.std(0)
        np.testing.assert_allclose(kernel_between(features, features, scaling, memory), z @ z.T, atol=1e-10)


def test_only_features_far_from_zero_keep_what_rounding_takes_from_their_mean(x):
    near = measure(Features(x, torch.float32, torch.device("cpu")), True, False, 1 << 20)
    assert near.rest is None  # nothing changes in ordinary features, not the last digit
    x[:, 3] += 1e4
    features = Features(x, torch.float32, torch.device("cpu"))
    far = measure(features, True, False, 1 << 20)
    assert far.rest.nonzero().tolist() == [[3]]
    assert far(features.read()).double().mean(0)[3].abs() < 1e-6  # rounding to float32 alone: up to 5e-4
    double = measure(Features(x, torch.float64, torch.device("cpu")), True, False, 1 << 20)
    assert not double.rest.any()


def test_bad_shapes_and_numbers_are_refused(x):
    cpu = torch.device("cpu")
    for shape in ((3,), (3, 0), (0, 3), (2, 2, 2)):
        with pytest.raises(ValueError, match=str(shape).replace("(", r"\(").replace(")", r"\)")):
            Features(np.zeros(shape), torch.float32, cpu)
    x[[3, 7], 2] = np.nan
    with pytest.raises(ValueError, match=r"2 images \(first: \[3, 7\]\)"):
        Features(x, torch.float64, cpu).read()


def test_the_dtype_follows_the_numbers():
    assert dtype_of(np.zeros(3, np.float32)) == torch.float32
    assert dtype_of(np.zeros(3)) == dtype_of(np.zeros(3, ">f8")) == dtype_of(np.array([2**25])) == torch.float64
    assert dtype_of(torch.tensor([5])) == torch.float32
