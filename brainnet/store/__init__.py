"""The token store: every stimulus's tokens, computed once, in memory, in one memory-mapped file, or on the GPU."""

from brainnet.store.identity import backbones_unchanged, choose_preprocessing, fingerprint_of
from brainnet.store.store import TokenStatistics, TokenStore

__all__ = ["backbones_unchanged", "choose_preprocessing", "fingerprint_of", "TokenStatistics", "TokenStore"]
