"""Representational similarity analysis: RDMs, their comparison, and inference over subjects and conditions.

Everything takes arrays or ``RDMs``, follows the input's device and dtype, and imports torch alone; pandas, scipy
and h5py are loaded by the function that needs them.
"""

from brainnet.rsa.ceilings import NoiseCeiling, explained, noise_ceiling, pool, reliability
from brainnet.rsa.comparisons import COMPARISONS, compare
from brainnet.rsa.create import rdm
from brainnet.rsa.distances import DISTANCES, shrinkage_covariance
from brainnet.rsa.distributions import distributional_distance
from brainnet.rsa.feature_similarity import cka, minibatch_cka, procrustes
from brainnet.rsa.inference.evaluation import Evaluation, evaluate
from brainnet.rsa.inference.settings import Inference
from brainnet.rsa.mixing.over_time import regression_over_time
from brainnet.rsa.mixing.regression import RDMRegression, rdm_regression
from brainnet.rsa.mixing.stacking import StackedLayers, stack_layers
from brainnet.rsa.mixing.weighted import WeightedRSA, feature_rdms, weighted_rsa
from brainnet.rsa.rdms import RDMs
from brainnet.rsa.search.group import GroupMaps, group_searchlight
from brainnet.rsa.search.maps import SearchlightMaps
from brainnet.rsa.search.neighbourhoods import Neighbourhoods, discs, spheres
from brainnet.rsa.search.subject import searchlight
from brainnet.rsa.temporal import ModelTimeRSA, by_lag, by_step, by_time, ct_rsa, fusion, lagged

__all__ = [
    "RDMs",
    "rdm",
    "DISTANCES",
    "shrinkage_covariance",
    "compare",
    "COMPARISONS",
    "cka",
    "minibatch_cka",
    "procrustes",
    "distributional_distance",
    "noise_ceiling",
    "NoiseCeiling",
    "pool",
    "explained",
    "reliability",
    "evaluate",
    "Evaluation",
    "Inference",
    "Neighbourhoods",
    "discs",
    "spheres",
    "SearchlightMaps",
    "searchlight",
    "GroupMaps",
    "group_searchlight",
    "RDMRegression",
    "StackedLayers",
    "rdm_regression",
    "regression_over_time",
    "stack_layers",
    "WeightedRSA",
    "feature_rdms",
    "weighted_rsa",
    "ModelTimeRSA",
    "by_lag",
    "by_step",
    "by_time",
    "ct_rsa",
    "fusion",
    "lagged",
]
