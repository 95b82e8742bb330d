"""From settings to a folder of results: one public function for every command."""

from __future__ import annotations

from importlib import import_module

_FILES = {
    "training": ("fit",),
    "prediction": ("load_model", "predict"),
    "results": ("redraw",),
    "encoding": ("encode_subjects",),
    "extraction": ("extract_features",),
    "rdms": ("write_rdms",),
    "rsa": ("compare_over_time", "compare_rdms"),
    "rsa_fits": ("fit_rdms", "partition_rdms"),
    "searchlight": ("search", "search_group"),
}
_FILE_OF = {name: file for file, names in _FILES.items() for name in names}

__all__ = list(_FILE_OF)


def __getattr__(name: str) -> object:
    if name not in _FILE_OF:
        raise AttributeError(f"module 'brainnet.run' has no attribute {name!r}; it has {', '.join(sorted(_FILE_OF))}")
    return getattr(import_module(f"{__name__}.{_FILE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_FILE_OF])
