"""Backbones: networks that turn images into tokens.

``build_backbone("family:variant")`` makes one, and ``find_backbones(task="object detection")`` finds its name;
``HookedBackbone`` makes one of any PyTorch network; a plain object with ``get_tokens(images)`` is one. A file is
imported when a name of it is used, and heavy packages by the family that needs them.
"""

from brainnet._registry import lazy_face

_FILES = {
    "catalogue": ("BACKBONES",),
    "base": ("build_backbone", "backbone_of", "FrozenBackbone"),
    "finding": ("find_backbones",),
    "folders": ("full_name",),
    "hooks": ("HookedBackbone",),
    "weights": ("load_weights",),
    "families.expansion": ("Expansion5L",),
    "families.original": (
        "ModifiedCLIP", "ModifiedDiNOv2", "ModifiedSAM", "ModifiedMAE", "ModifiedImgNet", "ModifiedMoCov3",
        "ModifiedDINO",
    ),
}  # fmt: skip
__all__, __getattr__, __dir__ = lazy_face(__name__, _FILES)
