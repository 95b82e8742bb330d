"""What timm says of its networks, and what the tags of their weights mean.

A tag names who trained a network, how, and on what: ``augreg_in21k_ft_in1k`` is a training on ImageNet-22k, then on
ImageNet-1k. Accuracies are those that timm published in its repository (``results/results-imagenet.csv``).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from brainnet._checks import require
from brainnet.backbone.facts.torchvision import digest_in

LIBRARY = "timm"
TOP1 = Path(__file__).with_name("timm_top1.csv")
_TRANSFORMERS = """beit cait convit crossvit davit deepseek_vit deit eva gemma4_vit hiera hieradet_sam2 mvitv2 naflexvit
    nest pit pvt_v2 qwen3_vit swin_transformer swin_transformer_v2 swin_transformer_v2_cr tnt twins vision_transformer
    vision_transformer_relpos vision_transformer_sam volo xcit"""
_HYBRIDS = """byoanet coat csatv2 edgenext efficientformer efficientformer_v2 efficientvit_mit efficientvit_msra fastvit
    gcvit iformer levit lowformer maxxvit metaformer mobilenetv5 mobilevit nextvit shvit swiftformer tiny_vit
    vision_transformer_hybrid visformer vitamin"""
# of timm's modules; the others are convolutional
KINDS = {
    **dict.fromkeys(_TRANSFORMERS.split(), "transformer"),
    **dict.fromkeys(_HYBRIDS.split(), "hybrid"),
    "mlp_mixer": "mlp", "sequencer": "recurrent", "efficientvim": "state space",
}  # fmt: skip
MOST_FEATURES = 9000  # a head of more outputs is a classifier; a smaller one, of other than 1,000, a joint embedding

# part of a tag: training set, in the order in which tags write them
DATA_SETS = (
    (r"in1k|b1k|b2k", "imagenet-1k"),
    (r"in12k", "imagenet-12k"),
    (r"in2[12]k|inw21k", "imagenet-22k"),
    (r"jft", "jft-300m"),
    (r"ig1b", "instagram-1b"),
    (r"seer", "instagram-1b"),
    (r"swag", "instagram-3.6b"),
    (r"yfcc100m", "yfcc-100m"),
    (r"yfcc15m", "yfcc-15m"),
    (r"cc12m", "cc-12m"),
    (r"lvd142m", "lvd-142m"),
    (r"lvd1689m", "lvd-1689m"),
    (r"sat493m", "sat-493m"),
    (r"laion2b", "laion-2b"),
    (r"laion400m", "laion-400m"),
    (r"laiona", "laion-aesthetic"),
    (r"openai", "openai-wit"),
    (r"v2_webli|webli", "webli"),
    (r"datacomp1b", "datacomp-1b"),
    (r"datacompxl", "datacomp-1b"),
    (r"dfn2b", "dfn-2b"),
    (r"dfn5b", "dfn-5b"),
    (r"dfndr2b", "dfndr-2b"),
    (r"mclip(?!2)", "datacompdr-1b"),
    (r"metaclip_400m", "metaclip-400m"),
    (r"metaclip_2pt5b", "metaclip-2.5b"),
    (r"metaclip2_worldwide", "metaclip2-worldwide"),
    (r"metaclip_altogether", "metaclip-altogether"),
    (r"merged2b", "merged-2b"),
    (r"m38m", "merged-38m"),
    (r"m30m", "merged-30m"),
    (r"bamboo", "bamboo"),
    (r"sa1b", "sa-1b"),
    (r"florence2", "fld-5b"),
)
_DATA = re.compile("|".join(f"(?P<_{i}>{pattern})" for i, (pattern, _) in enumerate(DATA_SETS)))

# (pattern of "series/architecture.tag", how it was trained first); the first that fits counts
METHODS = (
    (r"^qwen3_vit/|^gemma4_vit/|^deepseek_vit/|\.gemma|\.msft_florence2|\.pali|intern300m", "vision-language"),
    (r"eupe", "distillation"),
    (r"dinov3|\.lvd1689m|\.sat493m", "dino-v3"),
    (r"dinov2|\.lvd142m", "dino-v2"),
    (r"\.dino|\.fb_dino", "dino"),
    (r"fcmae", "fcmae"),
    (r"^hieradet_sam2/.*\.fb_", "mae, segment-anything"),
    (r"\.sa1b", "mae, segment-anything"),
    (r"\.mae", "mae"),
    (r"ijepa", "ijepa"),
    (r"/beit3", "beit-v3"),
    (r"/beitv2", "beit-v2"),
    (r"/beit_", "beit"),
    (r"vit_pe_", "perception-encoder"),
    (r"/aimv2", "aim-v2"),
    (r"radio", "distillation"),
    (r"tipsv2", "tips-v2"),
    (r"v2_webli", "siglip-2"),
    (r"webli|siglip", "siglip"),
    (r"mim_", "mim"),
    (r"^eva/eva_(giant|large)_patch\d+_\d+\.", "mim"),
    (r"openai|laion|clip|datacomp|\.dfn|yfcc15m|cc12m|merged2b", "clip"),
    (r"\.swag", "weak-supervision"),
    (r"wsl_ig1b", None),  # decided below: semi-weak or weak
    (r"ssl_yfcc100m", "semi-supervision"),
    (r"\.seer", "swav"),
    (r"\.ns_jft", "noisy-student"),
    (r"lingbot|sapiens2", ""),
)
_DISTILLED = re.compile(r"dist|ssld|\.usi_")
_ADVERSARIAL = re.compile(r"\.ap_|_adv_")


def describe() -> Iterator[dict[str, Any]]:
    """A record for every set of weights, and one for every architecture without any."""
    timm = require("timm", "the timm family")
    with_weights = set()
    for name in timm.list_pretrained():
        architecture, _, tag = name.partition(".")
        with_weights.add(architecture)
        yield {"variant": name, **_of_weights(timm.get_pretrained_cfg(name), architecture, tag)}
    for architecture in timm.list_models():
        if architecture not in with_weights:
            size = timm.get_pretrained_cfg(architecture).input_size[-1]
            yield {"variant": f"{architecture}=random", **_of_architecture(architecture), "image_size": size,
                   "task": "none", "training_set": "none", "method": "untrained"}  # fmt: skip


def series_of(architecture: str) -> str:
    """The module of timm that defines an architecture."""
    import timm.models

    return timm.models.model_entrypoint(architecture).__module__.rpartition(".")[2]


def method_of(series: str, architecture: str, tag: str, is_classifier: bool) -> str:
    """How weights were trained, the first stage of training first.

    >>> method_of("beit", "beit_base_patch16_224", "in22k_ft_in22k_in1k", True)
    'beit, supervised'
    >>> method_of("resnet", "resnet50", "fb_swsl_ig1b_ft_in1k", True)
    'semi-weak-supervision, supervised'
    """
    name = f"{series}/{architecture}.{tag}"
    first = next((method for pattern, method in METHODS if re.search(pattern, name)), "supervised")
    if first is None:
        first = "semi-weak-supervision" if "swsl" in tag else "weak-supervision"
    steps = [first] if first else []
    if _DISTILLED.search(f".{tag}"):
        steps.append("distillation")
    if is_classifier and first != "noisy-student":
        steps.append("supervised")
    if _ADVERSARIAL.search(f".{tag}"):
        steps.append("adversarial")
    return ", ".join(dict.fromkeys(steps))


def training_sets_of(series: str, tag: str) -> str:
    """What weights were trained on, in the order of training.

    >>> training_sets_of("vision_transformer", "laion2b_ft_in12k_in1k")
    'laion-2b, imagenet-12k, imagenet-1k'
    """
    if series == "hieradet_sam2" and tag.startswith("fb_"):
        return "sa-1b, sa-v"
    found = [DATA_SETS[int(match.lastgroup[1:])][1] for match in _DATA.finditer(tag)]
    if tag in ("mae", "dino", "fcmae", "fb_dino"):
        found = ["imagenet-1k"]
    return ", ".join(dict.fromkeys(found))


def _of_architecture(architecture: str) -> dict[str, str]:
    series = series_of(architecture)
    kind = "hybrid" if "hybrid" in architecture else KINDS.get(series, "convolution")
    return {"architecture": architecture, "series": series, "kind": kind}


def _of_weights(published: Any, architecture: str, tag: str) -> dict[str, Any]:
    facts = _of_architecture(architecture)
    series, hub, url = facts["series"], published.hf_hub_id, published.url or ""
    is_classifier = published.num_classes == 1000 or published.num_classes > MOST_FEATURES
    method = method_of(series, architecture, tag, is_classifier)
    return {
        **facts,
        "task": _task(method),
        "training_set": training_sets_of(series, tag),
        "method": method,
        "image_size": published.input_size[-1],
        "top1": _published_top1().get(f"{architecture}.{tag}"),
        "license": "" if published.license in (None, "unknown") else published.license,
        "source": f"https://huggingface.co/{hub}" if hub else url,
        "digest": "" if hub else digest_in(url),
    }


def _task(method: str) -> str:
    """What a network was trained to do, from how it was trained."""
    if "segment-anything" in method:
        return "promptable segmentation"
    if "supervised" in method or method == "noisy-student":  # also where its classifier is not in the file
        return "classification"
    first = method.partition(",")[0]
    if first in ("clip", "siglip", "siglip-2", "tips-v2", "perception-encoder"):
        return "image-text matching"
    return "vision-language" if first in ("vision-language", "aim-v2") else "representation"


@cache
def _published_top1() -> dict[str, float]:
    with TOP1.open(encoding="utf-8", newline="") as lines:
        return {row["name"]: float(row["top1"]) for row in csv.DictReader(lines)}
