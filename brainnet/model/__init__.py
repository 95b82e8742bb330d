"""Read-outs: from a backbone's tokens to a prediction per voxel, by what each voxel selects."""

from brainnet.model.channels import (
    ChannelDirections,
    as_colours,
    cluster_channels,
    matched_clusters,
    project,
    top_channels,
)
from brainnet.model.delayed import DelayedFactorTopy
from brainnet.model.factortopy import FactorTopy
from brainnet.model.position_code import PositionalEncoding
from brainnet.model.readout import READOUTS, Contributions, Readout

__all__ = [
    "ChannelDirections",
    "as_colours",
    "cluster_channels",
    "matched_clusters",
    "project",
    "top_channels",
    "Contributions",
    "DelayedFactorTopy",
    "FactorTopy",
    "PositionalEncoding",
    "READOUTS",
    "Readout",
]
