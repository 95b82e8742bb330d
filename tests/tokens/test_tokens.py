from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from brainnet.tokens import Preprocessing, Tokens, check_tokens, resize_map


def some_tokens(batch=2, generator=None):
    local = {k: torch.randn(batch, 3, 4, 5, generator=generator) for k in "ab"}
    return Tokens(local, {k: torch.randn(batch, 3, generator=generator) for k in "ab"})


def test_tokens_unpack_like_a_pair(rng):
    local, global_ = some_tokens(generator=rng)
    assert list(local) == list(global_) == ["a", "b"]


def test_resizing_leaves_the_tokens_untouched(rng):
    tokens = some_tokens(generator=rng)
    before = {k: v.clone() for k, v in tokens.local.items()}
    resized = tokens.resize((2, 2)).map(lambda t: t * 0)
    assert resized.local["a"].shape == (2, 3, 2, 2)
    assert all(torch.equal(tokens.local[k], before[k]) for k in before)


@given(h=st.integers(1, 4), w=st.integers(1, 4), fh=st.integers(1, 4), fw=st.integers(1, 4))
def test_mean_resize_keeps_the_mean_when_cells_divide(h, w, fh, fw):
    tokens = torch.arange(h * fh * w * fw, dtype=torch.float64).reshape(1, 1, h * fh, w * fw).sin()
    small = resize_map(tokens, (h, w), "mean")
    assert torch.allclose(small.mean(), tokens.mean(), atol=1e-12)


def test_bilinear_resize_reads_few_tokens_and_mean_reads_all():
    tokens = torch.zeros(1, 1, 64, 64, requires_grad=True)
    share = {}
    for mode in ("mean", "bilinear"):
        (gradient,) = torch.autograd.grad(resize_map(tokens, (8, 8), mode).sum(), tokens)
        share[mode] = (gradient != 0).float().mean().item()
    assert share["mean"] == 1.0
    assert share["bilinear"] == pytest.approx(0.0625)


@pytest.mark.parametrize("mode", ["mean", "shrink", "bilinear"])
def test_a_grid_of_nothing_is_refused(mode):
    with pytest.raises(ValueError, match="from 1"):
        resize_map(torch.ones(1, 2, 4, 4), (0, 4), mode)


def test_a_grid_that_must_grow_is_interpolated():
    assert resize_map(torch.ones(1, 1, 6, 12), (8, 8)).shape == (1, 1, 8, 8)


@pytest.mark.parametrize(
    ("pool", "size"), [("mean", 3), ("max", 3), ("global", 3), ("flatten", 60), ("both", 6), ("all", 63)]
)
def test_features_have_one_row_per_image(rng, pool, size):
    assert some_tokens(generator=rng).features("a", pool).shape == (2, size)


@pytest.mark.parametrize(
    ("output", "error", "message"),
    [
        (torch.zeros(2), TypeError, "two dicts"),
        (({"a": torch.zeros(2, 3, 4, 4)}, {"b": torch.zeros(2, 3)}), ValueError, "local tokens have layers"),
        (({"a": torch.zeros(2, 3, 4)}, {"a": torch.zeros(2, 3)}), ValueError, r"must be \(B, C, H, W\)"),
        (({"a": torch.zeros(3, 3, 4, 4)}, {"a": torch.zeros(2, 3)}), ValueError, "B = 2"),
        (({"a": np.zeros((2, 3, 4, 4))}, {"a": torch.zeros(2, 3)}), TypeError, "ndarray"),
        (({}, {}), ValueError, "no layers"),
    ],
)
def test_wrong_tokens_are_refused_with_what_was_given(output, error, message):
    with pytest.raises(error, match=message):
        check_tokens(output, batch_size=2)


def test_check_reorders_layers_and_names_missing_ones(rng):
    tokens = some_tokens(generator=rng)
    assert check_tokens(tuple(tokens), 2, layers=["b", "a"]).layers == ("b", "a")
    with pytest.raises(ValueError, match="layers="):
        check_tokens(tuple(tokens), 2, layers=["a", "c"])


def test_preprocessing_matches_torchvision():
    transforms = pytest.importorskip("torchvision.transforms")
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))
    ours = Preprocessing(size=(24, 32))
    theirs = transforms.Compose(
        [transforms.Resize((24, 32)), transforms.ToTensor(), transforms.Normalize(ours.mean, ours.std)]
    )
    assert torch.allclose(ours(image), theirs(image), atol=1e-6)


def test_cropping_keeps_the_centre_and_the_aspect():
    picture = np.zeros((40, 80, 3), dtype=np.uint8)
    picture[:, 20:60] = 255  # the centred square
    white = Preprocessing(size=(16, 16), mean=(0, 0, 0), std=(1, 1, 1), crop=0.9)(Image.fromarray(picture))
    assert white.min() == 1.0


def test_grey_images_become_rgb():
    assert Preprocessing(size=(4, 4))(Image.new("L", (8, 8))).shape == (3, 4, 4)


def test_shrinking_leaves_small_maps_as_they_are():
    maps = torch.arange(16.0).view(1, 1, 4, 4)
    assert torch.equal(resize_map(maps, (2, 2), "shrink"), resize_map(maps, (2, 2)))
    assert torch.equal(resize_map(maps, (8, 8), "shrink"), maps)
    assert resize_map(maps, (2, 8), "shrink").shape == (1, 1, 2, 4)
