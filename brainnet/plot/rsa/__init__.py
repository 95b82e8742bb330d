"""Figures of representational similarity: RDMs, scores of models, courses, searchlight maps."""
