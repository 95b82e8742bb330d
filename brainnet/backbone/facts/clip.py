"""What open_clip says of its models, whose image and text towers are networks of their own here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from brainnet._checks import require
from brainnet.backbone.facts.timm import KINDS, series_of

LIBRARY = "open_clip_torch"
# of what the tag of the weights begins with
TRAINED = {
    "openai": "openai-wit",
    "yfcc15m": "yfcc-15m",
    "cc12m": "cc-12m",
    "laion400m": "laion-400m",
    "laion2b": "laion-2b",
    "laion5b": "laion-5b",
    "frozen_laion5b": "laion-5b",
    "laion_aesthetic": "laion-aesthetic",
    "mscoco_finetuned_laion2b": "laion-2b, coco",
    "datacomp_xl": "datacomp-1b",
    "datacomp_l": "datacomp-l",
    "datacomp_m": "datacomp-m",
    "datacomp_s34b": "datacomp-1b",
    "datacomp_s": "datacomp-s",
    "datacomp1b": "datacomp-1b",
    "datacompdr": "datacompdr-1b",
    "commonpool_xl": "commonpool-xl",
    "commonpool_l": "commonpool-l",
    "commonpool_m": "commonpool-m",
    "commonpool_s": "commonpool-s",
    "metaclip_400m": "metaclip-400m",
    "metaclip_fullcc": "metaclip-2.5b",
    "metaclip_altogether": "metaclip-altogether",
    "metaclip2_worldwide": "metaclip2-worldwide",
    "dfn2b": "dfn-2b",
    "dfn5b": "dfn-5b",
    "dfndr2b": "dfndr-2b",
    "merged2b": "merged-2b",
    "webli": "webli",
}
_SHA256 = re.compile(r"[/-]([0-9a-f]{64}|[0-9a-f]{8})(?:/|\.pt$)")


def describe() -> Iterator[dict[str, Any]]:
    """A record for the image tower of every set of weights, and one for every architecture without any."""
    open_clip = require("open_clip", "the clip family", "open_clip_torch")
    published = sorted(open_clip.list_pretrained())
    for name, tag in published:
        yield {**_of_architecture(open_clip, name), **_of_weights(open_clip, name, tag)}
    for name in sorted(set(open_clip.list_models()) - {name for name, _ in published}):
        facts = _of_architecture(open_clip, name)
        yield {"variant": f"{name}=random", **facts, "task": "none", "training_set": "none", "method": "untrained"}


def describe_text() -> Iterator[dict[str, Any]]:
    """A record for the text tower of every set of weights, of those that are open_clip's own."""
    open_clip = require("open_clip", "the clip_text family", "open_clip_torch")
    for name, tag in sorted(open_clip.list_pretrained()):
        if "hf_model_name" not in open_clip.get_model_config(name)["text_cfg"]:
            yield {"architecture": name, "series": "text", "kind": "transformer", **_of_weights(open_clip, name, tag)}


def _of_weights(open_clip: Any, name: str, tag: str) -> dict[str, Any]:
    entry = open_clip.get_pretrained_cfg(name, tag)
    hub, url = entry.get("hf_hub", "").rstrip("/"), entry.get("url", "")
    found = None if hub else _SHA256.search(url)
    return {
        "variant": f"{name}={tag}",
        "task": "image-text matching",
        "training_set": next((TRAINED[start] for start in TRAINED if tag.startswith(start)), ""),
        "method": _method(name, tag),
        "source": f"https://huggingface.co/{'/'.join(hub.split('/')[:2])}" if hub else url,
        "digest": found[1] if found else "",
    }


def _method(name: str, tag: str) -> str:
    if "SigLIP2" in name:
        return "siglip-2"
    if "siglip" in name.lower():
        return "siglip"
    return "coca" if name.startswith("coca") else "perception-encoder" if tag == "meta" else "clip"


def _of_architecture(open_clip: Any, name: str) -> dict[str, Any]:
    tower = open_clip.get_model_config(name)["vision_cfg"]
    if trunk := tower.get("timm_model_name"):
        series = series_of(trunk.partition(".")[0])
        kind = KINDS.get(series, "convolution")
    else:
        is_convolution = isinstance(tower["layers"], list)
        series, kind = ("resnet", "convolution") if is_convolution else ("vision_transformer", "transformer")
    size = tower.get("image_size", 224)
    return {"architecture": name, "series": series, "kind": kind, "image_size": size if isinstance(size, int) else None}
