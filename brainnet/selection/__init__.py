"""Selection: the one contraction of FactorTopy, where a voxel's layer, space, scale and channels meet its tokens.

``definition`` says what is computed and checks it; ``cells`` computes it fast on any device, ``triton`` on a GPU;
``windows`` are the Gaussian windows that it reads through.
"""

from brainnet.selection.definition import Selectors, read_out
from brainnet.selection.windows import gaussian_windows

__all__ = ["Selectors", "gaussian_windows", "read_out"]
