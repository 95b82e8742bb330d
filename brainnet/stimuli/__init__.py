"""Stimuli: what was shown, by id. Images today: folders, lists, archives, HDF5 files, frames of a video or arrays."""

from brainnet.stimuli.checking import say_skipped
from brainnet.stimuli.images import KINDS, Images, signature_of
from brainnet.stimuli.names import SUFFIXES, is_picture, names_meant, natural_sort

__all__ = ["KINDS", "SUFFIXES", "Images", "is_picture", "names_meant", "natural_sort", "say_skipped", "signature_of"]
