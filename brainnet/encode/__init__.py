"""Linear encoding of every subject from every layer of every model, scored alike: one table."""

from brainnet.encode.grid import CONTROLS, encode
from brainnet.encode.methods import METHODS, find_estimators
from brainnet.encode.table import ALL_LAYERS, BEST_LAYER, NOISE_CEILING, Encoding, Fit, FitKey, Row
from brainnet.encode.weights import predict_with, weights_of

__all__ = [
    "ALL_LAYERS",
    "BEST_LAYER",
    "CONTROLS",
    "METHODS",
    "NOISE_CEILING",
    "Encoding",
    "Fit",
    "FitKey",
    "Row",
    "encode",
    "find_estimators",
    "predict_with",
    "weights_of",
]
