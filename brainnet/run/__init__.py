"""From settings to a folder of results: one public function for every command."""

from __future__ import annotations

from brainnet._registry import lazy_face

_FILES = {
    "training": ("fit",),
    "prediction": ("load_model", "predict"),
    "results": ("redraw",),
    "encoding": ("encode_subjects",),
    "classes": ("classify",),
    "page": ("write_page",),
    "extraction": ("extract", "extract_features"),
    "feature_files": ("read_features",),
    "feature_parts": ("merge_features", "split_features"),
    "rdms": ("write_rdms",),
    "photographs": ("write_photographs",),
    "comparison": ("compare_models", "write_comparison"),
    "rsa": ("compare_over_time", "compare_rdms"),
    "rsa_fits": ("fit_rdms", "partition_rdms"),
    "searchlight": ("search", "search_group"),
}
__all__, __getattr__, __dir__ = lazy_face(__name__, _FILES)
