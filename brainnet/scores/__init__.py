"""How well a prediction agrees with responses, how well it could, and how sure that is.

``agreement`` has scores per voxel and per image, ``ceilings`` the best score noise allows, ``inference`` intervals over
images, paired differences and corrections for many voxels, ``best_models`` the winner of each voxel, ``groups`` maps
over subjects. All take plain arrays in the order ``(prediction, response)``, both (n_images, n_voxels). Nothing here
knows models, files or plots.

A voxel whose responses never change, or hold a NaN, scores NaN and stays out of every mean, counted.
"""

from brainnet.scores.agreement import (
    Identification,
    Normalised,
    ScoreSums,
    Summary,
    identification,
    normalise,
    pattern_r,
    pearson_r,
    r2,
    split_r2,
    summarise,
    usable_voxels,
    versa,
)
from brainnet.scores.best_models import BestModel, best_model
from brainnet.scores.ceilings import (
    NoiseCeiling,
    ceiling_from_explainable_variance,
    ceiling_from_ncsnr,
    ceiling_from_split_half,
    explainable_variance,
    leave_one_subject_out,
    ncsnr,
    repeat_ceiling,
    split_half_r,
)
from brainnet.scores.generalization import temporal_generalization
from brainnet.scores.groups import OverSubjects, over_subjects
from brainnet.scores.inference import (
    SCORES,
    Interval,
    PairedDifference,
    VoxelTest,
    above_chance,
    bootstrap_scores,
    fdr,
    interval,
    paired_difference,
)

__all__ = [
    "OverSubjects",
    "over_subjects",
    "BestModel",
    "best_model",
    "pearson_r", "r2", "split_r2", "ScoreSums", "summarise", "Summary", "usable_voxels",
    "pattern_r", "versa", "identification", "Identification",
    "normalise", "Normalised",
    "NoiseCeiling", "ncsnr", "ceiling_from_ncsnr", "explainable_variance", "ceiling_from_explainable_variance",
    "split_half_r", "ceiling_from_split_half", "leave_one_subject_out", "repeat_ceiling",
    "bootstrap_scores", "interval", "Interval", "above_chance", "paired_difference", "PairedDifference",
    "VoxelTest", "fdr", "SCORES", "temporal_generalization",
]  # fmt: skip
