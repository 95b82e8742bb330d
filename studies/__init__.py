"""Replications of published results: a folder each, with settings, a script, expected numbers and one figure."""
