"""``dreamsim:*``: vision transformers tuned to people's judgments of which of two images is more like a third.

The published archives hold backbones and low-rank adapters (LoRA) of their attention. The adapters are merged into the
weights, W + alpha / r * B A, which gives the same numbers as running them beside the network. Images are pixels from 0
to 1: each branch takes off its own mean and SD. Parameters are named as timm's vision transformers have them.

Reference: Fu et al. (2023), DreamSim: learning new dimensions of human visual similarity using synthetic data,
NeurIPS 36. Those with patches: Sundaram et al. (2024), When does perceptual alignment benefit vision representations?
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from brainnet._checks import check_word, require
from brainnet._registry import takes_options_of
from brainnet.backbone.families.original import META, ModifiedDINO, resized_positions
from brainnet.backbone.families.timm import native_names
from brainnet.backbone.hooks import HookedBackbone
from brainnet.backbone.modules import choose_places
from brainnet.backbone.weights import (
    chosen_file,
    fit_weights,
    load_weights,
    own_random_numbers,
    part_of_weights,
    published_file,
)
from brainnet.tokens import Preprocessing

RELEASES = "https://github.com/ssundaram21/dreamsim/releases/download"
SIZE = 224
PIXELS = Preprocessing((SIZE, SIZE), (0.0,) * 3, (1.0,) * 3, "bicubic")
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
EMBEDDING = "embedding"


class Kind(NamedTuple):
    """A backbone of DreamSim.

    Args:
        model: timm's name of the architecture.
        files: what its weights are called in an archive, the preferred one first.
        address: where its authors published the same weights, for archives without them.
        activation: "gelu" or "quick_gelu".
        width: of CLIP's joint embedding; 0 where the class token of the last block is the embedding.
    """

    model: str
    files: tuple[str, ...]
    address: str = ""
    activation: str = "gelu"
    width: int = 0

    @property
    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and SD of the pixels."""
        return CLIP if self.width else IMAGENET


class Tuned(NamedTuple):
    """A network of DreamSim: its backbones, the folder of its adapter, its release, whether patches are part of it."""

    branches: tuple[str, ...]
    adapter: str
    release: str
    patches: bool = False


def _clip(kind: str, patch: int, activation: str) -> Kind:
    files = (f"{kind}_vitb{patch}_pretrain.pth.tar",)
    return Kind(f"vit_base_patch{patch}_224", files, activation=activation, width=512)


BRANCHES = {
    # the archives have DINO's training checkpoint, whose teacher is the published backbone
    "dino_vitb16": Kind("vit_base_patch16_224", ("dino_vitbase16_pretrain.pth", "dino_vitb16_pretrain.pth"),
                        ModifiedDINO.SIZES["base"][1]),
    "dinov2_vitb14": Kind("vit_base_patch14_dinov2", ("dinov2_vitb14_pretrain.pth",),
                          f"{META}/dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth"),
    "synclr_vitb16": Kind("vit_base_patch16_224", ("synclr_vit_b_16.pth",)),
    **{f"clip_vitb{patch}": _clip("clip", patch, "quick_gelu") for patch in (16, 32)},
    **{f"open_clip_vitb{patch}": _clip("open_clip", patch, "gelu") for patch in (16, 32)},
}  # fmt: skip
NETWORKS = {
    "ensemble": Tuned(("dino_vitb16", "clip_vitb16", "open_clip_vitb16"), "ensemble_lora", "v0.2.0"),
    **{name: Tuned((name,), f"{name}_single_lora", "v0.2.0") for name in ("dino_vitb16", "clip_vitb32",
                                                                         "open_clip_vitb32")},
    **{name: Tuned((name,), f"{name}_single_lora", "v0.2.1") for name in ("dinov2_vitb14", "synclr_vitb16")},
    **{f"{name}_patch": Tuned((name,), f"{name}_patch_lora", "v0.2.1", True) for name in ("dino_vitb16",
                                                                                          "dinov2_vitb14")},
}  # fmt: skip


