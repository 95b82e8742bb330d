"""PLModel: the LightningModule that trains a read-out over a frozen backbone's tokens."""

from brainnet.plmodel.build import build_backbone_of, build_dataset
from brainnet.plmodel.module import PLModel

__all__ = ["PLModel", "build_backbone_of", "build_dataset"]
