"""The interactive page of finished runs."""

from __future__ import annotations

from brainnet._registry import lazy_face

_FILES = {
    "run_page": ("write_page",),
}
__all__, __getattr__, __dir__ = lazy_face(__name__, _FILES)
