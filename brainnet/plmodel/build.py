"""Settings to objects: the one reader of the sections DATASET and BACKBONE.

What a family or a data set of its own takes beyond the common settings stands under ``BACKBONE.OPTIONS`` and
``DATASET.OPTIONS`` and is checked against the signature of what it is for.
"""

from __future__ import annotations

from typing import Any

from yacs.config import CfgNode

from brainnet._registry import check_options, options_of
from brainnet.backbone import BACKBONES
from brainnet.config import get_cfg_defaults
from brainnet.dataset import DATASETS, ResponseDataset

# settings of the data sets that came with brainnet first, from before there was DATASET.OPTIONS
OF_SOME_DATASETS = {
    "SESSION": "session",
    "RESOLUTION": "resolution",
    "N_TRAIN": "n_train",
    "N_TEST": "n_test",
    "N_VOXELS": "n_voxels",
}


def build_dataset(cfg: CfgNode, backbone: Any = None) -> ResponseDataset:
    """The data set that ``cfg.DATASET`` names; a simulated subject is planted in ``backbone``.

    Args:
        cfg: the settings; ``DATASET.NAME`` is a registered name or "FILE.py:CLASS".
        backbone: of a data set whose ``from_settings`` asks for one; by default that of ``BACKBONE.NAME``.

    Raises:
        ValueError: an unknown name, or an option the data set does not take.
    """
    name, what = cfg.DATASET.NAME, f"the data set {cfg.DATASET.NAME!r}"
    make = DATASETS[name].from_settings
    taken = options_of(make)
    options = dict(cfg.DATASET.OPTIONS)
    check_options(make, options, what)
    usual = get_cfg_defaults().DATASET
    for key, option in OF_SOME_DATASETS.items():
        if taken is None or option in taken:
            options.setdefault(option, cfg.DATASET[key])
        elif cfg.DATASET[key] != usual[key]:
            raise ValueError(f"{what} takes no DATASET.{key}; leave it out.")
    if taken is not None and "backbone" in taken:
        options.setdefault("backbone", cfg.BACKBONE.NAME if backbone is None else backbone)
    dataset = make(cfg.DATASET.DATA_DIR, cfg.SEED, **options)
    return dataset.shuffled(seed=cfg.SEED) if cfg.DATASET.SHUFFLED else dataset


def build_backbone_of(cfg: CfgNode, **options: Any) -> Any:
    """The backbone that ``cfg.BACKBONE`` names; further options go to its family.

    Raises:
        ValueError: an unknown name, or an option the family does not take.
    """
    options = {**cfg.BACKBONE.OPTIONS, **options}
    if cfg.BACKBONE.WEIGHTS:
        options["weights"] = cfg.BACKBONE.WEIGHTS
    if cfg.MODEL.LAYERS:
        options["layers"] = list(cfg.MODEL.LAYERS)
    # "auto" is whatever suits the machine: a family that knows one precision suits it
    taken = options_of(BACKBONES.factory(cfg.BACKBONE.NAME)) or ()
    if cfg.BACKBONE.PRECISION != "fp32" and (cfg.BACKBONE.PRECISION != "auto" or "precision" in taken):
        options["precision"] = cfg.BACKBONE.PRECISION
    return BACKBONES.build(cfg.BACKBONE.NAME, **options)
