"""Stimuli: what was shown, by id. Images today: a folder, a zip, a list of files or an array."""

from brainnet.stimuli.images import SUFFIXES, Images, is_picture, natural_sort, signature_of

__all__ = ["SUFFIXES", "Images", "is_picture", "natural_sort", "signature_of"]
