"""A distance between patterns."""

import torch


def canberra(patterns):
    """Sum over features of |a - b| / (|a| + |b|); patterns (B, n_conditions, n_features) give (B, n_pairs)."""
    rows, columns = torch.triu_indices(patterns.shape[1], patterns.shape[1], 1)
    a, b = patterns[:, rows], patterns[:, columns]
    return ((a - b).abs() / (a.abs() + b.abs()).clamp(min=1e-12)).sum(-1)
