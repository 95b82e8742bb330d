"""Datasets: images with the responses to them, and the place of each response column.

``DATASETS`` names them all; a new one is a subclass of :class:`ResponseDataset`, or of :class:`RDMSet` where there are
RDMs and no responses, in a file of its own. This room refuses
to know of backbones' insides, models or training.
"""

from brainnet.dataset.arrays import ArrayDataset
from brainnet.dataset.base import DATASETS, ResponseDataset, random_splits
from brainnet.dataset.catalogue import describe_dataset, find_datasets
from brainnet.dataset.checking import check_folder
from brainnet.dataset.fetching import get_dataset
from brainnet.dataset.rdm_sets import RDMSet
from brainnet.dataset.readers.algonauts import BrainDataset
from brainnet.dataset.readers.nsd import NSD
from brainnet.dataset.series_tokens import volume_tokens
from brainnet.dataset.simulation.series import SimulatedSeries
from brainnet.dataset.simulation.subject import SimulatedSubject
from brainnet.dataset.time_series import Cleaning, TimeSeries, Window
from brainnet.dataset.trials import Conditions, conditions

__all__ = [
    "DATASETS", "ResponseDataset", "RDMSet", "BrainDataset", "NSD", "ArrayDataset", "SimulatedSubject", "random_splits",
    "TimeSeries", "Window", "Cleaning", "SimulatedSeries", "volume_tokens",
    "Conditions", "conditions", "find_datasets", "describe_dataset", "check_folder",
    "get_dataset",
]  # fmt: skip
