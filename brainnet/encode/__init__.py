"""Linear encoding of every subject from every layer of every model, scored alike: one table."""

from brainnet.encode.grid import (
    ALL_LAYERS,
    BEST_LAYER,
    CONTROLS,
    METHODS,
    NOISE_CEILING,
    Encoding,
    Fit,
    FitKey,
    encode,
    find_estimators,
    write_map,
)

__all__ = [
    "ALL_LAYERS",
    "BEST_LAYER",
    "CONTROLS",
    "METHODS",
    "NOISE_CEILING",
    "Encoding",
    "Fit",
    "FitKey",
    "encode",
    "find_estimators",
    "write_map",
]
