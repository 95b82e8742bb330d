"""Features of pictures on disk: from a network to files, and what is done with such files."""

from __future__ import annotations

from brainnet._registry import lazy_face

_FILES = {
    "extraction": ("extract", "extract_features"),
    "feature_files": ("read_features",),
    "feature_parts": ("merge_features", "split_features"),
    "classes": ("classify",),
    "layers": ("list_layers",),
    "comparison": ("compare_models", "write_comparison"),
}
__all__, __getattr__, __dir__ = lazy_face(__name__, _FILES)
