"""Networks of images that see clips frame by frame, and torchvision's networks of videos."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from brainnet.backbone import build_backbone
from brainnet.stimuli import Clips
from brainnet.store import TokenStore

NAME = "expansion:small"


def clips(n=2, n_frames=6, seed=0):
    return np.random.default_rng(seed).integers(0, 255, (n, n_frames, 64, 64, 3)).astype(np.uint8)


def test_tokens_are_those_of_the_frames(rng):
    pixels = torch.rand(2, 3, 3, 64, 64, generator=rng)
    frames = build_backbone(NAME, layers=["1", "3"]).get_tokens(pixels.flatten(0, 1))
    found = {how: build_backbone(f"video:{NAME}", layers=["1", "3"], n_frames=3, agg_frames=how).get_tokens(pixels)
             for how in ("mean", "max", "all")}  # fmt: skip
    for part in ("local", "global_"):
        for layer in ("1", "3"):
            own = getattr(frames, part)[layer].unflatten(0, (2, 3))
            torch.testing.assert_close(getattr(found["mean"], part)[layer], own.mean(1))
            torch.testing.assert_close(getattr(found["max"], part)[layer], own.amax(1))
            for k in range(3):
                torch.testing.assert_close(getattr(found["all"], part)[f"{layer}.t{k}"], own[:, k])


def test_a_clip_of_two_photographs_gives_the_features_of_the_photographs(tmp_path):
    av = pytest.importorskip("av", reason="videos are decoded by av")
    from sklearn.datasets import load_sample_images

    photographs = [np.array(Image.fromarray(one).resize((96, 64))) for one in load_sample_images().images]
    with av.open(str(tmp_path / "two.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=2)  # a codec without loss
        stream.width, stream.height, stream.pix_fmt = 96, 64, "bgr0"
        for pixels in photographs:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    network = build_backbone(NAME, layers=["2", "4"])
    pictures = torch.stack([network.preprocessing(Image.fromarray(one)) for one in photographs])
    expected = network.get_tokens(pictures)
    backbone = build_backbone(f"video:{NAME}", layers=["2", "4"], n_frames=2, agg_frames="all")
    store = TokenStore.build(backbone, tmp_path / "two.mkv", grid=None, dtype=torch.float32, progress=False)
    assert store.image_ids == ["two"]
    for layer in ("2", "4"):
        for k in range(2):
            torch.testing.assert_close(
                store.tokens([0]).local[f"{layer}.t{k}"][0], expected.local[layer][k], rtol=1e-5, atol=1e-5
            )
    assert not torch.allclose(expected.local["4"][0], expected.local["4"][1], atol=1e-2)


def test_a_network_of_videos_sees_motion():
    backbone = build_backbone("video:torchvision:r3d_18", weights="random", layers=["layer1.0"], n_frames=4)
    backbone.preprocessing  # noqa: B018
    still = torch.rand(1, 1, 3, 32, 32, generator=torch.Generator().manual_seed(0)).repeat(1, 4, 1, 1, 1)
    moving = still.clone()
    moving[:, 2:] = moving[:, 2:].flip(-1)
    a, b = (backbone.get_tokens(one).local["layer1.0"] for one in (still, moving))
    assert a.shape == b.shape
    assert not torch.allclose(a, b, atol=1e-3)
    backwards = backbone.get_tokens(moving.flip(1)).local["layer1.0"]
    assert not torch.allclose(b, backwards, atol=1e-4)
    with torch.no_grad():
        own = backbone.backbone.network
        expected = own.layer1[0](own.stem(moving.transpose(1, 2))).mean(2)
    torch.testing.assert_close(b, expected, rtol=1e-4, atol=1e-5)


def test_names_and_options_of_the_inner_network():
    backbone = build_backbone(f"video:{NAME}", n_frames=2, agg_frames="all", layers=["1"])
    assert (backbone.name, backbone.layers, backbone.reads) == (f"video:{NAME}", ("1.t0", "1.t1"), "video")
    assert backbone.layer_widths == (16, 16) or len(backbone.layer_widths) == 2
    prints = [build_backbone(f"video:{NAME}", layers=["1"], **how).fingerprint()
              for how in ({}, {"n_frames": 2}, {"agg_frames": "max"})]  # fmt: skip
    assert len({str(one) for one in prints}) == 3
    assert len(backbone.get_tokens([Clips(clips())[0]]).local) == 2


def test_what_it_does_not_take_is_refused():
    for options, error, said in [
        ({"n_frames": 0}, ValueError, "n_frames"),
        ({"agg_frames": "sum"}, ValueError, "mean, max, all"),
        ({"layers": ["nine"]}, ValueError, "nine"),
    ]:
        with pytest.raises(error, match=said):
            build_backbone(f"video:{NAME}", **options)
    with pytest.raises(ValueError, match="agg_frames"):
        build_backbone("video:torchvision:r3d_18", weights="random", agg_frames="all")
    with pytest.raises(ValueError, match="clip"):
        build_backbone(f"video:{NAME}").get_tokens(torch.zeros(1, 3, 64, 64))
    with pytest.raises(ValueError, match="has no frames"):
        build_backbone(f"video:{NAME}").get_tokens([[]])
    with pytest.raises(ValueError, match="reads texts already"):
        build_backbone("video:clip_text:ViT-S-32-alt", weights="random")
