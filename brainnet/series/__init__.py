"""Features and responses that are time series: runs, delays, hemodynamic filters, drifts, and folds of whole runs.

A row is a volume (of fMRI) or a sample, and rows lie in the order of time. A run is a piece of time without a break.
Nothing here lets a number of one run reach another: a delay, a filter and a drift end where a run ends. All functions
take the label of the run of each row as ``runs``, (n_times,), and treat all rows as one run where none is given.
"""

from brainnet.series.cleaning import RunScaler, detrend, zscore
from brainnet.series.delays import Delayer, delayed, delayed_spaces
from brainnet.series.downsampling import average_steps, delays_in_rows, downsample, downsample_windows, lanczos
from brainnet.series.folds import block_labels, blocked_folds, leave_one_run_out
from brainnet.series.hrf import HRF, double_gamma
from brainnet.series.runs import run_slices

__all__ = [
    "Delayer", "delayed", "delayed_spaces", "HRF", "double_gamma", "downsample", "downsample_windows",
    "average_steps", "delays_in_rows", "lanczos", "RunScaler", "detrend",
    "zscore", "block_labels", "blocked_folds", "leave_one_run_out", "run_slices",
]  # fmt: skip
