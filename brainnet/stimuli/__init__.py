"""Stimuli: what was shown, by id. Images, texts, sounds, videos, and pairs of them; from folders, lists or memory."""

from brainnet.stimuli.checking import say_skipped
from brainnet.stimuli.clips import Clip, Clips
from brainnet.stimuli.images import KINDS, Images, signature_of
from brainnet.stimuli.names import SUFFIXES, is_picture, names_meant, natural_sort
from brainnet.stimuli.opening import READS, kind_of, stimuli_of
from brainnet.stimuli.pairs import SUFFIXES_OF, Pairs
from brainnet.stimuli.sets import StimulusSet
from brainnet.stimuli.sounds import Sound, Sounds
from brainnet.stimuli.text import Texts

__all__ = [
    "KINDS", "READS", "SUFFIXES", "SUFFIXES_OF", "Clip", "Clips", "Images", "Pairs", "Sound", "Sounds",
    "StimulusSet", "Texts", "is_picture", "kind_of", "names_meant", "natural_sort", "say_skipped",
    "signature_of", "stimuli_of",
]  # fmt: skip
