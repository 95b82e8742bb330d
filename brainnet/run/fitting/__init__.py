"""A fit from settings to maps, and what a fitted model says of new stimuli."""

from __future__ import annotations

from brainnet._registry import lazy_face

_FILES = {
    "training": ("fit",),
    "prediction": ("load_model", "predict"),
}
__all__, __getattr__, __dir__ = lazy_face(__name__, _FILES)
