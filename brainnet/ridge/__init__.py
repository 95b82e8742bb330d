"""Voxelwise linear models: closed-form, memory-bounded, chosen per voxel on training images only."""

from brainnet.ridge.banded import BandedRidgeCV
from brainnet.ridge.classic import LinearRegressionCV
from brainnet.ridge.cross_validation import KernelRidgeCV, RidgeCV
from brainnet.ridge.mixed import MixedWindowRidgeCV
from brainnet.ridge.partitioning import variance_partition
from brainnet.ridge.stacked import StackedRegressionCV, convex_weights
from brainnet.ridge.window import WindowRidgeCV, gaussian_windows

__all__ = [
    "RidgeCV", "KernelRidgeCV", "BandedRidgeCV", "WindowRidgeCV", "MixedWindowRidgeCV", "StackedRegressionCV",
    "LinearRegressionCV", "variance_partition", "gaussian_windows", "convex_weights",
]  # fmt: skip
