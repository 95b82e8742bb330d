"""Pictures: flat maps, selectors, scores, RDMs. Each function returns a matplotlib figure; saving it is the caller's.

Matplotlib is loaded when the first picture is drawn, not when this package is imported.
"""

from __future__ import annotations

from brainnet._registry import lazy_face

_TOPICS = {
    "surface": ("flatmap", "slices"),
    "scene": ("Scene",),
    "folded": ("cortex", "cortex_maps", "group_maps"),
    "channels": ("channel_images", "best_images", "Ranking"),
    "selector_figures": ("layer_weights", "layer_profile", "field_coverage", "certainty"),
    "best_models": ("best_model_map", "top_models"),
    "maps": ("selectors", "training"),
    "encoding": ("scores", "joint_histogram", "variance_split"),
    "by_layer": ("layers", "best_layer"),
    "windows": ("window_share",),
    "geometry": ("rdms",),
    "similarity": ("model_similarity", "similarity_matrix"),
    "conditions": ("condition_map", "tree"),
    "overlays": ("masks",),
    "rsa": ("rsa_bars", "rsa_parts"),
    "sensors": ("time_course", "sensor_times"),
    "courses": ("rsa_layers", "rsa_time", "time_by_time"),
    "search": ("searchlight",),
    "interactive": ("page", "PageMap", "PageRun"),
    "predicted": ("predicted_maps", "predicted_limit"),
    "saving": ("save", "saved_as"),
}
__all__, __getattr__, __dir__ = lazy_face(__name__, _TOPICS)
