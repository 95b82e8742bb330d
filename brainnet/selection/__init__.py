"""Selection: the one contraction of FactorTopy, where a voxel's layer, space, scale and channels meet its tokens.

``definition`` says what is computed and checks it; ``cells`` computes it fast on any device, ``triton`` on a GPU.
"""

from brainnet.selection.definition import Selectors, read_out

__all__ = ["Selectors", "read_out"]
