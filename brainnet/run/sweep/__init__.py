"""Many networks, subjects and methods in one folder, by one or many workers; and their comparison."""

from __future__ import annotations

from brainnet._registry import lazy_face

_FILES = {
    "sweep": ("run_sweep",),
    "state": ("status_of",),
    "comparison": ("compare_sweep",),
    "slurm": ("write_job",),
}
__all__, __getattr__, __dir__ = lazy_face(__name__, _FILES)
