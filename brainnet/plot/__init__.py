"""Pictures: flat maps, selectors, scores, RDMs. Each function returns a matplotlib figure; saving it is the caller's.

Matplotlib is loaded when the first picture is drawn, not when this package is imported.
"""

from __future__ import annotations

from brainnet._registry import lazy_face

_TOPICS = {
    "brain.surface": ("flatmap", "slices"),
    "scene": ("Scene",),
    "brain.folded": ("cortex", "cortex_maps", "group_maps"),
    "selector.channels": ("channel_images", "best_images", "Ranking"),
    "selector.figures": ("layer_weights", "layer_profile", "field_coverage", "certainty"),
    "encoding.best_models": ("best_model_map", "top_models"),
    "selector.maps": ("selectors", "training"),
    "selector.places": ("Places",),
    "encoding.scores": ("scores", "joint_histogram", "variance_split"),
    "encoding.by_layer": ("layers", "best_layer"),
    "encoding.model_tables": ("model_ranking", "model_regions", "model_property", "model_effects", "model_depths"),
    "selector.windows": ("window_share",),
    "rsa.geometry": ("rdms",),
    "rsa.similarity": ("model_similarity", "similarity_matrix"),
    "rsa.conditions": ("condition_map", "tree"),
    "overlays": ("masks",),
    "rsa.bars": ("rsa_bars", "rsa_parts"),
    "encoding.sensors": ("time_course", "sensor_times"),
    "rsa.courses": ("rsa_layers", "rsa_time", "time_by_time"),
    "rsa.search": ("searchlight",),
    "rsa.steps": ("best_steps", "lags"),
    "interactive.brain_page": ("page", "PageCourse", "PageMap", "PageRun"),
    "brain.predicted": ("predicted_maps", "predicted_limit"),
    "series": ("latency", "delay_weights", "predicted_course", "scores_over_runs"),
    "saving": ("save", "saved_as"),
}
__all__, __getattr__, __dir__ = lazy_face(__name__, _TOPICS)
