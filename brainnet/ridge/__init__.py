"""Voxelwise linear models: closed-form, memory-bounded, chosen per voxel on training images only."""

from brainnet.ridge.window import WindowRidgeCV, gaussian_windows

__all__ = ["WindowRidgeCV", "gaussian_windows"]
