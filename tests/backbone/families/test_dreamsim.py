"""DreamSim: CLIP's branch is open_clip's tower, an adapter in the weights is one beside them, archives are read."""

from __future__ import annotations

import json
import zipfile

import open_clip
import pytest
import torch
from torch import nn

from brainnet.backbone import build_backbone
from brainnet.backbone import weights as weights_module
from brainnet.backbone.families.dreamsim import BRANCHES, CLIP, IMAGENET, NETWORKS, Branch, DreamSim, merge_adapter
from brainnet.tokens import Preprocessing

RANK, ALPHA = 4, 2.0


@pytest.fixture(scope="module")
def tower():
    """CLIP's image tower as open_clip has it, and the same weights in DINO's layout, as the archives hold them."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        visual = open_clip.create_model("ViT-B-32-quickgelu").visual.eval()
    own = visual.state_dict()
    state = {
        "proj": own["proj"],
        "cls_token": own["class_embedding"][None, None],
        "pos_embed": own["positional_embedding"][None],
        "patch_embed.proj.weight": own["conv1.weight"],
        "patch_embed.proj.bias": torch.zeros(768),
    }
    parts = {"ln_1": "norm1", "ln_2": "norm2", "attn.in_proj_": "attn.qkv.", "attn.out_proj": "attn.proj",
             "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2", "ln_pre": "pos_drop", "ln_post": "norm",
             "transformer.resblocks": "blocks"}  # fmt: skip
    for name, values in own.items():
        if name.startswith(("transformer.", "ln_")):
            for theirs, ours in parts.items():
                name = name.replace(theirs, ours)
            state[name] = values
    return visual, state


def adapter(network, tuned, folder, generator):
    """An adapter of PEFT for the attention of every block, written as PEFT writes it."""
    state = {}
    for index, name in enumerate(tuned.branches):
        for module, layer in network.get_submodule(name).trunk.named_modules():
            if module.endswith("attn.qkv"):
                path = f"base_model.model.extractor_list.{index}.model.{module}"
                state[f"{path}.lora_A.weight"] = torch.randn(RANK, layer.in_features, generator=generator)
                state[f"{path}.lora_B.weight"] = torch.randn(layer.out_features, RANK, generator=generator) / 100
    folder.mkdir()
    torch.save(state, folder / "adapter_model.bin")
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "target_modules": ["qkv"], "bias": "none",
              "lora_dropout": 0.3, "fan_in_fan_out": False, "modules_to_save": None}  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return state


@pytest.fixture(scope="module")
def folder(tower, tmp_path_factory):
    """What the archive of clip_vitb32 holds."""
    folder = tmp_path_factory.mktemp("dreamsim")
    torch.save({"state_dict": tower[1]}, folder / "clip_vitb32_pretrain.pth.tar")
    network = DreamSim(NETWORKS["clip_vitb32"])
    adapter(network, NETWORKS["clip_vitb32"], folder / "clip_vitb32_single_lora", torch.Generator().manual_seed(3))
    return folder


def test_a_branch_of_clip_is_the_tower_and_its_adapter(folder, tower, rng):
    visual, _ = tower
    backbone = build_backbone("dreamsim:clip_vitb32", weights=folder, layers=["11", "embedding"], normalize=False)
    images = torch.rand(2, 3, 224, 224, generator=rng)
    tokens = backbone.get_tokens(images)
    state = torch.load(folder / "clip_vitb32_single_lora" / "adapter_model.bin", weights_only=True)
    mean, std = (torch.tensor(values)[:, None, None] for values in CLIP)

    def weights_of(i):
        path = f"base_model.model.extractor_list.0.model.blocks.{i}.attn.qkv.lora"
        return state[f"{path}_A.weight"], state[f"{path}_B.weight"]

    for i, block in enumerate(visual.transformer.resblocks):
        a, b = weights_of(i)
        block.attn.in_proj_weight.data += ALPHA / RANK * (b @ a)
    with torch.no_grad():
        expected = visual((images - mean) / std)
    for i, block in enumerate(visual.transformer.resblocks):
        a, b = weights_of(i)
        block.attn.in_proj_weight.data -= ALPHA / RANK * (b @ a)
    torch.testing.assert_close(tokens.global_["embedding"], expected, rtol=1e-4, atol=1e-4)
    assert tokens.local["11"].shape == (2, 768, 7, 7)
    with torch.no_grad():
        assert (visual((images - mean) / std) - expected).abs().max() > 0.01  # the adapter does something


def test_a_zip_and_a_file_of_the_merged_network_are_the_folder(folder, tmp_path):
    first = build_backbone("dreamsim:clip_vitb32", weights=folder)
    with zipfile.ZipFile(tmp_path / "dreamsim_clip_vitb32_checkpoint.zip", "w") as archive:
        for file in folder.rglob("*.*"):
            archive.write(file, f"models/{file.relative_to(folder)}") if file.is_file() else None
    zipped = build_backbone("dreamsim:clip_vitb32", weights=tmp_path / "dreamsim_clip_vitb32_checkpoint.zip")
    torch.save(first.network.state_dict(), tmp_path / "merged.pth")
    merged = build_backbone(f"dreamsim:clip_vitb32={tmp_path / 'merged.pth'}")
    prints = {one.fingerprint()["weights"] for one in (first, zipped, merged)}
    assert len(prints) == 1


def test_an_incomplete_or_other_archive_is_refused_in_words(folder, tmp_path):
    with pytest.raises(ValueError, match=r"lacks clip_vitb32_pretrain\.pth\.tar"):
        build_backbone("dreamsim:clip_vitb32", weights=tmp_path)
    (tmp_path / "clip_vitb32_pretrain.pth.tar").symlink_to(folder / "clip_vitb32_pretrain.pth.tar")
    with pytest.raises(ValueError, match=r"clip_vitb32_single_lora.*adapter_config\.json"):
        build_backbone("dreamsim:clip_vitb32", weights=tmp_path)


@pytest.mark.parametrize(
    ("change", "named"),
    [({"use_dora": True}, "use_dora"), ({"peft_type": "LOHA"}, "LOHA"), ({"rank_pattern": {"x": 2}}, "rank_pattern")],
)
def test_only_plain_adapters_are_read(change, named, tmp_path):
    torch.save({"x.lora_A.weight": torch.zeros(1)}, tmp_path / "adapter_model.bin")
    plain = {"r": 1, "lora_alpha": 1, "peft_type": "LORA", **change}
    (tmp_path / "adapter_config.json").write_text(json.dumps(plain))
    with pytest.raises(ValueError, match=named):
        merge_adapter(nn.Identity(), tmp_path, ["clip_vitb32"])


def test_an_adapter_of_another_network_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match=r"extractor_list\.0"):
        merge_adapter(
            nn.ModuleDict({"dino_vitb16": nn.Identity()}), folder / "clip_vitb32_single_lora", ["dino_vitb16"]
        )


def test_an_adapter_of_several_backbones_is_added_to_each(tmp_path, rng):
    """It counts them in the order of the branches."""
    network = nn.ModuleDict({name: nn.ModuleDict({"trunk": nn.ModuleDict({"qkv": nn.Linear(5, 7)})}) for name in "ba"})
    before = {name: network[name]["trunk"]["qkv"].weight.detach().clone() for name in "ba"}
    a, b = torch.randn(2, RANK, 5, generator=rng), torch.randn(2, 7, RANK, generator=rng)
    state = {}
    for i in range(2):
        path = f"base_model.model.extractor_list.{i}.model.qkv.lora"
        state |= {f"{path}_A.weight": a[i].clone(), f"{path}_B.weight": b[i].clone()}
    torch.save(state, tmp_path / "adapter_model.bin")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": RANK, "lora_alpha": ALPHA}))
    merge_adapter(network, tmp_path, ["b", "a"])
    for i, name in enumerate("ba"):
        found = network[name]["trunk"]["qkv"].weight
        torch.testing.assert_close(found, before[name] + ALPHA / RANK * b[i] @ a[i])


class Toy(nn.Module):
    """Stands for a transformer: tokens that are known."""

    def __init__(self, tokens):
        super().__init__()
        self.tokens = tokens

    def forward(self, images):
        return self.tokens.expand(len(images), -1, -1)


def test_embeddings_are_joined_then_centred_and_of_length_one(rng):
    network = DreamSim.__new__(DreamSim)
    nn.Module.__init__(network)
    network.tuned, network.normalize = NETWORKS["ensemble"], True
    tokens = {name: torch.randn(1, n, width, generator=rng) for name, n, width in zip(
        NETWORKS["ensemble"].branches, (5, 1, 1), (768, 512, 512), strict=True)}  # fmt: skip
    for name, values in tokens.items():
        network.add_module(name, Toy(values))
    joined = torch.cat([values[0, 0] for values in tokens.values()])
    expected = (joined - joined.mean()) / (joined - joined.mean()).norm()
    torch.testing.assert_close(network(torch.zeros(1, 3, 4, 4))[0], expected)
    network.normalize = False
    assert torch.equal(network(torch.zeros(1, 3, 4, 4))[0], joined)


def test_patches_are_scaled_each_before_their_mean(rng):
    network = DreamSim.__new__(DreamSim)
    nn.Module.__init__(network)
    network.tuned, network.normalize = NETWORKS["dino_vitb16_patch"], True
    tokens = torch.randn(1, 5, 8, generator=rng)
    network.add_module("dino_vitb16", Toy(tokens))
    scaled = [(one - one.mean()) / (one - one.mean()).norm() for one in tokens[0]]
    expected = torch.cat([scaled[0], torch.stack(scaled[1:]).mean(0)])
    torch.testing.assert_close(network(torch.zeros(2, 3, 4, 4))[1], expected)


def test_the_class_token_of_dino_is_that_of_the_last_block_before_its_normalisation(rng):
    branch = Branch(BRANCHES["dino_vitb16"]).eval()
    seen = []
    branch.trunk.blocks[-1].register_forward_hook(lambda *call: seen.append(call[2]))
    images = torch.rand(1, 3, 224, 224, generator=rng)
    with torch.no_grad():
        assert torch.equal(branch(images), seen[0])
    mean, std = (torch.tensor(values)[:, None, None] for values in IMAGENET)
    assert torch.equal(branch.mean, mean)
    assert torch.equal(branch.std, std)


def test_of_a_training_checkpoint_of_dino_the_teacher_is_taken(tmp_path, monkeypatch):
    source = build_backbone("dreamsim:dino_vitb16", weights="random", seed=5, layers=["0"])
    trunk = source.network.dino_vitb16.trunk.state_dict()
    student = {f"module.backbone.{name}": torch.zeros(1) for name in trunk}
    teacher = {f"backbone.{name}": values for name, values in trunk.items()} | {
        "backbone.norm.weight": torch.ones(768),
        "backbone.norm.bias": torch.ones(768),
        "head.mlp.0.bias": torch.ones(3),
    }
    tuned = NETWORKS["dino_vitb16"]
    adapters = adapter(DreamSim(tuned), tuned, tmp_path / tuned.adapter, torch.Generator().manual_seed(1))
    torch.save({"student": student, "teacher": teacher, "epoch": 9}, tmp_path / "dino_vitb16_pretrain.pth")
    read = build_backbone("dreamsim:dino_vitb16", weights=tmp_path, layers=["0"])
    path = "base_model.model.extractor_list.0.model.blocks.0.attn.qkv.lora"
    change = ALPHA / RANK * adapters[f"{path}_B.weight"] @ adapters[f"{path}_A.weight"]
    torch.testing.assert_close(
        read.network.dino_vitb16.trunk.blocks[0].attn.qkv.weight, trunk["blocks.0.attn.qkv.weight"] + change
    )
    assert torch.equal(read.network.dino_vitb16.trunk.cls_token, trunk["cls_token"])
    # of the student alone nothing is taken: DINO's own weights are asked for
    asked = []

    def fetch(url, filename=None, **_):
        asked.append(url)
        raise ConnectionError(f"could not download {url}")

    monkeypatch.setenv("BRAINNET_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(weights_module, "fetch", fetch)
    monkeypatch.setattr(weights_module, "_in_hub_cache", lambda address: None)
    torch.save({"student": student}, tmp_path / "dino_vitb16_pretrain.pth")
    with pytest.raises(ConnectionError):
        build_backbone("dreamsim:dino_vitb16", weights=tmp_path)
    assert asked == ["https://dl.fbaipublicfiles.com/dino/dino_vitbase16_pretrain/dino_vitbase16_pretrain.pth"]


@pytest.mark.parametrize(
    ("variant", "release"), [("ensemble", "v0.2.0"), ("open_clip_vitb32", "v0.2.0"), ("dinov2_vitb14_patch", "v0.2.1")]
)
def test_archives_are_asked_for_at_their_addresses(variant, release, tmp_path, monkeypatch):
    asked = []

    def fetch(url, filename=None, **_):
        asked.append((url, filename))
        raise ConnectionError(f"could not download {url}")

    monkeypatch.setenv("BRAINNET_HOME", str(tmp_path))
    monkeypatch.setattr(weights_module, "fetch", fetch)
    with pytest.raises(ConnectionError, match=f"dreamsim:{variant}=<path>"):
        build_backbone(f"dreamsim:{variant}")
    base = f"https://github.com/ssundaram21/dreamsim/releases/download/{release}-checkpoints"
    assert asked == [(f"{base}/dreamsim_{variant}_checkpoint.zip", f"weights/dreamsim/{variant}.default.zip")]


@pytest.mark.slow
@pytest.mark.parametrize("variant", NETWORKS)
def test_every_network_builds(variant, rng):
    backbone = build_backbone(f"dreamsim:{variant}", weights="random", layers=[0, -1])
    assert backbone.preprocessing == Preprocessing((224, 224), (0.0,) * 3, (1.0,) * 3, "bicubic")
    tokens = backbone.get_tokens(torch.rand(1, 3, 224, 224, generator=rng))
    embedding = tokens.global_["embedding"][0]
    if not variant.endswith("_patch"):  # whose patches are scaled before their mean
        torch.testing.assert_close(embedding.norm(), torch.tensor(1.0))
    torch.testing.assert_close(embedding.mean(), torch.tensor(0.0), atol=1e-6, rtol=0)
    assert len(embedding) == {"ensemble": 1792, "clip_vitb32": 512, "open_clip_vitb32": 512}.get(
        variant, 1536 if variant.endswith("_patch") else 768
    )
