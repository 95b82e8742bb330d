"""Searchlights: RDMs of neighborhoods in a volume or on a surface, compared with models."""
