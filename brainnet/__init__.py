"""brainnet maps deep networks onto brains, voxel by voxel."""

from brainnet._registry import lazy_face

__version__ = "0.1.0"

__all__, __getattr__, __dir__ = lazy_face(__name__, {"run": ("extract", "compare_models")})
