"""What leaves a run for other people: an encoder with its model card, a plugin of a board."""

from __future__ import annotations

from brainnet._registry import lazy_face

_FILES = {
    "sharing": ("export_model", "push_model"),
    "loading": ("load_encoder",),
    "brainscore": ("export_brainscore",),
}
__all__, __getattr__, __dir__ = lazy_face(__name__, _FILES)
