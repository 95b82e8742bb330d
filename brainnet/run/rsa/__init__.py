"""Geometry from files to a folder of results: RDMs, comparisons, fits, searchlights."""

from __future__ import annotations

from brainnet._registry import lazy_face

_FILES = {
    "rdms": ("write_rdms",),
    "rsa": ("compare_over_time", "compare_rdms"),
    "fits": ("fit_rdms", "partition_over_time", "partition_rdms"),
    "steps": ("compare_steps",),
    "searchlight": ("search", "search_group"),
    "searchlight_rdms": ("search_rdms",),
}
__all__, __getattr__, __dir__ = lazy_face(__name__, _FILES)
