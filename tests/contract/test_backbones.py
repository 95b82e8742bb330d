"""Every family of the registry, one battery: what any backbone of brainnet promises."""

from __future__ import annotations

import atexit
import copy
import functools
import pickle
import shutil
import tempfile

import pytest
import torch
from torch import nn

from brainnet.backbone import BACKBONES, HookedBackbone, build_backbone
from brainnet.config import load_config
from brainnet.plmodel import build_backbone_of
from brainnet.tokens import Preprocessing, Tokens, check_tokens

SMALL = Preprocessing((64, 64))


@functools.cache
def tiny_transformer() -> str:
    """The name of a network of transformers that lies in a folder, as the library saves it."""
    transformers = pytest.importorskip("transformers")
    folder = tempfile.mkdtemp(prefix="brainnet-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
    transformers.ViTConfig(**sizes, image_size=64, patch_size=16).save_pretrained(folder)
    return f"transformers:{folder}"


# One tiny variant per family; a new family is not done before it stands here.
TINY = {
    "expansion": ("expansion:small", {"widths": (4, 5, 6, 7), "preprocessing": SMALL}),
    "torchvision": ("torchvision:squeezenet1_1", {"weights": "random", "preprocessing": SMALL}),
    "timm": ("timm:test_vit", {"weights": "random", "image_size": 64}),
    "clip": ("clip:ViT-S-32-alt", {"weights": "random"}),
    "transformers": (tiny_transformer, {"weights": "random"}),
    "untrained": ("untrained:fully_connected", {"widths": (5, 6, 7, 8), "image_size": 64}),
    "cornet": ("cornet:z", {"weights": "random", "preprocessing": SMALL}),
    "places365": ("places365:resnet18", {"weights": "random", "preprocessing": SMALL}),
    "dreamsim": ("dreamsim:clip_vitb32", {"weights": "random"}),
}


def build(family: str, **changes):
    name, options = TINY[family]
    return build_backbone(name() if callable(name) else name, **{**options, **changes})


@pytest.fixture(scope="module")
def built():
    return {}


@pytest.fixture(params=sorted(TINY))
def family(request):
    return request.param


@pytest.fixture
def backbone(family, built):
    if family not in built:
        built[family] = build(family)
    return built[family]


@pytest.fixture
def images(backbone, rng):
    return torch.randn(2, 3, *backbone.preprocessing.size, generator=rng)


def assert_same(a: Tokens, b: Tokens, tolerance: float = 0.0):
    assert a.layers == b.layers
    for part in ("local", "global_"):
        for layer in a.layers:
            x, y = getattr(a, part)[layer], getattr(b, part)[layer]
            assert x.shape == y.shape
            assert (x - y).abs().max() <= tolerance * y.abs().max(), (part, layer)


@pytest.mark.parametrize("name", BACKBONES)
def test_a_family_lists_its_networks_by_names_that_can_be_built(name):
    listed = BACKBONES.variants(name)
    assert len(set(listed)) == len(listed) > 0
    tiny = {"timm": "test_vit.", "clip": "RN50=openai", "original": "clip", "torchvision": "squeezenet1_1",
            "cornet": "z", "untrained": "fully", "ssl": "swav", "places365": "resnet18",
            "ecoset": "resnet50", "taskonomy": "normal", "clip_text": "RN50=openai",
            "dreamsim": "clip_vitb32", "video": "torchvision", "silero": "vad"}  # fmt: skip
    if name == "transformers":  # whose names are those of the hub
        return
    variant = next(variant for variant in listed if variant.startswith(tiny.get(name, "small")))
    assert build_backbone(f"{name}:{variant.partition('=')[0]}", weights="random").layers


def test_every_family_is_tested():
    # classes of the families below under the names they were published with, and further tables of places365's kind
    # clip_text, video and silero read texts, clips and sounds, and have tests of their own
    aliases = {"original", "ssl", "ecoset", "taskonomy", "clip_text", "video", "silero"}
    assert set(BACKBONES.names()) - aliases == set(TINY)


# what a YAML may say of the tiny variant of each family, "original" among them
CONFIGURED = {
    "expansion": ["BACKBONE.NAME", "expansion:small"],
    "torchvision": ["BACKBONE.NAME", "torchvision:squeezenet1_1", "BACKBONE.WEIGHTS", "random"],
    "timm": ["BACKBONE.NAME", "timm:test_vit", "BACKBONE.WEIGHTS", "random", "BACKBONE.OPTIONS.image_size", "64"],
    "clip": ["BACKBONE.NAME", "clip:ViT-S-32-alt", "BACKBONE.WEIGHTS", "random"],
    "original": ["BACKBONE.NAME", "original:clip", "BACKBONE.WEIGHTS", "random"],
    "transformers": ["BACKBONE.NAME", tiny_transformer, "BACKBONE.WEIGHTS", "random"],
    "cornet": ["BACKBONE.NAME", "cornet:z", "BACKBONE.WEIGHTS", "random"],
    "untrained": [
        "BACKBONE.NAME",
        "untrained:fully_connected",
        "BACKBONE.WEIGHTS",
        "random",
        "BACKBONE.OPTIONS.image_size",
        "32",
    ],
    "ssl": ["BACKBONE.NAME", "ssl:swav_resnet50", "BACKBONE.WEIGHTS", "random"],
    "places365": ["BACKBONE.NAME", "places365:resnet18", "BACKBONE.WEIGHTS", "random"],
    "clip_text": ["BACKBONE.NAME", "clip_text:ViT-S-32-alt", "BACKBONE.WEIGHTS", "random"],
    "taskonomy": ["BACKBONE.NAME", "taskonomy:normal", "BACKBONE.WEIGHTS", "random"],
    "dreamsim": ["BACKBONE.NAME", "dreamsim:clip_vitb32", "BACKBONE.WEIGHTS", "random"],
    "video": ["BACKBONE.NAME", "video:expansion:small"],
    "silero": ["BACKBONE.NAME", "silero:vad", "BACKBONE.WEIGHTS", "random"],
    "ecoset": ["BACKBONE.NAME", "ecoset:resnet50", "BACKBONE.WEIGHTS", "random"],
}


@pytest.mark.parametrize("name", BACKBONES)
def test_it_is_built_from_the_config_by_name(name):
    """At every precision that suits any family: no option of one travels to another."""
    words = [word() if callable(word) else word for word in CONFIGURED[name]]
    backbone = build_backbone_of(load_config(None, [*words, "BACKBONE.PRECISION", "auto"]))
    assert backbone.fingerprint()["weights"] == build_backbone_of(load_config(None, words)).fingerprint()["weights"]
    some = build_backbone_of(load_config(None, [*words, "MODEL.LAYERS", f"['{backbone.layers[0]}']"]))
    assert some.layers == backbone.layers[:1]
    other = build_backbone_of(load_config(None, [*words, "BACKBONE.OPTIONS.seed", "7"]))
    assert other.fingerprint()["weights"] != backbone.fingerprint()["weights"]
    if name != "timm":  # which takes whatever timm's networks take
        with pytest.raises(ValueError, match="nonesuch"):
            build_backbone_of(load_config(None, [*words, "BACKBONE.OPTIONS.nonesuch", "1"]))


def test_shapes_layers_and_widths_agree(backbone, images):
    tokens = check_tokens(backbone.get_tokens(images), len(images), backbone.layers)
    assert isinstance(tokens, Tokens)
    assert tokens.layers == tuple(backbone.layers)
    assert tuple(v.shape[1] for v in tokens.local.values()) == tuple(backbone.layer_widths)
    assert tuple(v.shape[1] for v in tokens.global_.values()) == tuple(backbone.layer_widths)
    assert {v.dtype for part in tokens for v in part.values()} == {torch.float32}
    assert all(torch.isfinite(v).all() for part in tokens for v in part.values())


def test_widths_are_known_before_the_first_image(family, backbone, images):
    fresh = build(family)
    assert fresh.layer_widths == tuple(v.shape[1] for v in backbone.get_tokens(images).global_.values())


def test_two_calls_and_two_builds_agree(family, backbone, images):
    once = backbone.get_tokens(images)
    assert_same(backbone.get_tokens(images), once)
    assert_same(build(family).get_tokens(images), once, 1e-6)
    assert build(family).fingerprint() == backbone.fingerprint()


def test_a_batch_is_its_images_one_by_one(backbone, images):
    batch = backbone.get_tokens(images)
    singles = [backbone.get_tokens(image[None]) for image in images]
    joined = Tokens(*({k: torch.cat([s[part][k] for s in singles]) for k in batch.layers} for part in (0, 1)))
    assert_same(joined, batch, 2e-5)  # other batch sizes may sum in another order


def test_images_differ_so_tokens_differ(backbone, images):
    first, second = (backbone.get_tokens(image[None]) for image in images)
    assert all((first.local[k] - second.local[k]).abs().max() > 1e-4 for k in first.layers)


def test_frozen_for_ever(backbone):
    parent = nn.ModuleList([backbone])
    parent.train()
    assert not any(module.training for module in backbone.modules())
    assert not any(parameter.requires_grad for parameter in backbone.parameters())


def test_no_gradient_even_where_images_ask_for_it(backbone, images):
    with torch.enable_grad():
        tokens = backbone.get_tokens(images.clone().requires_grad_())
    assert not any(v.requires_grad for part in tokens for v in part.values())


def test_input_is_untouched(backbone, images):
    before = images.clone()
    backbone.get_tokens(images)
    assert torch.equal(images, before)


def test_tokens_are_the_callers_own(backbone, images):
    tokens = backbone.get_tokens(images)
    kept = copy.deepcopy(tokens)
    storages = [v.untyped_storage().data_ptr() for part in tokens for v in part.values()]
    assert len(set(storages)) == len(storages)
    for part in tokens:
        for value in part.values():
            value.zero_()
    assert_same(backbone.get_tokens(images), kept)


def test_fewer_layers_are_the_same_layers_in_the_order_asked(family, backbone, images):
    everything = backbone.get_tokens(images)
    wanted = [backbone.layers[1], backbone.layers[0]]
    some = build(family, layers=wanted)
    for _ in range(2):  # the second pass stops early
        tokens = some.get_tokens(images)
        assert list(tokens.layers) == wanted
        assert_same(tokens, Tokens(*({k: part[k] for k in wanted} for part in everything)))


def test_layers_by_index_and_range(family, backbone):
    assert build(family, layers=[-1]).layers == backbone.layers[-1:]
    assert build(family, layers=range(2)).layers == backbone.layers[:2]
    with pytest.raises(ValueError, match="Unknown layer 'nowhere'"):
        build(family, layers=["nowhere"])
    with pytest.raises(ValueError, match="out of range"):
        build(family, layers=[1000])


def test_building_and_running_leave_the_global_generator_alone(family, images):
    before = torch.get_rng_state()
    build(family).get_tokens(images)
    assert torch.equal(torch.get_rng_state(), before)


def test_pickles(backbone, images):
    twin = pickle.loads(pickle.dumps(backbone))
    assert_same(twin.get_tokens(images), backbone.get_tokens(images))
    assert twin.fingerprint() == backbone.fingerprint()


def test_no_hook_is_left_behind_even_by_an_exception(backbone, images):
    def hooks():
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in backbone.modules())

    before = hooks()
    expected = backbone.get_tokens(images)
    with pytest.raises((ValueError, RuntimeError, AssertionError)):
        backbone.get_tokens(images[..., :0, :0])  # no image is that small
    assert hooks() == before
    assert_same(backbone.get_tokens(images), expected)


