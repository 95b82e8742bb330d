"""Pictures: flat maps, selectors, scores, RDMs. Each function returns a matplotlib figure; saving it is the caller's.

Matplotlib is loaded when the first picture is drawn, not when this package is imported.
"""

from __future__ import annotations

from importlib import import_module

_TOPICS = {
    "surface": ("flatmap", "slices"),
    "maps": ("selectors", "training"),
    "encoding": ("scores", "joint_histogram", "variance_split"),
    "by_layer": ("layers", "best_layer"),
    "geometry": ("rdms", "model_similarity"),
    "conditions": ("condition_map", "tree"),
    "rsa": ("rsa_bars", "rsa_parts"),
    "courses": ("rsa_layers", "rsa_time", "time_by_time"),
    "search": ("searchlight",),
    "saving": ("save",),
}
_TOPIC_OF = {name: topic for topic, names in _TOPICS.items() for name in names}

__all__ = list(_TOPIC_OF)


def __getattr__(name: str) -> object:
    if name not in _TOPIC_OF:
        raise AttributeError(f"module 'brainnet.plot' has no attribute {name!r}; it has {', '.join(sorted(_TOPIC_OF))}")
    return getattr(import_module(f"{__name__}.{_TOPIC_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_TOPIC_OF])
