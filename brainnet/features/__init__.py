"""Features: rows of numbers, one for each picture, made from tokens, reduced, kept in files and read from them."""

from __future__ import annotations

from brainnet._registry import lazy_face

_FILES = {
    "dimensionality": ("components_for", "eigenspectrum", "power_law", "PowerLaw"),
    "features": ("Features",),
    "formats": ("Table", "write_table"),
    "labels": ("class_names", "top_classes"),
    "steps": ("load_chain",),
}
__all__, __getattr__, __dir__ = lazy_face(__name__, _FILES)
