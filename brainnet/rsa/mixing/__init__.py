"""Mixtures of model RDMs: weights fitted on some conditions and scored on others, and the variance that sets share."""
