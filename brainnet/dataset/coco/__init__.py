"""The photographs of the Natural Scenes Dataset are cut out of COCO's: from one to the other, with masks and captions.

:class:`NSDCoco` is the door. Its tables are the user's own: ``nsd_stim_info_merged.csv`` of NSD, and COCO's folder.
"""

from brainnet.dataset.coco.annotations import CocoAnnotations
from brainnet.dataset.coco.masks import Masks, filled, from_runs
from brainnet.dataset.coco.pictures import NSDCoco, cut_out
from brainnet.dataset.coco.table import Row, StimulusTable

__all__ = ["NSDCoco", "StimulusTable", "Row", "CocoAnnotations", "Masks", "filled", "from_runs", "cut_out"]
