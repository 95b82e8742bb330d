"""Searchlights: RDMs of neighbourhoods in a volume or on a surface, compared with models."""
