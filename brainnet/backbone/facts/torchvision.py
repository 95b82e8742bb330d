"""What torchvision says of its networks, in the records of its weights."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from brainnet._checks import require

LIBRARY = "torchvision"
QUANTIZED = "quantized_"  # they compute with integers, and brainnet has their float twins
KINDS = {"vision_transformer": "transformer", "swin_transformer": "transformer", "mvit": "transformer",
         "maxvit": "hybrid"}  # fmt: skip
# of the module that defines a network, and of a part of its name
TASKS = (
    ("detection.keypoint_rcnn", "object detection, keypoint detection"),
    ("detection.mask_rcnn", "object detection, instance segmentation"),
    ("detection.", "object detection"),
    ("segmentation.", "semantic segmentation"),
    ("optical_flow.", "optical flow"),
    ("video.", "video classification"),
    ("", "classification"),
)
# of the name of the weights: (training sets, method)
TRAINED = {
    "IMAGENET1K_SWAG_E2E": ("instagram-3.6b, imagenet-1k", "weak-supervision, supervised"),
    "IMAGENET1K_SWAG_LINEAR": ("instagram-3.6b, imagenet-1k", "weak-supervision, supervised"),
    "IMAGENET1K": ("imagenet-1k", "supervised"),
    "COCO": ("coco", "supervised"),
    "KINETICS400_IMAGENET22K": ("imagenet-22k, kinetics-400", "supervised"),
    "KINETICS400": ("kinetics-400", "supervised"),
    "C_T_SKHT_K": ("flying-chairs, flying-things-3d, sintel, kitti, hd1k", "supervised"),
    "C_T_SKHT": ("flying-chairs, flying-things-3d, sintel, kitti, hd1k", "supervised"),
    "C_T": ("flying-chairs, flying-things-3d", "supervised"),
}
_DIGEST = re.compile(r"-([0-9a-f]{8,64})\.\w+$")


def describe() -> Iterator[dict[str, Any]]:
    """A record for every set of weights, and one for every architecture without any."""
    models = require("torchvision", "the torchvision family").models
    for name in models.list_models():
        if name.startswith(QUANTIZED):
            continue
        module = models.get_model_builder(name).__module__.partition("models.")[2]
        series = module.rpartition(".")[2]
        facts = {"architecture": name, "series": series, "kind": KINDS.get(series, "convolution")}
        task = next(task for prefix, task in TASKS if module.startswith(prefix))
        published = list(models.get_model_weights(name))
        for entry in published:
            yield {"variant": f"{name}={entry.name}", **facts, "task": task, **_of_weights(entry)}
        if not published:
            yield {"variant": f"{name}=random", **facts, "task": "none", "training_set": "none", "method": "untrained"}


def _of_weights(entry: Any) -> dict[str, Any]:
    training_set, method = next(found for name, found in TRAINED.items() if entry.name.startswith(name))
    accuracy = entry.meta["_metrics"].get("ImageNet-1K", {}).get("acc@1")
    return {
        "training_set": training_set,
        "method": method,
        "parameters": entry.meta["num_params"],
        "image_size": _image_size(entry),
        "top1": accuracy if accuracy == accuracy else None,  # NaN of weights without a classifier
        "license": "cc-by-nc-4.0" if "SWAG" in entry.meta.get("license", "") else "",
        "source": entry.url,
        "digest": digest_in(entry.url),
    }


def _image_size(entry: Any) -> int | None:
    """The size that its own transform makes; None where it leaves images as they are."""
    transform = entry.transforms()
    size = getattr(transform, "crop_size", None) or getattr(transform, "resize_size", None)
    return size[-1] if size else None


def digest_in(address: str) -> str:
    """The beginning of a file's SHA-256, where its name ends in it, as PyTorch's own files do.

    >>> digest_in("https://download.pytorch.org/models/resnet50-11ad3fa6.pth")
    '11ad3fa6'
    """
    found = _DIGEST.search(address)
    return found[1] if found else ""
