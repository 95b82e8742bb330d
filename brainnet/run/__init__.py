"""From settings to a folder of results: one public function for every command."""

from __future__ import annotations

from brainnet._registry import lazy_face

_FILES = {
    "fitting.training": ("fit",),
    "fitting.prediction": ("load_model", "predict"),
    "record.run_folder": ("redraw",),
    "encoding.encoding": ("encode_subjects",),
    "extraction.classes": ("classify",),
    "page.run_page": ("write_page",),
    "report.report": ("write_report",),
    "extraction.extraction": ("extract", "extract_features"),
    "extraction.feature_files": ("read_features",),
    "extraction.feature_parts": ("merge_features", "split_features"),
    "rsa.rdms": ("write_rdms",),
    "photographs": ("write_photographs",),
    "extraction.comparison": ("compare_models", "write_comparison"),
    "rsa.rsa": ("compare_over_time", "compare_rdms"),
    "rsa.fits": ("fit_rdms", "partition_over_time", "partition_rdms"),
    "rsa.steps": ("compare_steps",),
    "sharing.sharing": ("export_model", "push_model"),
    "sharing.loading": ("load_encoder",),
    "sharing.brainscore": ("export_brainscore",),
    "rsa.searchlight": ("search", "search_group"),
    "sweep.sweep": ("run_sweep",),
    "sweep.state": ("status_of",),
    "sweep.slurm": ("write_job",),
    "sweep.comparison": ("compare_sweep",),
}
__all__, __getattr__, __dir__ = lazy_face(__name__, _FILES)
