"""A read-out: a linear map of the layers' global tokens, without selectors."""

import torch
from torch import nn


class Average(nn.Module):
    """Every voxel reads all layers' global tokens."""

    def __init__(self, layers, layer_widths, n_vertices, coords=None, *, shrink=0.0):
        super().__init__()
        self.shrink = shrink
        self.maps = nn.ModuleList(nn.LazyLinear(n_vertices, bias=False) for _ in layers)
        self.bias = nn.Parameter(torch.zeros(n_vertices))
        for layer, width in zip(self.maps, layer_widths, strict=True):
            layer(torch.zeros(1, width[1] if isinstance(width, tuple | list) else width))  # now it knows its size

    def forward(self, local, global_):
        prediction = self.bias + sum(layer(token) for layer, token in zip(self.maps, global_.values(), strict=True))
        return prediction, self.shrink * sum(layer.weight.square().sum() for layer in self.maps)
