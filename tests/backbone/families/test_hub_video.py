"""Networks of video of transformers: tokens are hidden states, in their place in space and time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brainnet.backbone import build_backbone
from brainnet.rsa import rdm
from brainnet.stimuli import Clips, Images
from brainnet.store import TokenStore
from tests.backbone.toy_sequences import SIZES, save

T = pytest.importorskip("transformers")
SIDE, PATCH = 32, 16
MODELS = {
    "videomae": lambda: T.VideoMAEModel(
        T.VideoMAEConfig(**SIZES, image_size=SIDE, patch_size=PATCH, num_frames=4, tubelet_size=2)
    ),
    "timesformer": lambda: T.TimesformerModel(
        T.TimesformerConfig(**SIZES, image_size=SIDE, patch_size=PATCH, num_frames=4)
    ),
    "vivit": lambda: T.VivitModel(
        T.VivitConfig(**SIZES, image_size=SIDE, num_frames=4, tubelet_size=[2, PATCH, PATCH])
    ),
    "vjepa2": lambda: T.VJEPA2Model(
        T.VJEPA2Config(hidden_size=48, num_hidden_layers=3, num_attention_heads=4, crop_size=SIDE, patch_size=PATCH,
                       frames_per_clip=4, tubelet_size=2, pred_hidden_size=24, pred_num_attention_heads=2,
                       pred_num_hidden_layers=1)
    ),
}  # fmt: skip
STEPS = {"videomae": 2, "timesformer": 4, "vivit": 2, "vjepa2": 2}


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}

    def folder_of(kind):
        if kind not in made:
            made[kind] = save(MODELS[kind](), tmp_path_factory.mktemp(kind))
        return made[kind]

    return folder_of


def built(folder, **options):
    return build_backbone(f"transformers:{folder}", **options)


def in_order(kind, state):
    """(n_steps, C, 2, 2) of a hidden state (N, C)."""
    own = state[int(kind in ("timesformer", "vivit")) :]
    if kind == "timesformer":  # place by place, and within it step by step
        return torch.stack(
            [torch.stack([own[place * 4 + step] for place in range(4)], 1) for step in range(4)]
        ).unflatten(2, (2, 2))
    return torch.stack([own[step * 4 : step * 4 + 4].T for step in range(2)]).unflatten(2, (2, 2))


@pytest.mark.parametrize("kind", MODELS)
def test_tokens_are_the_librarys_own_hidden_states(folders, kind, rng):
    pixels = torch.randn(2, 4, 3, SIDE, SIDE, generator=rng)
    backbone = built(folders(kind), layers=["embeddings", "0", "2"])
    assert backbone.reads == "video"
    with torch.no_grad():
        if kind == "vjepa2":
            output = backbone.network(pixel_values_videos=pixels, skip_predictor=True, output_hidden_states=True)
        else:
            output = backbone.network(pixel_values=pixels, output_hidden_states=True)
    found = {how: built(folders(kind), layers=["embeddings", "0", "2"], agg_frames=how).get_tokens(pixels)
             for how in ("mean", "max", "all")}  # fmt: skip
    for layer, number in (("embeddings", 0), ("0", 1), ("2", 3)):
        steps = torch.stack([in_order(kind, state) for state in output.hidden_states[number]])
        torch.testing.assert_close(found["mean"].local[layer], steps.mean(1), rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(found["max"].local[layer], steps.amax(1), rtol=1e-6, atol=1e-6)
        for step in range(STEPS[kind]):
            torch.testing.assert_close(found["all"].local[f"{layer}.t{step}"], steps[:, step], rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(found["mean"].global_[layer], steps.mean((1, 3, 4)), rtol=1e-6, atol=1e-6)
    assert len(found["all"].local) == 3 * STEPS[kind]


def test_the_embedding_of_a_place_is_of_that_place_and_time(folders):
    """An oracle of the order that the library's own output does not give: one patch of one frame is changed."""
    for kind in ("timesformer", "videomae", "vjepa2", "vivit"):
        backbone = built(folders(kind), layers=["embeddings"], agg_frames="all")
        pixels = torch.zeros(1, 4, 3, SIDE, SIDE)
        changed = pixels.clone()
        changed[0, 3, :, :PATCH, PATCH:] = 1.0  # the last frame, above on the right
        for step in range(STEPS[kind]):
            layer = f"embeddings.t{step}"
            moved = (backbone.get_tokens(changed).local[layer] - backbone.get_tokens(pixels).local[layer]).abs().amax(
                1
            )[0] > 1e-6
            expected = torch.tensor([[False, step == STEPS[kind] - 1], [False, False]])
            assert torch.equal(moved, expected), (kind, step)


def test_a_store_and_rdms_of_clips(folders):
    pixels = np.random.default_rng(0).integers(0, 255, (3, 6, 40, 40, 3)).astype(np.uint8)
    backbone = built(folders("videomae"))
    store = TokenStore.build(backbone, Clips(pixels), grid=None, dtype=torch.float32, batch_size=2, progress=False)
    assert store.grids["2"] == (2, 2)
    assert rdm(store.features("2")).values.shape == (1, 3)
    alone = backbone.get_tokens([Clips(pixels)[1]])
    torch.testing.assert_close(store.tokens([1]).local["2"], alone.local["2"], rtol=1e-4, atol=1e-5)


def test_what_it_does_not_take_is_refused(folders):
    backbone = built(folders("videomae"))
    with pytest.raises(ValueError, match="B, n_frames, 3"):
        backbone.get_tokens(torch.zeros(1, 3, 32, 32))
    with pytest.raises(ValueError, match="multiple of 2"):
        built(folders("videomae"), n_frames=3)
    with pytest.raises(ValueError, match="mean, max, all"):
        built(folders("videomae"), agg_frames="median")
    with pytest.raises(ValueError, match="cannot be run on videos"):
        built(folders("videomae"), image_size=64)
    with pytest.raises(ValueError, match="kind image, .*reads videos"):
        TokenStore.build(backbone, Images(np.zeros((1, 8, 8, 3), np.uint8)), progress=False)
    with pytest.raises(TypeError, match="clips"):
        backbone.get_tokens(["a text"])
