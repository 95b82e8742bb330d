"""brainnet maps deep networks onto brains, voxel by voxel."""

__version__ = "0.1.0"