def test_fingerprint_tells_weights_layers_and_preprocessing_apart(family, backbone):
    own = backbone.fingerprint()
    assert all(isinstance(k, str) and isinstance(v, str) for k, v in own.items())
    for changes, field in [
        ({"seed": 7}, "weights"),
        ({"layers": [0]}, "layers"),
        ({"preprocessing": Preprocessing((64, 64), mean=(0.1, 0.2, 0.3))}, "preprocessing"),
    ]:
        other = build(family, **changes).fingerprint()
        assert other[field] != own[field]


def test_wrong_images_are_refused_in_words(backbone, images):
    with pytest.raises(ValueError, match=r"\(B, 3, H, W\)"):
        backbone.get_tokens(images[0])
    with pytest.raises(TypeError, match="floating"):
        backbone.get_tokens((images * 255).to(torch.uint8))


def test_weights_that_exist_nowhere_are_refused_in_words(family):
    with pytest.raises(ValueError, match="nonesuch"):
        build(family, weights="nonesuch")
    with pytest.raises(FileNotFoundError, match=r"/nowhere/weights\.pth"):
        build(family, weights="/nowhere/weights.pth")


def test_own_weights_come_back_from_a_file(family, backbone, images, tmp_path):
    network = backbone.network if hasattr(backbone, "network") else backbone
    torch.save(network.state_dict(), tmp_path / "own.pth")
    restored = build(family, weights=tmp_path / "own.pth", seed=9)
    assert_same(restored.get_tokens(images), backbone.get_tokens(images), 1e-6)
    assert restored.fingerprint()["weights"] == backbone.fingerprint()["weights"]


def test_a_plain_network_becomes_a_backbone_the_same_way(rng):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 5, 3))
    backbone = HookedBackbone(network, ["0", "2"])
    tokens = check_tokens(backbone.get_tokens(torch.randn(2, 3, 9, 12, generator=rng)), 2, ["0", "2"])
    assert tokens.local["2"].shape == (2, 5, 5, 8)
