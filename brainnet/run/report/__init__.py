"""The report of finished runs."""

from __future__ import annotations

from brainnet._registry import lazy_face

_FILES = {
    "report": ("write_report",),
}
__all__, __getattr__, __dir__ = lazy_face(__name__, _FILES)
