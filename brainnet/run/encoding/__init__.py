"""Linear encoding from settings to a folder of results."""

from __future__ import annotations

from brainnet._registry import lazy_face

_FILES = {
    "encoding": ("encode_subjects",),
}
__all__, __getattr__, __dir__ = lazy_face(__name__, _FILES)