class Branch(nn.Module):
    """One of the transformers: tokens (B, 1 + N, C) of the last block, or CLIP's joint embedding (B, 1, 512)."""

    def __init__(self, kind: Kind):
        super().__init__()
        timm = require("timm", "dreamsim")
        eps = 1e-5 if kind.width else 1e-6
        options = {"act_layer": kind.activation, "norm_layer": partial(nn.LayerNorm, eps=eps)}
        self.trunk = timm.create_model(kind.model, img_size=SIZE, num_classes=0, global_pool="", **options)
        self.projection = None
        if kind.width:  # CLIP has a normalization before its blocks, which stands where others have dropout
            self.trunk.pos_drop = nn.LayerNorm(self.trunk.embed_dim, eps=eps)
            self.projection = nn.Parameter(torch.randn(self.trunk.embed_dim, kind.width) / self.trunk.embed_dim**0.5)
        else:
            self.trunk.norm = nn.Identity()
        for name, values in zip(("mean", "std"), kind.statistics, strict=True):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Of images (B, 3, 224, 224) from 0 to 1."""
        tokens = self.trunk((images - self.mean) / self.std)
        return tokens if self.projection is None else tokens[:, :1] @ self.projection


class DreamSim(nn.Module):
    """Images (B, 3, 224, 224) from 0 to 1 to embeddings (B, C), whose cosine is how alike images look.

    Args:
        tuned: see ``NETWORKS``.
        normalize: whether each image's embedding has mean 0 and length 1.
    """

    def __init__(self, tuned: Tuned, normalize: bool = True):
        super().__init__()
        self.tuned, self.normalize = tuned, normalize
        for name in tuned.branches:
            self.add_module(name, Branch(BRANCHES[name]))

    def forward(self, images: Tensor) -> Tensor:
        """The embeddings."""
        tokens = [self.get_submodule(name)(images) for name in self.tuned.branches]
        if not self.tuned.patches:
            return self._scaled(torch.cat([one[:, 0] for one in tokens], -1))
        (tokens,) = tokens  # each token is scaled by itself, before the mean of the patches
        tokens = self._scaled(tokens)
        return torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], -1)

    def _scaled(self, values: Tensor) -> Tensor:
        if not self.normalize:
            return values
        values = values - values.mean(-1, keepdim=True)
        return values / values.norm(dim=-1, keepdim=True)


def build_tuned(
    variant: str | None,
    *,
    layers: Iterable[str | int] | None = None,
    weights: str | Path = "default",
    seed: int = 0,
    normalize: bool = True,
    preprocessing: Preprocessing | None = None,
    global_token: str = "class",
) -> HookedBackbone:
    """A network of DreamSim.

    Args:
        variant: which, see :func:`variants`.
        layers: ``"0"``, ``"1"``, ..., the blocks, of the ensemble ``"dino_vitb16.0"``; ``"embedding"``; names of
            modules or patterns; or indices into the default choice: all blocks, then the embedding.
        weights: "default" (those published); the published archive or a folder with what is in it; a file with all
            weights of the network, adapters merged; or "random". DINO's and DINOv2's own weights may lie there as
            their authors publish them, and are fetched where they are absent.
        seed: of random weights.
        normalize: whether each image's embedding has mean 0 and length 1, as published.
        preprocessing: by default the whole image at 224 pixels, from 0 to 1, bicubic.
        global_token: of blocks, see :class:`HookedBackbone`.

    Raises:
        ValueError: an archive that lacks a part, or an adapter of another kind.
    """
    if variant is None:
        raise ValueError(f"name a network of the family: {', '.join(f'dreamsim:{name}' for name in NETWORKS)}")
    check_word("dreamsim network", variant, NETWORKS)
    tuned = NETWORKS[variant]
    source = _source(variant, weights)
    with own_random_numbers(seed):
        network = DreamSim(tuned, normalize)
    if source is not None and (source.is_dir() or source.suffix == ".zip"):
        with _opened(source) as archive:
            for name in tuned.branches:
                _fill(network.get_submodule(name), name, archive)
            merge_adapter(network, archive / tuned.adapter, tuned.branches)
    elif source is not None:
        fit_weights(network, load_weights(source), source)
    blocks = {
        f"{name}.{i}" if len(tuned.branches) > 1 else str(i): f"{name}.trunk.blocks.{i}"
        for name in tuned.branches
        for i in range(len(network.get_submodule(name).trunk.blocks))
    }
    return HookedBackbone(
        network,
        choose_places(network, layers, {**blocks, EMBEDDING: ""}),
        name=f"dreamsim:{variant}",
        preprocessing=preprocessing or PIXELS,
        prefix_tokens=1,
        patch_size=network.get_submodule(tuned.branches[0]).trunk.patch_embed.patch_size[0],
        sequence="BNC",
        global_token=global_token,
        fixed_steps=True,
        settings={"normalize": normalize},
    )


def address_of(variant: str) -> str:
    """Where the archive of a network is published."""
    return f"{RELEASES}/{NETWORKS[variant].release}-checkpoints/dreamsim_{variant}_checkpoint.zip"


def _source(variant: str, weights: str | Path) -> Path | None:
    """The archive, folder or file of the wanted weights; None where they are random."""
    if weights == "default":
        return published_file("dreamsim", variant, "default", [address_of(variant)])
    if weights != "random" and Path(weights).expanduser().is_dir():
        return Path(weights).expanduser()
    return chosen_file(weights, f"dreamsim:{variant}", ["default"])


@contextmanager
def _opened(source: Path) -> Iterator[Path]:
    """A folder with the files of an archive that are needed; a folder as it is."""
    if source.is_dir():
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="brainnet-dreamsim-") as folder, zipfile.ZipFile(source) as archive:
        adapters = {tuned.adapter for tuned in NETWORKS.values()}
        wanted = {file for kind in BRANCHES.values() for file in kind.files}
        for entry in archive.infolist():
            parent, name = Path(entry.filename).parent.name, Path(entry.filename).name
            if not entry.is_dir() and (name in wanted or parent in adapters):
                place = Path(folder, parent if parent in adapters else "", name)
                place.parent.mkdir(exist_ok=True)
                with archive.open(entry) as packed, place.open("wb") as file:
                    shutil.copyfileobj(packed, file)
        yield Path(folder)


def _fill(branch: Branch, name: str, archive: Path) -> None:
    """Puts the weights of a backbone into its branch."""
    kind = BRANCHES[name]
    folders = (archive / "checkpoints", archive)  # torch.hub puts what it fetches into the first
    found = [folder / file for file in kind.files for folder in folders if (folder / file).is_file()]
    if name == "dino_vitb16":
        found = [file for file in found if file.name != kind.files[1] or _has_teacher(file)]
    if not found and not kind.address:
        raise ValueError(f"{archive} lacks {kind.files[0]}, the weights of {name}.")
    file = found[0] if found else published_file("dreamsim", name, "backbone", [kind.address])
    state = load_weights(file)
    if branch.projection is not None:
        if "proj" not in state:
            raise ValueError(f"{file} lacks 'proj', the map to CLIP's joint embedding.")
        branch.projection.data.copy_(state.pop("proj"))
    else:
        state = part_of_weights(
            part_of_weights(state, "backbone."), "visual.", without=("head.", "norm.", "mask_token")
        )
        state = native_names(branch.trunk, resized_positions(state, SIZE // branch.trunk.patch_embed.patch_size[0]))
    fit_weights(branch.trunk, state, file)


def _has_teacher(file: Path) -> bool:
    """Whether a training checkpoint has the teacher, which is the network that was published."""
    try:
        return any(key.startswith(("backbone.", "cls_token")) for key in load_weights(file))
    except ValueError:  # it holds the student alone, whose backbone is another
        return False


def merge_adapter(network: nn.Module, folder: Path, branches: Iterable[str]) -> None:
    """Adds an adapter of PEFT to the weights it was trained on: W + alpha / r * B A.

    Args:
        network: changed in place.
        folder: with ``adapter_config.json`` and ``adapter_model.safetensors`` or ``.bin``.
        branches: in the order in which the adapter counts them.

    Raises:
        ValueError: an incomplete folder, another kind of adapter, or matrices that do not fit.
    """
    files = [folder / f"adapter_model{suffix}" for suffix in (".safetensors", ".bin")]
    file = next((one for one in files if one.is_file()), None)
    if file is None or not (folder / "adapter_config.json").is_file():
        raise ValueError(
            f"no adapter {folder.name} in {folder.parent}: expected adapter_config.json and {files[0].name} or "
            f"{files[1].name} there."
        )
    scale = _scale(json.loads((folder / "adapter_config.json").read_text(encoding="utf-8")), folder)
    state = load_weights(file)
    pairs = {name.partition(".lora_")[0] for name in state}
    for name in sorted(pairs):
        try:
            a, b = state.pop(f"{name}.lora_A.weight"), state.pop(f"{name}.lora_B.weight")
            _, _, path = name.partition("extractor_list.")
            index, _, module = path.partition(".model.")
            weight = network.get_submodule(f"{[*branches][int(index)]}.trunk.{module}").weight
            weight.data += scale * (b.float() @ a.float()).view_as(weight)
        except (KeyError, ValueError, IndexError, AttributeError, RuntimeError) as error:
            raise ValueError(f"the adapter {file} does not fit: {name} ({error})") from error
    if state or not pairs:
        raise ValueError(f"the adapter {file} holds {', '.join(sorted(state)[:3]) or 'nothing'}: only LoRA is read.")


def _scale(config: Mapping[str, Any], folder: Path) -> float:
    """What an adapter's product is multiplied by."""
    other = [key for key in ("use_dora", "use_rslora", "rank_pattern", "alpha_pattern", "modules_to_save", "lora_bias",
                             "fan_in_fan_out") if config.get(key)]  # fmt: skip
    if config.get("peft_type", "LORA") != "LORA" or config.get("bias", "none") != "none" or other:
        raise ValueError(f"{folder} is no plain LoRA adapter ({', '.join(other) or config.get('peft_type')}).")
    return config["lora_alpha"] / config["r"]


@takes_options_of(build_tuned)
def build(variant: str | None, **options: Any) -> HookedBackbone:
    """A network of DreamSim: "ensemble", "dino_vitb16", "clip_vitb32", "open_clip_vitb32", ...

    ``options`` are those of ``build_tuned``: layers, weights, seed, normalize, preprocessing, global_token.

    >>> backbone = build("clip_vitb32", weights="random", layers=["embedding"])
    >>> backbone.layer_widths, backbone.preprocessing.std
    ((512,), (1.0, 1.0, 1.0))
    """
    return build_tuned(variant, **options)


def variants() -> list[str]:
    """What can follow "dreamsim:"."""
    return list(NETWORKS)


def describe() -> list[dict]:
    """What the table of networks says of each."""
    from brainnet.backbone.facts.published import describe_tuned

    return list(describe_tuned({name: address_of(name) for name in NETWORKS}))
